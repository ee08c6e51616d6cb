"""Answers that may hold certain products only: those of a category, or those that a search found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Standing
from active_customers.core.recommendation import ReasonCode
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.jit import kernel
from active_customers.kernels.state_sections import Numbers
from active_customers.kernels.top_n import Wanted, top_n

_CLOSED, _OPEN = int(Standing.HIDDEN), int(Standing.OPEN)
_SEEN, _CATALOG = int(ReasonCode.SEEN), int(ReasonCode.CATALOG)
_STEP_DOWN = 0.99
_LEAST = 2.0**-40


@kernel
def narrowed(standing: NDArray[np.uint8], members: Numbers, n_products: int) -> NDArray[np.uint8]:
    """Return the standing of `n_products` products, closed but for the members, whose own it is."""
    only = np.full(n_products, _CLOSED, np.uint8)
    for product in members:
        if product < n_products:
            only[product] = standing[product] if product < len(standing) else _OPEN
    return only


@kernel
def add_members(rows: Rows, size: int, members: Numbers, popularity: NDArray[np.float32], wanted: Wanted) -> int:
    """Fill an answer up with members, the popular ones first, then the newest; return the new size.

    `popularity` has a place for each member. Scores fall on from those that are there.
    """
    values = np.empty(len(members))
    for row, product in enumerate(members):
        values[row] = 1.0 + popularity[row] if popularity[row] > 0.0 else (product + 1) * _LEAST
    first = size
    for row in top_n(members, values, Wanted(wanted.n + first, wanted.excluded, wanted.standing)):
        product = members[row]
        if size == wanted.n:
            break
        if np.any(rows.products[:first] == product):
            continue
        rows.products[size] = product
        rows.scores[size] = rows.scores[size - 1] * _STEP_DOWN if size > 0 else 1.0
        rows.reasons[size] = _SEEN if values[row] > 1.0 else _CATALOG
        rows.evidence[size] = NO_NUMBER
        size += 1
    return size
