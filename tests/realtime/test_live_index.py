"""The writer of the live index: bounds, erasure, recovery."""

import errno
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from active_customers.core.errors import DiskFullError, InvalidValueError
from active_customers.core.event import TASTE_TYPES, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.models.popularity import PopularityConfig
from active_customers.realtime.live_index import LiveIndex, LiveIndexConfig
from active_customers.realtime.live_reader import LiveReader

DAY = 86_400_000_000
SMALL = LiveIndexConfig(max_sessions=4, session_acts=3, sessions_per_product=2, max_products=8, segment_rows=2)
NAMES = ("position", "session", "customer", "product", "event_type", "time")


def log_of(rows):
    """Return columns of (session, customer, product, event type, time) at positions 2, 4, 6, ..."""
    table = np.array(rows, np.int64).reshape(-1, 5).T
    return dict(zip(NAMES, (np.arange(2, 2 * table.shape[1] + 2, 2), *table), strict=True))


def views(*sessions):
    """Return the log of views, a product list per session; each session is of a customer of the same number."""
    acts = [(number, product) for number, products in enumerate(sessions, 1) for product in products]
    return log_of([(s, s, product, EventType.VIEW, DAY + i) for i, (s, product) in enumerate(acts)])


def part(columns, start, end):
    return {name: column[start:end] for name, column in columns.items()}


def held(index):
    """Return session -> [its products, oldest first], the one that acted longest ago first."""
    contents = index.contents()
    pieces = np.split(contents.products, contents.offsets[1:-1]) if len(contents.sessions) else []
    return dict(zip(contents.sessions.tolist(), (piece.tolist() for piece in pieces), strict=True))


def answers(folder):
    """Return everything a reader can be told."""
    reader = LiveReader(folder)
    queries = [[product] for product in range(8)] + [[0, 1, 2], [5, 3]]
    told = [reader.candidates(ask(*query), 20) for query in queries] + [reader.popular(20)]
    numbers = np.arange(10, dtype=np.uint32)
    flags = [reader.is_popular(numbers).tolist(), reader.is_trending(numbers).tolist()]
    return [[column.tolist() for column in (each.products, each.scores, each.evidence)] for each in told], flags


def ask(*products):
    n = len(products)
    return SessionQuery(np.array(products, np.uint32), np.ones(n, np.uint8), np.zeros(n, np.int64), now=0)


