"""Replies leave whole, in order and together; nothing that is written is lost."""

from __future__ import annotations

import asyncio

import pytest

from active_customers.serving.http_protocol import MOST_BYTES, MOST_HELD, Departures, JoinedWrites


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data):
        assert not self.closed
        self.written.append(bytes(data))

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = True

    def is_closing(self):
        return self.closed


def written(*steps):
    """Return what arrives of writes; a step of None is a turn of the loop."""

    async def run():
        wire = Wire()
        joined = JoinedWrites(wire, Departures())
        for step in steps:
            if step is None:
                await asyncio.sleep(0)
            else:
                joined.write(step)
        joined.close()
        await asyncio.sleep(0)
        assert wire.closed
        assert joined.is_closing()
        return wire.written

    return asyncio.run(run())


def test_what_is_written_in_one_turn_leaves_whole():
    assert written(b"head", b"body", b"next", None, b"later") == [b"headbodynext", b"later"]


def test_closing_sends_what_is_held():
    assert written(b"HTTP/1.1 204 No Content\r\n\r\n") == [b"HTTP/1.1 204 No Content\r\n\r\n"]


@pytest.mark.parametrize("head", [b"", b"head"])
def test_a_large_body_is_not_held(head):
    body = b"x" * (MOST_BYTES + 1)

    async def run():
        wire = Wire()
        joined = JoinedWrites(wire, Departures())
        joined.write(head)
        joined.write(body)
        assert wire.written == [head + body]
        joined.write(b"more")
        await asyncio.sleep(0)
        assert wire.written == [head + body, b"more"]

    asyncio.run(run())


def test_writes_of_many_types_are_copied():
    data = bytearray(b"abc")

    async def run():
        wire = Wire()
        joined = JoinedWrites(wire, Departures())
        joined.write(memoryview(data))
        data[0] = 0
        await asyncio.sleep(0)
        assert wire.written == [b"abc"]

    asyncio.run(run())


def test_the_connections_of_a_turn_leave_at_its_end_and_at_the_latest_when_there_are_many():
    async def run():
        departures = Departures()
        wires = [Wire() for _ in range(MOST_HELD + 3)]
        connections = [JoinedWrites(wire, departures) for wire in wires]
        for number, connection in enumerate(connections):
            connection.write(b"%d" % number)
            assert all(not wire.written for wire in wires) == (number < MOST_HELD - 1)
        await asyncio.sleep(0)
        assert [wire.written for wire in wires] == [[b"%d" % number] for number in range(len(wires))]

    asyncio.run(run())


def test_nothing_is_written_to_a_peer_that_is_gone():
    async def run():
        departures = Departures()
        gone, here = Wire(), Wire()
        for wire in (gone, here):
            JoinedWrites(wire, departures).write(b"reply")
        gone.abort()
        await asyncio.sleep(0)
        assert gone.written == []
        assert here.written == [b"reply"]

    asyncio.run(run())
