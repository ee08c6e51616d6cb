"""Results as files: one per benchmark, each with all that is needed to judge its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson

from benchmarks.plan import Result

RESULTS = Path(__file__).parent / "results"
QUICK = RESULTS / "quick"
"""Where smoke runs write, so that they never replace a measurement."""


def write(folder: Path, name: str, result: Result, circumstances: Mapping[str, object]) -> None:
    """Write `<folder>/<name>.json`; `circumstances` are the command and the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "benchmark": name,
        **circumstances,
        "data": result.data,
        "rounds": result.rounds,
        "marks": [mark.as_dict() for mark in result.marks],
        "figures": result.figures,
    }
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
    (folder / f"{name}.json").write_bytes(body)
