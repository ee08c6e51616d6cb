"""A page is what the plainest greedy choice makes of the same pool, and keeps every promise of `Page`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Standing
from active_customers.core.recommendation import ReasonCode
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.arrange import _MOST_REFUSED, Arranging, Page, Ruled, arrange, fill_up
from active_customers.kernels.catalog_table import ENTRIES, HEADER, TableColumns
from active_customers.kernels.handover import hand_over

N_PRODUCTS, ROOM, RULED_OUT = 12, 20, 6
NEUTRAL = Page(
    weights=np.empty(0, np.float32),
    pinned=np.empty(0, np.int64),
    places=np.empty(0, np.int64),
    per_brand=0.0,
    per_category=0.0,
    one_per_group=False,
    diversity=0.0,
    known_only=False,
)


def read_only(values, dtype):
    array = np.array(values, dtype)
    array.flags.writeable = False
    return array


def table_of(categories=(), brands=(), groups=(), standing=()):
    """Return a table of as many products as any column tells of; what it does not tell is open, or of no facet."""
    n = max(map(len, (categories, brands, groups, standing)))
    header = np.zeros(HEADER, np.int64)
    header[ENTRIES] = n
    return TableColumns(
        read_only(header, np.int64),
        read_only([*standing, *[Standing.OPEN] * (n - len(standing))], np.uint8),
        read_only([0] * n, np.uint32),
        read_only([0.0] * n, np.float64),
        *(read_only([*column, *[NO_NUMBER] * (n - len(column))], np.uint32) for column in (categories, brands, groups)),
        read_only([0] * n, np.int64),
        read_only([0] * n, np.int64),
        read_only([0] * n, np.uint8),
        *(read_only([0] * n, dtype) for dtype in (np.int64, np.int64, np.float64)),
    )


def rows_of(pool):
    """Return rows of (product, score), the evidence of each telling it from the others."""
    rows = Rows(np.zeros(ROOM, np.int64), np.zeros(ROOM), np.zeros(ROOM, np.int64), np.zeros(ROOM, np.int64))
    for row, (product, score) in enumerate(pool):
        rows.products[row], rows.scores[row] = product, score
        rows.reasons[row], rows.evidence[row] = ReasonCode.SESSION, 100 + product
    return rows


class Case:
    """A pool, a table and a page."""

    def __init__(self, pool, table=None, ruled=(), excluded=(), factors=(), **page) -> None:
        self.pool = pool
        self.table = table or table_of()
        for name in ("pinned", "places"):
            page[name] = np.array(page.get(name, ()), np.int64)
        page["weights"] = read_only(page.get("weights", ()), np.float32)
        self.page = NEUTRAL._replace(**page)
        self.ruled = read_only(ruled, np.uint8)
        self.excluded = np.array(sorted(excluded), np.uint32)
        self.factors = read_only(factors, np.float32)

    def asked(self, n):
        return Arranging(rows_of(self.pool), n, self.excluded, self.table.standing, self.factors)

    def handed(self):
        return hand_over(Ruled(self.table, self.ruled, self.page))

    def arranged(self, n=10):
        """Return the products and scores of the page; checks that reasons and evidence went with their products."""
        asked = self.asked(n)
        size = arrange(self.handed(), asked, len(self.pool))
        rows = Rows(*(column[:size] for column in asked.rows))
        for product, reason, evidence in zip(rows.products, rows.reasons, rows.evidence, strict=True):
            in_pool = product in dict(self.pool)
            expected = (ReasonCode.SESSION, 100 + product) if in_pool else (reason, NO_NUMBER)
            assert (reason, evidence) == expected
        return rows.products.tolist(), rows.scores.tolist()

    def filled(self, n, n_products=N_PRODUCTS):
        asked = self.asked(n)
        size = fill_up(self.handed(), asked, len(self.pool), n_products)
        return asked.rows.products[:size].tolist(), [
            ReasonCode(code) for code in asked.rows.reasons[len(self.pool) : size]
        ]

    def is_closed(self, product):
        if product < len(self.table.standing) and self.table.standing[product] > Standing.OPEN:
            return True
        return self.page.known_only if product >= len(self.ruled) else self.ruled[product] > Standing.OPEN

    def kinds(self, product):
        """Return what a product shares with others, by kind."""
        known = product < len(self.table.standing) and self.table.standing[product] > 0
        columns = (self.table.categories, self.table.brands, self.table.groups)
        return [int(column[product]) if known else NO_NUMBER for column in columns]

    def plain(self, n):
        """Return the page by the plainest greedy choice there is."""
        pool, page = dict(self.pool), self.page
        pins = {}
        for product, place in zip(page.pinned.tolist(), page.places.tolist(), strict=True):
            if place < n and not self.is_closed(product) and product not in self.excluded:
                pool.setdefault(product, 0.99 * list(pool.values())[-1] if pool else 1.0)
                pins[place] = product
        value = {}
        for product, score in pool.items():
            weight = float(page.weights[product]) if product < len(page.weights) else 1.0
            factor = float(self.factors[product]) if product < len(self.factors) else 1.0
            value[product] = 0.0 if self.is_closed(product) else score * (weight * factor)
        best = max(value.values(), default=0.0)
        used = Counter(kind for product in pins.values() for kind in enumerate(self.kinds(product)))
        left = [product for product in pool if value[product] > 0 and product not in pins.values()]
        limits = [allowed(page.per_category, n), allowed(page.per_brand, n), 1 if page.one_per_group else n + 1]
        found = []

        def worth(product):
            alike = max((self.alike(product, other) for other in found), default=0.0)
            return (1.0 - page.diversity) * (value[product] / best) - page.diversity * alike

        for place in range(n):
            if place in pins:
                found.append(pins[place])
                continue
            fitting = [p for p in left if all(
                number == NO_NUMBER or used[kind, number] < limits[kind] for kind, number in enumerate(self.kinds(p))
            )]  # fmt: skip
            if fitting:
                chosen = max(fitting, key=worth)
                left.remove(chosen)
                used.update(enumerate(self.kinds(chosen)))
                found.append(chosen)
        return found

    def alike(self, a, b):
        same = [x == y != NO_NUMBER for x, y in zip(self.kinds(a), self.kinds(b), strict=True)]
        return 1.0 if same[2] else (0.6 if same[0] else 0.0) + (0.4 if same[1] else 0.0)


def allowed(wanted, n):
    if not wanted:
        return n + 1
    return int(wanted) if wanted >= 1 else max(1, int(wanted * n))


def test_a_neutral_page_is_the_best_of_the_pool():
    assert Case([(3, 1.0), (1, 0.8), (2, 0.5)]).arranged(2) == ([3, 1], [1.0, 0.8])


def test_factors_of_rules_and_of_others_multiply_the_score_and_the_best_has_1():
    case = Case([(0, 1.0), (1, 0.8), (2, 0.5)], weights=[1, 2.5, 1], factors=[1, 0.5, 4])
    assert case.arranged() == ([2, 0, 1], [1.0, 0.5, 0.5])


def test_a_product_that_was_sold_out_a_moment_ago_or_that_a_rule_closes_is_left_out():
    table = table_of([0] * 4, standing=[Standing.OPEN, Standing.SOLD_OUT, Standing.OPEN, Standing.UNKNOWN])
    case = Case([(0, 1.0), (1, 0.9), (2, 0.8), (3, 0.7), (9, 0.6)], table, ruled=[1, 1, RULED_OUT, 0])
    assert case.arranged()[0] == [0, 3, 9]
    case.page = case.page._replace(known_only=True)
    assert case.arranged()[0] == [0, 3]


def test_a_pin_stands_at_its_place_whether_it_was_found_or_not():
    case = Case([(0, 1.0), (1, 0.8), (2, 0.5)], table_of([0] * 6), pinned=[2, 5], places=[0, 2])
    assert case.arranged() == ([2, 0, 5, 1], [1.0, 1.0, 0.8, 0.8])


@pytest.mark.parametrize("out", ["excluded", "sold out", "ruled out", "beyond the page"])
def test_a_pin_that_may_not_be_shown_leaves_its_place_to_the_next_best(out):
    standing = [Standing.OPEN, Standing.OPEN, Standing.SOLD_OUT if out == "sold out" else Standing.OPEN]
    case = Case(
        [(0, 1.0), (1, 0.8)],
        table_of([0] * 3, standing=standing),
        ruled=[1, 1, RULED_OUT] if out == "ruled out" else (),
        excluded=[2] if out == "excluded" else (),
        pinned=[2],
        places=[5 if out == "beyond the page" else 0],
    )
    assert case.arranged(4)[0] == [0, 1]


def test_pins_further_down_than_there_are_products_move_up():
    assert Case([(0, 1.0)], table_of([0] * 6), pinned=[4, 5], places=[3, 7]).arranged()[0] == [0, 4, 5]


def test_what_is_pinned_twice_or_elsewhere_is_on_the_page_once():
    case = Case([(0, 1.0), (1, 0.8)], pinned=[0], places=[1])
    assert case.arranged()[0] == [1, 0]


@pytest.mark.parametrize(
    ("most", "n", "shown"), [(1.0, 6, [0, 3]), (2.0, 6, [0, 1, 3]), (0.5, 4, [0, 1, 3]), (0.1, 4, [0, 3])]
)
def test_of_one_brand_or_category_there_are_as_many_as_allowed_or_their_share(most, n, shown):
    pool = [(0, 1.0), (1, 0.9), (2, 0.8), (3, 0.7)]
    assert Case(pool, table_of(brands=[7, 7, 7, 8]), per_brand=most).arranged(n)[0] == shown
    assert Case(pool, table_of(categories=[7, 7, 7, 8]), per_category=most).arranged(n)[0] == shown


def test_products_without_a_brand_or_an_entry_are_never_too_many():
    table = table_of(brands=[NO_NUMBER, NO_NUMBER, 0], standing=[1, 1, 0])
    assert Case([(0, 1.0), (1, 0.9), (2, 0.8), (9, 0.7)], table, per_brand=1.0).arranged()[0] == [0, 1, 2, 9]


def test_the_best_of_a_variant_group_stands_for_it_but_a_pinned_one_before_it():
    table = table_of(groups=[5, 5, NO_NUMBER, 5])
    pool = [(0, 1.0), (1, 0.9), (2, 0.8)]
    assert Case(pool, table, one_per_group=True).arranged()[0] == [0, 2]
    assert Case(pool, table, one_per_group=True, pinned=[3], places=[1]).arranged()[0] == [2, 3]


def test_the_more_diversity_is_wanted_the_sooner_another_category_comes():
    pool = [(0, 1.0), (1, 0.9), (2, 0.5)]
    table = table_of(categories=[1, 1, 2])
    assert Case(pool, table).arranged()[0] == [0, 1, 2]
    assert Case(pool, table, diversity=0.7).arranged()[0] == [0, 2, 1]


def test_an_answer_is_filled_up_with_the_newest_of_the_catalogue_that_may_be_shown():
    table = table_of([0] * 6, standing=[1, 1, Standing.SOLD_OUT, 1, 0, 1])
    case = Case([(5, 1.0)], table, ruled=[1, RULED_OUT, 2, 1, 0, 1], excluded=[3])
    assert case.filled(4) == ([5, 0], [ReasonCode.CATALOG])


def test_without_a_catalogue_what_events_name_fills_up_but_nothing_that_was_deleted():
    table = table_of(standing=[Standing.DELETED, 0, 0], categories=[NO_NUMBER] * 3)
    header = np.zeros(HEADER, np.int64)
    table = table._replace(header=read_only(header, np.int64))
    assert Case([], table).filled(10, 4) == ([3, 2, 1], [ReasonCode.SEEN] * 3)


def test_what_fills_up_keeps_to_the_limits():
    table = table_of(brands=[1, 1, 2, 1, 2])
    assert Case([(4, 1.0)], table, per_brand=1.0).filled(5)[0] == [4, 3]


def test_what_fills_up_is_not_looked_for_in_the_whole_shop_where_limits_refuse_most_of_it():
    n = _MOST_REFUSED + 10
    near, far = [1] * n, [1] * n
    near[10], far[5] = 2, 2
    for brands, found in ((near, [n - 1, 10]), (far, [n - 1])):
        assert Case([], table_of(brands=brands), per_brand=1.0).filled(5, n)[0] == found


numbers = st.lists(st.sampled_from([NO_NUMBER, 1, 2, 3]), max_size=N_PRODUCTS)
pools = st.lists(st.integers(0, N_PRODUCTS - 1), unique=True, max_size=10).flatmap(
    lambda products: st.lists(st.floats(0.01, 1), min_size=len(products), max_size=len(products)).map(
        lambda scores: list(zip(products, sorted(scores, reverse=True), strict=True))
    )
)
pins = st.dictionaries(st.integers(0, 6), st.integers(0, N_PRODUCTS - 1), max_size=3).filter(
    lambda found: len(set(found.values())) == len(found)
)
factors = st.lists(st.sampled_from([0.25, 0.5, 1, 2, 3]), max_size=N_PRODUCTS)
standings = st.lists(st.sampled_from([0, 1, 1, 1, 2, 5, RULED_OUT]), max_size=N_PRODUCTS)


@settings(max_examples=300)
@given(st.data(), pools, pins, st.integers(1, 8))
def test_a_page_is_the_plainest_greedy_choice(data, pool, pinned, n):
    case = Case(
        pool,
        table_of(*(data.draw(numbers) for _facet in range(3)), data.draw(standings)),
        ruled=data.draw(standings),
        excluded=data.draw(st.sets(st.integers(0, N_PRODUCTS - 1), max_size=3)) - set(dict(pool)),
        factors=data.draw(factors),
        weights=data.draw(factors),
        pinned=[pinned[place] for place in sorted(pinned)],
        places=sorted(pinned),
        per_brand=data.draw(st.sampled_from([0.0, 0.3, 1.0, 2.0])),
        per_category=data.draw(st.sampled_from([0.0, 0.5, 2.0])),
        one_per_group=data.draw(st.booleans()),
        diversity=data.draw(st.sampled_from([0.0, 0.0, 0.3, 1.0])),
        known_only=data.draw(st.booleans()),
    )
    products, scores = case.arranged(n)
    assert products == case.plain(n)
    assert scores == sorted(scores, reverse=True)
    assert not products or (scores[0] == 1.0 and scores[-1] > 0)
