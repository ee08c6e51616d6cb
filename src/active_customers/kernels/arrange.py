"""From the products that suit a customer to the page that the shop wants: factors, pins, limits, variety.

One pass over a pool that is larger than the page. What may not be shown at all is kept out before, where products are
found (`Wanted.standing`), but for what was sold out since rules were last applied: that is looked at here once more.

Loops over the pool call nothing that takes a tuple of arrays: counting its references would cost more than the rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import ReasonCode
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.catalog_table import ENTRIES, TableColumns
from active_customers.kernels.jit import kernel
from active_customers.kernels.retrieval import STEP_DOWN
from active_customers.kernels.state_sections import Numbers
from active_customers.kernels.top_n import is_closed, is_excluded

POOL_BEYOND = 100
"""Products that a page is chosen from, beside as many as it has."""
FURTHER_BEYOND = 200
"""The same where rules raise and lower products: what is raised may come from further down of what is popular."""
MAX_PINNED = 100
"""Products that may be pinned to one page."""

_CATALOG, _SEEN = int(ReasonCode.CATALOG), int(ReasonCode.SEEN)
_UNLIMITED = 1 << 30
_MOST_REFUSED = 2_000
"""Products that limits keep from filling a page up, before it is left as it is."""
_SAME_CATEGORY, _SAME_BRAND = 0.6, 0.4
"""How alike two products are that share it; those of one variant group are wholly so."""


class Page(NamedTuple):
    """What the shop wants of a page.

    `weights` float32 multiply the score of each product, those beyond its end count once. `pinned` products stand at
    `places` (from 0, ascending). Of one brand or category there are at most `per_brand` and `per_category`: a number
    from 1 on, a share of the page below it, 0 for any number. `one_per_group` leaves one of each variant group.
    `diversity` 0..1 is how much likeness to what stands above counts against the score. `known_only` closes products
    beyond the end of the ruled standing.
    """

    weights: NDArray[np.float32]
    pinned: NDArray[np.int64]
    places: NDArray[np.int64]
    per_brand: float
    per_category: float
    one_per_group: bool
    diversity: float
    known_only: bool


class Ruled(NamedTuple):
    """What is handed over once per change: the table, each product's standing with the rules in it, and the page."""

    table: TableColumns
    standing: NDArray[np.uint8]
    page: Page


class Arranging(NamedTuple):
    """One question's part: rows to work on, how many are wanted, and what this customer must not get, ascending.

    `standing` is the table's at this moment; `factors` float32 multiply scores as `Page.weights` do.
    """

    rows: Rows
    n: int
    excluded: Numbers
    standing: NDArray[np.uint8]
    factors: NDArray[np.float32]


@kernel
def arrange(handed: Any, asked: Arranging, size: int) -> int:
    """Choose and order at most `asked.n` of the first `size` rows, in place; return how many there are.

    Each place gets its pin, or the best product left that the limits allow. Scores begin with 1 and never rise: a
    product that stands above better ones has the score of the best below it.
    """
    ruled, rows = handed.content, asked.rows
    size, pins = _add_pinned(ruled, asked, size)
    values = _values(ruled, asked, size)
    order = _chosen(ruled, rows.products[:size], values, pins)
    _reorder(rows, values, order)
    return len(order)


@kernel
def _values(ruled: Ruled, asked: Arranging, size: int) -> NDArray[np.float64]:
    """Return the score of each row times its factors, 0 for what may not be shown."""
    products, scores = asked.rows.products, asked.rows.scores
    open_now, open_ruled, known_only = asked.standing, ruled.standing, ruled.page.known_only
    weights, factors = ruled.page.weights, asked.factors
    values = np.zeros(size)
    for row in range(size):
        product = products[row]
        if is_closed(product, open_now) or _is_out(product, open_ruled, known_only):
            continue
        factor = 1.0
        if product < len(weights):
            factor = np.float64(weights[product])
        if product < len(factors):
            factor *= np.float64(factors[product])
        values[row] = scores[row] * factor
    return values


