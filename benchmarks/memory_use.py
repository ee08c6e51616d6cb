"""Memory of processes as the system counts it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.service import Running

_ROLE = re.compile(r"(\S+) is process (\d+)")


class MemoryUse(NamedTuple):
    """Bytes of one process."""

    unique: int
    """Unique set size: pages that no other process has mapped and that its end would free."""
    resident: int
    """All pages in memory, the shared ones too."""
    anonymous: int
    """Pages that no file stands behind."""


def memory_use(pid: int) -> MemoryUse:
    """Return the memory of a process of the same user; raises `OSError` when there is none.

    Pages of a file that only this process maps are unique to it, too.
    """
    fields = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    }
    return MemoryUse(fields["Private_Clean"] + fields["Private_Dirty"], fields["Rss"], fields["Anonymous"])


def memory_by_process(service: Running) -> dict[str, MemoryUse]:
    """Return the memory of each process of a service, by its role.

    The supervisor's log says which process is what; those it does not name hold no part of the service.
    """
    roles = {int(pid): name for name, pid in _ROLE.findall(service.log.read_text())}
    found: dict[str, MemoryUse] = {}
    for pid in family(service.process.pid):
        role = roles.get(pid, "service" if pid == service.process.pid else f"other-{len(found)}")
        found[role] = memory_use(pid)
    return found


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))
