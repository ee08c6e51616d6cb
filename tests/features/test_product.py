"""What the acts say of products: equal to a plain twin, shrunken where there is little, blind to what comes later."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from math import log

import numpy as np
import pytest

from active_customers.core.clock import DAY, HOUR, parse_time
from active_customers.core.event import EventType
from active_customers.features.acts import acts_table
from active_customers.features.names import PRODUCT_FACTS
from active_customers.features.product import PARTS, product_facts, product_profile
from active_customers.models.base import SessionLog
from active_customers.models.product_facts import product_facts as facts_of_log

NOON = parse_time("2025-01-15T12:00:00Z")  # a Wednesday
ALWAYS = 10**18


def twin(sessions: SessionLog) -> np.ndarray:
    """Count by NumPy what `product_facts` defines."""
    n, n_sessions = sessions.n_products, sessions.n_sessions
    rank = np.repeat(np.arange(n_sessions), np.diff(sessions.offsets))

    def counted(share):
        return np.bincount(sessions.products[rank >= np.floor(n_sessions * (1 - share) + 0.5)], minlength=n)

    acts, recent, newest = counted(1.0), counted(0.07), counted(0.01)
    first, last = np.full(n, n_sessions), np.zeros(n, np.int64)
    np.minimum.at(first, sessions.products, rank)
    np.maximum.at(last, sessions.products, rank)
    exits = np.bincount(sessions.products[sessions.offsets[1:] - 1], minlength=n)
    columns = (
        np.log1p(acts),
        np.log((recent + 1) / (acts * 0.07 + 1)),
        np.log1p(newest),
        1 - first / n_sessions,
        1 - last / n_sessions,
        exits / np.maximum(acts, 1),
        *returns(sessions, rank),
    )
    return np.stack(columns, axis=1)


def returns(sessions: SessionLog, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return who comes back to each product, and after how many days, customer by customer."""
    visits = defaultdict(dict)
    for row, (session, product) in enumerate(zip(rank.tolist(), sessions.products.tolist(), strict=True)):
        visits[sessions.customers[session], product].setdefault(session, []).append(sessions.times[row])
    pairs, comers, gaps = (np.zeros(sessions.n_products) for _ in range(3))
    days = defaultdict(list)
    for (_, product), by_session in visits.items():
        pairs[product] += 1
        comers[product] += len(by_session) > 1
        for earlier, later in pairwise(by_session.values()):
            days[product].append((later[0] - earlier[-1]) / DAY)
    for product, found in days.items():
        gaps[product] = max(np.mean(found), 0)
    share = comers.sum() / max(pairs.sum(), 1)
    return (comers + 5 * share) / (pairs + 5), np.log1p(gaps)


@pytest.mark.parametrize("seed", range(5))
def test_facts_are_those_of_a_plain_count(seed):
    """With ties in time, sessions that overlap, and products that nobody looked at."""
    rng = np.random.default_rng(seed)
    n = 2_000
    columns = {
        "session": rng.integers(0, 400, n),
        "product": (60 * rng.random(n) ** 2).astype(np.uint32),
        "event_type": rng.choice([EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE], n),
        "time": rng.integers(0, 300, n) * 1_000_000,
        "customer": rng.integers(0, 40, n).astype(np.uint32),
    }
    sessions = SessionLog.from_rows(columns, 70, as_of=ALWAYS)
    np.testing.assert_allclose(facts_of_log(sessions), twin(sessions), rtol=1e-6, atol=1e-12)


def test_a_log_without_acts_has_facts_of_no_acts():
    columns = {name: np.empty(0, np.int64) for name in ("session", "product", "event_type", "time", "customer")}
    facts = facts_of_log(SessionLog.from_rows(columns, 2, as_of=ALWAYS))
    assert facts.tolist() == [[0, 0, 0, 0, 1, 0, 0, 0]] * 2


