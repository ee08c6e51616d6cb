"""A reply leaves whole, and whatever else is written leaves in order."""

from __future__ import annotations

import asyncio

from active_customers.serving.http_protocol import JoinedWrites


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

    def is_closing(self):
        return self.closed


def written(*steps):
    """Return what arrives of writes; a step of None is a turn of the loop."""

    async def run():
        wire = Wire()
        joined = JoinedWrites(wire)
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


def test_a_head_goes_with_its_body():
    assert written(b"HTTP/1.1 200 OK\r\n\r\n", b"a", b"HTTP/1.1 202 Accepted\r\n\r\n", b"b") == [
        b"HTTP/1.1 200 OK\r\n\r\na",
        b"HTTP/1.1 202 Accepted\r\n\r\nb",
    ]


def test_a_head_whose_body_comes_later_goes_first():
    assert written(b"HTTP/1.1 200 OK\r\n\r\n", None, None, b"a", b"b") == [b"HTTP/1.1 200 OK\r\n\r\n", b"a", b"b"]


def test_a_body_that_looks_like_a_head_keeps_its_place():
    assert b"".join(written(b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/x", b"HTTP/y", b"HTTP/z")) == (
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/xHTTP/yHTTP/z"
    )


def test_closing_sends_the_head_that_is_held():
    assert written(b"HTTP/1.1 204 No Content\r\n\r\n") == [b"HTTP/1.1 204 No Content\r\n\r\n"]
