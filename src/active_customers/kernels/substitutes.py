"""What can stand in for a product: what is nearest to it, and what nobody needs who has it in the cart already."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import State
from active_customers.kernels.candidate_set import CandidateSet, insert, slot_of
from active_customers.kernels.catalog_table import TableColumns
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.jit import kernel
from active_customers.kernels.state_sections import Numbers, read_sections

MOST_OF_A_KIND = 500
"""Products of a category beyond which being in it says too little of what a product is for."""
_MOST_STAND_INS = 10_000
"""Products kept out of one answer because of what is in the cart; bounds its time."""

_OF_ONE_GROUP, _OF_ONE_CATEGORY = 2.0, 0.5
"""What being a variant, and being of the same leaf category, count beside what is viewed together and described alike,
at most 1 each."""
_PRICE_UNKNOWN = 0.5
"""What a price that nobody told counts, between the same (1) and one far away (0)."""


class Kinds(NamedTuple):
    """Products by category and by variant group.

    Those of category number `c` are `in_category[of_category[c]:of_category[c + 1]]`, ascending; likewise by group.
    """

    of_category: NDArray[np.int64]
    in_category: Numbers
    of_group: NDArray[np.int64]
    in_group: Numbers


class Nearness(NamedTuple):
    """When two products of one category serve one need.

    `price` is the least share of the higher price that the lower one is; in `often` baskets and more they go together.
    """

    price: float
    often: int


class Related(NamedTuple):
    """What is viewed together, and what the catalogue describes alike."""

    viewed: Relation
    alike: Relation


@kernel
def price_ratio(table: TableColumns, product: int, other: int) -> float:
    """Return the lower of two prices as a share of the higher; NaN where one is not known. Both are in the table."""
    mine, theirs = table.prices[product], table.prices[other]
    higher = max(mine, theirs)
    if np.isnan(mine) or np.isnan(theirs):
        return np.nan
    return min(mine, theirs) / higher if higher > 0.0 else 1.0


@kernel
def is_known(table: TableColumns, product: int) -> bool:
    """Whether the catalogue has an entry: rows of others say nothing."""
    return product < len(table.standing) and table.standing[product] > 0


@kernel
def stand_ins(table: Any, bought: Relation, cart: Numbers, nearness: Nearness) -> Numbers:
    """Return what would only replace a product of the cart, in any order.

    That are its variants, and products of its leaf category at a near price, unless they are often bought with it.
    What is handed over are `TableColumns` and `Kinds`. No more than `_MOST_STAND_INS` are found.
    """
    columns, kinds = table.content
    found = np.empty(_MOST_STAND_INS, np.uint32)
    size = 0
    for line in cart:
        if not is_known(columns, line):
            continue
        for other in _members(kinds.of_group, kinds.in_group, columns.groups[line]):
            if other != line and size < len(found):
                found[size] = other
                size += 1
        others = _members(kinds.of_category, kinds.in_category, columns.categories[line])
        if len(others) > MOST_OF_A_KIND:
            continue
        for other in others:
            is_near = price_ratio(columns, line, other) >= nearness.price
            if is_near and other != line and size < len(found) and not _often(bought, line, other, nearness.often):
                found[size] = other
                size += 1
    return found[:size].copy()


@kernel
def nearest(table: Any, related: Related, candidates: CandidateSet, product: int, by_price: bool) -> int:
    """Put what is nearest to a product into the empty set; return how many products that are, itself not among them.

    A score is what is viewed together with it, as a share of the strongest, plus the cosine of the descriptions, plus
    0.5 in the same leaf category; `strongest` is the part of it that was viewed. With `by_price` variants of one group
    count 2 more, and the sum is multiplied by `price_ratio`, 0.5 where that is not known; without they are left out.
    """
    columns, kinds = table.content
    count = _add_row(candidates, 0, related.viewed, product, True)
    count = _add_row(candidates, count, related.alike, product, False)
    known = is_known(columns, product)
    if known:
        others = _members(kinds.of_category, kinds.in_category, columns.categories[product])
        if len(others) <= MOST_OF_A_KIND:
            count = _add(candidates, count, others, _OF_ONE_CATEGORY)
        if by_price:
            count = _add(
                candidates, count, _members(kinds.of_group, kinds.in_group, columns.groups[product]), _OF_ONE_GROUP
            )
    group = columns.groups[product] if known else NO_NUMBER
    for slot in range(count):
        other = candidates.products[slot]
        candidates.evidence[slot] = product
        is_variant = group != NO_NUMBER and is_known(columns, other) and columns.groups[other] == group
        if other == product or (is_variant and not by_price):
            candidates.scores[slot] = 0.0
        elif by_price:
            ratio = price_ratio(columns, product, other) if known and is_known(columns, other) else np.nan
            candidates.scores[slot] *= _PRICE_UNKNOWN if np.isnan(ratio) else ratio
    return count


@kernel
def _members(offsets: NDArray[np.int64], members: Numbers, number: int) -> Numbers:
    """Return the products of a category or group; none where it is not known yet, or `NO_NUMBER`."""
    if number == NO_NUMBER or number + 1 >= len(offsets):
        return members[:0]
    return members[offsets[number] : offsets[number + 1]]


@kernel
def _often(bought: Relation, product: int, other: int, often: int) -> bool:
    """Whether two products stand together in many baskets."""
    if product + 1 >= len(bought.offsets):
        return False
    for row in range(bought.offsets[product], bought.offsets[product + 1]):
        if bought.products[row] == other:
            return bool(bought.support[row] >= often)
    return False


@kernel
def _add_row(candidates: CandidateSet, count: int, relation: Relation, product: int, was_viewed: bool) -> int:
    """Add the row of a product to the scores: weights of views as shares of the strongest, cosines as they are."""
    if product + 1 >= len(relation.offsets):
        return count
    first, end = relation.offsets[product], relation.offsets[product + 1]
    for row in range(first, end):
        other = relation.products[row]
        if other >= len(candidates.slots):
            continue
        slot = slot_of(candidates, count, other)
        if slot < 0:
            slot = count
            count = insert(candidates, count, other)
        amount = relation.weights[row] / relation.weights[first] if was_viewed else relation.weights[row]
        candidates.scores[slot] += amount
        candidates.strongest[slot] += amount if was_viewed else 0.0
    return count


@kernel
def _add(candidates: CandidateSet, count: int, products: Numbers, amount: float) -> int:
    for other in products:
        if other >= len(candidates.slots):
            continue
        slot = slot_of(candidates, count, other)
        if slot < 0:
            slot = count
            count = insert(candidates, count, other)
        candidates.scores[slot] += amount
    return count


@kernel
def stand_ins_of(table: Any, bought: Relation, state: State, now: int, nearness: Nearness) -> Numbers:
    """Return the `stand_ins` of the cart in a state."""
    nothing = np.empty(0, np.uint32)
    return stand_ins(table, bought, read_sections(state, nothing, now, False).cart, nearness)
