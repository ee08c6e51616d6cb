"""Files made for tests of evaluation."""

from __future__ import annotations

import numpy as np

from active_customers.core.clock import MINUTE
from active_customers.core.event import EventType
from active_customers.evaluation.interactions import Interactions

VIEW, CART, BUY = EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE
START = 1_000 * MINUTE


def events(*rows):
    """Return a file of (customer, session, product, minute[, event type[, order]]), views where no type is named."""
    filled = [(*row, VIEW, "")[: max(len(row), 6)] if len(row) < 5 else (*row, "")[:6] for row in rows]
    customers, sessions, products, minutes, kinds, orders = zip(*filled, strict=True)
    return Interactions(
        sessions=np.array([f"{customer}/{session}" for customer, session in zip(customers, sessions, strict=True)]),
        products=np.array(products),
        event_types=np.array(kinds, np.uint8),
        times=START + np.array(minutes, np.int64) * MINUTE,
        customers=np.array(customers),
        orders=np.array(orders, object),
    )


def asked(task):
    """Return every question of a task as (session, products shown, set of products that are right), in ids."""
    rows = []
    for place in range(len(task.sessions)):
        start = task.test.offsets[task.sessions[place]]
        shown = task.test.products[start : start + task.lengths[place]]
        right = task.targets[task.target_offsets[place] : task.target_offsets[place + 1]]
        rows.append((str(task.session_ids[task.sessions[place]]), named(task, shown), named(task, sorted(right))))
    return rows


def named(task, numbers):
    """Return the ids of product numbers, None for what training has not seen."""
    return [task.product_ids[number].item() if number < len(task.product_ids) else None for number in numbers]
