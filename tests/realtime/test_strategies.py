"""Strategies in answers: each does what it says, is named in the answer, and leaves all other answers as they are."""

from __future__ import annotations

import numpy as np
import pytest
from tests.realtime.conftest import GARDEN, KITCHEN, SIGNER, Shop, two_worlds
from tests.realtime.test_live_reader import log_of
from tests.realtime.test_rules import rule, stocked

from active_customers.core.clock import DAY, MINUTE, format_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import REASON_MASK, ReasonCode
from active_customers.core.session import empty_state
from active_customers.experiments.changes import Known, saved
from active_customers.experiments.experiment_schema import ExperimentIn
from active_customers.experiments.strategies import RankingWish
from active_customers.experiments.strategy_schema import StrategyIn
from active_customers.kernels.retrieval import Asked
from active_customers.realtime.access import AccessConfig
from active_customers.realtime.live_index import LiveIndex
from active_customers.realtime.live_reader import LiveReader
from active_customers.realtime.session_recommender import SessionRecommender


def strategies(shop: Shop, **wishes: dict[str, object]) -> None:
    """Store strategies as the API does, and let the service take them up."""
    records = {name: StrategyIn.read({"name": name, **fields}).record() for name, fields in wishes.items()}
    shop.store.records["strategies"].change(records)
    take_up(shop)


def experiment(shop: Shop, name: str, **fields: object) -> None:
    records = {kind: shop.store.records[kind].all() for kind in ("strategies", "experiments")}
    sent = ExperimentIn.read({"name": name, **fields})
    record = saved(sent, Known(records["strategies"], records["experiments"]), shop.clock.now())
    shop.store.records["experiments"].change({name: record})
    take_up(shop)


def take_up(shop: Shop) -> None:
    shop.engine.follow_trials()
    shop.engine.rules.follow()


def all_to(strategy: str) -> dict[str, object]:
    return {"control": {"weight": 1e-6}, "all": {"weight": 100 - 1e-6, "strategy": strategy}}


@pytest.fixture
def shop() -> Shop:
    shop = stocked()
    shop.act("anna", "view", "k0")
    shop.act("anna", "view", "k1")
    return shop


def reasons(answer: dict) -> set[str]:
    return {row["reason_code"] for row in answer["recommendations"]}


def products(answer: dict) -> list[object]:
    return [row["product_id"] for row in answer["recommendations"]]


def test_an_answer_says_by_which_strategy_it_was_made_and_the_others_are_as_they_were(shop):
    before = shop.ask("anna", n=5)
    strategies(shop, popular={"sources": []})
    assert shop.ask("anna", n=5, strategy="popular")["metadata"]["strategy"] == "popular"
    after = shop.ask("anna", n=5)
    assert products(after) == products(before)
    assert "strategy" not in after["metadata"]


def test_without_sources_what_is_popular_is_shown_and_nothing_is_missing(shop):
    strategies(shop, popular={"sources": []})
    answer = shop.ask("anna", n=4, strategy="popular")
    assert reasons(answer) <= {"popular", "trending", "seen"}
    assert answer["metadata"]["degraded"] == []


@pytest.mark.parametrize(
    ("sources", "allowed"),
    [
        (["sessions"], {"session", "revisit"}),
        (["beside"], {"viewed_together", "revisit"}),
        (["after"], {"viewed_together", "revisit"}),
        (["linear"], {"related", "revisit"}),
    ],
)
def test_only_the_sources_that_are_named_propose(shop, sources, allowed):
    strategies(shop, some={"sources": sources, "ranker": "guess"})
    found = shop.ask("anna", n=3, strategy="some")
    assert reasons(found) <= allowed
    assert reasons(found) - {"revisit"}
    assert set(products(found)) <= set(KITCHEN)


def test_without_the_live_index_what_happened_since_is_not_known(tmp_path):
    index, live = LiveIndex(tmp_path).open(), LiveReader(tmp_path)
    recommender = SessionRecommender(live=live)
    index.learn(log_of([(session, product, 1_000_000 * session) for session in (1, 2, 3) for product in (4, 7)]))
    recommender.refresh()
    state, asked = empty_state(), Asked(5, DAY, NO_NUMBER, False, False, 0, False, numbers(4), numbers(), numbers())
    state.flags.writeable = False
    found = {}
    for live_too in (True, False):
        rows, size = recommender.by(RankingWish(live=live_too)).retrieve(state, asked)
        found[live_too] = dict(
            zip(rows.products[:size].tolist(), (rows.reasons[:size] & REASON_MASK).tolist(), strict=True)
        )
    assert found[True][7] == ReasonCode.SESSION
    assert ReasonCode.SESSION not in found[False].values()