def same(index, other):
    for ours, theirs in zip(index.contents(), other.contents(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_acts_of_taste_on_products_teach_and_nothing_else(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    kinds = list(EventType)[:-1]  # all but config_change, see below
    kinds.remove(EventType.ERASE)
    rows = [(9, 1, 3, kind, 5) for kind in kinds] + [(8, 1, NO_NUMBER, EventType.VIEW, 5), (8, 1, 3, 71, 5)]
    assert index.learn(log_of(rows)) == len(TASTE_TYPES)
    assert list(held(index)) == [9]
    assert index.watermark == 2 * len(rows) + 1


def test_a_log_that_is_not_in_order_is_refused(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    columns = views([0, 1, 2])
    columns["position"] = np.array([1, 3, 3])
    with pytest.raises(InvalidValueError):
        index.learn(columns)


def test_what_was_read_before_is_passed_over(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    columns = views([0, 1], [2])
    assert index.learn(part(columns, 0, 2)) == 2
    assert index.learn(columns) == 1
    assert index.learn(part(columns, 0, 2)) == 0
    assert index.watermark == 7
    assert held(index) == {1: [0, 1], 2: [2]}


def test_when_there_are_too_many_sessions_the_one_whose_last_act_stands_first_in_the_log_goes(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    late = [(1, 1, 5, EventType.VIEW, 0)]  # by its own time session 1 is the oldest, in the log it acted again
    rows = [(s, s, 0, EventType.VIEW, DAY + s) for s in (1, 2, 3, 4)]
    index.learn(log_of(rows + late + [(5, 5, 0, EventType.VIEW, 1)]))
    assert list(held(index)) == [3, 4, 1, 5]
    assert index.n_sessions == 4


def test_a_late_act_takes_its_place_in_time(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    index.learn(log_of([(1, 1, 0, 1, 10), (1, 1, 1, 1, 30), (1, 1, 2, 1, 20)]))
    assert held(index) == {1: [0, 2, 1]}
    index.learn(log_of([(1, 1, 0, 1, 10)] * 3 + [(1, 1, 4, 1, 5), (1, 1, 3, 1, 25)]))
    assert held(index) == {1: [2, 3, 1]}  # the oldest went, and one that was older still never came


def test_products_beyond_the_bound_are_passed_over(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    assert index.learn(views([7, 8, 4_000_000_000, 0])) == 2
    assert held(index) == {1: [7, 0]}


def test_an_erase_entry_forgets_its_customer_at_its_place_in_the_log(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    view, erase = EventType.VIEW, EventType.ERASE
    rows = [(1, 7, 0, view, 1), (2, 8, 0, view, 2), (3, 7, 0, view, 3), (0, 7, NO_NUMBER, erase, 4), (4, 7, 1, view, 5)]
    assert index.learn(log_of(rows)) == 4
    assert held(index) == {2: [0], 4: [1]}
    assert index.forget(7) == 1
    assert held(index) == {2: [0]}


def test_an_erased_customer_leaves_no_trace_in_files_and_checkpoints(tmp_path):
    index = LiveIndex(tmp_path, SMALL).open()
    session, customer = 0x5A5A_1234_5678, 0x7BCD_EF01
    index.learn(log_of([(session, customer, 3, 1, 5), (2, 2, 3, 1, 6)]))
    for _ in range(2):
        index.checkpoint()
    traces = [np.array([session]).tobytes(), np.array([customer], np.uint32).tobytes()]
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert all(trace in everything for trace in traces)
    index.forget(customer)
    for _ in range(2):
        index.checkpoint()
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(trace in everything for trace in traces)


streams = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.integers(0, 9),
        st.sampled_from([EventType.VIEW] * 6 + [EventType.PURCHASE, EventType.HIDE, EventType.ERASE]),
        st.integers(0, 30 * DAY),
    ).map(lambda act: (act[0], act[0] % 3, *act[1:])),
    max_size=40,
)
breaks = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["checkpoint", "crash", "corrupt"])), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(streams, breaks)
def test_after_any_crashes_the_index_is_what_an_uninterrupted_run_made(tmp_path_factory, stream, interruptions):
    folder, calm = tmp_path_factory.mktemp("live"), tmp_path_factory.mktemp("calm")
    columns = log_of(stream)
    index = LiveIndex(folder, SMALL).open()
    for end, what in sorted(interruptions):
        index.learn(part(columns, 0, end))
        if what == "checkpoint":
            index.checkpoint()
            continue
        if what == "corrupt":
            corrupt_newest(folder)
        index = LiveIndex(folder, SMALL).open()  # the one before died without a word
    index.learn(columns)
    uninterrupted = LiveIndex(calm, SMALL).open()
    for row in range(len(stream)):
        uninterrupted.learn(part(columns, row, row + 1))
    same(index, uninterrupted)
    assert answers(folder) == answers(calm)


def corrupt_newest(folder):
    copies = sorted(folder.glob("checkpoint-*"), key=lambda path: path.read_bytes()[32:40])
    if copies:
        content = bytearray(copies[-1].read_bytes())
        content[len(content) // 2] ^= 255
        copies[-1].write_bytes(content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(streams)
def test_a_log_without_an_erased_customer_makes_what_is_left_after_the_erasure(tmp_path_factory, stream):
    roomy = LiveIndexConfig(max_sessions=100, session_acts=50, sessions_per_product=100, segment_rows=8)
    after, never = (LiveIndex(tmp_path_factory.mktemp(name), roomy).open() for name in ("after", "never"))
    rows = [row for row in stream if row[3] != EventType.ERASE]
    columns = log_of(rows)
    after.learn(columns)
    after.forget(1)
    keep = columns["customer"] != 1
    never.learn({name: column[keep] for name, column in columns.items()})
    ours, theirs = after.contents(), never.contents()
    for name in ("sessions", "customers", "positions", "offsets", "products", "times", "postings"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize(
    ("config", "popularity"),
    [
        (SMALL.model_copy(update={"session_acts": 4}), PopularityConfig()),
        (SMALL.model_copy(update={"max_sessions": 2}), PopularityConfig()),
        (SMALL, PopularityConfig(half_life_days=3)),
    ],
)
def test_a_checkpoint_of_another_configuration_is_not_used(tmp_path, config, popularity):
    first = LiveIndex(tmp_path, SMALL).open()
    first.learn(views([0, 1], [1, 2], [3]))
    first.checkpoint()
    assert LiveIndex(tmp_path, SMALL).open().watermark == 11
    second = LiveIndex(tmp_path, config, popularity).open()
    assert (second.watermark, second.n_sessions) == (1, 0)
    second.learn(views([0, 1], [1, 2]))
    assert held(second) == {1: [0, 1], 2: [1, 2]}


def test_a_full_disk_stops_learning_where_it_was_and_learning_goes_on_later(tmp_path, monkeypatch):
    index = LiveIndex(tmp_path, SMALL).open()
    columns = views([0, 1], [1], [1, 7], [0])
    allocate = os.posix_fallocate

    def full(descriptor, start, length):
        if start:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(descriptor, start, length)

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFullError):
        index.learn(columns)
    assert index.watermark == 8  # the act that opens session 3
    monkeypatch.setattr(os, "posix_fallocate", allocate)
    index.learn(columns)
    assert held(index) == {1: [0, 1], 2: [1], 3: [1, 7], 4: [0]}
