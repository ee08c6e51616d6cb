"""The files of rejected rows and of warnings: JSON lines with the file, the row and the reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from active_customers.importing.source import Reject


class RejectsFile:
    """Writes rejected rows as they come, at most `limit` of them; without any there is no file."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self._left = limit

    def write(self, file: str, rejects: Iterable[Reject]) -> None:
        """Append rows of one file."""
        kept = list(rejects)[: self._left]
        if not kept:
            return
        self._left -= len(kept)
        rows = ({"file": file, "row": reject.row, "reason": reject.reason} for reject in kept)
        with self.path.open("ab") as out:
            out.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
