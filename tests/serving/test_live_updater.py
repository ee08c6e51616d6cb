"""The writer of the live index in a service: alone, saved, and back after any trouble."""

from __future__ import annotations

import errno
import logging
import os

import pytest
from tests.conftest import NOW
from tests.serving.test_live_feed import TIGHT, Shop, view

from active_customers.core.errors import DiskFullError, StoreLockedError
from active_customers.core.event import Event, EventType
from active_customers.core.session import given_session
from active_customers.realtime.live_index import LiveIndex
from active_customers.serving.live_feed import LiveFeed
from active_customers.serving.live_updater import LiveUpdater


@pytest.fixture
def shop(tmp_path):
    opened = Shop(tmp_path / "data", TIGHT)
    opened.post(view(0, 0), view(1, 1))
    yield opened
    opened.close()


@pytest.fixture
def start(shop):
    """Makes updaters of the shop; those that were not closed are in the end."""
    made = []

    def make() -> tuple[LiveUpdater, LiveIndex]:
        index = LiveIndex(shop.directory.live, shop.config)
        made.append(LiveUpdater(shop.directory.live, index, LiveFeed(shop.store, shop.archive, index)))
        return made[-1], index

    yield make
    for updater in made:
        updater.close()


def copies(shop):
    """Return what the checkpoints hold, by name."""
    return {path.name: path.read_bytes() for path in shop.directory.live.glob("checkpoint-*")}


def test_only_one_updater_writes_at_a_time(start):
    """A second one, as after the death of only the supervisor, waits until the first is gone."""
    first, _ = start()
    second, index = start()
    first.follow()
    with pytest.raises(StoreLockedError, match="in use by another process"):
        second.follow()
    first.close()
    second.follow()
    assert index.n_sessions == 2


def test_what_was_learned_is_there_after_a_clean_stop(shop, start):
    """`close` learns what came last and saves it: the next start reads nothing twice."""
    updater, _ = start()
    updater.follow()
    shop.post(view(2, 2))
    updater.close()
    again = LiveIndex(shop.directory.live, shop.config).open()
    assert (again.watermark, again.n_sessions) == (shop.store.events.next_position(), 3)


def test_an_updater_that_never_ran_leaves_nothing_behind(shop, start):
    """A service that ends before its first look at the log saves no empty index over a full one."""
    updater, _ = start()
    updater.checkpoint()
    updater.close()
    assert copies(shop) == {}


def test_without_news_nothing_is_written_once_both_copies_are_alike(shop, start):
    """A quiet shop does not wear its disk out."""
    updater, _ = start()
    updater.follow()
    updater.checkpoint()
    updater.checkpoint()
    both = copies(shop)
    assert len(both) == 2
    updater.checkpoint()
    assert copies(shop) == both


def test_an_erased_customer_leaves_both_copies_though_nothing_else_happens(shop, start):
    """The last event before a quiet night may be an erasure: it must reach the older copy too."""
    shop.store.events.append([Event("c0", EventType.VIEW, NOW, "p0", session_id="web", dedup_key=bytes(16))], NOW)
    session = given_session(0, "web").to_bytes(8, "little")
    updater, _ = start()
    updater.follow()
    for _ in range(3):
        updater.checkpoint()
    assert all(session in copy for copy in copies(shop).values())
    with shop.store._env.writing() as txn:
        shop.store.events.append_internal(txn, EventType.ERASE, 0, 0)
    updater.follow()
    for _ in range(3):
        updater.checkpoint()
    assert not any(session in copy for copy in copies(shop).values())


def test_an_import_into_a_hole_is_noticed_at_the_next_checkpoint(shop, start, caplog):
    """The index starts over and says why; nothing that is not true is saved."""
    first = shop.store.events.next_position()
    staged = shop.stage([view(3, 3)], 2)
    shop.post(view(2, 2))
    updater, index = start()
    updater.follow()
    updater.checkpoint()
    updater.checkpoint()
    saved = copies(shop)
    shop.writer.adopt(staged)
    updater.checkpoint()
    assert copies(shop) == saved
    assert f"an import brought the positions from {first} to {first}" in caplog.text
    updater.follow()
    assert index.contents().customers.tolist() == [0, 1, 2, 3]
    updater.checkpoint()
    assert LiveIndex(shop.directory.live, shop.config).open().n_sessions == 4


def test_a_full_disk_costs_the_checkpoint_and_not_the_learning(shop, start, monkeypatch, caplog):
    """What cannot be saved is said with the remedy, learning goes on, and later all is saved."""
    updater, index = start()
    updater.follow()
    sync = os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="free some disk space"):
        updater.checkpoint()
    updater.close()
    assert "the live index was not saved" in caplog.text
    monkeypatch.setattr(os, "fsync", sync)
    shop.post(view(2, 2))
    updater.follow()
    updater.checkpoint()
    assert index.n_sessions == 3
    assert LiveIndex(shop.directory.live, shop.config).open().n_sessions == 3


def test_two_damaged_checkpoints_are_named_and_made_again_from_the_log(shop, start, caplog):
    """Nothing that was learned is lost with the checkpoints: they only shorten the way."""
    updater, _ = start()
    updater.follow()
    updater.checkpoint()
    updater.checkpoint()
    updater.close()
    for path in shop.directory.live.glob("checkpoint-*"):
        path.write_bytes(path.read_bytes()[:-3])
    with caplog.at_level(logging.INFO):
        updater, index = start()
        updater.follow()
    assert caplog.text.count("is damaged and not used") >= 2
    assert "it is made again from the log" in caplog.text
    assert "caught up at position 3" in caplog.text
    assert index.n_sessions == 2
