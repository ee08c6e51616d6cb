"""Live suggestions: at once, when something changed, for whoever reads; bounded for whoever does not."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlencode

import orjson
import pytest
from tests.conftest import NOW
from tests.realtime.conftest import Shop

from active_customers.core.event import Event, EventType, LogEntry
from active_customers.core.product import Product
from active_customers.realtime.access import Access, AccessConfig
from active_customers.realtime.stream import TRANSPORT, StreamConfig, Streams

PUBLIC, SERVER = "pub-0123456789abcdef", "srv-0123456789abcdef"
PATIENCE = 10.0


class Line:
    """The transport of a client, as far as a stream needs it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self._client.leave()


class Client:
    """Somebody at the other end of the line: reads as long as `reads` is set, and leaves when told to."""

    def __init__(self, streams: Streams, query: str = "customer_id=ann&n=3", *headers: tuple[bytes, bytes]) -> None:
        self.status = 0
        self.events: list[dict[str, str]] = []
        self.comments = 0
        self.is_over = False
        self.reads = asyncio.Event()
        self.reads.set()
        self._left = asyncio.Event()
        self._is_asked = False
        scope = {"query_string": query.encode(), "headers": list(headers), "extensions": {TRANSPORT: Line(self)}}
        self.task = asyncio.get_running_loop().create_task(streams.serve(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, object]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b""}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, object]) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.body = message["body"].decode()
        for block in self.body.split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            self.comments += block.startswith(":")
            if fields:
                self.events.append(fields)
        if not message.get("more_body", False):
            self.is_over = True
            self.leave()

    def leave(self) -> None:
        self._left.set()
        self.reads.set()

    def lists(self) -> list[list[object]]:
        documents = [orjson.loads(event["data"]) for event in self.events if "data" in event]
        return [[row["product_id"] for row in document["recommendations"]] for document in documents]


async def until(condition, what="it") -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        await asyncio.sleep(0.002)


def streams_of(shop: Shop, access: AccessConfig | None = None, **config) -> Streams:
    answering = (shop.engine, shop.hot._encoder)
    settings = StreamConfig(**{"poll_ms": 1, "heartbeat_seconds": 60} | config)
    return Streams(Access(access or AccessConfig()), answering, shop.store, settings)


async def act(shop: Shop, customer: str, product: str, kind: EventType = EventType.VIEW) -> None:
    key = shop.store.events.next_position().to_bytes(16, "big")
    await shop.append([Event(customer, kind, shop.clock.now(), product, dedup_key=key)])


def run(story) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))


def test_the_present_list_comes_at_once_as_the_body_of_the_route(shop):
    async def story():
        client = Client(streams_of(shop))
        await until(lambda: client.events)
        assert (client.status, client.headers[b"content-type"]) == (200, b"text/event-stream")
        first = client.events[0]
        assert orjson.loads(first["data"]) == orjson.loads(shop.hot.answer((), b"customer_id=ann&n=3").body)
        assert int(first["retry"]) > 0
        assert first["id"]
        client.leave()
        await client.task

    run(story)


def test_a_new_list_comes_when_the_customer_acts_and_only_when_it_is_another(shop):
    async def story():
        client = Client(streams_of(shop))
        await until(lambda: client.events)
        await act(shop, "bob", "g1")  # somebody else
        await act(shop, "ann", "g1")
        await until(lambda: len(client.events) == 2)
        before = client.lists()[-1]
        assert before == [row["product_id"] for row in shop_list(shop)]
        await act(shop, "ann", "g1", EventType.IMPRESSION)  # changes nothing
        await act(shop, "ann", before[0], EventType.HIDE)
        await until(lambda: len(client.events) == 3)
        assert before[0] not in client.lists()[-1]
        assert len({event["id"] for event in client.events}) == 3
        client.leave()
        await client.task

    run(story)


def shop_list(shop):
    return orjson.loads(shop.hot.answer((), b"customer_id=ann&n=3").body)["recommendations"]


def test_who_comes_back_is_sent_only_what_they_do_not_have(shop):
    async def story():
        streams = streams_of(shop)
        client = Client(streams)
        await until(lambda: client.events)
        client.leave()
        await client.task
        last = client.events[-1]["id"].encode()
        same = Client(streams, "customer_id=ann&n=3", (b"last-event-id", last))
        await until(lambda: same.events)
        await act(shop, "ann", "g1")
        await until(lambda: len(same.events) == 2)
        assert [set(event) for event in same.events] == [{"retry"}, {"id", "data"}]
        other = Client(streams, "customer_id=ann&n=3", (b"last-event-id", last))
        await until(other.lists)
        assert other.lists() == same.lists()
        for each in (same, other):
            each.leave()
            await each.task

    run(story)


