"""Importing this loads the kernels: for the server that test processes are forked from, so that each has them.

The SQL of the features too, which takes longer to write than a small shop to learn from.
"""

from active_customers.batch.feature_engineering import definitions
from active_customers.models.product_facts import definition
from active_customers.warm_up import compile_kernels

compile_kernels(lambda _done, _total: None)
definition()
definitions()
