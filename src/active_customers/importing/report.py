"""What became of the rows of an import."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from active_customers.core.clock import format_time
from active_customers.importing.source import Reject

_EXAMPLES = 5
_LINES = 8
_COMMONEST = 3


@dataclass(slots=True)
class ImportReport:
    """Counts of one import.

    `kind` names what was imported ("events" or "products"). Of products, `accepted` counts the rows, `products` the
    catalogue entries.
    """

    kind: str
    preset: str
    most_rejected_share: float = 1.0
    """What `has_too_many_rejects` goes by."""
    accepted: int = 0
    duplicates: int = 0
    repeated: int = 0
    """Rows of products that a later row describes too, which counts."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Rejected rows by reason."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Values that were left out of rows which are imported, by reason."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Rows that are passed over: by the name of an event type that the preset ignores, or for want of consent."""
    customers: int = 0
    products: int = 0
    first_time: int | None = None
    last_time: int | None = None
    seconds: float = 0.0
    dry_run: bool = False
    rejects_path: Path | None = None
    """Where the rejected rows are written; None when there are none, and in a dry run."""
    warnings_path: Path | None = None
    """Where the values are written that were left out; None when there are none, and in a dry run."""
    withdrawn: int | None = None
    """Products that a full feed lacks, which became unavailable; None where nobody looked."""
    notes: list[str] = field(default_factory=list)
    """What the reader should know besides."""
    examples: list[tuple[str, Reject]] = field(default_factory=list)
    """The first few rejected rows, each with its file."""
    warnings: list[tuple[str, Reject]] = field(default_factory=list)
    """The first few values that were left out, each with its file."""

    def note(self, file: str, rejects: Sequence[Reject], ignored: Mapping[str, int] | None = None) -> None:
        """Count rows that a file gave but that are not imported."""
        self.rejected.update(reject.kind for reject in rejects)
        self.ignored.update(ignored or {})
        self.examples += [(file, reject) for reject in rejects[: max(0, _EXAMPLES - len(self.examples))]]

    def warn(self, file: str, left_out: Sequence[Reject]) -> None:
        """Count values that are left out of a file's rows."""
        self.left_out.update(each.kind for each in left_out)
        self.warnings += [(file, each) for each in left_out[: max(0, _EXAMPLES - len(self.warnings))]]

    @property
    def read(self) -> int:
        """All rows that were read."""
        return self.accepted + self.duplicates + self.repeated + self.rejected.total() + self.ignored.total()

    @property
    def rejected_share(self) -> float:
        """Share of the rows that were rejected; 0 where there are none."""
        return self.rejected.total() / self.read if self.read else 0.0

    @property
    def has_too_many_rejects(self) -> bool:
        """Whether so many rows were rejected that something is wrong with the file and not with some rows."""
        return self.rejected_share > self.most_rejected_share

    def complaint(self) -> str:
        """Return what to say where too many rows were rejected."""
        share = f"{self.rejected.total():,} of {self.read:,} rows were rejected ({_percent(self.rejected_share)})"
        allowed = f"over {100 * self.most_rejected_share:g} % (imports.most_rejected_share, --max-rejected)"
        commonest = "; ".join(f"{count:,} x {kind}" for kind, count in self.rejected.most_common(_COMMONEST))
        return f"{share}, {allowed}: mend what writes the file. Most often: {commonest}"

    def lines(self) -> list[str]:
        """Return the report as lines to print."""
        verb = "would import" if self.dry_run else "imported"
        speed = f" ({self.read / self.seconds:,.0f} rows/s)" if self.seconds > 0 else ""
        lines = [f"{verb} {self.accepted:,} of {self.read:,} rows in {self.seconds:.1f} s{speed}, preset {self.preset}"]
        if self.kind == "products":
            lines.append(f"  {self.products:,} products")
            if self.withdrawn is not None:
                verb = "would become unavailable" if self.dry_run else "are unavailable now"
                lines.append(f"  {self.withdrawn:,} others {verb}: the feed is full and lacks them")
        elif self.first_time is not None and self.last_time is not None:
            span = f"{format_time(self.first_time)} to {format_time(self.last_time)}"
            lines.append(f"  {self.customers:,} customers, {self.products:,} products, {span}")
        if not self.read:
            lines.append("  the files hold no rows: look at what writes them")
        lines += [f"  {note}" for note in self.notes]
        if self.duplicates:
            lines.append(f"  {self.duplicates:,} were there already")
        lines += _counted("ignored", self.ignored)
        lines += _counted("imported without a value", self.left_out) + _examples(self.warnings)
        if self.warnings_path is not None:
            lines.append(f"  the warnings are in {self.warnings_path}")
        lines += _counted("rejected", self.rejected) + _examples(self.examples)
        if self.rejects_path is not None:
            lines.append(f"  rejected rows are in {self.rejects_path}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _percent(share: float) -> str:
    """Return a share as it is read; what is nearly all is not all.

    >>> _percent(0.25), _percent(0.999), _percent(1.0)
    ('25 %', '99 %', '100 %')
    """
    return f"{math.floor(100 * share)} %"


def _examples(found: Sequence[tuple[str, Reject]]) -> list[str]:
    return [f"    for example {file}, row {reject.row}: {reject.reason}" for file, reject in found]


def _counted(what: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    lines = [f"  {counts.total():,} {what}:"]
    lines += [f"    {count:,} {kind}" for kind, count in counts.most_common(_LINES)]
    if len(counts) > _LINES:
        lines.append(f"    and {len(counts) - _LINES} more kinds")
    return lines