def test_a_customer_who_was_unknown_is_followed_from_the_first_act_on(shop):
    async def story():
        client = Client(streams_of(shop), "customer_id=stranger&n=3")
        await until(lambda: client.events)
        await act(shop, "stranger", "k2")
        await until(lambda: len(client.events) == 2)
        client.leave()
        await client.task

    run(story)


def test_all_streams_of_a_customer_get_the_list_each_for_its_page(shop):
    async def story():
        streams = streams_of(shop)
        pages = [Client(streams, f"customer_id=ann&n=3&{more}") for more in ("context=home", "product_id=g2")]
        await until(lambda: all(page.events for page in pages))
        await act(shop, "ann", "g1")
        await until(lambda: all(len(page.events) == 2 for page in pages))
        assert "g2" not in pages[1].lists()[-1]
        for page in pages:
            page.leave()
            await page.task
        assert len(streams) == 0

    run(story)


def test_acts_whose_entries_are_gone_from_the_log_are_noticed_all_the_same(shop):
    """An archive that is quicker than the next look takes them away."""

    async def story():
        client = Client(streams_of(shop, poll_ms=50))
        await until(lambda: client.events)
        await act(shop, "ann", "g1")
        shop.store.events.trim(shop.store.events.next_position())
        await until(lambda: len(client.events) == 2)
        client.leave()
        await client.task

    run(story)


def test_an_idle_stream_is_kept_open_by_comments(shop):
    async def story():
        client = Client(streams_of(shop, heartbeat_seconds=0.02))
        await until(lambda: client.comments >= 3)
        assert len(client.events) == 1
        client.leave()
        await client.task

    run(story)


def test_a_product_that_sells_out_leaves_with_the_next_heartbeat(shop):
    async def story():
        client = Client(streams_of(shop, heartbeat_seconds=0.02))
        await until(lambda: client.events)
        gone = client.lists()[0][0]
        shop.sell(Product(str(gone), stock=0))
        await until(lambda: len(client.lists()) == 2)
        assert gone not in client.lists()[1]
        client.leave()
        await client.task

    run(story)


def test_a_client_that_does_not_read_gets_the_newest_list_and_none_of_those_between(shop):
    async def story():
        client = Client(streams_of(shop))
        await until(lambda: client.events)
        client.reads.clear()
        for product in ("g1", "k1", "g2", "k2"):
            await act(shop, "ann", product)
            await asyncio.sleep(0.05)
        client.reads.set()
        await until(lambda: client.lists()[-1] == [row["product_id"] for row in shop_list(shop)])
        assert len(client.lists()) <= 3  # the first, the one that was being written, the newest
        client.leave()
        await client.task

    run(story)


def test_a_client_that_reads_nothing_for_long_is_hung_up_on(shop):
    async def story():
        streams = streams_of(shop, slow_seconds=1)
        client, reader = Client(streams), Client(streams)
        await until(lambda: client.events and reader.events)
        client.reads.clear()
        await act(shop, "ann", "g1")
        await asyncio.wait_for(client.task, PATIENCE)
        assert len(streams) == 1
        await until(lambda: len(reader.events) == 2)
        reader.leave()
        await reader.task

    run(story)


def test_streams_are_bounded_in_number_and_one_more_is_told_when_to_come_back(shop):
    async def story():
        streams = streams_of(shop, most_streams=1)
        first = Client(streams)
        await until(lambda: first.events)
        second = Client(streams)
        await second.task
        problem = orjson.loads(second.body)
        assert (second.status, problem["title"]) == (503, "Overloaded")
        assert int(second.headers[b"retry-after"]) > 0
        first.leave()
        await first.task
        third = Client(streams)
        await until(lambda: third.events)
        third.leave()
        await third.task

    run(story)


def test_at_the_end_of_the_service_streams_end_and_say_when_to_come_back(shop):
    async def story():
        streams = streams_of(shop)
        clients = [Client(streams) for _ in range(3)]
        await until(lambda: all(client.events for client in clients))
        clients[0].reads.clear()
        await act(shop, "ann", "g1")
        await until(lambda: len(clients[1].events) == 2)
        streams.end()
        await asyncio.wait_for(asyncio.gather(*(client.task for client in clients)), PATIENCE)
        assert [client.is_over for client in clients] == [False, True, True]
        assert [set(client.events[-1]) for client in clients[1:]] == [{"retry"}] * 2
        late = Client(streams)
        await late.task
        assert late.status == 503

    run(story)


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"customer_id": "ann", "key": PUBLIC}, 200, ""),
        ({"customer_id": "ann", "key": SERVER}, 403, "addresses end up in logs"),
        ({"customer_id": "ann", "key": "wrong-0123456789abcdef"}, 401, "no valid API key"),
        ({"customer_id": "ann"}, 401, "no valid API key"),
        ({"customer_id": "ann", "key": PUBLIC, "cursor": "start"}, 400, "cursor"),
        ({"customer_id": "ann", "key": PUBLIC, "colour": "red"}, 400, "colour"),
        ({"key": PUBLIC}, 400, "customer_id"),
    ],
)
def test_a_public_key_may_stand_in_the_address_and_no_other(shop, query, status, says):
    access = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,))

    async def story():
        client = Client(streams_of(shop, access), urlencode(query))
        await until(lambda: client.status)
        assert client.status == status
        if status != 200:
            await client.task
            assert says in orjson.loads(client.body)["detail"]
        client.leave()
        await client.task

    run(story)


