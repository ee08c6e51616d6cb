"""The hour of the shop is in the answers, looked up when it changes; where it is is checked."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import NOW
from tests.realtime.conftest import GARDEN, KITCHEN

from active_customers.config.settings import load_settings
from active_customers.core.clock import DAY, HOUR, MINUTE, parse_time
from active_customers.core.errors import SettingsError
from active_customers.core.event import Channel
from active_customers.kernels.retrieval import Ranking
from active_customers.models.patterns import CYCLES, Patterns, PatternsConfig, Place, no_patterns
from active_customers.realtime.context_engine import ContextEngine
from active_customers.realtime.session_recommender import SessionRecommender


def patterns_of(shop, factors, zone="UTC"):
    """Return patterns in which, from 20 to 21 h, some products are wanted more or less."""
    hours = np.ones((shop.store.catalog.n_products(), 24), np.float32)
    for product, factor in factors.items():
        hours[shop.store.catalog.product_number(product), 20] = factor
    nothing = {cycle: np.empty((0, parts), np.float32) for cycle, parts in CYCLES.items()}
    return Patterns({**nothing, "hour": hours}, zone, NOW, PatternsConfig(visit_strength=1))


@pytest.fixture
def timed(shop):
    """A shop whose "k3" is wanted in the evening, and "k4" is not."""
    models = shop.engine.recommender._models._replace(patterns=patterns_of(shop, {"k3": 2.5, "k4": 0.4}))
    shop.engine.recommender = SessionRecommender(models)
    return shop


def at(shop, hour):
    """Turn the clock of a shop to an hour of its day; the service looks at it by itself."""
    shop.clock.advance((hour - 12) * HOUR - shop.clock.now() + NOW)
    shop.engine.recommender.refresh(shop.clock.now())


def test_an_evening_s_products_come_first_in_the_evening_alone(timed):
    timed.act("anna", "view", "k0")
    before = timed.products("anna", n=11)
    at(timed, 20)
    evening = timed.products("anna", n=11)
    at(timed, 21)
    assert timed.products("anna", n=11) == before
    assert evening[0] == "k3"
    assert evening.index("k4") > before.index("k4")
    assert sorted(evening) == sorted(before)


def test_what_is_popular_is_in_the_order_of_the_hour(timed):
    before = timed.products("new", n=11)
    at(timed, 20)
    evening = timed.products("new", n=11)
    assert evening.index("k3") < before.index("k3")
    assert evening.index("k4") > before.index("k4")
    answer = timed.ask("new", n=11)["recommendations"]
    scores = [row["score"] for row in answer]
    assert scores == sorted(scores, reverse=True)


def test_until_somebody_tells_the_time_no_hour_is_any_other(timed):
    before = timed.products("new", n=11)
    timed.clock.advance(8 * HOUR)
    assert timed.products("new", n=11) == before


def test_the_account_says_what_the_hour_did_and_stays_that_of_the_answer(timed):
    timed.act("anna", "view", "k0")
    at(timed, 20)
    rows = [row["product_id"] for row in timed.ask("anna", n=3)["recommendations"]]
    for product in {*KITCHEN, *GARDEN} - {"k0"}:
        account = timed.explain("anna", product, n=3)
        assert (account.rank is None) == (product not in rows)
        assert "moved_out" not in [because.code for because in account.not_shown]
    [applied] = timed.explain("anna", "k3").applied
    assert (applied.kind, applied.name, applied.factor) == ("context", "hour", 2.5)
    assert applied.text == "from 20 to 21 h (UTC) it is wanted 2.50 times as much as usual"


def test_what_is_ranked_by_a_visit_is_weighed_less_than_what_is_popular(timed):
    patterns = patterns_of(timed, {"k3": 2.0})
    engine = ContextEngine(Patterns(patterns.factors, "UTC", NOW))
    engine.turn_to(NOW + 8 * HOUR)
    number = timed.store.catalog.product_number("k3")
    assert engine.weights[number] == pytest.approx(2.0**0.3)
    assert [factor for _, factor in engine.factors(number, (NOW + 8 * HOUR, None), ranked=False)] == [2.0]
    found = engine.weighed(Ranking(np.array([number], np.uint32), np.ones(1, np.float32), np.zeros(1, np.uint8)))
    assert found.scores.tolist() == [2.0]


def test_weights_are_looked_up_once_a_quarter_of_an_hour(timed):
    engine = ContextEngine(patterns_of(timed, {"k3": 2.0}))
    evening = NOW + 8 * HOUR
    assert engine.turn_to(evening)
    weights = engine.weights
    assert not any(engine.turn_to(evening + minute * MINUTE) for minute in range(60))
    assert engine.weights is weights
    assert engine.turn_to(evening + HOUR)


def test_where_nothing_was_learned_nothing_is_weighed():
    engine = ContextEngine(no_patterns())
    ranking = Ranking(np.arange(3, dtype=np.uint32), np.ones(3, np.float32), np.zeros(3, np.uint8))
    assert not engine.turn_to(NOW)
    assert engine.weighed(ranking) is ranking


def test_products_that_are_newer_than_the_patterns_keep_their_scores():
    patterns = no_patterns()
    factors = {**patterns.factors, "hour": np.full((1, 24), 0.5, np.float32)}
    engine = ContextEngine(Patterns(factors, "UTC", NOW))
    engine.turn_to(NOW)
    found = engine.weighed(Ranking(np.arange(2, dtype=np.uint32), np.ones(2, np.float32), np.zeros(2, np.uint8)))
    assert (found.products.tolist(), found.scores.tolist()) == ([1, 0], [1.0, 0.5])


@pytest.mark.parametrize(
    ("zone", "remedy"),
    [("Europe/Berln", "did you mean Europe/Berlin"), ("../etc/passwd", "no such time zone"), ("", "no such time zone")],
)
def test_a_time_zone_that_there_is_not_is_refused(zone, remedy):
    with pytest.raises(SettingsError, match=remedy) as refused:
        load_settings(None, {"ACTIVE_CUSTOMERS_SHOP__TIME_ZONE": zone})
    assert refused.value.field == "shop.time_zone"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "UTC"])
def test_any_time_zone_of_the_world_is_taken(zone):
    assert load_settings(None, {"ACTIVE_CUSTOMERS_SHOP__TIME_ZONE": zone}).settings.shop.time_zone == zone


@pytest.fixture
def mobile(shop):
    """A shop whose "k3" is wanted on mobile, and "k4" is not."""
    factors = np.ones((shop.store.catalog.n_products(), len(Channel)), np.float32)
    for product, factor in (("k3", 2.5), ("k4", 0.4)):
        factors[shop.store.catalog.product_number(product), Channel.MOBILE] = factor
    patterns = Patterns({"channel": factors}, "UTC", NOW, PatternsConfig(visit_strength=1))
    models = shop.engine.recommender._models._replace(patterns=patterns)
    shop.engine.recommender = SessionRecommender(models)
    shop.engine.recommender.refresh(shop.clock.now())
    return shop


@pytest.mark.parametrize("acts", [[], ["k0"]])
def test_the_channel_of_the_request_chooses(mobile, acts):
    for product in acts:
        mobile.act("anna", "view", product)
    web, on_mobile, email = (mobile.products("anna", n=11, channel=word) for word in ("web", "mobile", "email"))
    assert web == email == mobile.products("anna", n=11)
    assert on_mobile.index("k3") < web.index("k3")
    assert on_mobile.index("k4") > web.index("k4")


def test_the_account_tells_the_channel_of_the_request_alone(mobile):
    mobile.act("anna", "view", "k0")
    [applied] = mobile.explain("anna", "k3", channel="mobile").applied
    assert (applied.name, applied.factor) == ("channel", 2.5)
    assert applied.text == "in the channel mobile it is wanted 2.50 times as much as usual"
    assert mobile.explain("anna", "k3").applied == []


def test_the_account_names_the_holiday_that_is_ahead(shop):
    factors = np.ones((shop.store.catalog.n_products(), 2), np.float32)
    factors[shop.store.catalog.product_number("k3"), 1] = 2.0
    name = "Independence Day"
    shop.clock.advance(parse_time("2026-07-01T12:00:00Z") - shop.clock.now())
    before = shop.clock.now() - 100 * DAY
    patterns = Patterns({"holiday": factors}, Place("UTC", "US", (name,)), before, PatternsConfig(visit_strength=1))
    shop.engine.recommender = SessionRecommender(shop.engine.recommender._models._replace(patterns=patterns))
    shop.engine.recommender.refresh(shop.clock.now())
    [applied] = shop.explain("anna", "k3").applied
    assert applied.text == "before Independence Day (US) it is wanted 2.00 times as much as usual"


def test_without_patterns_of_channels_all_channels_share_one_view(timed):
    at(timed, 20)
    assert len({id(timed.engine.recommender.sources_in(channel)) for channel in Channel}) == 1


@pytest.mark.parametrize(
    ("country", "remedy"), [("UK", "did you mean GB"), ("Germany", "did you mean DE"), ("QQ", "ISO")]
)
def test_a_country_that_there_is_not_is_refused(country, remedy):
    with pytest.raises(SettingsError, match=remedy) as refused:
        load_settings(None, {"ACTIVE_CUSTOMERS_SHOP__COUNTRY": country})
    assert refused.value.field == "shop.country"
