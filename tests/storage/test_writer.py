"""Archiving and adopting imports: nothing is lost or doubled, wherever the process dies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.conftest import NOW

from active_customers.core.clock import DAY, HOUR, ManualClock
from active_customers.core.errors import StorageError
from active_customers.core.event import Channel, Context, Event, EventType, LogEntry
from active_customers.core.session import CustomerState
from active_customers.storage.archive import Archive, part_name, table_of, write_part
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore
from active_customers.storage.staged import seal
from active_customers.storage.writer import DirectWriter


class Crash(BaseException):
    """The process dies here."""


class DyingLog:
    """A log whose process dies at its `at`-th step; each change of the store is a step before and a step after it."""

    CHANGES = ("note_import", "remember_keys", "fold_import", "forget_import", "trim", "reserve", "append")

    def __init__(self, log, at: int) -> None:
        self._log = log
        self._left = at

    def __getattr__(self, name):
        method = getattr(self._log, name)
        if name not in self.CHANGES:
            return method

        def change(*args):
            self._step()
            result = method(*args)
            self._step()
            return result

        return change

    def _step(self) -> None:
        if self._left == 0:
            raise Crash
        self._left -= 1


class DyingStore:
    """A store with a `DyingLog`."""

    def __init__(self, store: EmbeddedStore, at: int) -> None:
        self.events = DyingLog(store.events, at)
        self.sessions, self.catalog, self.erasures = store.sessions, store.catalog, store.erasures


@contextmanager
def opened(directory: DataDirectory) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(directory.store, writer=True).open()
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def directory(tmp_path) -> DataDirectory:
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    return directory


CUSTOMERS = 2_300
"""More than two folds' worth."""


def stage(directory: DataDirectory, writer: DirectWriter) -> Path:
    """Stage an import: each customer views one product and puts another into the cart; two parts."""
    customers = writer.number_customers([f"c{i}" for i in range(CUSTOMERS)])
    products = writer.number_products(["p", "q"])
    first = writer.reserve(2 * CUSTOMERS)
    folder = directory.imports / "2025-01-15T120000Z-abcd"
    folder.mkdir(parents=True)
    entries, acts = [], []
    for i, customer in enumerate(customers):
        for j, kind in enumerate((EventType.VIEW, EventType.CART_ADD)):
            position = first + 2 * i + j
            key = position.to_bytes(16, "big")
            event = Event(f"c{i}", kind, NOW - DAY + j, ("p", "q")[j], dedup_key=key)
            entries.append(LogEntry(position, NOW, customer, products[j], first + 2 * i, event))
            acts.append([kind, products[j], event.time, 1, first + 2 * i, position])
    for part in (entries[:CUSTOMERS], entries[CUSTOMERS:]):
        write_part(table_of(part), folder / part_name(part[0].position, part[-1].position))
    np.save(folder / "customers.npy", np.array(customers, np.uint32))
    np.save(folder / "starts.npy", np.arange(0, 2 * CUSTOMERS + 1, 2, dtype=np.int64))
    np.save(folder / "acts.npy", np.array(acts, np.int64))
    keys = [entry.event.dedup_key for entry in entries[:3]]
    np.save(folder / "keys.npy", np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16))
    seal(folder, NOW)
    return folder


def known_keys(store: EmbeddedStore) -> list[bytes]:
    """Return the retry keys that the store remembers."""
    names = [name for name in store._env.database_names() if name.startswith(b"seen-")]
    databases = [store._env.database(name) for name in names]
    with store._env.reading() as txn:
        return sorted(bytes(key) for db in databases for key in txn.cursor(db=db).iternext(values=False))


