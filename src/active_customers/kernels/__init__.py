"""Numba functions over arrays: no objects, no I/O."""
