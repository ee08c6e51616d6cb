"""Workers append through the committer's process: together, in order, and told the truth when it fails or is away."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import NOW
from tests.serving.slow_log import SlowLog

from active_customers.core.clock import ManualClock
from active_customers.core.errors import DiskFullError, OverloadedError, StorageError
from active_customers.core.event import Channel, Context, Event, EventType, Receipt
from active_customers.realtime.schemas import MAX_BATCH
from active_customers.serving.append_frames import (
    Incoming,
    frame,
    packed_outcome,
    packed_post,
    packed_posts,
    unpacked_outcome,
    unpacked_posts,
)
from active_customers.serving.append_link import MOST_UNDER_WAY, AppendLink
from active_customers.serving.append_server import AppendServer
from active_customers.serving.backlog import CommitterConfig
from active_customers.storage.memory import MemoryStore


@pytest.fixture
def slow():
    return SlowLog()


@pytest.fixture
def some(make_event):
    return lambda count=1: [make_event("a", EventType.VIEW, "p") for _ in range(count)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "appends.sock"


@asynccontextmanager
async def serving(log, path, config):
    server = AppendServer(path, log, ManualClock(NOW), config)
    server.start()
    try:
        yield server
    finally:
        if isinstance(log, SlowLog):
            log.may_end.release(1000)
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def linked(path, count, config):
    links = [AppendLink(path, config) for _ in range(count)]
    try:
        yield links
    finally:
        for link in links:
            await link.stop()


def scenario(log, path, steps, links=1, **config):
    """Run steps(*links) beside a server; return what they return."""
    settings = CommitterConfig(commit_every_ms=0, **config)

    async def run():
        async with serving(log, path, settings), linked(path, links, settings) as made:
            return await steps(*made)

    return asyncio.run(asyncio.wait_for(run(), 60))


async def under_way(slow, link, events):
    """Return an append whose commit has begun."""
    task = asyncio.create_task(link.append(events))
    assert await asyncio.to_thread(slow.began.acquire, timeout=30)
    return task


async def release_and(slow, appending):
    """Let one commit end, that of an append."""
    slow.may_end.release()
    receipts = await appending
    slow.began.acquire()
    return receipts


def test_what_all_workers_send_during_a_commit_shares_the_next_one(slow, path, some):
    async def steps(first, second):
        one = await under_way(slow, first, some())
        sent = ((second, 2), (first, 3), (first, 1))
        others = [asyncio.create_task(link.append(some(count))) for link, count in sent]
        await asyncio.sleep(0.2)
        slow.may_end.release(100)
        return [[receipt.position for receipt in await task] for task in (one, *others)]

    found = scenario(slow, path, steps, links=2)
    assert found[0] == [1]
    assert sorted(position for positions in found for position in positions) == list(range(1, 8))
    assert all(positions == list(range(positions[0], positions[0] + len(positions))) for positions in found)
    assert slow.sizes[0] == 1
    assert len(slow.sizes) <= 3


def test_a_frame_and_a_commit_hold_no_more_than_they_may(slow, path, some):
    async def steps(link):
        one = await under_way(slow, link, some())
        others = [asyncio.create_task(link.append(some(count))) for count in (3, 3, 10, 1)]
        slow.may_end.release(100)
        return [[receipt.position for receipt in await task] for task in (one, *others)]

    positions = scenario(slow, path, steps, max_commit_events=6)
    assert [position for receipts in positions for position in receipts] == list(range(1, 19))
    assert slow.sizes == [1, 6, 10, 1]


@pytest.mark.parametrize("config", [{"max_queued_events": MAX_BATCH}, {"max_queued_mb": 2}])
def test_beyond_the_queue_posts_are_turned_away_until_there_is_room(slow, path, some, make_event, config):
    async def steps(link):
        one = await under_way(slow, link, some())
        large = [make_event("a", EventType.VIEW, "p", details={"query": "x" * 1800}) for _ in range(MAX_BATCH)]
        queued = asyncio.create_task(link.append(large))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await link.append([make_event("a", EventType.VIEW, "p", details={"query": "x" * 200_000})])
        assert refused.value.retry_after >= 1
        slow.may_end.release(100)
        await asyncio.gather(one, queued)
        return await link.append(some())

    assert scenario(slow, path, steps, **config)[0].position == MAX_BATCH + 2


def test_what_the_committer_turns_away_is_told_to_the_right_one_among_others(slow, path, some):
    async def steps(first, *others):
        for link in others:  # so that they are connected
            await release_and(slow, link.append(some()))
        one = await under_way(slow, first, some())
        before = [asyncio.create_task(link.append(some(1))) for link in others]
        await asyncio.sleep(0.1)
        large = [asyncio.create_task(link.append(some(400))) for link in others]
        await asyncio.sleep(0.1)
        behind = [asyncio.create_task(link.append(some(1))) for link in others]  # each in a frame of its own
        await asyncio.sleep(0.2)
        slow.may_end.release(100)
        await one
        return await asyncio.gather(*large, return_exceptions=True), await asyncio.gather(*before, *behind)

    large, behind = scenario(slow, path, steps, links=4, max_queued_events=MAX_BATCH)
    assert sorted(isinstance(answer, OverloadedError) for answer in large) == [False, False, True]
    stored = [answer for answer in large if not isinstance(answer, OverloadedError)]
    assert [len(answer) for answer in (*stored, *behind)] == [400, 400, *[1] * 6]
    assert sorted(receipt.position for answer in (*stored, *behind) for receipt in answer) == list(range(5, 811))


def silent_committer(path):
    """A committer that takes frames and answers when it is told to."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def frames_in(peer, seconds=0.2):
    """Return how many events each frame that comes within a time holds."""
    incoming, sizes = Incoming(), []
    peer.settimeout(seconds)
    with suppress(TimeoutError):
        while data := peer.recv(1 << 18):
            sizes += [len(unpacked_posts(message)) for message in incoming.messages(data)]
    return sizes