def numbers(*products: int) -> np.ndarray:
    return np.array(products, np.uint32)


def test_a_strategy_may_leave_a_rule_out_and_want_another_page(shop):
    rule(shop, "no-garden", "exclude", filter="brand = Oak")
    strategies(shop, open={"without_rules": ["no-garden"]}, varied={"max_per_brand": 1})
    assert set(products(shop.ask("anna", n=50))).isdisjoint(GARDEN)
    assert set(products(shop.ask("anna", n=50, strategy="open"))) & set(GARDEN)
    varied = products(shop.ask("anna", n=2, strategy="varied"))
    assert len(set(varied) & set(KITCHEN)) == 1
    assert set(varied).isdisjoint(GARDEN)


def test_the_account_of_an_answer_is_that_of_its_strategy(shop):
    strategies(shop, together={"sources": ["beside"], "ranker": "guess"})
    account = shop.explain("anna", "k4", strategy="together")
    numbers = {source.source: source.numbers for source in account.sources}
    assert numbers["beside"]["sum"] > 0
    assert numbers["near_sessions"]["votes"] == 0
    assert shop.explain("anna", "k4").sources[0].numbers["votes"] > 0


def test_an_unknown_strategy_is_refused_and_the_known_ones_are_named(shop):
    strategies(shop, popular={"sources": []})
    reply = shop.reply_to_get("customer_id=anna&strategy=populr")
    assert reply.status == 400
    assert b"known are default, popular" in reply.body


def test_naming_a_strategy_takes_a_server_key():
    shop = two_worlds()
    guarded = Shop(AccessConfig(public_keys=("public-key-0123456789",), server_keys=("server-key-0123456789",)))
    strategies(guarded, popular={"sources": []})
    for key, status in ((b"public-key-0123456789", 403), (b"server-key-0123456789", 200)):
        reply = guarded.reply_to_get("customer_id=anna&strategy=popular", ((b"x-api-key", key),))
        assert reply.status == status, reply.body
    assert shop.reply_to_get("customer_id=anna&strategy=default").status == 200


def test_an_experiment_answers_by_the_customers_variant_and_the_token_says_which(shop):
    strategies(shop, popular={"sources": []})
    experiment(shop, "test", control="control", variants=all_to("popular"), contexts=["home"])
    answer = shop.ask("anna", n=3)
    assert answer["metadata"]["strategy"] == "popular"
    assert answer["metadata"]["experiments"] == {"test": "all"}
    shown = SIGNER.verify(answer["metadata"]["recommendation_id"])
    assert shown.variants == (9,)
    assert "experiments" not in shop.ask("anna", n=3, context="browse")["metadata"]


def test_an_experiment_begins_and_ends_by_the_clock(shop):
    strategies(shop, popular={"sources": []})
    now = shop.clock.now()
    experiment(
        shop, "test", variants=all_to("popular"), starts=format_time(now + MINUTE), ends=format_time(now + 2 * MINUTE)
    )
    told = []
    for _ in range(3):
        take_up(shop)
        told.append("experiments" in shop.ask("anna")["metadata"])
        shop.clock.advance(MINUTE)
    assert told == [False, True, False]


def test_a_visitor_who_logs_in_keeps_the_variant(shop):
    strategies(shop, popular={"sources": []})
    halves = {"control": {"weight": 50}, "popular": {"weight": 50, "strategy": "popular"}}
    experiment(shop, "test", variants=halves)
    for number in range(12):
        visitor, account = f"cookie-{number}", f"account-{number}"
        shop.act(visitor, "view", "k0")
        before = shop.ask(visitor)["metadata"]["experiments"]
        shop.act(account, "login", other_customer_id=visitor)
        assert shop.ask(visitor)["metadata"]["experiments"] == before
        assert shop.ask(account)["metadata"]["experiments"] == before


def test_a_record_that_this_version_cannot_read_is_left_out_and_the_others_count(shop, caplog):
    strategies(shop, popular={"sources": []})
    shop.store.records["strategies"].change({"odd": {"name": "odd", "sources": ["stars"]}})
    shop.store.records["experiments"].change({"odd": {"name": "odd"}})
    take_up(shop)
    assert shop.ask("anna", strategy="popular")["metadata"]["strategy"] == "popular"
    assert "strategy odd does not count" in caplog.text
    assert "experiment odd does not run" in caplog.text
    with pytest.raises(InvalidValueError):
        StrategyIn.read({"name": "odd", "sources": ["stars"]})
