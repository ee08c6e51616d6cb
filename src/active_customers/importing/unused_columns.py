"""Columns of files that nobody reads, said once: a misspelt name loses its values without a word otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from active_customers.importing.readers import reader_for
from active_customers.importing.source import Wanted

_MOST_NAMED = 20
_ALIKE = 0.75


def unused_columns(files: Sequence[Path], wanted: Wanted) -> list[str]:
    """Return a line that names what no field is read from, and which name may have been meant; no line without any.

    Of JSON Lines and XML the first hundred records are looked at.
    """
    found = list(dict.fromkeys(name for path in files for name in reader_for(path).column_names(path)))
    known = {re.split(r"[.\[]", column, maxsplit=1)[0] for column in wanted.columns} | {wanted.explode}
    unused = [name for name in found if name not in known]
    if not unused:
        return []
    lacking = {_plain(name): name for name in known.difference(found) if name is not None}
    told = [_told(name, lacking) for name in unused]
    told.sort(key=lambda text: not text.endswith("?)"))
    more = [f"and {len(told) - _MOST_NAMED} more"] if len(told) > _MOST_NAMED else []
    return [f"columns not used: {', '.join([*told[:_MOST_NAMED], *more])}"]


def _plain(name: str) -> str:
    """Return what is the same in `salePrice`, `Sale price` and `sale_price`."""
    return "".join(filter(str.isalnum, name)).lower()


def _told(name: str, lacking: Mapping[str, str]) -> str:
    close = get_close_matches(_plain(name), list(lacking), n=1, cutoff=_ALIKE)
    return f"{name} (did you mean {lacking[close[0]]}?)" if close else name