def test_posts_go_to_the_committer_without_waiting_for_the_answer_to_those_before(path, some):
    async def steps(link):
        with silent_committer(path) as listener:
            posts = []
            for _ in range(MOST_UNDER_WAY + 3):
                posts.append(asyncio.create_task(link.append(some())))
                await asyncio.sleep(0.02)
            peer, _ = listener.accept()
            with peer:
                assert await asyncio.to_thread(frames_in, peer) == [1] * MOST_UNDER_WAY
                peer.sendall(frame(packed_outcome([Receipt(7, 1)])))
                assert (await posts[0])[0].position == 7
                assert await asyncio.to_thread(frames_in, peer) == [3]
            assert all(
                isinstance(end, OverloadedError) for end in await asyncio.gather(*posts[1:], return_exceptions=True)
            )

    async def run():
        async with linked(path, 1, CommitterConfig()) as made:
            await steps(*made)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_whatever_happens_there_is_one_connection(path, some):
    """A hang-up between a post and its sending must not lead to two, whose answers would go to the wrong posts."""

    async def run():
        async with linked(path, 1, CommitterConfig()) as (link,):
            with silent_committer(path) as listener:
                first = asyncio.create_task(link.append(some()))
                await asyncio.sleep(0.05)
                peer, _ = listener.accept()
                posts = [asyncio.create_task(link.append(some()))]
                await asyncio.sleep(0)
                link._lose(link._answers)
                posts += [asyncio.create_task(link.append(some())) for _ in range(2)]
                await asyncio.sleep(0.05)
                other, _ = listener.accept()
                peer.sendall(frame(packed_outcome([Receipt(7, 1)])))  # too late: nobody waits for it any more
                assert await asyncio.to_thread(frames_in, other) == [2]
                listener.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listener.accept()
                other.sendall(frame(packed_outcome([Receipt(8, 1), Receipt(9, 1)])))
                assert [(await post)[0].position for post in posts[1:]] == [8, 9]
                for post in (first, posts[0]):
                    with pytest.raises(OverloadedError):
                        await post
                peer.close()
                other.close()

    asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.parametrize(
    ("failure", "told"), [(DiskFullError("full"), DiskFullError), (ValueError("odd"), StorageError)]
)
def test_a_failed_commit_is_told_to_those_in_it_and_the_next_one_works(slow, path, some, failure, told):
    async def steps(link):
        slow.failure = failure
        slow.may_end.release(100)
        with pytest.raises(told):
            await link.append(some())
        return await link.append(some())

    assert scenario(slow, path, steps)[0].position == 1


