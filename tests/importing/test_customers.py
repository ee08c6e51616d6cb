"""Logins, consents and robots in files: an import does what the same events do when they are posted."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.importing.conftest import NOW, MemoryShop, write_rows

from active_customers.core.clock import DAY, MINUTE, SECOND, ManualClock, format_time
from active_customers.core.consent import ConsentConfig
from active_customers.core.event import Event, EventType, event_type_named
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import CustomerState
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.request import ImportRequest
from active_customers.storage.admission import CustomerRules
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore
from active_customers.storage.robots import RATE, TIRELESS, USER_AGENT, RobotConfig
from active_customers.storage.writer import DirectWriter

T = NOW - 10 * DAY


def row(customer: str, kind: str, minute: float, product: str | None = None, **fields: object) -> dict[str, object]:
    time = format_time(T + round(minute * MINUTE))
    return {"customer_id": customer, "event_type": kind, "product_id": product, "timestamp": time, **fields}


def login(customer: str, other: str, minute: float) -> dict[str, object]:
    return row(customer, "login", minute, other_customer_id=other)


def products(store, customer: str) -> list[str]:
    state = store.sessions.state(customer)
    words = [] if state is None else CustomerState.of(state).events[:, 2].tolist()
    return [store.catalog.product_id(word & NO_NUMBER) for word in words]


VISIT = [
    row("cookie", "view", 0, "p"),
    row("cookie", "cart_add", 1, "p"),
    login("known", "cookie", 2),
    row("cookie", "view", 3, "q"),
    row("known", "view", 4, "r"),
]


def test_rows_before_and_after_a_login_are_one_customers_and_one_visit(shop, write):
    shop.bring_in(write("e.jsonl", VISIT))
    assert products(shop.store, "known") == products(shop.store, "cookie") == ["p", "p", "q", "r"]
    assert len(set(shop.archived()["session"].to_pylist())) == 1
    assert shop.store.customers.ids("known") == ["cookie", "known"]


def test_a_second_import_of_a_login_changes_nothing(shop, write):
    path = write("e.jsonl", VISIT)
    shop.bring_in(path)
    before = shop.store.sessions.state("known").tolist(), shop.store.customers.joined().tolist()
    assert shop.bring_in(path).duplicates == len(VISIT)
    assert (shop.store.sessions.state("known").tolist(), shop.store.customers.joined().tolist()) == before


def test_what_the_store_knows_of_ids_counts_in_a_file(shop, write, make_event):
    details = {"other_customer_id": "cookie"}
    shop.store.events.append([make_event("known", EventType.LOGIN, details=details)], NOW)
    shop.bring_in(
        write("e.jsonl", [row("cookie", "view", 0, "p"), login("other", "known", 1), login("x", "cookie", 2)])
    )
    assert products(shop.store, "known") == ["p"]
    assert shop.store.customers.known_as("cookie") == "x"
    assert shop.store.customers.known_as("known") == "known"


def test_whoever_logs_in_next_on_a_device_gets_its_later_rows(shop, write):
    rows = [
        row("cookie", "view", 0, "p"),
        login("first", "cookie", 1),
        row("cookie", "view", 2, "q"),
        login("second", "cookie", 3),
        row("cookie", "view", 4, "r"),
        login("cookie", "cookie", 5),
        row("cookie", "view", 6, "s"),
    ]
    shop.bring_in(write("e.jsonl", rows))
    found = [products(shop.store, customer) for customer in ("first", "second", "cookie")]
    assert found == [["p", "q"], ["r"], ["s"]]


def test_who_logs_in_in_a_file_without_naming_another_id_is_known(shop, write):
    rows = [row("victim", "view", 0, "secret"), row("victim", "login", 1), row("victim", "login", 2)]
    shop.bring_in(write("e.jsonl", [*rows, login("mallory", "victim", 3)]))
    assert (products(shop.store, "mallory"), products(shop.store, "victim")) == ([], ["secret"])
    assert shop.store.customers.known_as("victim") == "victim"


def test_rows_that_nobody_agreed_to_are_passed_over(shop, write):
    levels = [None, "none", "session", "profile"]
    rows = [row("a", "view", i, f"p{i}", consent=level) for i, level in enumerate(levels)]
    report = shop.bring_in(write("e.jsonl", rows))
    assert (report.accepted, report.ignored) == (2, {"no consent to a profile": 2})
    assert products(shop.store, "a") == ["p0", "p3"]


def test_what_counts_where_rows_say_nothing_is_a_setting(shop, write):
    path = write("e.jsonl", [row("a", "view", 0, "p"), row("a", "view", 1, "q", consent="profile")])
    rules = CustomerRules(consent=ConsentConfig(default="none"))
    request = ImportRequest([path], shop.data_dir, None, rules=rules)
    import_events(request, EventStore(shop, shop.store), shop.clock)
    assert products(shop.store, "a") == ["q"]


def test_a_consent_in_a_file_counts_from_then_on(shop, write, make_event):
    shop.bring_in(write("e.jsonl", [row("a", "view", 0, "p"), row("a", "consent", 1, consent="none")]))
    assert shop.store.customers.consent("a") == "none"
    assert shop.store.sessions.state("a") is None
    assert not shop.store.events.append([make_event("a", EventType.VIEW, "p")], NOW)[0].is_kept


NOT_KEPT = {"no consent to a profile": 2}


def test_who_refused_in_the_store_is_in_no_archive_by_a_file(shop, write, make_event):
    agree = make_event("known", EventType.CONSENT, details={"consent": "none"})
    joins = make_event("known", EventType.LOGIN, details={"other_customer_id": "cookie"})
    shop.store.events.append([joins, agree], NOW)
    rows = [row("known", "view", 0, "p"), row("cookie", "view", 1, "p"), row("other", "view", 2, "q")]
    report = shop.bring_in(write("e.jsonl", [*rows, row("known", "view", 3, "r", consent="profile")]))
    assert (report.accepted, report.ignored) == (2, NOT_KEPT)
    kept = [(event["customer"], event["product"]) for event in shop.events() if event["product"]]
    assert kept == [("other", "q"), ("known", "r")]


def test_a_file_of_refused_rows_only_is_imported_as_nothing(shop, write, make_event):
    shop.store.events.append([make_event("a", EventType.CONSENT, details={"consent": "session"})], NOW)
    report = shop.bring_in(write("e.jsonl", [row("a", "view", 0, "p"), row("a", "view", 1, "p")]))
    assert (report.accepted, report.ignored, shop.adopted) == (0, NOT_KEPT, 0)


def test_a_consent_in_a_file_counts_for_later_rows_until_another(shop, write):
    levels = {1: "none", 3: "profile", 5: "session"}
    rows = [row("a", "view", i, f"p{i}") for i in (0, 2, 4, 6)]
    rows += [row("a", "consent", minute, consent=level) for minute, level in levels.items()]
    report = shop.bring_in(write("e.jsonl", rows))
    assert (report.accepted, report.ignored) == (5, NOT_KEPT)
    assert [event["product"] for event in shop.events() if event["product"]] == ["p0", "p4"]


def test_a_consent_in_a_file_counts_for_whom_its_logins_join(shop, write):
    rows = [login("known", "cookie", 0), row("known", "consent", 1, consent="none")]
    report = shop.bring_in(write("e.jsonl", [*rows, row("cookie", "view", 2, "p"), row("known", "view", 3, "q")]))
    assert (report.accepted, report.ignored) == (2, NOT_KEPT)


def test_a_login_in_a_file_joins_nobody_who_refused(shop, write, make_event):
    shop.store.events.append([make_event("refused", EventType.CONSENT, details={"consent": "none"})], NOW)
    rows = [
        row("known", "consent", 0, consent="profile"),
        row("cookie", "view", 1, "p"),
        row("cookie", "consent", 2, consent="none"),
        login("known", "cookie", 3),
        login("known", "refused", 4),
        login("refused", "tablet", 5),
        row("tablet", "view", 6, "q"),
    ]
    shop.bring_in(write("e.jsonl", rows))
    assert (products(shop.store, "known"), products(shop.store, "tablet")) == ([], ["q"])
    assert shop.store.customers.joined().tolist() == []
    assert len(shop.store.customers.passed_over()) == 2


def test_robots_in_a_file_are_noted(shop, write):
    agent = {"user_agent": "Googlebot/2.1"}
    rows = [
        row("named", "view", 0, "p", metadata=agent),
        row("person", "view", 0, "p", metadata={"user_agent": "Safari"}),
    ]
    rows += [row("fast", "cart_add", i / 70, "p") for i in range(70 * 5)]
    rows += [row("tireless", "view", i / 2, f"p{i}") for i in range(500)]
    shop.bring_in(write("e.jsonl", rows))
    found = {robot.customer_id: robot.rule for robot in shop.store.customers.robots()}
    assert found == {"named": USER_AGENT, "fast": RATE, "tireless": TIRELESS}


RULES = CustomerRules(robots=RobotConfig(events_per_minute=4, minutes=2, products_without_pause=4, pause_seconds=50))

visits = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["view", "cart_add"]), st.integers(0, 90), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=25)
@given(visits)
def test_the_rules_over_files_take_those_for_robots_whom_they_take_as_events_come(acts):
    with TemporaryDirectory() as folder:
        acts = sorted(acts, key=lambda each: each[2])
        rows = [row(customer, kind, second / 10, f"p{product}") for customer, kind, second, product in acts]
        shop, twin = MemoryShop(Path(folder)), MemoryStore(RULES)
        request = ImportRequest([write_rows(Path(folder) / "e.jsonl", rows)], shop.data_dir, None, rules=RULES)
        import_events(request, EventStore(shop, shop.store), shop.clock)
        events = [
            Event(customer, event_type_named(kind), T + second * 6 * SECOND, f"p{product}", dedup_key=bytes([i]) * 16)
            for i, (customer, kind, second, product) in enumerate(acts)
        ]
        twin.events.append(events, NOW)
        assert {robot.customer_id for robot in shop.store.customers.robots()} == {
            robot.customer_id for robot in twin.customers.robots()
        }


steps = st.lists(
    st.one_of(
        st.tuples(st.just("view"), st.sampled_from("abcd"), st.sampled_from("pqr")),
        st.tuples(st.just("cart_add"), st.sampled_from("abcd"), st.sampled_from("pqr")),
        st.tuples(st.just("login"), st.sampled_from("abcd"), st.sampled_from([*"abcd", None])),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60)
@given(steps, st.integers(0, 8))
def test_an_import_joins_whom_the_same_events_join_when_they_are_posted(history, posted):
    """Whether some were posted before, or all of them were imported."""
    with TemporaryDirectory() as folder:
        shop, twin = MemoryShop(Path(folder)), MemoryStore()
        events, rows = [], []
        for i, (kind, customer, said) in enumerate(history):
            other = {"other_customer_id": said} if kind == "login" and said is not None else {}
            details = {"event_id": f"e{i}", **other}
            product = None if kind == "login" else said
            key = bytes([i]) * 16
            events.append(
                Event(customer, event_type_named(kind), T + i * MINUTE, product, details=details, dedup_key=key)
            )
            rows.append(row(customer, kind, i, product, event_id=f"e{i}", **other))
        twin.events.append(events, NOW)
        shop.store.events.append(events[:posted], NOW)
        if rows[posted:]:
            shop.bring_in(write_rows(Path(folder) / "e.jsonl", rows[posted:]))
        for customer in "abcd":
            assert products(shop.store, customer) == products(twin, customer)
            assert shop.store.customers.known_as(customer) == twin.customers.known_as(customer)
            assert set(shop.store.customers.ids(customer)) == set(twin.customers.ids(customer))


def test_an_erasure_while_a_login_is_imported_brings_nobody_back(tmp_path, write):
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    store = EmbeddedStore(directory.store, writer=True).open()

    class ErasesInBetween(DirectWriter):
        def adopt(self, staged):
            self.erase("known")
            super().adopt(staged)

    writer = ErasesInBetween(directory, store, ManualClock(NOW))
    request = ImportRequest([write("e.jsonl", VISIT)], directory.root)
    import_events(request, EventStore(writer, store), ManualClock(NOW))
    assert store.sessions.find("known") == (NO_NUMBER, None)
    assert store.customers.known_as("cookie") is None
    store.close()


def test_an_erasure_of_the_id_that_a_login_in_an_import_names_leaves_no_mention_of_it(tmp_path, write, make_event):
    """Though the erasure is done on disk before the import is adopted."""
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    store = EmbeddedStore(directory.store, writer=True).open()
    store.events.append([make_event("cookie", EventType.VIEW, "p")], NOW)

    class ErasesInBetween(DirectWriter):
        def reserve(self, count):
            if count:
                self.erase("cookie")
                self.finish_erasures()
            return super().reserve(count)

    writer = ErasesInBetween(directory, store, ManualClock(NOW))
    request = ImportRequest([write("e.jsonl", [login("known", "cookie", 2)])], directory.root)
    import_events(request, EventStore(writer, store), ManualClock(NOW))
    assert store.customers.ids("known") == ["known"]
    assert store.customers.known_as("known") == "known"
    assert store.sessions.find("cookie") == (NO_NUMBER, None)
    rows = [row for part in writer._archive.parts() for row in pq.read_table(part.path).to_pylist()]
    assert [row["position"] for row in rows] == [1, 3]
    assert "cookie" not in str(rows)
    store.close()


@pytest.mark.parametrize("kind", ["login", "consent"])
def test_turns_without_what_they_turn_to_change_nothing(shop, write, kind):
    shop.bring_in(write("e.jsonl", [row("a", kind, 0), row("a", "view", 1, "p")]))
    assert products(shop.store, "a") == ["p"]
    assert shop.store.customers.joined().tolist() == []
