"""Importing this loads the kernels: for the server that test processes are forked from, so that each has them."""

from active_customers.warm_up import compile_kernels

compile_kernels(lambda _done, _total: None)