def test_acts_that_are_not_of_taste_make_no_facts(make_acts, computed):
    shown = make_acts({"event_type": EventType.IMPRESSION}, {"event_type": EventType.REFUND, "product": 1})
    known = computed(product_facts(acts_table(), ALWAYS, 2), shown)
    assert [row["acts"] for row in known] == [0, 0]


def test_rates_of_a_product_with_little_are_near_those_of_the_shop(make_acts, computed):
    """Product 0 is bought once in ten views, of 1000; product 1 was viewed once and bought."""
    often = [{"event_type": kind} for kind in [EventType.VIEW] * 1000 + [EventType.PURCHASE] * 100]
    once = [{"product": 1, "event_type": kind} for kind in (EventType.VIEW, EventType.PURCHASE)]
    rows = computed(product_profile(acts_table(), ALWAYS, 3), make_acts(*often, *once))
    assert [row["conversion"] for row in rows] == pytest.approx([0.1, 0.143, 0.101], abs=0.001)
    assert [row["cart_rate"] for row in rows] == [0, 0, 0]


def test_the_return_rate_counts_pieces(make_acts, computed):
    bought = {"event_type": EventType.PURCHASE, "quantity": 80}
    returned = {"event_type": EventType.REFUND, "quantity": 40}
    kept = {"event_type": EventType.PURCHASE, "quantity": 80, "product": 1}
    rows = computed(product_profile(acts_table(), ALWAYS, 2), make_acts(bought, returned, kept))
    assert [row["return_rate"] for row in rows] == pytest.approx([(40 + 20 / 4) / 100, (0 + 20 / 4) / 100])


def test_the_price_level_is_relative_to_the_median_product(make_acts, computed):
    prices = [{"product": product, "price": price} for product, price in enumerate((5.0, 10.0, 40.0))]
    rows = computed(product_profile(acts_table(), ALWAYS, 4), make_acts(*prices, {"product": 3}))
    assert [row["price_level"] for row in rows] == pytest.approx([log(0.5), 0, log(4), 0])


def test_affinities_tell_when_a_product_is_looked_at(make_acts, computed):
    """Product 0 on Wednesday at noon, 1 on Saturday evening in summer, both as often; 2 by nobody."""
    saturday = parse_time("2025-07-12T20:00:00Z")
    acts = [{"product": product, "time": time} for product, time in ((0, NOON), (1, saturday)) for _ in range(90)]
    first, second, third = computed(product_profile(acts_table(), ALWAYS, 3), make_acts(*acts))
    more, less = pytest.approx(log((180 + 10) / 100)), pytest.approx(log(10 / 100))
    own = {"afternoon": more, "winter": more, "evening": less, "weekend": less, "summer": less}
    assert {part: first[part] for part in PARTS} == dict.fromkeys(PARTS, 0) | own
    assert {part: second[part] for part in own} == {part: less if own[part] == more else more for part in own}
    assert {part: third[part] for part in PARTS} == dict.fromkeys(PARTS, 0)


@pytest.mark.parametrize("define", [product_facts, product_profile])
def test_acts_from_the_time_asked_about_on_change_nothing(define, make_acts, computed):
    before = [{"product": i % 3, "session": i // 2, "time": NOON - HOUR - i * DAY, "price": 5.0 + i} for i in range(9)]
    after = [
        {"product": i % 3, "session": i % 6, "time": NOON + i * DAY, "event_type": kind, "price": 1.0}
        for kind in (EventType.VIEW, EventType.PURCHASE, EventType.REFUND)
        for i in range(9)
    ]
    definition = define(acts_table(), NOON, 3)
    known = computed(definition, make_acts(*before))
    assert computed(definition, make_acts(*before, *after)) == known
    assert computed(define(acts_table(), ALWAYS, 3), make_acts(*before, *after)) != known


def test_facts_have_the_columns_that_models_map(make_acts, computed):
    [row] = computed(product_facts(acts_table(), ALWAYS, 1), make_acts({}))
    assert tuple(row) == ("product", *PRODUCT_FACTS)