def picture(directory: DataDirectory, store: EmbeddedStore) -> dict[str, object]:
    """Return everything that an import changes."""
    columns = Archive(directory.archive).columns(["position", "customer", "product", "session"])
    states = [store.sessions.state_of_number(number) for number in range(store.sessions.n_customers())]
    return {
        "archive": {name: column.tolist() for name, column in columns.items()},
        "states": [None if state is None else state.tolist() for state in states],
        "log": store.events.read(1, 100),
        "known": known_keys(store),
        "under way": store.events.imports_under_way(),
        "folders": [path.name for path in directory.imports.glob("*")],
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data directory with an event posted and an import staged, and the picture of it when all went well."""
    root = tmp_path_factory.mktemp("prepared") / "data"
    directory = DataDirectory(root)
    directory.prepare()
    with opened(directory) as store:
        store.events.append([Event("c0", EventType.VIEW, NOW, "q", dedup_key=b"k" * 16)], NOW)
        folder = stage(directory, DirectWriter(directory, store))
    smooth = DataDirectory(root.with_name("smooth"))
    shutil.copytree(root, smooth.root)
    with opened(smooth) as store:
        DirectWriter(smooth, store).adopt(smooth.imports / folder.name)
        after = picture(smooth, store)
    return directory, folder, after


def test_an_adopted_import_is_in_the_archive_and_in_the_states(prepared):
    _, _, after = prepared
    assert len(after["archive"]["position"]) == 2 * CUSTOMERS
    assert all(state is not None for state in after["states"])
    assert (after["under way"], after["folders"]) == ({}, [])


STEPS = 12
"""note, keys, three folds, forget: each before and after."""


@pytest.mark.parametrize("at", range(STEPS))
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_wherever_an_adoption_dies_the_next_start_completes_it(prepared, tmp_path, at, again):
    original, folder, after = prepared
    directory = DataDirectory(tmp_path / "data")
    shutil.copytree(original.root, directory.root)
    with opened(directory) as store, pytest.raises(Crash):
        DirectWriter(directory, DyingStore(store, at)).adopt(directory.imports / folder.name)
    if again:  # the next start dies as well, a step further on
        with opened(directory) as store, suppress(Crash):
            DirectWriter(directory, DyingStore(store, 1)).resume()
    with opened(directory) as store:
        writer = DirectWriter(directory, store)
        noted = writer.resume()
        if at == 0:  # nothing had begun: the command reported its failure, and importing again is up to its user
            assert noted == 0
            assert picture(directory, store)["archive"]["position"] == []
            writer.adopt(directory.imports / folder.name)
        found = picture(directory, store)
        found["folders"] = after["folders"] if at >= STEPS - 1 or again else found["folders"]  # only the sweep was left
        assert found == after


def test_the_injected_deaths_cover_the_whole_adoption(prepared, tmp_path):
    original, folder, after = prepared
    directory = DataDirectory(tmp_path / "data")
    shutil.copytree(original.root, directory.root)
    with opened(directory) as store:
        DirectWriter(directory, DyingStore(store, STEPS)).adopt(directory.imports / folder.name)
        assert picture(directory, store) == after


def test_acts_of_who_was_joined_meanwhile_are_folded_into_the_customers_state(prepared, tmp_path):
    """The import numbered them before; so were acts of who refused meanwhile, which are left out."""
    original, folder, after = prepared
    directory = DataDirectory(tmp_path / "data")
    shutil.copytree(original.root, directory.root)
    turns = [("c1", EventType.LOGIN, {"other_customer_id": "c2"}), ("c3", EventType.CONSENT, {"consent": "none"})]
    with opened(directory) as store:
        writer = DirectWriter(directory, store)
        store.events.append(
            [
                Event(customer, kind, NOW, details=details, dedup_key=kind.to_bytes(16, "big"))
                for customer, kind, details in turns
            ],
            NOW,
        )
        writer.adopt(directory.imports / folder.name)
        cart = CustomerState.of(store.sessions.state("c1")).cart
        assert cart[:, 1].tolist() == [2]
        assert [store.sessions.state_of_number(number) for number in (2, 3)] == [None, None]
        assert store.sessions.state("c4").tolist() == after["states"][4]


def test_numbers_for_an_import_are_not_those_of_visits(directory, make_event):
    """Which lead to nobody when it is adopted."""
    with opened(directory) as store:
        visit = [make_event(c, EventType.VIEW, "p", details={"consent": "session"}) for c in "ab"]
        store.events.append([make_event("a", EventType.VIEW, "p"), *visit], NOW)
        assert DirectWriter(directory, store).number_customers(["a", "b", "c"]) == [0, 3, 4]
        store.customers.end_visits(NOW + DAY, 10)
        assert [store.sessions.find(customer)[0] for customer in "abc"] == [0, 3, 4]


def test_parts_that_had_been_moved_already_are_not_missed(prepared, tmp_path):
    original, folder, after = prepared
    directory = DataDirectory(tmp_path / "data")
    shutil.copytree(original.root, directory.root)
    staged = directory.imports / folder.name
    with opened(directory) as store:
        store.events.note_import(staged.name)
        first = min(staged.glob("part-*"))
        target = directory.archive / "day=2025-01-15"
        target.mkdir(parents=True)
        first.replace(target / first.name)
    with opened(directory) as store:
        assert DirectWriter(directory, store).resume() == 1
        assert picture(directory, store) == after


def test_rejected_rows_stay_for_their_owner(prepared, tmp_path):
    original, folder, _ = prepared
    directory = DataDirectory(tmp_path / "data")
    shutil.copytree(original.root, directory.root)
    staged = directory.imports / folder.name
    (staged / "rejects.jsonl").write_text("{}\n")
    with opened(directory) as store:
        DirectWriter(directory, store).adopt(staged)
    assert [path.name for path in staged.iterdir()] == ["rejects.jsonl"]


def test_a_staged_import_that_is_incomplete_is_refused_before_anything_changes(directory):
    folder = directory.imports / "half"
    folder.mkdir(parents=True)
    with opened(directory) as store:
        with pytest.raises(StorageError, match="run the import again"):
            DirectWriter(directory, store).adopt(folder)
        assert store.events.imports_under_way() == {}


def test_archiving_moves_everything_and_loses_nothing(directory, make_event):
    with opened(directory) as store:
        writer = DirectWriter(directory, store)
        for day in range(3):
            store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(4)], NOW + day * DAY)
            store.events.reserve(2)
        writer.archive_log()
        assert store.events.read(1, 100) == []
        archived = Archive(directory.archive).columns(["position"])["position"].tolist()
        assert archived == [1, 2, 3, 4, 7, 8, 9, 10, 13, 14, 15, 16]
        assert store.events.next_position() == 19


@pytest.mark.parametrize("trimmed", [False, True])
def test_dying_between_archiving_and_trimming_doubles_nothing(directory, make_event, trimmed):
    with opened(directory) as store:
        store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(4)], NOW)
        with pytest.raises(Crash):
            DirectWriter(directory, DyingStore(store, int(trimmed))).archive_log()
    with opened(directory) as store:
        assert len(store.events.read(1, 100)) == (0 if trimmed else 4)
        store.events.append([make_event("a", EventType.VIEW, "p")], NOW + DAY)
        DirectWriter(directory, store).archive_log()
        assert Archive(directory.archive).columns(["position"])["position"].tolist() == [1, 2, 3, 4, 5]
        assert store.events.read(1, 100) == []


def test_what_was_archived_untrimmed_and_then_merged_is_not_archived_again(directory, make_event):
    with opened(directory) as store:
        store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(2)], NOW)
        DirectWriter(directory, store).archive_log()
        store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(2)], NOW)
        with pytest.raises(Crash):
            DirectWriter(directory, DyingStore(store, 0)).archive_log()
    with opened(directory) as store:
        assert Archive(directory.archive).compact(NOW + 2 * DAY) == 1
        store.events.append([make_event("a", EventType.VIEW, "p")], NOW)
        DirectWriter(directory, store).archive_log()
        assert Archive(directory.archive).columns(["position"])["position"].tolist() == [1, 2, 3, 4, 5]


def test_the_writer_compacts_by_its_clock(directory, make_event):
    with opened(directory) as store:
        clock = ManualClock(NOW)
        writer = DirectWriter(directory, store, clock)
        for _ in range(3):
            store.events.append([make_event("a", EventType.VIEW, "p")], NOW)
            writer.archive_and_compact()
        assert len(Archive(directory.archive).parts()) == 3
        clock.advance(DAY)
        assert writer.compact() == 2
        assert Archive(directory.archive).columns(["position"])["position"].tolist() == [1, 2, 3]


def test_archiving_takes_up_to_fifty_thousand_rows_to_a_part(directory, make_event):
    with opened(directory) as store:
        for _ in range(12):
            store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(4_600)], NOW)
        DirectWriter(directory, store).archive_log()
        assert [(part.first, part.last) for part in Archive(directory.archive).parts()] == [
            (1, 50_000),
            (50_001, 55_200),
        ]
        assert store.events.read(1, 10) == []


def test_what_is_archived_from_the_store_is_what_its_entries_say(directory, make_event):
    events = [
        make_event(
            "kürbis",
            EventType.PURCHASE,
            "p",
            quantity=3,
            price=0.0,
            context=Context.HOME,
            channel=Channel.PUSH,
            session_id="s1",
            details={"order_id": "o1", "currency": "EUR", "metadata": {"a": [1, None, "ü"]}},
        ),
        make_event("b", EventType.SEARCH, dedup_key=b"\0" * 16),
        make_event("b", EventType.VIEW, "q", session_id="s2"),
        make_event("b", EventType.VIEW, "q", details={"event_id": "e"}),
    ]
    with opened(directory) as store:
        store.events.append(events, NOW + 7)
        assert store.events.read_table(1, 10).equals(table_of(store.events.read(1, 10)))
        assert store.events.read_table(2, 2)["position"].to_pylist() == [2, 3]
        assert store.events.read_table(5, 2).equals(table_of([]))


def test_an_imported_event_that_is_posted_afterwards_is_a_duplicate(prepared, tmp_path):
    original, folder, _ = prepared
    directory = DataDirectory(tmp_path / "data")
    shutil.copytree(original.root, directory.root)
    with opened(directory) as store:
        staged = directory.imports / folder.name
        keys = [key.tobytes() for key in np.load(staged / "keys.npy")]
        DirectWriter(directory, store).adopt(staged)
        events = [Event("c0", EventType.VIEW, NOW, "p", dedup_key=key) for key in [*keys, b"x" * 16]]
        receipts = store.events.append(events, NOW + 6 * DAY)
        assert [receipt.is_duplicate for receipt in receipts] == [True, True, True, False]


def test_a_folder_from_elsewhere_is_not_adopted(prepared, tmp_path):
    original, folder, _ = prepared
    directory = DataDirectory(tmp_path / "data")
    shutil.copytree(original.root, directory.root)
    inside = directory.imports / folder.name
    elsewhere = [shutil.copytree(inside, tmp_path / "elsewhere"), shutil.copytree(inside, inside / "deeper")]
    with opened(directory) as store:
        for path in elsewhere:
            with pytest.raises(StorageError, match=r"does not lie in .*: run the import again"):
                DirectWriter(directory, store).adopt(path)
        assert store.events.imports_under_way() == {}


def test_a_noted_import_whose_folder_is_gone_is_told_of_and_forgotten(directory, caplog):
    with opened(directory) as store:
        store.events.note_import("2025-01-15T120000Z-gone")
        assert DirectWriter(directory, store).resume() == 0
        assert "import their files again" in caplog.text
        assert store.events.imports_under_way() == {}


def test_an_archive_and_a_store_that_do_not_belong_together_are_refused(directory, tmp_path, make_event):
    with opened(directory) as store:
        store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(3)], NOW)
        DirectWriter(directory, store).archive_log()
        assert DirectWriter(directory, store).resume() == 0
    shutil.rmtree(directory.store)
    message = r"up to position 3, its store only to 0: restore both"
    with opened(directory) as store, pytest.raises(StorageError, match=message):
        DirectWriter(directory, store).resume()


class Histories(RuleBasedStateMachine):
    """Any interleaving of posts, retries, archiving, compacting and dying."""

    @initialize(folder=st.just(None))
    def begin(self, folder) -> None:
        self.directory = DataDirectory(Path(self.root) / "data")
        self.directory.prepare()
        self.store = EmbeddedStore(self.directory.store, writer=True).open()
        self.archive = Archive(self.directory.archive)
        self.now = NOW
        self.accepted: dict[int, tuple[Event, int]] = {}
        self.posted: list[tuple[Event, int]] = []
        self.twin = MemoryStore()

    @property
    def writer(self) -> DirectWriter:
        return DirectWriter(self.directory, self.store)

    @rule(
        acts=st.lists(
            st.tuples(
                st.sampled_from("abc"),
                st.sampled_from([EventType.VIEW, EventType.CART_ADD, EventType.CART_REMOVE, EventType.PURCHASE]),
                st.sampled_from("pqr"),
                st.integers(-100, 0),
            ),
            min_size=1,
            max_size=5,
        )
    )
    def post(self, acts) -> None:
        events = []
        for customer, kind, product, minutes in acts:
            key = (len(self.posted) + len(events)).to_bytes(16, "big")
            events.append(Event(customer, kind, self.now + minutes * 60_000_000, product, dedup_key=key))
        self._append(events)
        self.posted += [(event, self.now) for event in events]

    @rule(data=st.data())
    def retry(self, data) -> None:
        recent = [event for event, arrival in self.posted if self.now - arrival < 6 * DAY]
        if recent:
            chosen = data.draw(st.lists(st.sampled_from(recent), min_size=1, max_size=3))
            assert all(receipt.is_duplicate for receipt in self.store.events.append(chosen, self.now))

    def _append(self, events) -> None:
        receipts = self.store.events.append(events, self.now)
        assert receipts == self.twin.events.append(events, self.now)
        for event, receipt in zip(events, receipts, strict=True):
            assert receipt.position not in self.accepted
            self.accepted[receipt.position] = (event, self.now)

    @rule(hours=st.integers(1, 30))
    def wait(self, hours) -> None:
        self.now += hours * HOUR

    @rule(count=st.integers(1, 4))
    def reserve(self, count) -> None:
        assert self.store.events.reserve(count) == self.twin.events.reserve(count)

    @rule()
    def archive_log(self) -> None:
        self.writer.archive_log()

    @rule()
    def compact(self) -> None:
        self.archive.compact(self.now)

    @rule()
    def die_before_trimming(self) -> None:
        try:
            DirectWriter(self.directory, DyingStore(self.store, 0)).archive_log()
        except Crash:
            self.reopen()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = EmbeddedStore(self.directory.store, writer=True).open()
        assert self.writer.resume() == 0

    @invariant()
    def every_accepted_event_is_there_once(self) -> None:
        if not hasattr(self, "store"):
            return
        archived = self.archive.columns(["position"])["position"].tolist()
        logged = [entry.position for entry in self.store.events.read(1, 10_000)]
        assert archived == sorted(set(archived))
        assert logged == sorted(set(logged))
        assert set(archived) | set(logged) == set(self.accepted)

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.writer.archive_log()
        columns = self.archive.columns(["position", "arrival", "time", "event_type"])
        rows = list(zip(*(column.tolist() for column in columns.values()), strict=True))
        assert rows == [(p, at, event.time, event.event_type) for p, (event, at) in sorted(self.accepted.items())]
        for customer in "abc":
            mine, twins = self.store.sessions.state(customer), self.twin.sessions.state(customer)
            assert (mine is None and twins is None) or mine.tolist() == twins.tolist()
        self.store.close()


def test_any_history_keeps_every_accepted_event_exactly_once(tmp_path_factory):
    class InOwnFolder(Histories):
        def __init__(self) -> None:
            super().__init__()
            self.root = tmp_path_factory.mktemp("history")

    InOwnFolder.TestCase.settings = settings(max_examples=25, stateful_step_count=16, deadline=None)
    InOwnFolder.TestCase().runTest()
