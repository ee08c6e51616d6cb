"""States are a fold over archive and log: read again from the beginning, these give the same states and sessions."""

from __future__ import annotations

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW
from tests.storage.test_customers import event_of

from active_customers.core.clock import MINUTE, ManualClock
from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import ACT_SESSION, MAX_WORDS, empty_state, given_session, renamed_session
from active_customers.kernels.session_state import fold, merge
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

VIEW, CART_ADD, LOGIN, CONSENT = EventType.VIEW, EventType.CART_ADD, EventType.LOGIN, EventType.CONSENT


def rebuilt(rows: list[dict[str, object]]) -> dict[int, list[int]]:
    """Fold rows of the archive's schema, in order of position, into states by number."""
    states: dict[int, np.ndarray] = {}
    out = np.empty(MAX_WORDS, np.int64)
    for row in rows:
        customer, kind, session_id = row["customer"], row["event_type"], row["session_id"]
        if kind == EventType.JOINED:
            renamed = renamed_session(row["session"], customer, session_id)
            length = merge(states.get(customer, empty_state()), states.pop(row["session"]), renamed, out)
            states[customer] = out[:length].copy()
        said = orjson.loads(row["details"] or b"{}").get("consent")
        if kind == EventType.FORGOTTEN and said is not None:
            states.pop(customer, None)
        if kind >= EventType.DECISION:
            continue
        given = 0 if session_id is None else given_session(customer, session_id)
        product = NO_NUMBER if row["product"] is None else row["product"]
        act = np.array([[kind, product, row["time"], row["quantity"], given, row["position"]]], np.int64)
        length = fold(states.get(customer, empty_state()), act, out)
        states[customer] = out[:length].copy()
        assert act[0, ACT_SESSION] == row["session"]
        if kind == CONSENT and said != "profile":
            del states[customer]
    return {customer: state.tolist() for customer, state in states.items()}


STEPS = st.one_of(
    st.tuples(st.sampled_from([VIEW, CART_ADD]), st.sampled_from("abcd"), st.sampled_from([None, None, "session"])),
    st.tuples(st.just(LOGIN), st.sampled_from("abcd"), st.sampled_from("abcd")),
    st.tuples(st.just(CONSENT), st.sampled_from("abcd"), st.sampled_from(["none", "session", "profile"])),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(st.lists(STEPS, min_size=1, max_size=6), st.integers(0, 25), st.booleans()), max_size=10))
def test_archive_and_log_make_the_states_again(tmp_path_factory, make_event, history):
    directory = DataDirectory(tmp_path_factory.mktemp("shop"))
    store = EmbeddedStore(directory.store, writer=True).open()
    now = NOW
    try:
        for steps, minutes, archived in history:
            now += minutes * MINUTE
            batch = [event_of(make_event, *step, now + place) for place, step in enumerate(steps)]
            store.events.append(batch, now)
            if archived:
                DirectWriter(directory, store, ManualClock(now)).archive_log()
        parts = [pq.read_table(part.path, partitioning=None) for part in Archive(directory.archive).parts()]
        rows = pa.concat_tables([*parts, store.events.read_table(1, 10_000)]).to_pylist()
        assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
        folded = rebuilt(rows)
        kept = {}
        for number in range(store.sessions.n_customers()):
            state = store.sessions.state_of_number(number)
            if state is not None:
                kept[number] = state.tolist()
        assert {number: folded[number] for number in kept} == kept
        named = {entry["customer"] for entry in rows if entry["dedup_key"] != bytes(16)}
        assert folded.keys() - kept.keys() <= set(range(store.sessions.n_customers())) - named  # visits that are over
    finally:
        store.close()
