"""Files of events as one stream of checked rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from active_customers.importing.event_rows import EventBatch, EventRows, Wanted
from active_customers.importing.readers import BATCH_ROWS, read_batches
from active_customers.importing.report import ImportReport
from active_customers.importing.request import Progress, chosen_preset, no_progress

COLUMNS = ("customer_id", "session_id", "product_id", "event_type", "time", "order_id")
"""What `read_events` gives of each event; `session_id` and `order_id` are null where the file has none."""

_NEVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class EventFiles:
    """Files and what of them is wanted."""

    paths: Sequence[Path]
    wanted: Wanted
    batch_rows: int = BATCH_ROWS

    def batches(self, progress: Progress = no_progress) -> Iterator[tuple[int, EventBatch]]:
        """Yield (which file, counted from 0, and its next events)."""
        rows, wanted = EventRows(self.wanted), self.wanted.preset.event_maps().wanted()
        total, before = sum(path.stat().st_size for path in self.paths), 0
        for number, path in enumerate(self.paths):
            for raw in read_batches(path, wanted, self.batch_rows):
                yield number, rows.of(raw)
                progress(before + raw.bytes_read, total)
            before += path.stat().st_size
        progress(total, total)


def read_events(
    files: Sequence[Path], preset: str | None = None, report: ImportReport | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the events of files in batches with the columns `COLUMNS`, in the order of the files; no store is needed.

    Types: ids are text, event types uint8 (`core.event.EventType`), times int64 microseconds. Rows that cannot be read
    are left out, and counted where a `report` is given.
    """
    chosen = chosen_preset(files, preset, "events")
    for number, batch in EventFiles(files, Wanted(chosen, _NEVER)).batches():
        if report is not None:
            report.note(files[number].name, batch.rejects, batch.ignored)
            report.accepted += len(batch.events)
        yield batch.events.select(list(COLUMNS))
