"""The live index is what archive and log make, whatever happened on the way."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import NOW
from tests.live_folds import (
    assert_newest_of_lists,
    assert_newest_sessions,
    assert_same_counts,
    assert_same_sessions,
    rebuilt,
)

from active_customers.core.clock import DAY, ManualClock
from active_customers.core.errors import StorageError
from active_customers.core.event import Event, EventType, LogEntry
from active_customers.realtime.live_index import LiveIndex, LiveIndexConfig
from active_customers.serving.live_feed import LiveFeed
from active_customers.storage.archive import Archive, part_name, table_of, write_part
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.staged import seal
from active_customers.storage.writer import DirectWriter

TIGHT = LiveIndexConfig(max_sessions=4, session_acts=3, sessions_per_product=2, max_products=6, segment_rows=2)
UNSHARED = LiveIndexConfig(max_sessions=1000, session_acts=3, sessions_per_product=200, max_products=6, segment_rows=8)
"""Tight is what an act takes from its own session; what it could take from others is roomy."""
FEW_SESSIONS = LiveIndexConfig(max_sessions=2, session_acts=200, sessions_per_product=2, max_products=6, segment_rows=2)
SHORT_LISTS = LiveIndexConfig(max_sessions=1000, session_acts=3, sessions_per_product=1, max_products=6, segment_rows=8)


class Shop:
    """A data directory with its owner's tools, and the live index over it."""

    def __init__(self, root: Path, config: LiveIndexConfig) -> None:
        self.directory = DataDirectory(root)
        self.directory.prepare()
        self.config = config
        self.store = EmbeddedStore(self.directory.store, writer=True).open()
        self.archive = Archive(self.directory.archive)
        self.writer = DirectWriter(self.directory, self.store, ManualClock(NOW))
        self.keys = 0
        self.open_index()

    def open_index(self) -> None:
        """Begin anew from the files, as after a death of the updater."""
        self.index = LiveIndex(self.directory.live, self.config)
        self.feed = LiveFeed(self.store, self.archive, self.index)
        self.index.open()
        self.feed.verify()

    def post(self, *acts) -> None:
        """Append acts (customer, product, event type, age)."""
        events = [self._event(*act) for act in acts]
        self.store.events.append(events, NOW)

    def _event(self, customer, product, kind, age) -> Event:
        self.keys += 1
        key = self.keys.to_bytes(16, "big")
        return Event(f"c{customer}", kind, NOW - age, f"p{product}", dedup_key=key)

    def stage(self, acts, count: int) -> Path:
        """Do what an import does before it is adopted: number, reserve positions, write files. Return their folder."""
        customers = self.writer.number_customers([f"c{act[0]}" for act in acts])
        products = self.writer.number_products([f"p{act[1]}" for act in acts])
        first = self.writer.reserve(count)
        opened: dict[int, int] = {}
        entries = [
            LogEntry(position, NOW, customer, product, opened.setdefault(customer, position), self._event(*act))
            for position, (customer, product, act) in enumerate(zip(customers, products, acts, strict=True), first)
        ]
        folder = self.directory.imports / f"2025-01-15T120000Z-{first:08d}"
        folder.mkdir(parents=True)
        write_part(table_of(entries), folder / part_name(first, first + len(acts) - 1))
        self._stage_states(folder, sorted(opened))
        return folder

    def _stage_states(self, folder: Path, customers: list[int]) -> None:
        """Stage no change of state: the live index does not look at any."""
        np.save(folder / "customers.npy", np.array(customers, np.uint32))
        np.save(folder / "starts.npy", np.zeros(len(customers) + 1, np.int64))
        np.save(folder / "acts.npy", np.empty((0, 6), np.int64))
        np.save(folder / "keys.npy", np.empty((0, 16), np.uint8))
        seal(folder, NOW)

    def follow(self) -> None:
        assert self.feed.follow(lambda: False)
        assert self.index.watermark == self.store.events.next_position()

    def caught_up(self, folder: Path) -> LiveIndex:
        """Let the index learn all there is, and return another that is made of it in one go."""
        self.feed.verify()
        self.follow()
        return rebuilt(self.directory, self.store, LiveIndex(folder, self.config))

    def close(self) -> None:
        self.store.close()


