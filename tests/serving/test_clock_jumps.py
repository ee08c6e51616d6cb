"""The machine's clock jumps under a running service: every event is there once, and the next answer knows it."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from tests.conftest import NOW
from tests.serving.conftest import running, until

from active_customers.core.clock import DAY, HOUR, MINUTE, ManualClock, SystemClock, day_of, format_time
from active_customers.storage.archive import Archive


class Shop:
    """Posts to a service in this process, whose machine's clock stands still until it is set."""

    def __init__(self, services, machine: ManualClock) -> None:
        self._hot = services.hot
        self.machine = machine
        self.accepted = 0

    async def post(self, body: dict[str, object]) -> str:
        """Return what became of an event."""
        reply = await self._hot.events({"headers": ()}, _receive(orjson.dumps(body)))
        status = orjson.loads(reply.body).get("status", reply.status)
        self.accepted += status == "accepted"
        return status

    async def view(self, product: str, **fields: object) -> str:
        return await self.post({"customer_id": "ada", "event_type": "view", "product_id": product, **fields})

    async def reason(self, product: str) -> str:
        """Return why a product would be shown to ada now."""
        query = b"customer_id=ada&n=100"
        reply = await self._hot.recommendations({"headers": (), "query_string": query}, None)
        rows = orjson.loads(reply.body)["recommendations"]
        return next(row["reason"] for row in rows if row["product_id"] == product)


def _receive(body: bytes):
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    return receive


@pytest.mark.parametrize("jumps", [(-3 * HOUR,), (5 * DAY, -5 * DAY), (6 * DAY, -6 * DAY, HOUR), (-10 * DAY, 10 * DAY)])
def test_the_click_before_is_known_and_retries_are_recognised_whatever_the_clock_does(trained, jumps):
    """An event without a time of its own comes after those before it; an `event_id` is known on either side of a jump;
    all events are in the archive once."""
    machine = ManualClock(NOW)

    async def run() -> int:
        async with running(trained, SystemClock(lambda: machine.now() * 1000)) as services:
            shop = Shop(services, machine)
            before = services.store.events.next_position()
            assert await shop.view("p0", event_id="first") == "accepted"
            for number, jump in enumerate(jumps):
                machine.advance(jump)
                assert await shop.view("p1", event_id=f"before-{number}") == "accepted"
                machine.advance(MINUTE)
                assert await shop.view("p2", event_id=f"after-{number}") == "accepted"
                assert (await shop.reason("p0")).endswith("p2")
                for known in ("first", "before-0", "after-0"):
                    assert await shop.view("p0", event_id=known) == "duplicate"
            await until(lambda: Archive(trained.archive).end() == before + shop.accepted)
            return shop.accepted

    accepted = asyncio.run(run())
    positions = Archive(trained.archive).columns(["position"])["position"].tolist()
    assert accepted == 1 + 2 * len(jumps)
    assert len(set(positions)) == len(positions) == 18 + accepted


def test_a_machine_set_back_swallows_no_views_and_ends_sessions_still(trained):
    """Equal bodies without an id are retries for 10 minutes only, as time goes on at half the pace."""
    machine = ManualClock(NOW)

    async def run() -> None:
        async with running(trained, SystemClock(lambda: machine.now() * 1000), poll_seconds=60) as services:
            shop = Shop(services, machine)
            assert await shop.view("p0") == "accepted"
            machine.advance(-5 * HOUR)
            assert await shop.view("p0") == "duplicate"
            machine.advance(61 * MINUTE)
            assert await shop.view("p0") == "accepted"
            first, second = services.store.events.read(services.store.events.next_position() - 2, 2)
            assert first.session != second.session

    asyncio.run(run())


def test_events_are_checked_against_the_time_that_is_told(trained):
    """What the shop dates itself is refused over 5 minutes ahead of it, by a message that names that time."""
    machine = ManualClock(NOW)

    async def run() -> None:
        async with running(trained, SystemClock(lambda: machine.now() * 1000)) as services:
            shop = Shop(services, machine)
            assert await shop.view("p0", timestamp=format_time(NOW + 5 * MINUTE)) == "accepted"
            assert await shop.view("p0", timestamp=format_time(NOW + 6 * MINUTE)) == 400
            machine.advance(DAY)
            assert await shop.view("p0", timestamp=format_time(NOW + DAY)) == "accepted"
            machine.advance(-DAY)
            assert await shop.view("p0", timestamp=format_time(NOW + HOUR)) == "accepted"
            days = [day_of(NOW), day_of(NOW + DAY)]
            await until(lambda: sorted({part.day for part in Archive(trained.archive).parts()}) == days)

    asyncio.run(run())