@kernel
def fill_up(handed: Any, asked: Arranging, size: int, n_products: int) -> int:
    """Fill up with the products that became known last, within the page's limits; return how many rows there are then.

    Where there is a catalogue only its products: any other id may be a slip, or a stranger's. `n_products` have been
    given numbers.
    """
    ruled, rows, standing = handed.content, asked.rows, asked.standing
    open_ruled, known_only, excluded, n = ruled.standing, ruled.page.known_only, asked.excluded, asked.n
    has_catalogue = ruled.table.header[ENTRIES] > 0
    limits, shown, refused = _limits(ruled.page, n), _kinds(ruled.table, rows.products[:size], n), 0
    categories, brands, groups = ruled.table.categories, ruled.table.brands, ruled.table.groups
    for product in range(n_products - 1, -1, -1):
        if size >= n or refused == _MOST_REFUSED:
            break
        is_entry = product < len(standing) and standing[product] > 0
        if is_entry != has_catalogue or is_closed(product, standing) or _is_out(product, open_ruled, known_only):
            continue
        if is_excluded(product, excluded) or _row_of(rows.products[:size], product) >= 0:
            continue
        shown[:, size] = NO_NUMBER
        if product < len(categories) and is_entry:
            shown[0, size], shown[1, size], shown[2, size] = categories[product], brands[product], groups[product]
        if _fits(shown, size, limits):
            _append(rows, size, product, is_entry)
            size += 1
        else:
            refused += 1
    return size


@kernel
def add_fitting(handed: Any, rows: Rows, size: int, more: Rows, n: int) -> int:
    """Add rows found apart, in their order, until there are `n`, within the page's limits; return how many there are.

    Each has a score below all before it.
    """
    ruled = handed.content
    limits, shown = _limits(ruled.page, n), _kinds(ruled.table, rows.products[:size], n)
    coming = _kinds(ruled.table, more.products, len(more.products))
    for row in range(len(more.products)):
        if size >= n:
            break
        shown[:, size] = coming[:, row]
        if _fits(shown, size, limits):
            _append(rows, size, more.products[row], True)
            rows.reasons[size] = more.reasons[row]
            rows.evidence[size] = more.evidence[row]
            size += 1
    return size


@kernel
def _append(rows: Rows, size: int, product: int, is_entry: bool) -> None:
    rows.products[size] = product
    rows.scores[size] = rows.scores[size - 1] * STEP_DOWN if size > 0 else 1.0
    rows.reasons[size] = _CATALOG if is_entry else _SEEN
    rows.evidence[size] = NO_NUMBER


@kernel
def _add_pinned(ruled: Ruled, asked: Arranging, size: int) -> tuple[int, NDArray[np.int64]]:
    """Add pinned products that are not there; return the new size and the row that is pinned to each place, or -1."""
    rows, page = asked.rows, ruled.page
    pins = np.full(asked.n, -1, np.int64)
    for pin in range(len(page.pinned)):
        product, place = page.pinned[pin], page.places[pin]
        is_out = is_closed(product, asked.standing) or _is_out(product, ruled.standing, page.known_only)
        if place >= asked.n or is_out or is_excluded(product, asked.excluded):
            continue
        row = _row_of(rows.products[:size], product)
        if row < 0:
            if size == len(rows.products):
                continue
            row = size
            _append(rows, row, product, product < len(asked.standing) and asked.standing[product] > 0)
            size += 1
        pins[place] = row
    return size, pins


class _Choice(NamedTuple):
    """Rows to choose from: their values (1 at most), whether each is left, and what it shares with those chosen.

    `kinds` int64[3, rows] are the numbers of category, brand and variant group; `used` of the same shape counts the
    chosen rows of each, up to `limits`; `alike` is the largest likeness to one that stands above.
    """

    values: NDArray[np.float64]
    is_left: NDArray[np.bool_]
    kinds: NDArray[np.int64]
    used: NDArray[np.int64]
    limits: NDArray[np.int64]
    alike: NDArray[np.float64]


