"""The published versions, as an operator looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import orjson

from active_customers.core.clock import format_time
from active_customers.core.errors import ArtifactError
from active_customers.models.artifacts import ArtifactStore


@dataclass(frozen=True, slots=True)
class Published:
    """One version; None where it says nothing about it, as one that is damaged does not."""

    version: str
    created: str | None
    acts: int | None
    products: int | None
    gate: str | None
    """What the gate came to: passed, worse (and published by force), not_compared or off."""
    in_force: bool


_TITLES = ("version", "created", "acts", "products", "gate", "in force")


def published(artifacts: ArtifactStore) -> Iterator[Published]:
    """Yield the published versions, oldest first."""
    current = artifacts.current()
    for version in artifacts.versions():
        is_current = version == current
        try:
            manifest = artifacts.manifest(version)
        except ArtifactError:
            yield Published(version, None, None, None, None, is_current)
            continue
        facts = manifest.facts
        created, gate = format_time(manifest.created), facts.get("gate", {}).get("outcome")
        yield Published(version, created, facts.get("acts"), facts.get("products"), gate, is_current)


def row_as_json(row: Published) -> str:
    """Return a version as an object."""
    return orjson.dumps(asdict(row)).decode()


def table(rows: Sequence[Published]) -> list[str]:
    """Return versions as lines of equal columns, under their titles."""
    cells = [_TITLES, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _cells(row: Published) -> tuple[str, ...]:
    if row.created is None:
        return row.version, "damaged", "", "", "", "yes" if row.in_force else ""
    counts = ("" if count is None else f"{count:,}" for count in (row.acts, row.products))
    return row.version, row.created, *counts, row.gate or "", "yes" if row.in_force else ""
