"""Columns of files that nobody reads, said once: a misspelt name loses its values without a word otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from active_customers.importing.preset import FieldMaps, Preset
from active_customers.importing.readers import reader_for

_MOST_NAMED = 20
_ALIKE = 0.75


def unused_columns(files: Sequence[Path], preset: Preset, kind: Literal["events", "products"]) -> list[str]:
    """Return a line that names what no field is read from, and which name may have been meant; no line without any.

    Of JSON Lines and XML the first hundred records are looked at. A log has columns of events and of products, which
    are imported from it one after the other.
    """
    found = list(dict.fromkeys(name for path in files for name in reader_for(path).column_names(path)))
    events, products = (set() if maps is None else _read_by(maps) for maps in (preset.events, preset.products))
    known = events if kind == "events" else products
    is_log = preset.products is not None and preset.products.gathered
    used = events | products if is_log else known
    unused = [name for name in found if name not in used]
    if not unused:
        return []
    lacking = {_plain(name): name for name in known.difference(found)}
    told = [_told(name, lacking) for name in unused]
    told.sort(key=lambda text: not text.endswith("?)"))
    more = [f"and {len(told) - _MOST_NAMED} more"] if len(told) > _MOST_NAMED else []
    return [f"columns not used: {', '.join([*told[:_MOST_NAMED], *more])}"]


def _read_by(maps: FieldMaps) -> set[str]:
    """Return the top-level columns that fields are read from."""
    wanted = maps.wanted()
    exploded = () if wanted.explode is None else (wanted.explode,)
    return {re.split(r"[.\[]", column, maxsplit=1)[0] for column in (*wanted.columns, *exploded)}


def _plain(name: str) -> str:
    """Return what is the same in `salePrice`, `Sale price` and `sale_price`."""
    return "".join(filter(str.isalnum, name)).lower()


def _told(name: str, lacking: Mapping[str, str]) -> str:
    close = get_close_matches(_plain(name), list(lacking), n=1, cutoff=_ALIKE)
    return f"{name} (did you mean {lacking[close[0]]}?)" if close else name