kinds = st.sampled_from([EventType.VIEW] * 5 + [EventType.PURCHASE, EventType.IMPRESSION])
acts = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 7), kinds, st.integers(0, 20 * DAY)), min_size=1, max_size=4
)
COMMON = ("post", "post", "follow", "follow", "stage", "adopt", "checkpoint", "die", "archive")
RARE = ("archive_and_die", "compact", "damage_a_checkpoint_and_die", "erase")


class AnyHistory:
    """Whatever owner, importers and updater do in turn, and whenever the updater dies."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.staged: list[Path] = []

    def post(self, acts) -> None:
        self.shop.post(*acts)

    def archive(self, _acts) -> None:
        self.shop.writer.archive_log()

    def archive_and_die(self, _acts) -> None:
        """Archive, but not trim: the owner died in between."""
        self.shop.archive.append_table(self.shop.store.events.read_table(self.shop.archive.end(), 10**6))

    def compact(self, _acts) -> None:
        self.shop.archive.compact(NOW + 2 * DAY)

    def stage(self, acts) -> None:
        self.staged.append(self.shop.stage(acts, 4))

    def adopt(self, acts) -> None:
        if self.staged:
            self.shop.writer.adopt(self.staged.pop(len(acts) % len(self.staged)))

    def follow(self, acts) -> None:
        """Learn for a while."""
        pieces = iter(range(len(acts), 0, -1))
        self.shop.feed.follow(lambda: next(pieces) == 1)

    def checkpoint(self, _acts) -> None:
        self.shop.feed.verify()
        self.shop.index.checkpoint()

    def die(self, _acts) -> None:
        self.shop.open_index()

    def damage_a_checkpoint_and_die(self, acts) -> None:
        for path in sorted(self.shop.directory.live.glob("checkpoint-*"))[: len(acts) - 1]:
            path.write_bytes(path.read_bytes()[:-1])
        self.shop.open_index()

    def erase(self, acts) -> None:
        """Enter the erasure into the log, the customer's acts before it still to be read."""
        number = self.shop.writer.number_customers([f"c{acts[0][0]}"])[0]
        with self.shop.store._env.writing() as txn:
            self.shop.store.events.append_internal(txn, EventType.ERASE, number, NOW)


class ErasingForGood(AnyHistory):
    """The same with customers who are really erased."""

    def erase(self, acts) -> None:
        self.shop.writer.erase(f"c{acts[0][0]}")

    def finish(self, _acts) -> None:
        self.shop.writer.finish_erasures()

    def assert_nobody_is_held_who_was_erased(self) -> None:
        log = self.shop.store.events.read_table(1, 10**6).to_pylist()
        read = [row for row in log if row["position"] < self.shop.index.watermark]
        erased = {row["customer"] for row in read if row["event_type"] == EventType.ERASE}
        assert not erased & set(self.shop.index.contents().customers.tolist())


def histories(*names: str) -> st.SearchStrategy:
    """Return lists of what happens, with acts to go with it."""
    return st.lists(st.tuples(st.sampled_from(names), acts), min_size=20, max_size=50)


@settings(max_examples=100)
@given(histories(*COMMON, *COMMON, "stage", "adopt", *RARE))
def test_whatever_happens_the_index_is_what_archive_and_log_make(history):
    """Bounds are tight, so that what was dropped must be the same too, and counts are equal to the last bit."""
    with TemporaryDirectory() as root:
        happens = AnyHistory(Shop(Path(root) / "data", TIGHT))
        for name, of_acts in history:
            getattr(happens, name)(of_acts)
        calm = happens.shop.caught_up(Path(root) / "calm")
        assert_same_sessions(happens.shop.index, calm)
        assert_same_counts(happens.shop.index, calm)
        happens.shop.close()


def erasing(root: str, config: LiveIndexConfig, history) -> ErasingForGood:
    """Let a history happen, and check after each step that nobody is held who was erased."""
    happens = ErasingForGood(Shop(Path(root) / "data", config))
    for name, of_acts in history:
        getattr(happens, name)(of_acts)
        happens.assert_nobody_is_held_who_was_erased()
    return happens


erasures = histories(*COMMON, *RARE, "finish", "erase")


@settings(max_examples=40)
@given(erasures)
def test_whoever_is_erased_is_forgotten_whatever_else_happens(history):
    """As long as the bounds that customers share are not reached, what the others did is held as if alone."""
    with TemporaryDirectory() as root:
        happens = erasing(root, UNSHARED, history)
        happens.finish([])
        assert_same_sessions(happens.shop.index, happens.shop.caught_up(Path(root) / "calm"))
        happens.shop.close()


