"""Small histories whose answers are known by construction."""

from dataclasses import replace

import numpy as np
import pytest

from active_customers.core.clock import HOUR
from active_customers.core.event import EventType
from active_customers.core.session import SessionQuery
from active_customers.models.base import SessionLog
from active_customers.models.product_features import About, features_of


def log_of(sessions, n_products, kinds=None, spacing=HOUR):
    """Return the log of lists of product numbers; session `i` starts at `i * spacing`, its acts a second apart."""
    rows = [
        (number, product, number * spacing + place * 1_000_000)
        for number, session in enumerate(sessions)
        for place, product in enumerate(session)
    ]
    session, product, time = np.array(rows, np.int64).reshape(-1, 3).T
    flat = [kind for session_kinds in kinds for kind in session_kinds] if kinds else [EventType.VIEW] * len(rows)
    return SessionLog.from_rows(
        {
            "session": session,
            "product": product,
            "event_type": np.array(flat, np.uint8),
            "time": time,
            "customer": session,
        },
        n_products,
        as_of=10**18,
    )


@pytest.fixture
def make_log():
    return log_of


@pytest.fixture
def ask():
    def query(*products):
        n = len(products)
        return SessionQuery(np.array(products, np.uint32), np.ones(n, np.uint8), np.zeros(n, np.int64), now=0)

    return query


def three_blocks():
    """Return sixty sessions over three blocks of ten products that never meet: 0-9, 10-19, 20-29."""
    rng = np.random.default_rng(5)
    return log_of([10 * (i % 3) + rng.permutation(10)[:6] for i in range(60)], 30)


@pytest.fixture
def blocks():
    return three_blocks()


def described(blocks):
    """Return blocks of products of which each is a brand."""
    said = [(p, [(About.BRAND, str(p // 10)), (About.NAME, str(p % 7))]) for p in range(30)]
    return replace(blocks, features=features_of(said, 30))


@pytest.fixture
def described_blocks(blocks):
    return described(blocks)
