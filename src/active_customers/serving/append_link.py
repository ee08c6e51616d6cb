"""How a worker appends through the committer's process.

One connection and one frame under way: what is posted meanwhile goes together with the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from active_customers.core import errors
from active_customers.core.errors import ActiveCustomersError, OverloadedError, StorageError
from active_customers.core.event import Channel, Context, Event, EventType, Receipt
from active_customers.serving.committer import CommitterConfig
from active_customers.serving.unix_path import short_path

LENGTH_BYTES = 4


def fields_of(event: Event) -> list[object]:
    """Return an event as JSON can carry it; `event_of` makes it again."""
    return [
        event.customer_id,
        int(event.event_type),
        event.time,
        event.product_id,
        event.quantity,
        event.price,
        None if event.context is None else int(event.context),
        None if event.channel is None else int(event.channel),
        event.session_id,
        event.details,
        event.dedup_key.hex(),
        event.retry_window,
    ]


def event_of(fields: Sequence[Any]) -> Event:
    """Return the event whose fields these are."""
    customer, kind, time, product, quantity, price, context, channel, session, details, key, window = fields
    return Event(
        customer_id=customer,
        event_type=EventType(kind),
        time=time,
        product_id=product,
        quantity=quantity,
        price=price,
        context=None if context is None else Context(context),
        channel=None if channel is None else Channel(channel),
        session_id=session,
        details=details,
        dedup_key=bytes.fromhex(key),
        retry_window=window,
    )


class AppendLink:
    """`Appender` of a worker. While the committer is away, appends fail at once and the link is made again."""

    def __init__(self, path: Path, config: CommitterConfig) -> None:
        self._path = path
        self._config = config
        self._waiting: list[tuple[Sequence[Event], asyncio.Future[list[Receipt]]]] = []
        self._queued = 0
        self._wake = asyncio.Event()
        self._reached = True
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def start(self) -> None:
        """Begin to send, in the background of the running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop sending; what still waits fails."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._fail(self._waiting, OverloadedError("the service is stopping"))
        self._hang_up()

    @property
    def is_running(self) -> bool:
        """Whether the committer could be reached when it was last needed."""
        return self._reached

    async def append(self, events: Sequence[Event]) -> list[Receipt]:
        """Return the receipts of events once they are durable.

        Raises `OverloadedError` when too many wait or the committer is away, `StorageError` when its commit failed. If
        the connection breaks, events may have been stored all the same: a retry is recognised as one.
        """
        if self._queued + len(events) > self._config.max_queued_events:
            raise OverloadedError("the queue of events is full")
        answer: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, answer))
        self._queued += len(events)
        self._wake.set()
        return await answer

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            group, self._waiting, self._queued = self._waiting, [], 0
            try:
                receipts = await self._exchange([fields_of(event) for events, _ in group for event in events])
            except (OSError, asyncio.IncompleteReadError):
                self._hang_up()
                self._reached = False
                self._fail(group, OverloadedError("the committer is being restarted"))
            except ActiveCustomersError as error:
                self._fail(group, error)
            else:
                self._reached = True
                self._settle(group, receipts)

    async def _exchange(self, events: list[list[object]]) -> list[Receipt]:
        if self._stream is None:
            with short_path(self._path) as path:
                self._stream = await asyncio.open_unix_connection(path, limit=1 << 24)
        reader, writer = self._stream
        body = orjson.dumps({"call": "append", "args": events})
        writer.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
        await writer.drain()
        answer = orjson.loads(await reader.readexactly(int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")))
        if "error" in answer:
            raise error_named(*answer["error"])
        return [Receipt(position, session) for position, session in answer["result"]]

    @staticmethod
    def _settle(group: list[tuple[Sequence[Event], asyncio.Future[list[Receipt]]]], receipts: list[Receipt]) -> None:
        start = 0
        for events, answer in group:
            end = start + len(events)
            if not answer.done():
                answer.set_result(receipts[start:end])
            start = end

    @staticmethod
    def _fail(group: list[tuple[Sequence[Event], asyncio.Future[list[Receipt]]]], error: Exception) -> None:
        for _, answer in group:
            if not answer.done():
                answer.set_exception(error)

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None


def error_named(kind: str, message: str) -> ActiveCustomersError:
    """Return the error that another process raised, as far as it is one of storage."""
    found = getattr(errors, kind, StorageError)
    if found is OverloadedError:
        return OverloadedError("the queue of events is full")
    return found(message) if issubclass(found, StorageError) else StorageError(message)
