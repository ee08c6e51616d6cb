"""A supervisor with a part that ends again and again, and one that runs: a program for tests."""

from __future__ import annotations

import logging
import time

from active_customers.serving.supervisor import Part, Pulse, Supervisor, SupervisorConfig


def run_on(pulse: Pulse) -> None:
    """Run until SIGTERM."""
    while True:
        pulse.beat()
        time.sleep(0.1)


def end_soon(pulse: Pulse) -> None:
    """End shortly after the start."""
    pulse.beat()
    time.sleep(0.3)


def main() -> None:
    """Watch over both, telling of it on stderr."""
    logging.basicConfig(level=logging.INFO)
    parts = [Part("steady", run_on, ()), Part("looper", end_soon, ())]
    Supervisor(parts, SupervisorConfig(restart_pause_seconds=2), lambda: None).run("tests.serving.supervised")


if __name__ == "__main__":
    main()
