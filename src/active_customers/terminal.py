"""What commands show while they work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

_SECONDS_BETWEEN_LINES = 2.0


class Report(Protocol):
    """Takes how much is done of how much."""

    def __call__(self, done: int, total: int) -> None:
        """Show progress."""
        ...


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """Yield a function to report progress to; shows a bar on a terminal and a line every 2 seconds elsewhere."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    started = last = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            share = f"{100 * done // total} %" if total else f"{done}"
            sys.stderr.write(f"{title}: {share} after {now - started:.0f} s\n")

    yield line
