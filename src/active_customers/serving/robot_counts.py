"""How many customers are taken for robots, for Prometheus."""

from __future__ import annotations

from collections import Counter

from active_customers.monitoring.metrics import ROBOTS
from active_customers.storage.base import Customers
from active_customers.storage.robots import RULES


class RobotCounts:
    """Counts again whenever there is news of them."""

    def __init__(self, customers: Customers) -> None:
        self._customers = customers
        self._changes = -1

    def publish(self) -> None:
        """Set the gauges."""
        changes = self._customers.changes()
        if changes == self._changes:
            return
        self._changes = changes
        found = Counter(robot.rule for robot in self._customers.robots())
        for rule in RULES:
            ROBOTS.labels(rule).set(found[rule])