def test_while_the_committer_is_away_posts_fail_at_once_and_then_the_link_is_made_again(path, some):
    config, log = CommitterConfig(commit_every_ms=0), MemoryStore().events

    async def run():
        async with linked(path, 1, config) as [link]:
            for position in (1, 2):
                with pytest.raises(OverloadedError, match="restarted"):
                    await link.append(some())
                assert not link.is_running
                async with serving(log, path, config):
                    assert await link.append(some()) == [Receipt(position, 1)]
                    assert link.is_running
                await asyncio.sleep(0.05)
            assert not path.exists()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_commit_under_way_is_answered_before_the_server_stops(slow, path, some):
    config = CommitterConfig()

    async def run():
        async with linked(path, 1, config) as [link]:
            async with serving(slow, path, config):
                task = await under_way(slow, link, some(2))
            return await task

    assert [receipt.position for receipt in asyncio.run(asyncio.wait_for(run(), 60))] == [1, 2]


def test_a_link_that_stops_leaves_nobody_waiting(slow, path, some):
    async def steps(link):
        one = await under_way(slow, link, some())
        queued = asyncio.create_task(link.append(some()))
        await asyncio.sleep(0)
        await link.stop()
        return await asyncio.gather(one, queued, return_exceptions=True)

    assert all(isinstance(error, OverloadedError) for error in scenario(slow, path, steps))


@pytest.mark.parametrize(
    "rubbish", [frame(b"{"), frame(b"[[[1]]]"), frame(b"7"), b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n"]
)
def test_rubbish_ends_that_connection_only(path, some, rubbish):
    def provoke():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(rubbish)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(20)
            assert connection.recv(1000) == b""

    async def steps(link):
        await link.append(some())
        await asyncio.to_thread(provoke)
        return await link.append(some())

    assert scenario(MemoryStore().events, path, steps)[0].position == 2


class OddLog:
    """A log whose first receipts cannot be packed."""

    def __init__(self):
        self._log = MemoryStore().events
        self._is_odd = True

    def append(self, events, arrival):
        receipts = self._log.append(events, arrival)
        was_odd, self._is_odd = self._is_odd, False
        return [None] * len(receipts) if was_odd else receipts


def test_a_turn_that_fails_is_told_to_those_in_it_and_the_committer_goes_on(path, some):
    """Whatever it is: nobody waits for ever, and the next post is stored."""
    config = CommitterConfig(commit_every_ms=0)

    async def run():
        async with linked(path, 1, config) as [link], serving(OddLog(), path, config) as server:
            with pytest.raises(OverloadedError):
                await link.append(some())
            receipts = await link.append(some())
            assert server.is_running
        assert not server.is_running
        return receipts

    assert asyncio.run(asyncio.wait_for(run(), 60))[0].position == 2


@contextmanager
def no_free_descriptor():
    """Leave this process none to open anything with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_worker_that_finds_no_free_descriptor_waits_and_is_served_when_there_is_one(path, some, caplog):
    """The committer outlives it, and those that are connected already are served meanwhile."""
    server = AppendServer(path, MemoryStore().events, ManualClock(NOW), CommitterConfig(commit_every_ms=0))
    server.start()
    post = frame(packed_posts([packed_post(some())]))
    with socket.socket(socket.AF_UNIX) as early, socket.socket(socket.AF_UNIX) as late:
        for worker in (early, late):
            worker.settimeout(30)
        early.connect(str(path))
        early.sendall(post)
        assert unpacked_outcome(early.recv(1000)[4:])[0].position == 1
        with no_free_descriptor():
            late.connect(str(path))
            late.sendall(post)
            while "raise the limit of open files" not in caplog.text:
                time.sleep(0.01)
            early.sendall(frame(packed_posts([packed_post(some())])))
            assert unpacked_outcome(early.recv(1000)[4:])[0].position == 2
        assert unpacked_outcome(late.recv(1000)[4:])
        assert server.is_running
    server.stop()


@given(
    st.lists(
        st.builds(
            Event,
            st.text(min_size=1),
            st.sampled_from(EventType),
            st.integers(0, 2**62),
            st.none() | st.text(min_size=1),
            st.integers(1, 10**6),
            st.none() | st.floats(0, 1e9),
            st.none() | st.sampled_from(Context),
            st.none() | st.sampled_from(Channel),
            st.none() | st.text(min_size=1),
            st.dictionaries(st.text(), st.none() | st.text() | st.integers(0, 10)),
            st.binary(min_size=16, max_size=16),
            st.none() | st.integers(0, 2**40),
        ),
        max_size=4,
    ),
    st.integers(1, 50),
)
def test_events_travel_whole_however_their_bytes_are_cut(events, size):
    sent = frame(packed_posts([packed_post(events), packed_post([])])) * 2
    incoming = Incoming()
    messages = [m for at in range(0, len(sent), size) for m in incoming.messages(sent[at : at + size])]
    assert [unpacked_posts(message) for message in messages] == [events, events]
