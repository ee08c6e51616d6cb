"""Value types of the domain: no I/O; NumPy and Pydantic only."""