@kernel
def _chosen(
    ruled: Ruled, products: NDArray[np.int64], values: NDArray[np.float64], pins: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return rows in the order of the page. Values of 0 are out; pinned rows count for limits from the beginning."""
    choice = _choice(ruled, products, values, len(pins))
    for row in pins:
        if row >= 0:
            choice.is_left[row] = False
            _count(choice, row)
    order, filled = np.empty(len(pins), np.int64), 0
    for place in range(len(pins)):
        row = pins[place]
        if row < 0:
            row = _best_left(choice, ruled.page.diversity)
            if row < 0:
                continue  # what is pinned further down moves up
            choice.is_left[row] = False
            _count(choice, row)
        if ruled.page.diversity > 0.0:
            _compare(choice, row)
        order[filled] = row
        filled += 1
    return order[:filled]


@kernel
def _choice(ruled: Ruled, products: NDArray[np.int64], values: NDArray[np.float64], n: int) -> _Choice:
    size, best = len(products), 0.0
    kinds = _kinds(ruled.table, products, size)
    for row in range(size):
        best = max(best, values[row])
    shares = values / best if best > 0.0 else values
    return _Choice(shares, values > 0.0, kinds, np.zeros((3, size), np.int64), _limits(ruled.page, n), np.zeros(size))


@kernel
def _best_left(choice: _Choice, diversity: float) -> int:
    """Return the best row that the limits allow, the first of equal ones, or -1.

    Its value is less by its likeness to what stands above (Carbonell and Goldstein, "The use of MMR", 1998).
    """
    values, is_left, alike = choice.values, choice.is_left, choice.alike
    used, limits = choice.used, choice.limits
    best, best_row = -np.inf, -1
    for row in range(len(values)):
        value = (1.0 - diversity) * values[row] - diversity * alike[row]
        has_room = used[0, row] < limits[0] and used[1, row] < limits[1] and used[2, row] < limits[2]
        if is_left[row] and has_room and value > best:
            best, best_row = value, row
    return best_row


@kernel
def _count(choice: _Choice, row: int) -> None:
    """Count a chosen row for all that share something with it."""
    kinds, used = choice.kinds, choice.used
    for kind in range(3):
        number = kinds[kind, row]
        if number != NO_NUMBER and choice.limits[kind] < _UNLIMITED:
            for other in range(kinds.shape[1]):
                used[kind, other] += kinds[kind, other] == number


@kernel
def _compare(choice: _Choice, row: int) -> None:
    """Note how alike all rows are to one that was chosen."""
    kinds, alike = choice.kinds, choice.alike
    category, brand, group = kinds[0, row], kinds[1, row], kinds[2, row]
    for other in range(len(alike)):
        likeness = 0.0
        if category != NO_NUMBER and kinds[0, other] == category:
            likeness += _SAME_CATEGORY
        if brand != NO_NUMBER and kinds[1, other] == brand:
            likeness += _SAME_BRAND
        if group != NO_NUMBER and kinds[2, other] == group:
            likeness = 1.0
        alike[other] = max(alike[other], likeness)


@kernel
def _reorder(rows: Rows, values: NDArray[np.float64], order: NDArray[np.int64]) -> None:
    """Put rows in an order, with scores that begin with 1 and never rise."""
    size = len(order)
    scores = values[order]
    for place in range(size - 2, -1, -1):
        scores[place] = max(scores[place], scores[place + 1])
    for column in (rows.products, rows.reasons, rows.evidence):
        column[:size] = column[order]
    for place in range(size):
        rows.scores[place] = scores[place] / scores[0]


@kernel
def _limits(page: Page, n: int) -> NDArray[np.int64]:
    """Return how many products of one category, brand and variant group a page of `n` may have."""
    limits = np.full(3, _UNLIMITED, np.int64)
    if page.per_category > 0.0:
        limits[0] = _allowed(page.per_category, n)
    if page.per_brand > 0.0:
        limits[1] = _allowed(page.per_brand, n)
    if page.one_per_group:
        limits[2] = 1
    return limits


@kernel
def _allowed(wanted: float, n: int) -> int:
    return int(wanted) if wanted >= 1.0 else max(1, int(wanted * n))


@kernel
def _kinds(table: TableColumns, products: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the numbers of category, brand and variant group of products, with room for `n`; `NO_NUMBER` for none."""
    categories, brands, groups, standing = table.categories, table.brands, table.groups, table.standing
    kinds = np.full((3, max(n, len(products))), NO_NUMBER, np.int64)
    for row in range(len(products)):
        product = products[row]
        if product < len(standing) and standing[product] > 0:
            kinds[0, row] = categories[product]
            kinds[1, row] = brands[product]
            kinds[2, row] = groups[product]
    return kinds


@kernel
def _fits(kinds: NDArray[np.int64], row: int, limits: NDArray[np.int64]) -> bool:
    """Tell whether the product of a row may join those of the rows before it."""
    for kind in range(3):
        number, used = kinds[kind, row], 0
        if number != NO_NUMBER and limits[kind] < _UNLIMITED:
            for other in range(row):
                used += kinds[kind, other] == number
            if used >= limits[kind]:
                return False
    return True


@kernel
def _row_of(products: NDArray[np.int64], product: int) -> int:
    for row in range(len(products)):
        if products[row] == product:
            return row
    return -1


@kernel
def _is_out(product: int, standing: NDArray[np.uint8], known_only: bool) -> bool:
    """Tell whether rules keep a product out."""
    return known_only if product >= len(standing) else is_closed(product, standing)
