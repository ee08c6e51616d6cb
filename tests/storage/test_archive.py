"""The archive: what counts, whatever a crash left behind."""

from __future__ import annotations

import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY, HOUR, ManualClock
from active_customers.core.event import Channel, Context, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.archive import PARTS_OF_TODAY, SCHEMA, Archive, part_name, table_of, write_part

LATER = NOW + 2 * DAY


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive", ManualClock(NOW))


@pytest.fixture
def entries(make_event):
    """Makes entries at given positions, which arrived at NOW plus some days."""

    def make(*positions, days=0):
        event = make_event("a", EventType.VIEW, "p")
        return [LogEntry(position, NOW + days * DAY, 0, 0, positions[0], event) for position in positions]

    return make


def positions(archive):
    return archive.columns(["position"])["position"].tolist()


def ranges(archive):
    return [(part.day, part.first, part.last) for part in archive.parts()]


def test_an_archive_that_is_not_there_yet_is_empty(archive):
    assert archive.parts() == []
    assert archive.end() == 1
    assert archive.next_uncovered(7) == 7
    columns = archive.columns(["position", "session", "time", "customer"])
    assert {name: (len(column), column.dtype.kind) for name, column in columns.items()} == {
        "position": (0, "u"),
        "session": (0, "u"),
        "time": (0, "i"),
        "customer": (0, "u"),
    }


def test_every_column_of_an_entry_is_kept(archive, make_event):
    event = make_event(
        "a",
        EventType.PURCHASE,
        "p",
        quantity=3,
        price=9.5,
        context=Context.CART,
        channel=Channel.PUSH,
        session_id="s1",
        details={"order_id": "o1", "currency": "EUR", "metadata": {"ü": 1}},
    )
    bare = make_event("b", EventType.SEARCH)
    [part] = archive.append([LogEntry(1, NOW, 7, 8, 1 << 63, event), LogEntry(2, NOW + 5, 9, NO_NUMBER, 2, bare)])
    table = pq.read_table(part.path, partitioning=None)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [
        {
            "position": 1,
            "arrival": NOW,
            "time": NOW,
            "event_type": 6,
            "customer": 7,
            "product": 8,
            "session": 1 << 63,
            "quantity": 3,
            "price": 9.5,
            "context": 3,
            "channel": 3,
            "dedup_key": event.dedup_key,
            "session_id": "s1",
            "order_id": "o1",
            "currency": "EUR",
            "details": '{"order_id":"o1","currency":"EUR","metadata":{"ü":1}}',
        },
        {
            **dict.fromkeys(
                ["product", "price", "context", "channel", "session_id", "order_id", "currency", "details"]
            ),
            "position": 2,
            "arrival": NOW + 5,
            "time": NOW,
            "event_type": 11,
            "customer": 9,
            "session": 2,
            "quantity": 1,
            "dedup_key": bare.dedup_key,
        },
    ]


def test_there_is_a_part_for_each_day_and_each_unbroken_run(archive, entries):
    archive.append([*entries(1, 2, 5, 6), *entries(7, 8, days=1), *entries(9)])
    assert ranges(archive) == [
        ("2025-01-15", 1, 2),
        ("2025-01-15", 5, 6),
        ("2025-01-16", 7, 8),
        ("2025-01-15", 9, 9),
    ]
    assert positions(archive) == [1, 2, 5, 6, 7, 8, 9]
    assert archive.end() == 10


def test_appending_nothing_writes_nothing(archive):
    assert archive.append([]) == []
    assert archive.parts() == []


def test_the_next_uncovered_position_is_behind_all_parts_that_follow_on_each_other(archive, entries):
    archive.append([*entries(3, 4), *entries(5, days=1), *entries(8)])
    assert [archive.next_uncovered(position) for position in range(1, 10)] == [1, 2, 6, 6, 6, 6, 7, 9, 9]


def test_compaction_merges_what_follows_on_each_other_and_keeps_every_row(archive, entries):
    for position in range(1, 6):
        archive.append(entries(position))
    assert archive.compact(LATER) == 4
    assert ranges(archive) == [("2025-01-15", 1, 5)]
    assert positions(archive) == [1, 2, 3, 4, 5]
    assert archive.compact(LATER) == 0


