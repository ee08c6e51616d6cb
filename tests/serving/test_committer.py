"""Group commit: who shares a commit, who is turned away, who is told what."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.conftest import NOW
from tests.serving.slow_log import SlowLog

from active_customers.core.clock import ManualClock
from active_customers.core.errors import DiskFullError, OverloadedError, StorageError
from active_customers.core.event import EventType
from active_customers.realtime.schemas import MAX_BATCH
from active_customers.serving.backlog import CommitterConfig
from active_customers.serving.committer import Committer


@pytest.fixture
def slow():
    return SlowLog()


@pytest.fixture
def commit(slow):
    """Makes a started committer over the slow log; all are stopped in the end."""
    made = []

    def make(**config):
        committer = Committer(slow, ManualClock(NOW), CommitterConfig(**config))
        committer.start()
        made.append(committer)
        return committer

    yield make
    for committer in made:
        for _ in range(100):
            slow.may_end.release()
        committer.stop()


@pytest.fixture
def some(make_event):
    return lambda count=1: [make_event("a", EventType.VIEW, "p") for _ in range(count)]


async def waiting(committer, *batches):
    """Return the tasks of appends that have all reached the queue."""
    tasks = [asyncio.create_task(committer.append(batch)) for batch in batches]
    await asyncio.sleep(0)
    return tasks


async def began(slow):
    assert await asyncio.to_thread(slow.began.acquire, timeout=30)


async def shared(committer, slow, some):
    [first] = await waiting(committer, some())
    await began(slow)
    others = await waiting(committer, some(2), some(3), some(1))
    slow.may_end.release(2)
    return [[receipt.position for receipt in await task] for task in (first, *others)]


def test_what_arrives_during_a_commit_shares_the_next_one(commit, slow, some):
    assert asyncio.run(shared(commit(), slow, some)) == [[1], [2, 3], [4, 5, 6], [7]]
    assert slow.sizes == [1, 6]


def test_a_commit_is_bounded_and_order_is_kept(commit, slow, some):
    async def run(committer):
        [first] = await waiting(committer, some())
        await began(slow)
        others = await waiting(committer, some(3), some(3), some(10), some(1))
        slow.may_end.release(10)
        return [[receipt.position for receipt in await task] for task in (first, *others)]

    positions = asyncio.run(run(commit(max_commit_events=6)))
    assert [position for receipts in positions for position in receipts] == list(range(1, 19))
    assert slow.sizes == [1, 6, 10, 1]


def test_beyond_the_queue_posts_are_turned_away_until_there_is_room(commit, slow, some):
    async def run(committer):
        [first] = await waiting(committer, some())
        await began(slow)
        [queued] = await waiting(committer, some(MAX_BATCH))
        with pytest.raises(OverloadedError) as refused:
            await committer.append(some())
        assert refused.value.retry_after >= 1
        slow.may_end.release(2)
        await asyncio.gather(first, queued)
        slow.may_end.release()
        return await committer.append(some())

    receipts = asyncio.run(run(commit(max_queued_events=MAX_BATCH)))
    assert receipts[0].position == MAX_BATCH + 2


@pytest.mark.parametrize(
    ("failure", "told"), [(DiskFullError("full"), DiskFullError), (ValueError("odd"), StorageError)]
)
def test_a_failed_commit_is_told_to_those_in_it_and_to_nobody_else(commit, slow, some, failure, told):
    async def run(committer):
        [first] = await waiting(committer, some())
        await began(slow)
        others = await waiting(committer, some(), some(2))
        slow.may_end.release()
        await began(slow)
        slow.failure = failure
        [last] = await waiting(committer, some())
        slow.may_end.release(2)
        return await asyncio.gather(first, *others, last, return_exceptions=True)

    first, second, third, last = asyncio.run(run(commit()))
    assert first[0].position == 1
    assert isinstance(second, told)
    assert isinstance(third, told)
    assert last[0].position == 2


def test_stopping_commits_what_is_queued_and_takes_no_more(commit, slow, some):
    async def run(committer):
        [first] = await waiting(committer, some())
        await began(slow)
        [queued] = await waiting(committer, some(2))
        stopping = asyncio.create_task(asyncio.to_thread(committer.stop))
        while not committer._stopping:
            await asyncio.sleep(0.001)
        with pytest.raises(OverloadedError):
            await committer.append(some())
        slow.may_end.release(2)
        await stopping
        return [*await first, *await queued]

    committer = commit()
    assert [receipt.position for receipt in asyncio.run(run(committer))] == [1, 2, 3]
    assert not committer.is_running


def test_a_request_that_was_given_up_disturbs_nobody(commit, slow, some):
    async def run(committer):
        [first] = await waiting(committer, some())
        await began(slow)
        gone, stays = await waiting(committer, some(), some())
        gone.cancel()
        slow.may_end.release(2)
        await first
        return await stays

    assert asyncio.run(run(commit()))[0].position == 3


def test_receipts_reach_every_event_loop_that_waits(commit, slow, some):
    committer, found = commit(), []

    def one_loop() -> None:
        found.append(asyncio.run(committer.append(some()))[0].position)

    slow.may_end.release(100)
    threads = [threading.Thread(target=one_loop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 9))


def test_large_events_fill_the_queue_sooner(commit, slow, some, make_event):
    large = [make_event("a", EventType.VIEW, "p", details={"query": "x" * 1_000_000})]

    async def run(committer):
        [first] = await waiting(committer, some())
        await began(slow)
        [queued] = await waiting(committer, large)
        with pytest.raises(OverloadedError):
            await committer.append(large)
        slow.may_end.release(2)
        await asyncio.gather(first, queued)
        slow.may_end.release()
        return await committer.append(large)

    assert asyncio.run(run(commit(max_queued_mb=2)))[0].is_duplicate


def test_posts_of_a_short_while_share_a_commit(commit, slow, some):
    async def run(committer):
        slow.may_end.release(100)
        await committer.append(some())
        await asyncio.gather(*await waiting(committer, *[some() for _ in range(5)]))

    asyncio.run(run(commit(commit_every_ms=100)))
    assert slow.sizes == [1, 5]
