"""Exposures: once per customer and variant, only for what was shown, and what was lost is told."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

import orjson
import pytest
from tests.realtime.conftest import Shop
from tests.realtime.test_rules import stocked
from tests.realtime.test_strategies import all_to, experiment, strategies

from active_customers.core.errors import OverloadedError
from active_customers.core.event import Event, EventType, Receipt
from active_customers.realtime import exposures as exposures_module
from active_customers.realtime.access import Access, AccessConfig
from active_customers.realtime.exposures import Exposures
from active_customers.realtime.placements import Placements


class Committer:
    """Appends to the shop's log, unless it is away."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.is_away = False

    async def append(self, events: list[Event]) -> list[Receipt]:
        await asyncio.sleep(0)
        if self.is_away:
            raise OverloadedError("the committer is being restarted")
        return await self.shop.append(events)


@pytest.fixture
def shop() -> Shop:
    shop = stocked()
    strategies(shop, popular={"sources": []})
    experiment(shop, "test", variants=all_to("popular"), testers={"boss": "control"})
    return shop


@pytest.fixture
def committer(shop) -> Committer:
    committer = Committer(shop)
    shop.engine.trials.exposures = Exposures(committer)
    return committer


def asked(shop: Shop, *customers: str, **parameters: object) -> None:
    """Ask for customers, one after the other, in one loop that goes on until all is written."""

    async def ask() -> None:
        for customer in customers:
            shop.hot.answer([], urlencode({"customer_id": customer, **parameters}).encode())
        await asyncio.sleep(0.02)

    asyncio.run(ask())


def exposures(shop: Shop) -> list[tuple[str, dict[str, object]]]:
    entries = shop.store.events.read(0, 10_000)
    return [
        (entry.event.customer_id, entry.event.details["metadata"])
        for entry in entries
        if entry.event.event_type == EventType.EXPOSURE
    ]


TOLD = {"experiment": "test", "version": 1, "variant": "all"}


def test_a_customer_is_noted_once_however_often_they_are_answered(shop, committer):
    asked(shop, "anna", "anna", "bert")
    asked(shop, "anna")
    assert exposures(shop) == [("anna", TOLD), ("bert", TOLD)]


def test_the_log_recognises_what_another_worker_noted(shop, committer):
    asked(shop, "anna")
    shop.engine.trials.exposures = Exposures(committer)
    asked(shop, "anna")
    assert exposures(shop) == [("anna", TOLD)]


def test_a_new_version_is_noted_anew(shop, committer):
    asked(shop, "anna")
    experiment(shop, "test", variants=all_to("popular"), contexts=["home"])
    asked(shop, "anna")
    assert [told["version"] for _, told in exposures(shop)] == [1, 2]


def test_testers_and_empty_answers_are_not_noted(shop, committer):
    asked(shop, "boss")
    asked(shop, "anna", filter="price > 1000000")
    assert exposures(shop) == []


def test_what_could_not_be_written_waits_for_the_committer(shop, committer, monkeypatch):
    monkeypatch.setattr(exposures_module, "_PAUSE_SECONDS", 0.005)
    committer.is_away = True

    async def ask() -> None:
        for customer in ("anna", "bert"):
            shop.hot.answer([], f"customer_id={customer}".encode())
        await asyncio.sleep(0.02)
        committer.is_away = False
        await asyncio.sleep(0.05)

    asyncio.run(ask())
    assert exposures(shop) == [("anna", TOLD), ("bert", TOLD)]


def test_what_finds_no_room_is_told_by_the_next_that_is_stored_and_noted_with_the_next_answer(
    shop, committer, monkeypatch
):
    monkeypatch.setattr(exposures_module, "_MOST_WAITING", 1)
    asked(shop, "anna", "bert", "cora")  # in one turn of the loop
    assert exposures(shop) == [("anna", {**TOLD, "lost": 2})]
    asked(shop, "bert")
    assert exposures(shop)[-1] == ("bert", TOLD)


def test_an_exposure_is_no_act_and_opens_no_visit(shop, committer):
    shop.act("anna", "view", "k0")
    before = shop.store.sessions.state("anna").tolist()
    shop.clock.advance(3_600_000_000)
    asked(shop, "anna", "stranger")
    assert shop.store.sessions.state("anna").tolist() == before
    assert shop.store.sessions.state("stranger") is None


def test_whole_pages_and_placements_are_noted(shop, committer):
    shop.act("anna", "view", "k0")
    placements = Placements(Access(AccessConfig()), (shop.engine, shop.hot._encoder))

    async def page() -> None:
        body = orjson.dumps({"customer_id": "bert", "placements": {"top": {}}})

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body}

        reply = await placements.answer({"headers": []}, receive)
        assert orjson.loads(reply.body)["placements"]["top"]["metadata"]["experiments"] == {"test": "all"}
        answer = orjson.loads(shop.pages.answer([], b"customer_id=anna").body)
        assert answer["metadata"]["experiments"] == {"test": "all"}
        await asyncio.sleep(0.02)

    asyncio.run(page())
    assert sorted(exposures(shop)) == [("anna", TOLD), ("bert", TOLD)]
