"""The live index knows one customer by one number, and forgets whom it is to learn nothing from."""

from __future__ import annotations

import pytest
from tests.conftest import NOW
from tests.serving.test_live_feed import Shop

from active_customers.core.event import EventType
from active_customers.realtime.live_index import LiveIndexConfig


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path / "data", LiveIndexConfig())
    yield shop
    shop.close()


@pytest.fixture
def say(shop, make_event):
    """Appends an event with details, after what was posted."""

    def append(customer, kind, product=None, **details):
        shop.store.events.append([make_event(customer, kind, product, NOW, details=details)], NOW)

    return append


def customers(shop) -> list[int]:
    return shop.index.contents().customers.tolist()


@pytest.mark.parametrize("archived", [False, True])
def test_sessions_from_before_a_login_are_the_customers(shop, say, archived):
    shop.post((1, 1, EventType.VIEW, 0), (2, 2, EventType.VIEW, 0))
    shop.follow()
    say("known", EventType.LOGIN, other_customer_id="c1")
    if archived:
        shop.writer.archive_log()
    shop.follow()
    assert sorted(customers(shop)) == [1, 2]
    assert shop.store.sessions.find("known")[0] == 2


def test_an_index_that_is_made_again_knows_it_too(shop, say):
    shop.post((1, 1, EventType.VIEW, 0))
    say("known", EventType.LOGIN, other_customer_id="c1")
    shop.index.start_over()
    shop.follow()
    assert customers(shop) == [1]


def test_an_erased_customer_is_forgotten_with_what_was_joined(shop, say):
    shop.post((1, 1, EventType.VIEW, 0), (2, 2, EventType.VIEW, 0))
    shop.follow()
    say("known", EventType.LOGIN, other_customer_id="c1")
    shop.writer.erase("known")
    shop.follow()
    assert customers(shop) == [1]


def test_who_wants_no_profile_any_more_is_forgotten(shop, say):
    shop.post((1, 1, EventType.VIEW, 0), (2, 2, EventType.VIEW, 0))
    shop.follow()
    say("c1", EventType.CONSENT, consent="none")
    shop.follow()
    assert customers(shop) == [1]
    shop.index.start_over()
    shop.follow()
    assert customers(shop) == [1]


def test_a_robot_is_forgotten_and_learned_from_no_more(shop, say):
    shop.post((1, 1, EventType.VIEW, 0), (2, 2, EventType.VIEW, 0))
    shop.follow()
    say("c1", EventType.VIEW, "p3", metadata={"user_agent": "Googlebot"})
    shop.post((1, 4, EventType.VIEW, 0))
    shop.follow()
    assert customers(shop) == [1]
    shop.writer.archive_log()
    shop.index.start_over()
    shop.follow()
    assert customers(shop) == [1]
    assert shop.store.customers.acquit("c1")
    shop.open_index()
    shop.post((1, 5, EventType.VIEW, 0))
    shop.follow()
    assert sorted(customers(shop)) == [0, 1]
