"""What the live index has not read yet, handed to it in order of position: from the archive, then from the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.realtime.live_index import ABOUT_CUSTOMERS, LiveIndex
from active_customers.storage.archive import Archive, Part, opened_part
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.passed_over import PAUSE

_COLUMNS = ["position", "session", "customer", "product", "event_type", "time"]
_ROWS = 32_768
"""Events handed over at a time: a few megabytes, and some milliseconds between two chances for other threads."""


class LiveFeed:
    """Keeps an opened live index what the fold over archive and log is. It only reads, beside the owner of both.

    A position that is neither in a snapshot of the log nor in a listing of the archive made after it was reserved by an
    import: what is archived is there before it is trimmed. The index passes over such a hole and remembers it; once an
    import fills it, the index starts over, since a fold has one order. Archived acts of customers who were erased teach
    nothing, whether they have been overwritten yet or not; neither do acts of customers who are passed over (see
    `Customers.passed_over`), from the entry on that says so; that somebody is no longer is noticed after a while.
    """

    def __init__(self, store: EmbeddedStore, archive: Archive, index: LiveIndex) -> None:
        self._store = store
        self._archive = archive
        self._index = index
        self._changes = 0
        self._passed_over = np.empty(0, np.uint32)
        self._next_look = 0.0
        self._looked_at = 0

    def follow(self, enough: Callable[[], bool]) -> bool:
        """Hand over piece by piece, to the end of the log or until it is enough; return whether the end was reached.

        Raises `StorageError` when the archive cannot be read, and what `LiveIndex.learn` raises; calling again goes on.
        """
        return not any(enough() for _ in self._pieces())

    def verify(self) -> str | None:
        """Start the index over when it is not what archive and log make; return why, if so."""
        reason = self._contradiction()
        if reason is not None:
            self._index.start_over()
        return reason

    def _contradiction(self) -> str | None:
        if self._index.watermark > self._store.events.next_position():
            return "the log is shorter than what was learned from it: an older copy was put in its place"
        if self._index.holes:
            for part in self._archive.parts():
                if any(first <= part.last and part.first <= last for first, last in self._index.holes):
                    return f"an import brought the positions from {part.first} to {part.last}, which were passed over"
        return None

    def _pieces(self) -> Iterator[None]:
        """Hand over what there is, with a pause for the caller after each piece but the last."""
        while True:
            start = self._index.watermark
            rows, end = self._store.events.read_heads(start, _ROWS)
            positions = rows["position"]
            unbroken = int(np.count_nonzero(positions == start + np.arange(len(positions))))
            if unbroken:
                self._learn({name: rows[name][:unbroken] for name in _COLUMNS}, self._unwanted())
                self._index.advance(start + unbroken)
            elif start < end:
                yield from self._archived(int(positions[0]) if len(positions) else end)
            if self._index.watermark >= end:
                return
            yield

    def _archived(self, end: int) -> Iterator[None]:
        """Hand over what the archive holds below a position, and pass over what it does not."""
        unwanted = np.union1d(self._store.erasures.customers(), self._unwanted())
        for part in self._archive.parts():
            if part.first >= end:
                break
            if part.last >= self._index.watermark:
                self._index.pass_over(part.first)
                for columns in _read(part, self._index.watermark):
                    self._learn(columns, unwanted)
                    yield
                self._index.advance(part.last + 1)
        self._index.pass_over(end)

    def _learn(self, columns: dict[str, NDArray[Any]], unwanted: NDArray[np.uint32]) -> None:
        """Hand over rows but for acts of customers of whom nothing is learned."""
        is_news = (columns["event_type"] == EventType.FORGOTTEN) & (columns["position"] >= self._looked_at)
        forgotten = columns["customer"][is_news]
        if len(forgotten):
            self._passed_over = np.union1d(self._passed_over, forgotten)
            unwanted = np.union1d(unwanted, forgotten)
        if len(unwanted):
            stays = ~np.isin(columns["customer"], unwanted) | np.isin(columns["event_type"], ABOUT_CUSTOMERS)
            columns = {name: column[stays] for name, column in columns.items()}
        self._index.learn(columns)

    def _unwanted(self) -> NDArray[np.uint32]:
        """Return the customers who are passed over."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + PAUSE
            changes = self._store.customers.changes()
            if changes != self._changes:
                self._looked_at = self._store.events.next_position()  # before: what is told twice does no harm
                self._changes, self._passed_over = changes, self._store.customers.passed_over()
        return self._passed_over


def _read(part: Part, start: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the rows of a part in pieces, at least those from position `start` on."""
    with opened_part(part.path) as file:
        unread = _groups_from(file.metadata, start)
        for batch in file.iter_batches(_ROWS, unread, columns=_COLUMNS, use_threads=False):
            yield _arrays(batch)


def _groups_from(metadata: pq.FileMetaData, position: int) -> list[int]:
    """Return the row groups of a part, in order, that hold this position or a later one."""
    column = metadata.schema.names.index("position")
    facts = [metadata.row_group(i).column(column).statistics for i in range(metadata.num_row_groups)]
    return [i for i, known in enumerate(facts) if known is None or known.max >= position]


def _arrays(batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
    """Return the columns of archived rows as the log has them."""
    columns = {name: batch[name] for name in _COLUMNS}
    columns["product"] = columns["product"].fill_null(NO_NUMBER)
    return {name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()}
