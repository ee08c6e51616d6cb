"""Imports as a whole."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.importing.conftest import NOW, MemoryShop, write_rows

from active_customers.core.clock import DAY, MINUTE, ManualClock, format_time
from active_customers.core.errors import DiskFullError, InvalidValueError, StoreLockedError
from active_customers.core.event import Event, EventType, key_of_event_id
from active_customers.core.session import GIVEN_SESSION, CustomerState
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.products import import_products
from active_customers.importing.request import ImportConfig, ImportRequest
from active_customers.storage.archive import SCHEMA
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

T = NOW - 10 * DAY


def row(customer: str, product: str, minute: float = 0, kind: str = "view", **fields: object) -> dict[str, object]:
    time = format_time(T + round(minute * MINUTE))
    return {"customer_id": customer, "event_type": kind, "product_id": product, "timestamp": time, **fields}


def states(shop: MemoryShop) -> dict[str, list[int]]:
    sessions = shop.store.sessions
    return {customer: sessions.state(customer).tolist() for customer in sessions.customers.ids}


def leftovers(shop: MemoryShop) -> list[str]:
    return [str(path) for path in (shop.data_dir / "imports").glob("*/**/*") if path.is_file()]


def test_rows_are_archived_in_the_order_of_time_with_positions_without_a_gap(shop, write):
    shop.bring_in(write("e.csv", [row("a", "p", 5), row("b", "q", 1), row("a", "r", 3), row("b", "s", 1)]))
    events = shop.events()
    assert [event["position"] for event in events] == [1, 2, 3, 4]
    assert [event["product"] for event in events] == ["q", "s", "r", "p"]
    assert {event["arrival"] for event in events} == {NOW}
    assert shop.archived().schema.equals(SCHEMA)
    assert leftovers(shop) == []


def test_archive_parts_are_cut_by_size_and_follow_each_other(shop, tmp_path):
    rows = [row(f"c{i % 7}", f"p{i % 11}", i / 600) for i in range(6000)]
    config = ImportConfig(part_rows=2048, batch_rows=2048)
    report = shop.bring_in(write_rows(tmp_path / "e.parquet", rows), config=config)
    parts = shop.archive.parts()
    assert len(parts) == 3
    assert [part.first for part in parts] == [1, *(part.last + 1 for part in parts[:-1])]
    assert sum(pq.read_metadata(part.path).num_rows for part in parts) == report.accepted == 6000
    assert shop.archived()["position"].to_pylist() == list(range(1, 6001))


def test_a_second_import_of_a_file_changes_nothing(shop, write):
    path = write("e.csv", [row("a", "p"), row("a", "p"), row("b", "q", 3)])
    shop.bring_in(path)
    before = states(shop), shop.archived(), shop.store.events.next_position()
    report = shop.bring_in(path)
    assert (report.accepted, report.duplicates) == (0, 3)
    assert (states(shop), shop.archived(), shop.store.events.next_position()) == before
    assert shop.adopted == 1


def test_a_file_that_grew_brings_in_what_is_new(shop, write):
    shop.bring_in(write("e.csv", [row("a", "p"), row("a", "p")]))
    report = shop.bring_in(write("e.csv", [row("a", "p"), row("a", "p"), row("a", "p"), row("a", "q", 1)]))
    assert (report.accepted, report.duplicates) == (2, 2)


def test_equal_rows_of_one_file_all_count(shop, write):
    report = shop.bring_in(write("e.csv", [row("a", "p", kind="purchase")] * 5 + [row("a", "q", kind="purchase")]))
    assert (report.accepted, report.duplicates) == (6, 0)
    assert CustomerState.of(shop.store.sessions.state("a")).bought[:, 1].tolist() == [5, 1]
    assert len(set(shop.archived()["dedup_key"].to_pylist())) == 6


def test_two_files_in_one_command_are_as_good_as_two_commands(shop, write, tmp_path):
    first = write("1.csv", [row("a", "p"), row("a", "p"), row("b", "q", 1)])
    second = write("2.csv", [row("a", "p"), row("c", "r", 2)])
    report = shop.bring_in(first, second)
    other = MemoryShop(tmp_path / "other")
    reports = [other.bring_in(first), other.bring_in(second)]
    assert (report.accepted, report.duplicates) == (4, 1)
    assert sum(each.accepted for each in reports) == 4
    assert [event["dedup_key"] for event in shop.events()] == [event["dedup_key"] for event in other.events()]
    assert states(shop) == states(other)


def test_the_format_of_a_file_does_not_matter_to_what_is_known(shop, write):
    rows = [row("a", "7", session_id="s", price=9.5, quantity=2), row("b", "8", 1, order_id="o")]
    shop.bring_in(write("e.csv", rows))
    for ending in ("parquet", "jsonl", "tsv.zst"):
        assert shop.bring_in(write(f"e.{ending}", rows)).duplicates == 2


def test_an_event_id_is_what_the_api_knows_an_event_by(shop, write):
    event = Event("a", EventType.VIEW, T, "p", dedup_key=key_of_event_id("e1"))
    shop.store.events.append([event], NOW)
    report = shop.bring_in(write("e.csv", [row("x", "y", event_id="e1"), row("a", "q", 1, event_id="e2")]))
    assert (report.accepted, report.duplicates) == (1, 1)
    assert shop.events()[-1]["dedup_key"] == key_of_event_id("e2")


def test_of_rows_with_one_event_id_the_first_counts(shop, write):
    rows = [row("a", "p", 9, event_id="e"), row("a", "q", 1, event_id="e"), row("a", "r", 2, event_id="f")]
    report = shop.bring_in(write("e.csv", rows), write("again.csv", rows))
    assert (report.accepted, report.duplicates) == (2, 4)
    assert [event["product"] for event in shop.events()] == ["r", "p"]


def test_the_keys_of_known_rows_never_change(shop, write):
    shop.bring_in(write("e.csv", [row("a", "p", session_id="s", price=1.5)] * 2 + [row("b", "q", 1, query="x y")]))
    assert [event["dedup_key"].hex() for event in shop.events()] == [
        "3ae370f6aaa2703a607f32bc133cb93a",
        "d032157c47fa8f26e239ec26f2f52642",
        "fb4120d7d530dd91a06772d1796502b2",
    ]


def test_a_late_import_joins_the_session_it_falls_into(shop, write):
    live = [("p", 0), ("q", 40)]
    for product, minute in live:
        event = Event("a", EventType.VIEW, T + minute * MINUTE, product, dedup_key=key_of_event_id(product))
        shop.store.events.append([event], NOW)
    shop.bring_in(write("e.csv", [row("a", "r", 5), row("a", "s", 45), row("a", "t", 100)]))
    by_product = {event["product"]: event["session"] for event in shop.events()}
    assert by_product == {"p": 1, "r": 1, "q": 2, "s": 2, "t": 5}


def test_a_given_session_is_the_same_as_from_the_api(shop, write):
    event = Event("a", EventType.VIEW, T, "p", session_id="s", dedup_key=key_of_event_id("1"))
    (receipt,) = shop.store.events.append([event], NOW)
    shop.bring_in(write("e.csv", [row("a", "q", 500, session_id="s"), row("b", "q", 501, session_id="s")]))
    first, second, other = (event["session"] for event in shop.events())
    assert first == second == receipt.session
    assert other & GIVEN_SESSION
    assert other != first


class FullDisk(MemoryShop):
    """A shop whose store takes no import at first."""

    def adopt(self, staged: Path) -> None:
        if not self.adopted:
            self.adopted += 1
            raise DiskFullError("no space left")
        super().adopt(staged)


def test_an_import_that_was_broken_off_can_be_run_again(tmp_path, write):
    shop = FullDisk(tmp_path / "data")
    path = write("e.csv", [row("a", "p"), row("a", "p"), row("b", "q", 3)])
    with pytest.raises(DiskFullError):
        shop.bring_in(path)
    assert shop.store.sessions.state("a") is None
    assert shop.bring_in(path).accepted == 3
    assert [event["position"] for event in shop.events()] == [4, 5, 6]


def test_a_dry_run_reports_and_leaves_nothing_behind(shop, write):
    path = write("e.csv", [row("a", "p"), row("a", "q", quantity=0)])
    report = shop.check(path)
    assert (report.accepted, report.rejected.total(), report.customers, report.products) == (1, 1, 1, 1)
    assert "would import 1 of 2 rows" in str(report)
    assert report.rejects_path is None
    assert not shop.data_dir.exists()
    assert shop.store.events.next_position() == 1
    shop.bring_in(path)
    assert shop.check(path).duplicates == 1


def test_a_file_that_fits_nothing_changes_nothing(shop, write):
    good, bad = write("good.csv", [row("a", "p")]), write("bad.csv", [{"who": 1}])
    with pytest.raises(InvalidValueError, match=r"columns of bad\.csv"):
        shop.bring_in(good, bad)
    assert leftovers(shop) == []
    assert shop.store.events.next_position() == 1


def test_a_file_without_rows_is_imported_as_nothing(shop, write_raw):
    report = shop.bring_in(write_raw("e.csv", b"customer_id,event_type,product_id,timestamp\n"))
    assert (report.read, report.accepted, shop.adopted) == (0, 0, 0)
    assert leftovers(shop) == []


def test_progress_is_told_in_bytes_up_to_the_end(shop, write):
    told: list[tuple[int, int]] = []
    files = [write("1.csv", [row("a", "p")]), write("2.jsonl", [row("a", "q")])]
    store = EventStore(shop, shop.store)
    import_events(shop.request(*files), store, shop.clock, lambda done, total: told.append((done, total)))
    total = sum(path.stat().st_size for path in files)
    assert told[-1] == (total, total)
    assert told == sorted(told)
    assert {all_bytes for _, all_bytes in told} == {total}


def test_a_customer_with_more_acts_than_a_batch_is_folded_as_one(shop, tmp_path):
    rows = [row("robot", f"p{i % 50}", i / 10) for i in range(5000)]
    shop.bring_in(write_rows(tmp_path / "e.parquet", rows), config=ImportConfig(batch_rows=2048))
    assert set(shop.archived()["session"].to_pylist()) == {1}
    assert CustomerState.of(shop.store.sessions.state("robot")).newest == T + 4999 * MINUTE // 10


def test_the_embedded_store_takes_an_import_beside_live_events(tmp_path, shop, write):
    directory = DataDirectory(tmp_path / "embedded")
    directory.prepare()
    store = EmbeddedStore(directory.store, writer=True).open()
    try:
        live = Event("a", EventType.CART_ADD, T, "p", dedup_key=key_of_event_id("live"))
        request_files = [write("e.csv", [row("a", "q", 5), row("b", "p", 6, event_id="live"), row("b", "r", 7)])]
        store.events.append([live], NOW)
        shop.store.events.append([live], NOW)
        writer = DirectWriter(directory, store)
        request = shop.request(*request_files)
        embedded = import_events(type(request)(request_files, directory.root), EventStore(writer, store), shop.clock)
        shop.bring_in(*request_files)
        assert (embedded.accepted, embedded.duplicates) == (2, 1)
        for customer in ("a", "b"):
            np.testing.assert_array_equal(store.sessions.state(customer), shop.store.sessions.state(customer))
        assert [path.name for path in directory.imports.iterdir()] == ["lock"]
    finally:
        store.close()


def embedded_import(directory, store, files):
    writer = EventStore(DirectWriter(directory, store), store)
    return import_events(ImportRequest(files, directory.root), writer, ManualClock(NOW))


@pytest.fixture
def embedded(tmp_path):
    directory = DataDirectory(tmp_path / "embedded")
    directory.prepare()
    store = EmbeddedStore(directory.store, writer=True).open()
    yield directory, store
    store.close()


def test_an_event_that_was_imported_is_a_duplicate_when_it_is_posted(embedded, write):
    directory, store = embedded
    week = (NOW - T) / MINUTE - 7 * 24 * 60
    rows = [
        row("a", "p", week - 1, event_id="old"),
        row("a", "q", week, event_id="young"),
        row("a", "r", week + 1, event_id="younger"),
        row("a", "s", week + 2),
    ]
    assert embedded_import(directory, store, [write("e.csv", rows)]).accepted == 4
    ids = ["old", "young", "younger", "other"]
    events = [Event("a", EventType.VIEW, NOW, "p", dedup_key=key_of_event_id(event_id)) for event_id in ids]
    assert [receipt.is_duplicate for receipt in store.events.append(events, NOW)] == [False, True, True, False]


class Impatient(MemoryShop):
    """A shop that starts a second import in the middle of the first."""

    def adopt(self, staged: Path) -> None:
        for again in (self.bring_in, self.bring_in_products):
            with pytest.raises(StoreLockedError, match=r"another import .* is running: start this one when it is done"):
                again(self.path)
        super().adopt(staged)

    def bring_in_products(self, path: Path) -> None:
        import_products(self.request(path), self, self.clock)


def test_while_an_import_runs_no_other_can_and_afterwards_it_knows_the_rows(tmp_path, write):
    shop = Impatient(tmp_path / "data")
    shop.path = write("e.csv", [row("a", "p"), row("a", "p"), row("b", "q", 3)])
    assert shop.bring_in(shop.path).accepted == 3
    report = shop.bring_in(shop.path)
    assert (report.accepted, report.duplicates) == (0, 3)
    assert shop.archived().num_rows == 3


acts = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from("abc"),
        "event_type": st.sampled_from(["view", "cart_add", "cart_remove", "purchase", "refund", "hide", "search"]),
        "product_id": st.sampled_from("pqrs"),
        "minute": st.integers(0, 200),
        "session_id": st.sampled_from([None, None, None, "s", "t"]),
        "quantity": st.integers(1, 3),
    }
)


def as_row(act: dict[str, object]) -> dict[str, object]:
    return {**act, "timestamp": format_time(T + act["minute"] * MINUTE)}


def as_event(act: dict[str, object], event_id: str) -> Event:
    return Event(
        act["customer_id"],
        EventType[act["event_type"].upper()],
        T + act["minute"] * MINUTE,
        act["product_id"],
        act["quantity"],
        session_id=act["session_id"],
        dedup_key=key_of_event_id(event_id),
    )


@settings(max_examples=40)
@given(st.lists(acts, max_size=6), st.lists(acts, min_size=1, max_size=30))
def test_an_import_equals_appending_its_rows_one_by_one_in_the_order_of_time(live, bulk):
    with TemporaryDirectory() as folder:
        imported, posted = MemoryShop(Path(folder) / "i"), MemoryShop(Path(folder) / "p")
        for shop in (imported, posted):
            shop.store.events.append([as_event(act, f"live{i}") for i, act in enumerate(live)], NOW)
        imported.bring_in(write_rows(Path(folder) / "bulk.jsonl", [as_row(act) for act in bulk]))
        in_time = sorted(bulk, key=lambda act: act["minute"])
        posted.store.events.append([as_event(act, str(i)) for i, act in enumerate(in_time)], NOW)
        posted.archive_log()
        assert states(imported) == states(posted)
        columns = ["position", "time", "event_type", "customer", "product", "session", "quantity", "session_id"]
        assert imported.archived().select(columns).equals(posted.archived().select(columns))


@pytest.mark.parametrize(
    ("name", "content", "rejected"),
    [
        ("odd.csv", b"customer_id,event_type,product_id,timestamp\n1,2\n1,2,3\n", 2),
        ("bad.jsonl", b"{]\n[]\n1\n", 3),
        ("empty.jsonl", b"", 0),
    ],
)
def test_files_without_one_good_row_are_told_row_by_row(shop, write_raw, name, content, rejected):
    report = shop.bring_in(write_raw(name, content))
    assert (report.read, report.accepted, report.rejected.total()) == (rejected, 0, rejected)


@pytest.mark.parametrize(
    ("name", "content"), [("empty.csv", b"customer_id,event_type,product_id,timestamp\n"), ("empty.jsonl", b"")]
)
def test_a_file_without_rows_is_said_to_have_none(shop, write_raw, name, content):
    report = shop.bring_in(write_raw(name, content))
    assert report.lines()[1] == "  the files hold no rows: look at what writes them"