@pytest.mark.parametrize(
    ("config", "assert_newest"), [(FEW_SESSIONS, assert_newest_sessions), (SHORT_LISTS, assert_newest_of_lists)]
)
@settings(max_examples=40)
@given(erasures)
def test_whom_an_erased_customer_had_pushed_out_is_all_that_is_missed(config, assert_newest, history):
    """Beyond a shared bound the room of who was erased stays empty: what is held is the newest of what could be."""
    with TemporaryDirectory() as root:
        happens = erasing(root, config, history)
        happens.finish([])
        assert_newest(happens.shop.index, happens.shop.caught_up(Path(root) / "calm"))
        happens.shop.close()


@settings(max_examples=40)
@given(erasures)
def test_an_index_that_starts_over_is_as_if_who_was_erased_had_never_come(history):
    """Before their rows in the archive are overwritten as well as after, whatever the bounds, counts included."""
    with TemporaryDirectory() as root:
        happens = erasing(root, TIGHT, history)
        happens.shop.index.start_over()
        happens.shop.follow()
        happens.finish([])
        calm = rebuilt(happens.shop.directory, happens.shop.store, LiveIndex(Path(root) / "calm", TIGHT))
        assert_same_sessions(happens.shop.index, calm)
        assert_same_counts(happens.shop.index, calm)
        happens.shop.close()


@pytest.fixture
def shop(tmp_path):
    opened = Shop(tmp_path / "data", TIGHT)
    yield opened
    opened.close()


def view(customer, product):
    return (customer, product, EventType.VIEW, DAY)


def test_a_hole_is_passed_over_and_once_it_is_filled_the_index_starts_over(shop):
    """Who waits for an import learns what comes after; who was passed over is learned in its place."""
    shop.post(view(0, 0))
    staged = shop.stage([view(2, 2)], 3)
    shop.post(view(1, 1))
    shop.follow()
    assert shop.index.holes == ((2, 4),)
    assert shop.feed.verify() is None
    shop.index.checkpoint()
    shop.writer.adopt(staged)
    shop.open_index()
    assert shop.index.watermark == 1
    shop.follow()
    assert shop.index.contents().sessions.tolist() == [1, 2, 5]
    assert shop.index.holes == ((3, 4),)


def test_whom_an_erased_customer_pushed_out_comes_back_as_the_index_starts_over(shop):
    """Until then one session fewer is held: who was pushed out before the erasure was not kept to come back."""
    shop.post(*(view(customer, 0) for customer in range(5)))
    shop.follow()
    shop.writer.erase("c4")
    shop.follow()
    assert shop.index.contents().customers.tolist() == [1, 2, 3]
    shop.index.start_over()
    shop.follow()
    assert shop.index.contents().customers.tolist() == [0, 1, 2, 3]


def test_an_older_store_than_what_was_learned_starts_the_index_over(shop, tmp_path):
    """A data directory put back from a backup teaches no event that it does not hold."""
    shop.post(view(0, 0))
    older = shop.store.events.next_position()
    shop.index.pass_over(older + 100)
    shop.index.checkpoint()
    shop.open_index()
    assert shop.index.watermark == 1
    shop.follow()
    assert shop.index.n_sessions == 1


def test_a_part_that_cannot_be_read_is_named_and_read_once_it_can_be(shop):
    """A damaged archive file stops the learning, not the program, and the error says which one it is."""
    shop.post(view(0, 0), view(1, 1))
    shop.writer.archive_log()
    path = shop.archive.parts()[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(StorageError, match=rf"{path} cannot be read .*restore it"):
        shop.follow()
    path.write_bytes(whole)
    shop.follow()
    assert shop.index.n_sessions == 2


def test_a_part_is_read_on_from_where_the_index_stands(shop):
    """A long part is no reason to keep others waiting: it is left when time is up, and nothing of it counts twice."""
    count = 70_000
    shop.writer.adopt(shop.stage([view(number % 3, number % 5) for number in range(count)], count))
    path = shop.archive.parts()[0].path
    pq.write_table(pq.read_table(path, partitioning=None), path, row_group_size=30_000)
    taken = []
    while not shop.feed.follow(lambda: True):
        taken.append(shop.index.watermark)
    assert len(set(taken)) == len(taken) > 1
    calm = rebuilt(shop.directory, shop.store, LiveIndex(shop.directory.root / "calm", TIGHT))
    assert_same_sessions(shop.index, calm)
    assert_same_counts(shop.index, calm)
