"""What stands in for a product, held equal to a plain Python twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.catalog.kinds import ProductKinds
from active_customers.catalog.table import NO_TABLE
from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.candidate_set import candidate_set
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.substitutes import MOST_OF_A_KIND, Nearness, Related, nearest, stand_ins
from active_customers.models.kernel_arguments import frozen

N = 8


class Table:
    """A table as a reader has it: rows of (standing, price, category, group)."""

    def __init__(self, rows) -> None:
        standing, prices, categories, groups = zip(*rows, strict=True)
        none = [NO_NUMBER if value is None else value for value in (*categories, *groups)]
        self._columns = NO_TABLE._replace(
            standing=frozen(np.array(standing, np.uint8)),
            prices=frozen(np.array([math.nan if price is None else price for price in prices], float)),
            categories=frozen(np.array(none[: len(rows)], np.uint32)),
            groups=frozen(np.array(none[len(rows) :], np.uint32)),
        )

    def columns(self):
        return self._columns

    def handed(self):
        kinds = ProductKinds(self)
        kinds.follow()
        return kinds.handed()


def relation(rows: dict[int, dict[int, tuple[float, int]]]) -> Relation:
    """Return a relation: to each product others with weight and support."""
    ordered = {p: sorted(rows.get(p, {}).items(), key=lambda row: (-row[1][0], row[0])) for p in range(N)}
    flat = [(other, *said) for p in range(N) for other, said in ordered[p]]
    offsets = np.concatenate(([0], np.cumsum([len(ordered[p]) for p in range(N)]))).astype(np.int64)
    products, weights, support = zip(*flat, strict=True) if flat else ((), (), ())
    columns = (offsets, np.array(products, np.uint32), np.array(weights, np.float32), np.array(support, np.uint32))
    return Relation(*map(frozen, columns))


rows = st.tuples(
    st.sampled_from([0, 1, 1, 2]),
    st.sampled_from([None, 0.0, 10.0, 13.0, 15.0, 100.0]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([None, 0, 1, 2]),
)
tables = st.lists(rows, min_size=N, max_size=N)
related = st.dictionaries(
    st.integers(0, N - 1),
    st.dictionaries(st.integers(0, N - 1), st.tuples(st.sampled_from([0.25, 0.5, 1.0]), st.integers(2, 9)), max_size=4),
    max_size=4,
)


def ratio(table, product, other):
    mine, theirs = table[product][1], table[other][1]
    if mine is None or theirs is None:
        return None
    return min(mine, theirs) / max(mine, theirs) if max(mine, theirs) else 1.0


def is_of(table, product, other, place):
    """Whether both are known and have the same category (2) or group (3)."""
    known = table[product][0] and table[other][0]
    return bool(known and table[product][place] is not None and table[product][place] == table[other][place])


@given(tables, related, st.lists(st.integers(0, N - 1), max_size=4))
def test_stand_ins_are_variants_and_near_products_that_are_not_often_bought_with_the_line(table, bought, cart):
    expected = {
        other
        for line in cart
        for other in range(N)
        if other != line
        and (
            is_of(table, line, other, 3)
            or (
                is_of(table, line, other, 2)
                and (ratio(table, line, other) or 0.0) >= 0.7
                and bought.get(line, {}).get(other, (0, 0))[1] < 5
            )
        )
    }
    found = stand_ins(Table(table).handed(), relation(bought), np.array(cart, np.uint32), Nearness(0.7, 5))
    assert set(found.tolist()) == expected


def need(about, product, other, by_price):
    """Return how near a product is, as documented, and whether views say so."""
    table, viewed, alike = about
    row = viewed.get(product, {})
    looked = row[other][0] / max(weight for weight, _ in row.values()) if other in row else 0.0
    said = looked + alike.get(product, {}).get(other, (0.0, 0))[0] + 0.5 * is_of(table, product, other, 2)
    is_variant = is_of(table, product, other, 3)
    if not by_price:
        return (0.0 if is_variant else said), looked > 0
    known = table[product][0] and table[other][0]
    price = ratio(table, product, other) if known else None
    return (said + 2.0 * is_variant) * (0.5 if price is None else price), looked > 0


@given(tables, related, related, st.integers(0, N - 1), st.booleans())
def test_what_is_nearest_is_as_near_as_its_twin_says(table, viewed, alike, product, by_price):
    candidates = candidate_set(N)
    pair = Related(relation(viewed), relation(alike))
    count = nearest(Table(table).handed(), pair, candidates, product, by_price)
    found = dict(zip(candidates.products[:count].tolist(), candidates.scores[:count].tolist(), strict=True))
    for other in set(range(N)) - {product}:
        expected, was_viewed = need((table, viewed, alike), product, other, by_price)
        assert found.get(other, 0.0) == pytest.approx(expected, abs=1e-6)
        if expected > 0:
            slot = candidates.slots[other]
            assert (candidates.strongest[slot] > 0) == was_viewed
    assert found.get(product, 0.0) == 0.0


def test_a_category_of_very_many_products_says_nothing_of_need():
    rows = [(1, 10.0, 0, None)] * (MOST_OF_A_KIND + 1)
    cart = np.array([0], np.uint32)
    assert len(stand_ins(Table(rows).handed(), relation({}), cart, Nearness(0.7, 5))) == 0
    assert len(stand_ins(Table(rows[1:]).handed(), relation({}), cart, Nearness(0.7, 5))) == MOST_OF_A_KIND - 1
