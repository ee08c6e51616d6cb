"""Whatever happens around an erasure, and wherever the process dies: the erased is gone, and nothing else is."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.conftest import NOW

from active_customers.core.clock import DAY, HOUR, ManualClock
from active_customers.core.erasure import blank_entry
from active_customers.core.event import Event, EventType, LogEntry
from active_customers.core.session import ACT_SESSION
from active_customers.storage.archive import Archive, part_name, table_of, write_part
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore
from active_customers.storage.staged import seal
from active_customers.storage.writer import DirectWriter

KINDS = [EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE, EventType.LOGIN]
CUSTOMERS = ["customer-a", "customer-b", "customer-c"]
ALIVE = range(1_000)
"""So many transactions do not come."""


class Crash(BaseException):
    """The process dies here."""


@contextmanager
def dying(store: EmbeddedStore, at: int):
    """Let the process die before or after one of its next transactions: each is a step before and a step after it."""
    writing = store._env.writing
    left = at

    def step() -> None:
        nonlocal left
        if left == 0:
            raise Crash
        left -= 1

    @contextmanager
    def dying_writing():
        step()
        with writing() as txn:
            yield txn
        step()

    store._env.writing = dying_writing
    try:
        yield
    finally:
        store._env.writing = writing


class DyingWriter(DirectWriter):
    """A writer whose process dies when it has overwritten some files of the archive."""

    def __init__(self, directory, store, clock, files: int) -> None:
        super().__init__(directory, store, clock)
        self._files_left = files

    def _overwrite_next(self, erased, seen) -> bool:
        if self._files_left == 0:
            raise Crash
        self._files_left -= 1
        return super()._overwrite_next(erased, seen)


class Histories(RuleBasedStateMachine):
    """Posts, imports, archiving, compacting, erasing and dying in any order, beside the in-memory adapter."""

    root: Path

    @initialize()
    def begin(self) -> None:
        self.directory = DataDirectory(self.root / "data")
        self.directory.prepare()
        self.store = EmbeddedStore(self.directory.store, writer=True).open()
        self.clock = ManualClock(NOW)
        self.twin = MemoryStore()
        self.made = 0
        self.staged: list[tuple[Path, list[LogEntry], dict[int, np.ndarray]]] = []

    @property
    def writer(self) -> DirectWriter:
        return DirectWriter(self.directory, self.store, self.clock)

    def event(self, customer: str, kind: EventType) -> Event:
        """Return an event that names itself and its customer wherever an event can hold text."""
        self.made += 1
        mark = f"mark-{customer}-{self.made}"
        named = CUSTOMERS[self.made * 7 % 3]
        details = {"order_id": mark, "metadata": {"note": mark}, "other_customer_id": named}
        key = self.made.to_bytes(16, "big")
        time = self.clock.now() - self.made % 50 * HOUR
        return Event(customer, kind, time, "pq"[self.made % 2], session_id=mark, details=details, dedup_key=key)

    @rule(
        acts=st.lists(st.tuples(st.sampled_from(CUSTOMERS), st.sampled_from(KINDS)), min_size=1, max_size=4),
        archived=st.booleans(),
    )
    def post(self, acts, archived) -> None:
        events = [self.event(customer, kind) for customer, kind in acts]
        now = self.clock.now()
        assert self.store.events.append(events, now) == self.twin.events.append(events, now)
        if archived:
            self.writer.archive_log()

    @rule(customers=st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=3, unique=True))
    def stage(self, customers) -> None:
        """Stage an import of one view each, as the import command would: numbers first, then files."""
        numbers = self.writer.number_customers(customers)
        assert numbers == self.twin.customers.number(customers)
        product = self.writer.number_products(["p"])
        assert product == self.twin.catalog.number_products(["p"])
        first = self.writer.reserve(len(customers))
        assert first == self.twin.events.reserve(len(customers))
        entries, acts = [], {}
        for i, number in sorted(enumerate(numbers), key=lambda pair: pair[1]):
            event = Event(customers[i], EventType.VIEW, self.clock.now() - DAY, "p", session_id=f"mark-{first}-{i}")
            event = Event(**{name: getattr(event, name) for name in event.__slots__} | {"dedup_key": bytes([i]) * 16})
            entries.append(LogEntry(first + i, self.clock.now(), number, product[0], first + i, event))
            acts[number] = np.array([[event.event_type, product[0], event.time, 1, first + i, first + i]], np.int64)
        self.staged.append((self._write(first, entries, acts), entries, acts))

    def _write(self, first, entries, acts) -> Path:
        folder = self.directory.imports / f"2025-01-15T120000Z-{first:08d}"
        folder.mkdir(parents=True)
        in_order = sorted(entries, key=lambda entry: entry.position)
        write_part(table_of(in_order), folder / part_name(in_order[0].position, in_order[-1].position))
        np.save(folder / "customers.npy", np.array(list(acts), np.uint32))
        np.save(folder / "starts.npy", np.arange(len(acts) + 1, dtype=np.int64))
        np.save(folder / "acts.npy", np.concatenate(list(acts.values())))
        np.save(folder / "keys.npy", np.empty((0, 16), np.uint8))
        seal(folder, self.clock.now())
        return folder

    @rule(at=st.one_of(st.none(), st.integers(0, 8)))
    def adopt(self, at) -> None:
        if not self.staged:
            return
        folder, entries, acts = self.staged.pop(0)
        try:
            with dying(self.store, ALIVE.stop if at is None else at):
                self.writer.adopt(folder)
        except Crash:
            self.reopen()
            if at == 0:  # it had not been noted
                self.writer.adopt(folder)
        erased = set(self.twin.erasures.customers().tolist())
        for entry in entries:
            self.twin.events._entries.append(
                blank_entry(entry.position, entry.arrival) if entry.customer in erased else entry
            )
            if entry.customer not in erased:
                act = acts[entry.customer].copy()
                self.twin.sessions.fold(self.twin.customers.book().whose(entry.customer), act)
                assert act[0, ACT_SESSION] == entry.session
        self.twin.events._entries.sort(key=lambda entry: entry.position)

    @rule(customer=st.sampled_from(CUSTOMERS[:2]), at=st.one_of(st.none(), st.integers(0, 6)), finished=st.booleans())
    def erase(self, customer, at, finished) -> None:
        try:
            with dying(self.store, ALIVE.stop if at is None else at):
                self.writer.erase(customer)
        except Crash:
            self.reopen()
            self.writer.erase(customer)  # whoever asked was not answered, and asks again
        self.twin.erasures.erase(customer, self.clock.now())
        if finished:
            self.writer.finish_erasures()

    @rule(files=st.one_of(st.none(), st.integers(0, 3)))
    def finish(self, files) -> None:
        writer = DyingWriter(self.directory, self.store, self.clock, -1 if files is None else files)
        try:
            writer.finish_erasures()
        except Crash:
            self.reopen()

    @rule(hours=st.integers(1, 40))
    def wait(self, hours) -> None:
        self.clock.advance(hours * HOUR)

    @rule(at=st.one_of(st.none(), st.integers(0, 2)))
    def archive_log(self, at) -> None:
        with suppress(Crash), dying(self.store, ALIVE.stop if at is None else at):
            self.writer.archive_log()
        self.reopen()

    @rule()
    def compact(self) -> None:
        self.writer.compact()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = EmbeddedStore(self.directory.store, writer=True).open()
        self.writer.resume()

    @invariant()
    def states_are_those_of_the_living(self) -> None:
        if not hasattr(self, "store"):
            return
        for customer in CUSTOMERS:
            mine, twins = self.store.sessions.state(customer), self.twin.sessions.state(customer)
            assert (mine is None and twins is None) or mine.tolist() == twins.tolist()
        erased = self.store.erasures.customers().tolist()
        assert erased == self.twin.erasures.customers().tolist()
        assert [self.store.sessions.state_of_number(customer) for customer in erased] == [None] * len(erased)

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.reopen()
        self.writer.finish_erasures()
        assert self.store.erasures.pending() == []
        expected = table_of(self.twin.events.read(1, 10**6))
        assert self._everything().equals(expected)
        self._check_that_nothing_else_is_kept(expected)
        self.store.close()

    def _everything(self) -> pa.Table:
        """Return all rows of archive and log by position; what is in both is the same in both."""
        parts = [pq.read_table(part.path, partitioning=None) for part in Archive(self.directory.archive).parts()]
        logged = self.store.events.read_table(1, 10**6)
        archived = pa.concat_tables([table_of([]), *parts])
        fresh = np.isin(logged["position"].to_numpy(), archived["position"].to_numpy(), invert=True)
        assert logged.filter(~fresh).to_pylist() == [
            row for row in archived.to_pylist() if row["position"] in set(logged["position"].to_pylist())
        ]
        return pa.concat_tables([archived, logged.filter(fresh)]).sort_by("position").combine_chunks()

    def _check_that_nothing_else_is_kept(self, expected: pa.Table) -> None:
        """Look for marks in all values of the store and all files, those that a compaction replaced among them."""
        kept = repr(expected.to_pylist())
        gone = [mark for mark in self._marks() if f"'{mark}'" not in kept]
        held = [bytes(value) for name in self.store._env.database_names() for value in self._values(name)]
        files = [repr(pq.read_table(part.path, partitioning=None).to_pylist()) for part in self._parts()]
        assert [mark for mark in gone if any(f'"{mark}"'.encode() in value for value in held)] == []
        assert [mark for mark in gone if any(f"'{mark}'" in text for text in files)] == []
        for customer in CUSTOMERS:
            if self.twin.sessions.customers.find(customer) == 0xFFFFFFFF:
                named = [value for value in held if customer.encode() in value]
                assert all(b"other_customer_id" in value for value in named)  # named again since then

    def _marks(self):
        return [f"mark-{customer}-{number}" for customer in CUSTOMERS for number in range(1, self.made + 1)]

    def _parts(self):
        return Archive(self.directory.archive).files()

    def _values(self, name: bytes) -> list[bytes]:
        database = self.store._env.database(name)
        with self.store._env.reading() as txn:
            return [bytes(key) + bytes(value) for key, value in txn.cursor(db=database)]


def test_whatever_happens_an_erased_customer_is_gone_and_the_others_are_not(tmp_path_factory):
    """Log, archive and states end as the in-memory adapter's, which knows neither files nor crashes."""

    class InOwnFolder(Histories):
        def __init__(self) -> None:
            super().__init__()
            self.root = tmp_path_factory.mktemp("history")

    InOwnFolder.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
    InOwnFolder.TestCase().runTest()
