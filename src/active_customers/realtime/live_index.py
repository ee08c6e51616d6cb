"""The live index, written: what customers did lately, folded from the log into files that answers are read from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY, SECOND
from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import TASTE_TYPES, EventType
from active_customers.kernels.live_contents import Contents, put_in, take_out
from active_customers.kernels.live_index import (
    CAUGHT_UP,
    N_SESSIONS,
    NEWEST,
    RECORD,
    WATERMARK,
    Acts,
    LiveWriter,
    Scales,
    clear,
    forget,
    learn,
)
from active_customers.kernels.session_directory import empty_directory
from active_customers.models.popularity import PopularityConfig
from active_customers.storage.checkpoints import Checkpoints
from active_customers.storage.live_files import LiveFiles

_log = logging.getLogger(__name__)

_FORMAT = 2
ABOUT_CUSTOMERS = np.array([EventType.ERASE, EventType.JOINED, EventType.FORGOTTEN], np.uint8)
"""Entries that say something of a customer and are no acts."""
_TASTE = np.array(TASTE_TYPES, np.uint8)
_COUNTS = ("totals", "popular", "recent", "longer")
_COLUMNS = {
    "position": np.int64,
    "session": np.int64,
    "customer": np.uint32,
    "product": np.uint32,
    "event_type": np.uint8,
    "time": np.int64,
}


class LiveIndexConfig(Config):
    """Bounds of the live index; bytes per session and per product stand in docs/live-index.md."""

    max_sessions: Annotated[int, Field(ge=1, le=2**24)] = 131_072
    """Sessions that are held; then the one whose last act stands first in the log makes room."""
    session_acts: Annotated[int, Field(ge=2, le=1000)] = 30
    """Newest acts of a session that are held."""
    sessions_per_product: Annotated[int, Field(ge=1, le=500)] = 200
    """Sessions that are found by a product: those that took it up last."""
    max_products: Annotated[int, Field(ge=1, le=2**28)] = 1_000_000
    """Products that are held: those with numbers below this one."""
    segment_rows: Annotated[int, Field(ge=1)] = 4096
    """Sessions, or products, that the files grow by."""


class LiveIndex:
    """The one writer of the live index in a folder; `realtime.live_reader` reads it in any number of processes.

    The files hold nothing that is not in the log: `open` empties them and goes on from the newest checkpoint that is
    whole. The caller (`serving.live_feed`) then hands over the log from `watermark` on, one call after the other, never
    two at a time, and starts over when something turns up in one of the `holes`.

    >>> from tempfile import TemporaryDirectory
    >>> columns = {"position": [1, 2], "session": [7, 7], "customer": [0, 0], "product": [3, 5], "time": [10, 20]}
    >>> with TemporaryDirectory() as folder:
    ...     index = LiveIndex(Path(folder)).open()
    ...     index.learn({name: np.array(values) for name, values in columns.items()} | {"event_type": np.array([1, 1])})
    ...     (index.watermark, index.n_sessions)
    2
    (3, 1)
    """

    def __init__(
        self, folder: Path, config: LiveIndexConfig | None = None, popularity: PopularityConfig | None = None
    ) -> None:
        self._folder = folder
        self._config = config or LiveIndexConfig()
        self._popularity = popularity or PopularityConfig()
        self._files = LiveFiles(folder, self._config.session_acts, self._config.sessions_per_product)
        self._checkpoints = Checkpoints(folder)
        self._scales = scales_of(self._popularity)

    def open(self) -> Self:
        """Take the folder over and load the newest whole checkpoint; without one everything is to be read again.

        Readers find nothing until this returns. Raises `StorageError` where the folder cannot be written.
        """
        shared, counts = self._files.open()
        n_slots = self._config.max_sessions
        times = np.zeros(n_slots * self._config.session_acts, np.int64)
        self._writer = LiveWriter(shared, counts, empty_directory(n_slots), times)
        self._clear()
        saved = self._checkpoints.load()
        if saved is not None and saved["identity"].tobytes() == self._identity():
            self._load(saved)
        else:
            _log.info("no checkpoint of the live index fits: it is made again from the log")
            self.advance(1)
        return self

    def start_over(self) -> None:
        """Forget everything; readers find nothing until the log has been handed over again, from position 1 on."""
        self._writer = self._writer._replace(directory=empty_directory(self._config.max_sessions))
        self._clear()
        self.advance(1)

    def _clear(self) -> None:
        clear(self._writer.shared, self._writer.counts)
        self._holes: list[tuple[int, int]] = []

    @property
    def watermark(self) -> int:
        """The first log position that has not been read."""
        return int(self._writer.shared.header[WATERMARK])

    @property
    def holes(self) -> Sequence[tuple[int, int]]:
        """The ranges of positions, both ends included, that were passed over because nothing stood there."""
        return tuple(self._holes)

    @property
    def n_sessions(self) -> int:
        """How many sessions are held."""
        return int(self._writer.shared.header[N_SESSIONS])

    def learn(self, columns: Mapping[str, NDArray[Any]]) -> int:
        """Fold a piece of the log, in log order; return how many of its acts taught something.

        `columns` are arrays of one length: position, session, customer, product (`NO_NUMBER` where there is none),
        event_type, time (microseconds). Only acts of taste teach, and only on products below `max_products`; an `erase`
        or `forgotten` entry forgets its customer, a `joined` one gives them the sessions of another; what lies below
        the watermark was read before and is passed over. Raises `DiskFullError` when the files cannot grow: the
        watermark then says how far it came, and all stays usable.
        """
        acts = self._acts(columns)
        done = 0
        while (done := learn(self._writer, self._scales, acts, done)) < len(acts.positions):
            self.advance(int(acts.positions[done]))
            self._grow(int(acts.products[done]))
        if len(columns["position"]):
            self.advance(max(self.watermark, int(columns["position"][-1]) + 1))
        return int(np.isin(acts.event_types, _TASTE).sum())

    def advance(self, watermark: int) -> None:
        """Take what stands before a position as read."""
        self._writer.shared.header[WATERMARK] = watermark

    def pass_over(self, end: int) -> None:
        """Go on at a position, and note what was not read before it as a hole."""
        if end > self.watermark:
            self._holes.append((self.watermark, end - 1))
            self.advance(end)

    def say_caught_up(self, now: float) -> None:
        """Tell readers that at `now`, in seconds of the machine's monotonic clock, nothing was left to read."""
        self._writer.shared.header[CAUGHT_UP] = int(now * SECOND)

    def forget(self, customer: int) -> int:
        """Drop a customer's sessions, now; return how many there were.

        For good once the log holds no act of theirs or an `erase` entry, and both copies of the checkpoint have been
        written again. The counts of products stay: they name nobody and fade by themselves.
        """
        return forget(self._writer, customer)

    def checkpoint(self) -> None:
        """Save everything, so that a restart reads the log from today's watermark on; durable when this returns."""
        shared = self._writer.shared
        place = np.array([self.watermark, shared.header[NEWEST]])
        counts = {name: getattr(self._writer.counts, name) for name in _COUNTS}
        identity = np.frombuffer(self._identity(), np.uint8)
        holes = np.array(self._holes, np.int64).reshape(-1, 2)
        about = {"identity": identity, "place": place, "holes": holes}
        self._checkpoints.save({**about, **counts, **self.contents()._asdict()})

    def contents(self) -> Contents:
        """Return a copy of the sessions held and of each product's list of them, free of where they lie."""
        return take_out(self._writer)

    def _acts(self, columns: Mapping[str, NDArray[Any]]) -> Acts:
        """Return the rows that are to be folded."""
        positions = columns["position"]
        if np.any(positions[1:] <= positions[:-1]):
            raise InvalidValueError("position", positions, "hand the log over in its order")
        products, kinds = columns["product"], columns["event_type"]
        is_act = np.isin(kinds, _TASTE) & (products < self._config.max_products) | np.isin(kinds, ABOUT_CUSTOMERS)
        rows = np.flatnonzero(is_act & (positions >= self.watermark))
        return Acts(*(columns[name][rows].astype(dtype) for name, dtype in _COLUMNS.items()))

    def _grow(self, product: int) -> None:
        """Make room for a product or, where there is some, for more sessions."""
        shared, segment = self._writer.shared, self._config.segment_rows
        if product >= len(shared.ends):
            self._resize(0, min((product // segment + 1) * segment, self._config.max_products))
        else:
            self._resize(min(len(shared.records) // RECORD + segment, self._config.max_sessions), 0)

    def _resize(self, sessions: int, products: int) -> None:
        shared, counts = self._files.grow(sessions, products)
        self._writer = self._writer._replace(shared=shared, counts=counts)

    def _load(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Put a checkpoint in, the watermark last."""
        contents = Contents(*(saved[name] for name in Contents._fields))
        self._resize(len(contents.sessions), len(saved["popular"]))
        put_in(self._writer, contents)
        for name in _COUNTS:
            getattr(self._writer.counts, name)[: len(saved[name])] = saved[name]
        watermark, newest = saved["place"].tolist()
        self._writer.shared.header[NEWEST] = newest
        self._holes = [(first, last) for first, last in saved["holes"].tolist()]
        self.advance(watermark)

    def _identity(self) -> bytes:
        """Return what must be the same for a checkpoint to be of use."""
        configs = [_FORMAT, self._config.model_dump(mode="json"), self._popularity.model_dump(mode="json")]
        return orjson.dumps(configs)


def scales_of(popularity: PopularityConfig) -> Scales:
    """Return how acts count. A scale of d days holds as many sessions as a window of d days, at an even pace."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(popularity.weights.table())
    return Scales(
        log_weights=log_weights,
        popular=popularity.half_life_days * DAY / np.log(2.0),
        recent=popularity.recent_days * DAY,
        longer=(popularity.recent_days + popularity.base_days) * DAY,
    )
