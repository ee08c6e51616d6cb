"""Bandits end to end in one process: answers choose, the log teaches, what is published is chosen by."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import numpy as np
import orjson
import pytest
from tests.realtime.conftest import SIGNER
from tests.realtime.test_exposures import Committer
from tests.realtime.test_rules import stocked
from tests.realtime.test_strategies import experiment, strategies, take_up

from active_customers.core.clock import MINUTE, SECOND
from active_customers.core.event import Event, EventType
from active_customers.experiments.bandit_files import BanditFiles
from active_customers.experiments.request_features import FEATURES
from active_customers.realtime.exposures import Exposures
from active_customers.realtime.trials import Trials
from active_customers.serving.bandit_updater import BanditUpdater

ARMS = {"control": {}, "popular": {"strategy": "popular"}}


class Bandit:
    """A shop with a bandit whose customers click on what one of its arms shows."""

    def __init__(self, folder, **bandit: object) -> None:
        random.seed(11)
        self.shop = stocked()
        self.files = BanditFiles(folder)
        shop = self.shop
        shop.engine.trials = Trials(shop.store, shop.clock, bandits=self.files)
        shop.engine.trials.exposures = Exposures(Committer(shop))
        strategies(shop, popular={"sources": []})
        experiment(shop, "which", variants=ARMS, bandit={"window_minutes": 1, **bandit})
        self.updater = self.new_updater()
        self.updater.follow()
        take_up(shop)

    def new_updater(self) -> BanditUpdater:
        return BanditUpdater(self.shop.store, self.files, SIGNER, self.shop.clock)

    def ask(self, customers: range, clicks_on: str = "") -> Counter[str]:
        """Let customers ask, one each second, and click where they are answered by an arm; return who answered."""
        return asyncio.run(self._ask(customers, clicks_on))

    async def _ask(self, customers: range, clicks_on: str) -> Counter[str]:
        arms: Counter[str] = Counter()
        for number in customers:
            self.shop.clock.advance(SECOND)
            answer = orjson.loads(self.shop.hot.answer([], f"customer_id=c{number}".encode()).body)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            arm = answer["metadata"]["experiments"]["which"]
            arms[arm] += 1
            if arm == clicks_on:
                product, token = answer["recommendations"][0]["product_id"], answer["metadata"]["recommendation_id"]
                await self.shop.append([click(f"c{number}", product, token, self.shop.clock.now())])
        return arms

    def learn(self, updater: BanditUpdater | None = None) -> None:
        self.shop.clock.advance(2 * MINUTE)
        (updater or self.updater).follow()

    def chances(self) -> list[float]:
        running = self.shop.engine.trials._in_force.experiments[0]
        policy = self.files.choosing(running)
        return [round(policy.pull(None, draw).propensity, 6) for draw in (0.0, 0.999_999)]

    def choices(self) -> list[Event]:
        entries = self.shop.store.events.read(0, 100_000)
        return [entry.event for entry in entries if entry.event.event_type == EventType.CHOICE]


def click(customer: str, product: str, token: str, time: int) -> Event:
    details = {"recommendation_id": token}
    key = f"{customer}-{product}-{time}".encode()[-16:].rjust(16)
    return Event(customer, EventType.CLICK, time, product, details=details, dedup_key=key)


@pytest.fixture
def bandit(tmp_path) -> Bandit:
    return Bandit(tmp_path / "bandits")


def test_at_first_every_variant_has_the_same_chance_and_each_choice_is_logged_with_it(bandit):
    arms = bandit.ask(range(60))
    assert min(arms["control"], arms["popular"]) > 10
    choices = bandit.choices()
    assert len(choices) == 60
    assert [choice.details["metadata"]["propensity"] for choice in choices] == pytest.approx([0.5] * 60, abs=0.1)
    assert Counter(choice.details["metadata"]["arm"] for choice in choices) == arms
    shown = SIGNER.verify(choices[0].details["recommendation_id"])
    assert shown is not None
    assert len(shown.variants) == 1


def test_what_is_clicked_is_chosen_more_and_more_and_the_propensity_says_so(bandit):
    bandit.ask(range(120), clicks_on="popular")
    bandit.learn()
    arms = bandit.ask(range(200, 260))
    assert arms["popular"] >= 55
    last = bandit.choices()[-1].details["metadata"]
    assert last["propensity"] > 0.95 or last["arm"] == "control"


def test_clicks_with_a_forged_token_or_on_what_was_not_shown_teach_nothing(bandit):
    asyncio.run(bandit._ask(range(80), clicks_on=""))
    for choice in bandit.choices():
        token = choice.details["recommendation_id"]
        forged = token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB")
        events = [
            click(choice.customer_id, "k0", forged, bandit.shop.clock.now()),
            click("somebody", "k0", token, bandit.shop.clock.now()),
            click(choice.customer_id, "never-shown", token, bandit.shop.clock.now()),
        ]
        bandit.shop.store.events.append(events, bandit.shop.clock.now())
    bandit.learn()
    policy = next(iter(bandit.updater._taught.values())).learner.policy
    assert policy.sums.sum() == 0
    assert policy.counts.sum() == 80


def test_a_restart_goes_on_from_its_checkpoint_and_counts_nothing_twice(bandit):
    bandit.ask(range(60), clicks_on="popular")
    bandit.learn()
    bandit.updater.checkpoint()
    bandit.ask(range(100, 160), clicks_on="popular")
    bandit.learn()
    whole = next(iter(bandit.updater._taught.values())).learner.policy.state.copy()
    again = bandit.new_updater()
    bandit.learn(again)
    np.testing.assert_allclose(next(iter(again._taught.values())).learner.policy.state, whole)


def test_a_damaged_checkpoint_is_left_aside(bandit, tmp_path, caplog):
    bandit.ask(range(30), clicks_on="popular")
    bandit.learn()
    bandit.updater.checkpoint()
    path = next((tmp_path / "bandits").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    again = bandit.new_updater()
    again.follow()
    assert len(again._taught) == 1


def test_linear_policies_are_told_of_the_request(tmp_path):
    bandit = Bandit(tmp_path / "bandits", policy="linear_thompson")
    bandit.ask(range(80), clicks_on="popular")
    bandit.learn()
    features = bandit.choices()[0].details["metadata"]["features"]
    assert len(features) == len(FEATURES)
    assert features[0] == 1.0
    assert bandit.ask(range(200, 260))["popular"] > 45


def test_a_bandit_that_was_stopped_is_taught_no_longer_and_its_state_is_kept(bandit, tmp_path):
    bandit.ask(range(10))
    record = bandit.shop.store.records["experiments"].all()["which"]
    stopped = record | {"ends": "2020-01-01T00:00:00Z", "starts": "2019-01-01T00:00:00Z"}
    bandit.shop.store.records["experiments"].change({"which": stopped})
    bandit.updater.follow()
    take_up(bandit.shop)
    assert bandit.updater._taught == {}
    assert list((tmp_path / "bandits").glob("*.npz"))
    assert "experiments" not in orjson.loads(bandit.shop.hot.answer([], b"customer_id=c1").body)["metadata"]
