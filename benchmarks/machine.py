"""What a figure must say beside itself: the machine, the versions, the time."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from active_customers import __version__


def processor() -> str:
    """Return the processor's name as the system tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def filesystem(path: Path) -> str:
    """Return the type of the file system that a path is on: on a tmpfs nothing is durable, and posts cost less.

    >>> filesystem(Path("/proc/self"))
    'proc'
    """
    mounts = (line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines())
    within = [(len(point), kind) for point, kind in mounts if path.absolute().is_relative_to(point)]
    return max(within, default=(0, "unknown"))[1]


def describe(scratch: Path) -> dict[str, object]:
    """Return the machine and the moment; call it before measuring, since it says how busy the machine was.

    `scratch` is where the services under measurement keep their data.
    """
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "filesystem": filesystem(scratch),
        "system": platform.platform(),
        "python": platform.python_version(),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": round(os.getloadavg()[0], 2),
    }