def test_compaction_never_merges_across_a_hole_or_a_day(archive, entries):
    for part in (entries(1), entries(2), entries(5), entries(6), entries(7, days=1), entries(8, days=1)):
        archive.append(part)
    archive.compact(LATER)
    assert ranges(archive) == [("2025-01-15", 1, 2), ("2025-01-15", 5, 6), ("2025-01-16", 7, 8)]
    archive.append(entries(3, 4))
    assert positions(archive) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_compaction_bounds_what_it_merges(archive, entries):
    for first in (1, 4, 7):
        archive.append(entries(first, first + 1, first + 2))
    assert archive.compact(LATER, most_rows=6) == 1
    assert [part[1:] for part in ranges(archive)] == [(1, 6), (7, 9)]


def files(archive):
    return sorted(archive.root.glob("*/*.parquet"))


def test_what_a_merge_replaced_doubles_nothing_and_goes_an_hour_later(archive, entries):
    """An hour of the machine, since that is what dates files: the service may be a day ahead of it."""
    for position in (1, 2, 3):
        archive.append(entries(position))
    archive.compact(LATER)
    merged = archive.parts()[0].path
    for age, left in ((0, 4), (HOUR, 4), (HOUR + 1, 1)):
        os.utime(merged, ns=((NOW - age) * 1000,) * 2)
        archive.compact(LATER)
        assert len(files(archive)) == left
        assert positions(archive) == [1, 2, 3]


def test_the_day_under_way_is_merged_only_when_it_has_many_parts(archive, entries):
    for position in range(1, PARTS_OF_TODAY + 1):
        archive.append(entries(position))
    assert archive.compact(NOW) == 0
    archive.append(entries(PARTS_OF_TODAY + 1))
    assert archive.compact(NOW) == PARTS_OF_TODAY
    archive.append(entries(PARTS_OF_TODAY + 2))
    assert archive.compact(NOW) == 0
    assert positions(archive) == list(range(1, PARTS_OF_TODAY + 3))


def test_parts_that_cannot_be_merged_do_not_make_today_full(archive, entries):
    for position in range(1, 2 * PARTS_OF_TODAY + 4, 2):
        archive.append(entries(position))
    archive.append(entries(2 * PARTS_OF_TODAY + 4))
    assert archive.compact(NOW) == 0


def test_a_day_that_is_over_is_merged_once(archive, entries):
    for first in (1, 3, 5, 7):
        archive.append(entries(first, first + 1))
    assert archive.compact(NOW + DAY, most_rows=5) == 2
    before = files(archive)
    assert archive.compact(NOW + DAY, most_rows=5) == 0
    assert files(archive) == before


@pytest.mark.parametrize("left", [[1], [2], [3], [1, 2], [1, 3], [2, 3]])
def test_a_merged_part_stands_for_whatever_is_left_of_those_it_replaced(archive, entries, left):
    merged = entries(1, 2, 3)
    write_part(table_of(merged), archive.path_for(1, 3, NOW))
    for position in left:
        archive.append(entries(position))
    assert positions(archive) == [1, 2, 3]
    assert archive.next_uncovered(1) == 4
    archive.compact(LATER)
    assert ranges(archive) == [("2025-01-15", 1, 3)]


def test_a_part_that_was_being_written_does_not_count(archive, entries):
    archive.append(entries(1))
    folder = archive.parts()[0].path.parent
    (folder / part_name(2, 3)).with_suffix(".tmp").write_bytes(b"PAR1 half of it")
    (folder / "part-x.parquet").write_bytes(b"something else")
    assert positions(archive) == [1]


def test_columns_come_in_order_of_position_and_only_as_asked_for(archive, entries):
    archive.append(entries(4, 5))
    archive.append(entries(1, 2))
    columns = archive.columns(["position", "customer"], "position % 2 = 0")
    np.testing.assert_array_equal(columns["position"], [2, 4])
    np.testing.assert_array_equal(columns["customer"], [0, 0])
