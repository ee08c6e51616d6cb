"""What a figure must say beside itself: the machine, the versions, the time, the command."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson

from active_customers import __version__

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    """Return the processor's name as the system tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def describe() -> dict[str, object]:
    """Return the machine and the moment."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": os.getloadavg()[0],
    }


def write(name: str, command: str, figures: dict[str, object]) -> None:
    """Write one benchmark's figures to `results/<name>.json` and print them."""
    RESULTS.mkdir(exist_ok=True)
    document = {"benchmark": name, "command": command, "machine": describe(), "figures": figures}
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (RESULTS / f"{name}.json").write_bytes(body)
    sys.stdout.write(f"{name}: {orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode()}\n")
