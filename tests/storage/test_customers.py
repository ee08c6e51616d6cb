"""Who is whom, what may be kept of them, and who is a robot: the same on every adapter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW

from active_customers.core.clock import DAY, HOUR, MINUTE, SECOND
from active_customers.core.consent import ConsentConfig
from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import CustomerState
from active_customers.storage.admission import NOT_KEPT, CustomerRules
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore
from active_customers.storage.robots import RATE, TIRELESS, USER_AGENT, RobotConfig
from active_customers.storage.staged import StagedTurn

VIEW, CART_ADD, LOGIN, CONSENT = EventType.VIEW, EventType.CART_ADD, EventType.LOGIN, EventType.CONSENT


@pytest.fixture
def act(store, make_event):
    """Stores an act of a customer, so many minutes after noon; returns its receipt."""

    def store_one(customer, kind, product=None, minute=0.0, **fields):
        time = NOW + round(minute * MINUTE)
        return store.events.append([make_event(customer, kind, product, time, **fields)], max(time, NOW))[0]

    return store_one


@pytest.fixture
def log_in(act):
    def store_login(customer, other, minute=0.0, **fields):
        return act(customer, LOGIN, None, minute, details={"other_customer_id": other}, **fields)

    return store_login


def products(store, customer):
    state = store.sessions.state(customer)
    words = [] if state is None else CustomerState.of(state).events[:, 2]
    return [store.catalog.product_id(int(word) & NO_NUMBER) for word in words]


def cart(store, customer):
    lines = CustomerState.of(store.sessions.state(customer)).cart
    return [(store.catalog.product_id(product), quantity) for product, quantity, _ in lines.tolist()]


def test_what_was_done_before_a_login_is_the_customers_with_its_receipt(store, act, log_in):
    act("known", VIEW, "p", -2 * 24 * 60)
    act("known", CART_ADD, "p", -2 * 24 * 60)
    act("cookie", VIEW, "q", 0)
    act("cookie", CART_ADD, "p", 1)
    act("cookie", CART_ADD, "r", 2)
    log_in("known", "cookie", 3)
    assert products(store, "known") == products(store, "cookie") == ["p", "p", "q", "p", "r"]
    assert cart(store, "known") == [("p", 2), ("r", 1)]


def test_all_of_it_happens_in_one_batch(store, make_event):
    events = [
        make_event("cookie", VIEW, "p"),
        make_event("known", LOGIN, details={"other_customer_id": "cookie"}),
        make_event("cookie", VIEW, "q", NOW + 1),
    ]
    receipts = store.events.append(events, NOW)
    assert [receipt.position for receipt in receipts] == [1, 2, 4]
    assert [entry.event.event_type for entry in store.events.read(1, 9)] == [VIEW, LOGIN, EventType.JOINED, VIEW]
    assert products(store, "known") == ["p", "q"]


def test_what_is_done_later_under_the_other_id_is_stored_as_the_customers(store, act, log_in):
    act("cookie", VIEW, "p")
    log_in("known", "cookie")
    act("cookie", VIEW, "q")
    assert [entry.event.customer_id for entry in store.events.read(1, 9)] == ["cookie", "known", "known", "known"]
    assert store.sessions.find("cookie")[0] == store.sessions.find("known")[0] == 1
    assert store.customers.joined().tolist() == [[0, 1]]


def test_a_visit_goes_on_across_a_login(store, act, log_in):
    """The login itself, and what follows, belong to the session that was open before it."""
    first = act("cookie", VIEW, "p", 0).session
    log_in("known", "cookie", 1)
    assert act("known", VIEW, "q", 2).session == first
    sessions = CustomerState.of(store.sessions.state("known")).events[:, 1]
    assert sessions.tolist() == [first, first]


def test_a_visit_that_the_shop_names_goes_on_across_a_login_that_names_it(store, act, log_in):
    before = act("cookie", VIEW, "p", 0, session_id="s").session
    log_in("known", "cookie", 1, session_id="s")
    after = act("known", VIEW, "q", 2, session_id="s").session
    assert before != after
    assert CustomerState.of(store.sessions.state("known")).events[:, 1].tolist() == [after, after]


def test_whoever_logs_in_next_on_a_device_gets_nothing_of_before(store, act, log_in):
    act("cookie", VIEW, "p")
    log_in("first", "cookie")
    act("cookie", VIEW, "q")
    log_in("second", "cookie")
    act("cookie", VIEW, "r")
    assert products(store, "first") == ["p", "q"]
    assert products(store, "second") == ["r"]
    log_in("first", "cookie")
    act("cookie", VIEW, "s")
    assert products(store, "first") == ["p", "q", "s"]
    assert products(store, "second") == ["r"]


def test_who_logs_in_as_themselves_where_they_are_another_is_somebody_new(store, act, log_in):
    """That is a logout; what is done then can be joined again."""
    act("cookie", VIEW, "p")
    log_in("known", "cookie")
    log_in("cookie", "cookie")
    assert store.sessions.state("cookie") is None
    act("cookie", VIEW, "q")
    assert (products(store, "known"), products(store, "cookie")) == (["p"], ["q"])
    log_in("known", "cookie")
    assert products(store, "known") == ["p", "q"]


def test_a_login_as_oneself_and_a_repeated_one_change_nothing(store, act, log_in):
    act("known", VIEW, "p")
    log_in("known", "known")
    log_in("known", "cookie")
    n_customers = store.sessions.n_customers()
    for _ in range(3):
        log_in("known", "cookie")
    assert store.sessions.n_customers() == n_customers
    assert store.customers.ids("known") == ["known", "cookie"]
    assert EventType.JOINED not in [entry.event.event_type for entry in store.events.read(1, 99)]


def test_who_was_logged_in_as_is_never_joined_to_another(store, act, log_in):
    """Neither in a chain nor in a circle; a cookie that had been joined with them stays with them."""
    act("cookie", VIEW, "p")
    log_in("first", "cookie")
    act("second", VIEW, "q")
    log_in("second", "first")
    log_in("second", "other")
    log_in("first", "second")
    assert (products(store, "first"), products(store, "second")) == (["p"], ["q"])
    assert store.customers.ids("cookie") == ["cookie", "first"]


def test_who_logs_in_under_a_joined_id_logs_in_as_its_customer(store, act, log_in):
    log_in("known", "cookie")
    act("tablet", VIEW, "p")
    log_in("cookie", "tablet")
    assert products(store, "known") == ["p"]
    assert store.customers.known_as("tablet") == "known"


def test_nobody_has_to_be_known_before_a_login(store, act, log_in):
    log_in("known", "never-seen")
    act("never-seen", VIEW, "p")
    assert products(store, "known") == ["p"]
    assert store.customers.joined().tolist() == [[1, 0]]


def test_who_logged_in_naming_nobody_is_known_and_is_joined_to_nobody(store, act, log_in):
    act("victim", VIEW, "secret")
    act("victim", LOGIN)
    assert store.customers.known_as("victim") == "victim"
    log_in("mallory", "victim")
    assert (products(store, "mallory"), products(store, "victim")) == ([], ["secret"])
    assert store.customers.ids("victim") == ["victim"]


def test_who_tried_to_join_a_known_customer_is_known_themselves(store, act, log_in):
    act("victim", LOGIN)
    log_in("mallory", "victim")
    log_in("third", "mallory")
    assert store.customers.known_as("mallory") == "mallory"


def test_a_login_without_a_profile_makes_nobody_known(store, act):
    act("a", LOGIN, details={"consent": "session"})
    store.customers.end_visits(NOW + HOUR, 10)
    act("a", VIEW, "p")
    assert store.customers.known_as("a") is None


def test_a_login_under_a_joined_id_that_names_nobody_changes_nothing(store, act, log_in):
    act("cookie", VIEW, "p")
    log_in("known", "cookie")
    act("cookie", LOGIN)
    assert store.customers.ids("cookie") == ["cookie", "known"]


def test_a_consent_of_a_login_counts_for_that_login_only(store, act):
    act("a", LOGIN, details={"consent": "profile"})
    assert store.customers.consent("a") is None


def test_the_first_of_a_customers_ids_stays_the_first(store, act, log_in):
    """Experiments go by it: a customer stays in the variant that they saw first."""
    act("cookie", VIEW, "p")
    log_in("known", "cookie")
    log_in("known", "tablet")
    assert store.customers.ids("known") == store.customers.ids("tablet") == ["cookie", "known", "tablet"]
    assert store.customers.ids("nobody") == []


def test_an_erasure_takes_what_was_joined_with_it(store, act, log_in):
    act("cookie", VIEW, "p")
    act("other", VIEW, "q")
    log_in("known", "cookie")
    act("cookie", VIEW, "r")
    erasure = store.erasures.erase("cookie", NOW)
    assert (erasure.log_entries, len(store.erasures.numbers(erasure)), erasure.had_state) == (4, 2, True)
    assert store.erasures.of("known") == store.erasures.of("cookie") == erasure
    assert store.erasures.customers().tolist() == [0, 2]
    assert [store.sessions.find(each)[0] for each in ("known", "cookie")] == [NO_NUMBER] * 2
    assert store.customers.joined().tolist() == []
    left = [entry.event for entry in store.events.read(1, 99)]
    assert [event.customer_id for event in left if event.customer_id] == ["other"]
    assert not any("cookie" in str(event) or "known" in str(event) for event in left)


def note_turns(store, turns):
    if isinstance(store, MemoryStore):
        store.events.note_turns(turns, NOW)
    else:
        store.events.note_turns("import", turns, NOW, len(turns))


def test_a_login_of_an_import_joins_nobody_who_was_erased_since_it_was_made(store, act):
    act("known", VIEW, "p")
    act("cookie", VIEW, "q")
    turn = StagedTurn(0, "known", LOGIN, "cookie", NOW, store.sessions.find("cookie")[0])
    store.erasures.erase("cookie", NOW)
    note_turns(store, [turn])
    assert store.customers.ids("known") == ["known"]
    assert store.customers.known_as("known") == "known"
    assert store.sessions.find("cookie")[0] == NO_NUMBER


def test_an_erasure_leaves_an_id_that_is_somebody_elses_by_now(store, act, log_in):
    act("cookie", VIEW, "p")
    log_in("first", "cookie")
    log_in("second", "cookie")
    act("cookie", VIEW, "q")
    store.erasures.erase("first", NOW)
    assert products(store, "cookie") == ["q"]
    assert store.customers.known_as("cookie") == "second"


def test_without_consent_nothing_is_kept_not_even_that_it_came(store, act, make_event):
    event = make_event("a", VIEW, "p", details={"consent": "none"})
    assert store.events.append([event, event], NOW)[0] is NOT_KEPT
    assert store.events.append([event], NOW)[0] is NOT_KEPT
    assert store.sessions.find("a") == (NO_NUMBER, None)
    assert (store.sessions.n_customers(), store.catalog.n_products(), store.events.next_position()) == (0, 0, 1)
    assert act("a", VIEW, "p").is_kept


def test_what_is_not_kept_stands_among_what_is(store, make_event):
    events = [make_event("a", VIEW, "p", details={"consent": level}) for level in ("profile", "none", "profile")]
    receipts = store.events.append(events, NOW)
    assert [receipt.position for receipt in receipts] == [1, 0, 2]
    assert [receipt.is_duplicate for receipt in store.events.append(events, NOW)] == [True, False, True]


def session_act(act, customer, product, minute, **fields):
    return act(customer, VIEW, product, minute, details={"consent": "session", "metadata": {"x": 1}}, **fields)


def test_a_session_that_was_agreed_to_counts_while_it_lasts(store, act):
    session_act(act, "a", "p", 0, session_id="s")
    session_act(act, "a", "q", 29)
    assert products(store, "a") == ["p", "q"]
    assert store.customers.end_visits(NOW + 59 * MINUTE, 10) == 0
    assert store.customers.end_visits(NOW + 60 * MINUTE, 10) == 1
    assert store.sessions.find("a") == (NO_NUMBER, None)
    assert store.sessions.state_of_number(0) is None


def test_the_log_holds_of_such_a_session_only_what_was_done(store, act):
    session_act(act, "a", "p", 0, session_id="s", price=2.0)
    store.customers.end_visits(NOW + HOUR, 10)
    (entry,) = store.events.read(1, 9)
    event = entry.event
    assert (event.customer_id, event.session_id, dict(event.details), event.dedup_key) == ("", None, {}, bytes(16))
    assert (event.product_id, event.price) == ("p", 2.0)


def test_a_later_session_knows_nothing_of_the_one_before(store, act):
    session_act(act, "a", "p", 0)
    session_act(act, "a", "q", 31)
    assert products(store, "a") == ["q"]
    assert [entry.customer for entry in store.events.read(1, 9)] == [0, 1]


def test_a_session_hides_the_profile_while_it_lasts_and_leaves_it_alone(store, act):
    act("a", VIEW, "p", -60)
    session_act(act, "a", "q", 0)
    assert products(store, "a") == ["q"]
    store.customers.end_visits(NOW + HOUR, 10)
    assert products(store, "a") == ["p"]
    session_act(act, "a", "r", 70)
    act("a", VIEW, "s", 71)
    assert products(store, "a") == ["p", "s"]


def test_a_visit_that_a_profile_ends_in_the_same_batch_leaves_no_state(store, make_event):
    events = [
        make_event("a", VIEW, "p", details={"consent": "session"}),
        make_event("a", VIEW, "q", details={"consent": "profile"}),
    ]
    store.events.append(events, NOW)
    assert products(store, "a") == ["q"]
    assert store.sessions.state_of_number(0) is None
    assert store.customers.end_visits(NOW + DAY, 10) == 0


def agree(act, customer, level, minute=0.0):
    return act(customer, CONSENT, None, minute, details={"consent": level})


def test_a_consent_counts_from_then_on(store, act):
    act("a", VIEW, "p", 0)
    agree(act, "a", "none", 1)
    assert act("a", VIEW, "q", 2) is NOT_KEPT
    assert store.sessions.state("a") is None or products(store, "a") == []
    assert store.customers.consent("a") == "none"
    agree(act, "a", "profile", 3)
    act("a", VIEW, "r", 4)
    assert products(store, "a") == ["r"]


def test_an_event_of_its_own_consent_is_an_exception(store, act):
    agree(act, "a", "none")
    assert act("a", VIEW, "p", 1, details={"consent": "profile"}).is_kept
    assert act("a", VIEW, "p", 2) is NOT_KEPT


def test_a_consent_to_the_session_keeps_the_session_that_is_under_way(store, act):
    session_act(act, "a", "p", 0)
    agree(act, "a", "session", 1)
    act("a", VIEW, "q", 2)
    assert products(store, "a") == ["p", "q"]
    agree(act, "a", "profile", 3)
    act("a", VIEW, "r", 4)
    assert products(store, "a") == ["r"]


def test_who_wants_no_profile_teaches_nothing_and_is_forgotten_by_the_live_index(store, act, log_in):
    act("cookie", VIEW, "p")
    log_in("known", "cookie")
    before = store.customers.changes()
    agree(act, "known", "none")
    agree(act, "known", "none")
    assert store.customers.passed_over().tolist() == [0, 1]
    assert store.customers.changes() == before + 1
    kinds = [(entry.event.event_type, entry.customer) for entry in store.events.read(5, 9)]
    assert kinds == [(EventType.FORGOTTEN, 1), (CONSENT, 1)]
    agree(act, "known", "profile")
    assert store.customers.passed_over().tolist() == []


def test_no_history_is_joined_by_who_wants_no_profile(store, act, log_in):
    act("cookie", VIEW, "p")
    agree(act, "known", "none")
    assert log_in("known", "cookie") is NOT_KEPT
    agree(act, "other", "session")
    log_in("other", "cookie")
    assert products(store, "cookie") == ["p"]
    assert store.customers.known_as("cookie") is None


def test_what_was_refused_before_a_login_teaches_nothing_after_it(store, act, log_in):
    agree(act, "known", "profile")
    act("cookie", VIEW, "p")
    agree(act, "cookie", "none")
    passed_over = store.customers.passed_over().tolist()
    assert passed_over == [1]
    log_in("known", "cookie")
    assert (store.customers.passed_over().tolist(), store.customers.joined().tolist()) == (passed_over, [])
    assert (store.customers.consent("cookie"), store.customers.known_as("cookie")) == ("none", None)


def test_who_refused_is_joined_with_nobody_by_a_login_that_agrees_for_itself(store, act, log_in):
    agree(act, "known", "none")
    act("cookie", VIEW, "p")
    act("known", LOGIN, details={"other_customer_id": "cookie", "consent": "profile"})
    assert (store.customers.joined().tolist(), products(store, "cookie")) == ([], ["p"])


def test_who_agrees_again_can_be_joined_again(store, act, log_in):
    agree(act, "cookie", "none")
    log_in("known", "cookie")
    for customer in ("cookie", "known"):
        agree(act, customer, "profile")
    act("cookie", VIEW, "p")
    log_in("known", "cookie")
    assert products(store, "known") == ["p"]


def test_what_a_cookie_refused_is_refused_by_who_logs_in_and_never_said(store, act, log_in):
    agree(act, "cookie", "none")
    act("known", VIEW, "p")
    log_in("known", "cookie")
    assert store.customers.consent("known") == "none"
    assert store.sessions.state("known") is None
    agree(act, "tablet", "none")
    agree(act, "second", "profile")
    log_in("second", "tablet")
    assert store.customers.consent("second") == "profile"
    assert store.customers.joined().tolist() == []
    assert store.customers.passed_over().tolist() == [0, 1, 2]


def test_an_erasure_in_the_middle_of_a_visit_takes_both(store, act):
    act("a", VIEW, "p")
    session_act(act, "a", "q", 1)
    assert store.erasures.erase("a", NOW).log_entries == 2
    assert store.sessions.find("a") == (NO_NUMBER, None)
    assert store.customers.end_visits(NOW + DAY, 10) == 0
    assert store.sessions.find("a") == (NO_NUMBER, None)


def opened(kind, path, rules):
    return MemoryStore(rules) if kind == "memory" else EmbeddedStore(path / "store", writer=True, rules=rules).open()


@pytest.fixture(params=["memory", "embedded"])
def with_rules(request, tmp_path):
    """Opens a store by other rules than the usual ones."""
    made = []

    def make(**rules):
        made.append(opened(request.param, tmp_path, CustomerRules(**rules)))
        return made[-1]

    yield make
    for store in made:
        if isinstance(store, EmbeddedStore):
            store.close()


def test_what_counts_for_who_said_nothing_is_a_setting(with_rules, make_event):
    store = with_rules(consent=ConsentConfig(default="session"))
    store.events.append([make_event("a", VIEW, "p"), make_event("b", CONSENT, details={"consent": "profile"})], NOW)
    store.events.append([make_event("b", VIEW, "q")], NOW)
    assert (products(store, "a"), products(store, "b")) == (["p"], ["q"])
    store.customers.end_visits(NOW + HOUR, 10)
    assert store.sessions.state("a") is None
    assert products(store, "b") == ["q"]


def test_a_robot_is_noted_once_passed_over_and_taken_for_a_person_for_good(store, act):
    agent = {"metadata": {"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}}
    act("bot", VIEW, "p", details=agent)
    act("bot", VIEW, "q", details=agent)
    (robot,) = store.customers.robots()
    assert (robot.customer_id, robot.rule, robot.since) == ("bot", USER_AGENT, NOW)
    assert store.customers.passed_over().tolist() == [0]
    assert products(store, "bot") == ["p", "q"]
    kinds = [entry.event.event_type for entry in store.events.read(1, 9)]
    assert kinds == [VIEW, EventType.FORGOTTEN, VIEW]
    assert (store.customers.acquit("bot"), store.customers.acquit("bot")) == (True, False)
    act("bot", VIEW, "r", details=agent)
    assert (store.customers.robots(), store.customers.passed_over().tolist()) == ([], [])


def test_who_logs_in_where_a_robot_was_is_one(store, act, log_in):
    act("bot", VIEW, "p", details={"metadata": {"user_agent": "Googlebot"}})
    act("known", VIEW, "q")
    before = store.customers.changes()
    log_in("known", "bot")
    assert [robot.customer_id for robot in store.customers.robots()] == ["known"]
    assert store.customers.passed_over().tolist() == [0, 1]
    last = store.events.read(1, 9)[-1]
    assert (last.event.event_type, last.customer) == (EventType.FORGOTTEN, 1)
    assert store.customers.changes() == before + 1


def test_whom_a_robot_logs_in_as_the_next_of_is_passed_over_and_that_is_said(store, act, log_in):
    agent = {"metadata": {"user_agent": "Googlebot"}}
    act("bot", VIEW, "p", details=agent)
    act("cookie", VIEW, "q")
    for other in ("cookie", "never-seen"):
        before = store.customers.changes(), len(store.customers.passed_over())
        log_in("bot", other)
        assert len(store.customers.passed_over()) == before[1] + 1
        assert store.customers.changes() == before[0] + 1


def test_a_robot_without_consent_to_a_profile_is_recognised_all_the_same(store, act):
    details = {"consent": "session", "metadata": {"user_agent": "curl/8.5"}}
    act("bot", VIEW, "p", details=details)
    store.customers.end_visits(NOW + HOUR, 10)
    assert store.customers.passed_over().tolist() == [0]


def test_rates_and_tirelessness_are_recognised_as_events_come(with_rules, make_event):
    store = with_rules(robots=RobotConfig(events_per_minute=3, minutes=2, products_without_pause=6))
    fast = [make_event("fast", CART_ADD, "p", NOW + i * 15 * SECOND) for i in range(9)]
    tireless = [make_event("tireless", VIEW, f"p{i}", NOW + i * 30 * SECOND) for i in range(6)]
    calm = [make_event("calm", VIEW, f"p{i}", NOW + i * 61 * SECOND) for i in range(60)]
    store.events.append(fast + tireless + calm, NOW)
    assert {robot.customer_id: robot.rule for robot in store.customers.robots()} == {
        "fast": RATE,
        "tireless": TIRELESS,
    }


STEPS = st.one_of(
    st.tuples(st.just(VIEW), st.sampled_from("abcd"), st.sampled_from([None, None, "none", "session", "profile"])),
    st.tuples(st.just("crawl"), st.sampled_from("abcd"), st.none()),
    st.tuples(st.just("acquit"), st.sampled_from("abcd"), st.none()),
    st.tuples(st.just(CART_ADD), st.sampled_from("abcd"), st.sampled_from([None, None, "session"])),
    st.tuples(st.just(LOGIN), st.sampled_from("abcd"), st.sampled_from("abcd")),
    st.tuples(st.just(LOGIN), st.sampled_from("abcd"), st.none()),
    st.tuples(st.just(CONSENT), st.sampled_from("abcd"), st.sampled_from(["none", "session", "profile"])),
    st.tuples(st.just("erase"), st.sampled_from("abcd"), st.none()),
    st.tuples(st.just("end"), st.just("a"), st.none()),
)


def event_of(make_event, kind, customer, said, time):
    if kind == LOGIN:
        details = {} if said is None else {"other_customer_id": said}
        return make_event(customer, LOGIN, None, time, details=details, session_id="s")
    if kind == "crawl":
        return make_event(customer, VIEW, "p", time, details={"metadata": {"user_agent": "Googlebot"}})
    details = {} if said is None else {"consent": said}
    return make_event(customer, kind, None if kind == CONSENT else f"p{time % 7}", time, details=details)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(st.lists(st.tuples(st.lists(STEPS, min_size=1, max_size=5), st.integers(0, 25)), max_size=10))
@example([([(CART_ADD, "b", "session"), (LOGIN, "a", "a"), (CART_ADD, "b", "session"), (VIEW, "b", None)], 0)])
def test_both_adapters_agree_on_who_is_whom_whatever_happens(tmp_path_factory, make_event, history):
    memory = MemoryStore()
    embedded = EmbeddedStore(tmp_path_factory.mktemp("store") / "s", writer=True).open()
    now = NOW
    try:
        for steps, minutes in history:
            now += minutes * MINUTE
            batch = []
            for kind, customer, said in steps:
                if kind in ("erase", "acquit", "end"):
                    assert_alike(kind, customer, (memory, embedded), now)
                else:
                    batch.append(event_of(make_event, kind, customer, said, now + len(batch)))
            before = [passed_over(store) for store in (memory, embedded)]
            assert memory.events.append(batch, now) == embedded.events.append(batch, now)
            for store, (changes, numbers) in zip((memory, embedded), before, strict=True):
                assert passed_over(store)[0] > changes or passed_over(store)[1] == numbers
        assert memory.events.read(1, 10_000) == embedded.events.read(1, 10_000)
        for number in range(memory.sessions.n_customers()):
            mine, theirs = (store.sessions.state_of_number(number) for store in (memory, embedded))
            assert (mine is None and theirs is None) or mine.tolist() == theirs.tolist()
        for ask in ("names", "ids", "consent", "known_as"):
            for customer in "abcd":
                assert getattr(memory.customers, ask)(customer) == getattr(embedded.customers, ask)(customer)
        for ask in ("joined", "robots", "changes", "passed_over"):
            np.testing.assert_array_equal(getattr(memory.customers, ask)(), getattr(embedded.customers, ask)())
        assert_each_number_has_one_place(embedded)
    finally:
        embedded.close()


def assert_alike(kind, customer, stores, now):
    """Do what is no event, and compare what both answer."""
    if kind == "erase":
        mine, theirs = (store.erasures.erase(customer, now) for store in stores)
        assert (mine and replace(mine, digest="")) == (theirs and replace(theirs, digest=""))
    elif kind == "acquit":
        mine, theirs = (store.customers.acquit(customer) for store in stores)
        assert mine == theirs
    else:
        mine, theirs = (store.customers.end_visits(now, 5) for store in stores)
        assert mine == theirs


def passed_over(store):
    return store.customers.changes(), store.customers.passed_over().tolist()


def assert_each_number_has_one_place(store):
    """Nobody owns an owner, and no state is left with a number whose history is another's."""
    joined = dict(store.customers.joined().tolist())
    assert not set(joined) & set(joined.values())
    assert all(store.sessions.state_of_number(number) is None for number in joined)
