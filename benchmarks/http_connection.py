"""The connection that simulated customers use serves benchmarks, too."""

from active_customers.evaluation.closed_loop.http_connection import Connection, Reply, parse

__all__ = ["Connection", "Reply", "parse"]