def test_any_key_may_come_in_a_header(shop):
    access = AccessConfig(server_keys=(SERVER,))

    async def story():
        client = Client(streams_of(shop, access), "customer_id=ann", (b"x-api-key", SERVER.encode()))
        await until(lambda: client.events)
        client.leave()
        await client.task

    run(story)


async def log_in(shop: Shop, customer: str, other: str) -> None:
    key = shop.store.events.next_position().to_bytes(16, "big")
    login = Event(customer, EventType.LOGIN, shop.clock.now(), details={"other_customer_id": other}, dedup_key=key)
    await shop.append([login])


@pytest.mark.parametrize("acting", ["cookie", "12345"])
@pytest.mark.parametrize("when", ["before", "while"])
def test_streams_of_joined_ids_get_the_list_whichever_id_acts(shop, acting, when):
    """Joined before they were opened, and while they are open."""

    async def story():
        await act(shop, "cookie", "k2")
        streams = streams_of(shop)
        if when == "before":
            await log_in(shop, "12345", "cookie")
        clients = [Client(streams, f"customer_id={customer}&n=3") for customer in ("cookie", "12345")]
        await until(lambda: all(client.events for client in clients))
        if when == "while":
            await log_in(shop, "12345", "cookie")
            await until(lambda: clients[1].lists()[-1] == clients[0].lists()[-1])
        before = clients[0].lists()[-1]
        await act(shop, acting, "g1")
        await until(lambda: all(client.lists()[-1] != before for client in clients), "the list of both")
        assert clients[0].lists()[-1] == clients[1].lists()[-1]
        for client in clients:
            client.leave()
            await client.task

    run(story)


class EndlessLog:
    """A log that has a new act of nobody in particular at each look at its end: events that come steadily."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._log = shop.store.events

    def read(self, start: int, limit: int) -> list[LogEntry]:
        return self._log.read(start, limit)

    def next_position(self) -> int:
        at = self._log.next_position()
        key = at.to_bytes(16, "big")
        self._log.append([Event("passer-by", EventType.VIEW, self._shop.clock.now(), "k0", dedup_key=key)], NOW)
        return self._log.next_position()


def test_heartbeats_come_and_streams_end_while_events_never_stop_coming(shop):
    async def story():
        streams = streams_of(shop, heartbeat_seconds=0.02)
        streams._log = EndlessLog(shop)
        client = Client(streams)
        await until(lambda: client.comments >= 3, "a heartbeat")
        streams.end()
        await until(lambda: client.is_over, "the end")
        await client.task

    run(story)


def test_many_streams_of_one_customer_let_others_have_their_turn(shop):
    """Between two turns of another task no more of them are renewed than are seen to at once."""

    async def story():
        streams = streams_of(shop)
        clients = [Client(streams) for _ in range(100)]
        await until(lambda: all(client.events for client in clients))
        asked = shop.engine.recommend
        renewed = 0

        def counted(query):
            nonlocal renewed
            renewed += 1
            return asked(query)

        shop.engine.recommend = counted
        await act(shop, "ann", "g1")
        most, before = 0, 0
        while renewed < 100:
            await asyncio.sleep(0)
            most, before = max(most, renewed - before), renewed
        assert most <= 64
        for client in clients:
            client.leave()
            await client.task

    run(story)


@pytest.mark.parametrize(("lang", "varies"), [("", True), ("&lang=de", False)])
def test_a_stream_says_its_language_and_what_it_depends_on(shop, lang, varies):
    async def story():
        client = Client(streams_of(shop), "customer_id=ann&n=3" + lang, (b"accept-language", b"de"))
        await until(lambda: client.events)
        assert client.headers[b"content-language"] == b"de"
        assert (client.headers.get(b"vary") == b"accept-language") == varies
        client.leave()
        await client.task

    run(story)
