"""A page of shelves: what each could show and how much speaks for it, then the page, on which nothing stands twice."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import ReasonCode
from active_customers.core.session import (
    BOUGHT_WORDS,
    CART_WORDS,
    DAYS_AT,
    EVENT_WORDS,
    FIRST_DAY_AT,
    H_BOUGHT,
    H_CART,
    H_EVENTS,
    HEADER,
    MOST_DAY,
    State,
)
from active_customers.core.shelf import Shelf
from active_customers.kernels import item_knn
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.candidate_set import CandidateSet, insert, slot_of
from active_customers.kernels.catalog_table import TableColumns
from active_customers.kernels.jit import kernel
from active_customers.kernels.retrieval import Ranking
from active_customers.kernels.state_sections import Numbers, StateSections, read_sections
from active_customers.kernels.substitutes import Nearness, Related, is_known, nearest, stand_ins
from active_customers.kernels.top_n import ALL_OPEN, Wanted, is_closed, is_excluded, top_n

N_SHELVES = len(Shelf)
MOST = 60
"""Products that a shelf can choose from, so that something is left of what stands on the page already."""
_TASTE = 10
"""Newest products that tell what a new one is to be like."""
_TRIED = 5
"""Newest products that are tried for "because you viewed"."""

_CART, _DROP, _CONTINUE, _AGAIN, _VIEWED, _FOR_YOU, _NEW, _TRENDING, _POPULAR, _CATALOGUE = (
    int(shelf) for shelf in Shelf
)
WORTH = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.2, 0.1, 0.05])
"""What the evidence of each shelf counts: the further an act went towards buying, the more; what all customers do
counts least. Where a shelf comes from acts of this customer it fades with their age."""
WORTH.flags.writeable = False
_OF_SHOP = 0.75
"""What a trend counts that is not in the customer's categories, as a part of one that is."""

_REVISIT, _BUY_AGAIN, _PRICE_DROP = int(ReasonCode.REVISIT), int(ReasonCode.BUY_AGAIN), int(ReasonCode.PRICE_DROP)
_BOUGHT_TOGETHER, _VIEWED_TOGETHER = int(ReasonCode.BOUGHT_TOGETHER), int(ReasonCode.VIEWED_TOGETHER)
_SIMILAR, _SEEN, _IN_CATALOGUE = int(ReasonCode.SIMILAR), int(ReasonCode.SEEN), int(ReasonCode.CATALOG)


class Page(NamedTuple):
    """What each shelf can show, best first: rows as those of an answer, `MOST` a shelf at most.

    `counts` and `strengths` have a place for each `Shelf`; `about` is the product that a title names, or `NO_NUMBER`,
    and `other` is 1 where the shelf has its other title: trends of the whole shop, and what follows from a purchase.
    """

    products: NDArray[np.int64]
    scores: NDArray[np.float64]
    reasons: NDArray[np.int64]
    evidence: NDArray[np.int64]
    counts: NDArray[np.int64]
    strengths: NDArray[np.float64]
    about: NDArray[np.int64]
    other: NDArray[np.int64]


class ShelfSources(NamedTuple):
    """What proposes, read-only; `alike` weighs the products of a cart."""

    related: Related
    bought: item_knn.Relation
    alike: NDArray[np.float64]
    trending: Ranking
    popular: Ranking


class ShelfScratch(NamedTuple):
    """One thread's memory."""

    relation: item_knn.RelationScratch
    nearest: CandidateSet
    page: Page


class PageAsked(NamedTuple):
    """What is asked: at what time, with what closed (see `Wanted.standing`), and by which settings.

    Acts count half after `half_life`; nothing older than `lately` is continued. `interval` is taken where a customer
    bought a product on one day only, and `due_from` of an interval must have passed until it is due again. For
    `new` since its release a product is new. Times in microseconds, as floats but for `now`. What is `resting` stands
    on no shelf but those of what the customer did with it themselves.
    """

    now: int
    standing: NDArray[np.uint8]
    half_life: float
    lately: float
    interval: float
    due_from: float
    new: float
    nearness: Nearness
    nothing: Numbers
    resting: Numbers


class _Known(NamedTuple):
    """What is known of the customer: distinct products acted on, the newest first, with the time of the newest act.

    `barred` (in the cart, or hidden) and `done` (that, resting, or bought for good) must not be shown; both are
    ascending.
    """

    looked: Numbers
    times: NDArray[np.int64]
    barred: Numbers
    done: Numbers


@kernel
def gather(handed: Any, table: Any, state: State, asked: PageAsked) -> None:
    """Fill the page with what each shelf can show, but for what the hybrid proposes, which is asked elsewhere.

    Handed over are `ShelfSources` and `ShelfScratch`, and `TableColumns` and `Kinds`.
    """
    sources, scratch = handed.content
    columns, _ = table.content
    page = scratch.page
    page.counts[:] = 0
    page.strengths[:] = 0.0
    page.about[:] = NO_NUMBER
    page.other[:] = 0
    sections = read_sections(state, asked.nothing, asked.now, True)
    known = _known(sections, columns, asked.resting)
    _continue(page, known, state, asked)
    _dropped(page, known, columns, asked)
    _buy_again(page, known, state, columns, asked)
    _because_viewed(table, sources.related, scratch, (known, state), asked)
    _new(scratch, sources.related, known, columns, asked)
    _complete(table, sources, scratch, (sections, known, state), asked)
    _trending(page, sources.trending, known, columns, asked)
    _popular(page, sources.popular, known, asked)
    if len(known.times) > 0:
        page.strengths[_FOR_YOU] = WORTH[_FOR_YOU] * _fresh(asked, known.times[0])


@kernel
def arrange(page: Page, table: Any, wanted: tuple[int, int], rows: Rows, shelves: NDArray[np.int64]) -> int:
    """Put the strongest shelves into `rows`, one after the other; return how many there are.

    `wanted` are shelves and products of each at most. `shelves` int64[n, 2] is filled with each one's `Shelf` and the
    end of its rows. No product and no variant group stands on the page twice; a shelf with nothing left is left out.
    """
    columns, _ = table.content
    most, n = wanted
    order = np.argsort(-page.strengths)
    n_shelves, size = 0, 0
    for shelf in order:
        if n_shelves == most:
            break
        first = size
        for place in range(page.counts[shelf]):
            if size - first == n:
                break
            product = page.products[shelf, place]
            if _stands_there(rows, size, product, columns):
                continue
            rows.products[size] = product
            rows.scores[size] = page.scores[shelf, place]
            rows.reasons[size] = page.reasons[shelf, place]
            rows.evidence[size] = page.evidence[shelf, place]
            size += 1
        if size > first:
            shelves[n_shelves, 0], shelves[n_shelves, 1] = shelf, size
            n_shelves += 1
    return n_shelves


@kernel
def put_nearest(table: Any, related: Related, candidates: CandidateSet, about: tuple[int, bool], wanted: Wanted) -> Any:
    """Return what is nearest to a product (see `nearest`): numbers, scores from 1 on, and reasons, best first."""
    product, by_price = about
    count = nearest(table, related, candidates, product, by_price)
    slots = top_n(candidates.products[:count], candidates.scores[:count], wanted)
    products = np.empty(len(slots), np.int64)
    scores = np.empty(len(slots))
    reasons = np.empty(len(slots), np.int64)
    for place, slot in enumerate(slots):
        products[place] = candidates.products[slot]
        scores[place] = candidates.scores[slot] / candidates.scores[slots[0]]
        reasons[place] = _VIEWED_TOGETHER if candidates.strongest[slot] > 0.0 else _SIMILAR
    return products, scores, reasons


@kernel
def looked_at(state: State, nothing: Numbers, standing: NDArray[np.uint8], n: int) -> Numbers:
    """Return the `n` products acted on last that may be shown and were not hidden, the newest first."""
    sections = read_sections(state, nothing, 0, True)
    found = np.empty(len(sections.products), np.uint32)
    size = 0
    for act in range(len(sections.products) - 1, -1, -1):
        product = sections.products[act]
        is_hidden = np.any(sections.hidden == product)
        if size < n and not is_hidden and not is_closed(product, standing) and not np.any(found[:size] == product):
            found[size] = product
            size += 1
    return found[:size]


@kernel
def _known(sections: StateSections, columns: TableColumns, resting: Numbers) -> _Known:
    n_acts = len(sections.products)
    looked, times = np.empty(n_acts, np.uint32), np.empty(n_acts, np.int64)
    size = 0
    for act in range(n_acts - 1, -1, -1):
        if not _is_among(looked[:size], sections.products[act]):
            looked[size], times[size] = sections.products[act], sections.times[act]
            size += 1
    barred = np.concatenate((sections.cart, sections.hidden))
    barred.sort()
    for_good = np.empty(len(sections.bought), np.uint32)
    n_for_good = 0
    for product in sections.bought:
        if not _is_replenishable(columns, product):
            for_good[n_for_good] = product
            n_for_good += 1
    done = np.concatenate((barred, resting, for_good[:n_for_good]))
    done.sort()
    return _Known(looked[:size], times[:size], barred, done)


@kernel
def _is_replenishable(columns: TableColumns, product: int) -> bool:
    return is_known(columns, product) and columns.replenishable[product] > 0


@kernel
def _fresh(asked: PageAsked, time: int) -> float:
    """Return what an act counts by its age."""
    fresh: float = 0.5 ** (max(asked.now - time, 0) / asked.half_life)
    return fresh


@kernel
def _put(page: Page, shelf: int, product: int, score: float, because: tuple[int, int]) -> None:
    """Add a row to a shelf that has room; `because` are reason and evidence."""
    place = page.counts[shelf]
    if place < MOST:
        page.products[shelf, place] = product
        page.scores[shelf, place] = score
        page.reasons[shelf, place] = because[0]
        page.evidence[shelf, place] = because[1]
        page.counts[shelf] = place + 1


@kernel
def _put_best(page: Page, shelf: int, found: tuple[Numbers, NDArray[np.float64]], reason: int) -> None:
    """Add rows that are about themselves, the largest score first."""
    products, scores = found
    for row in top_n(products, scores, Wanted(MOST, products[:0], ALL_OPEN)):
        _put(page, shelf, products[row], min(scores[row], 1.0), (reason, products[row]))


@kernel
def _continue(page: Page, known: _Known, state: State, asked: PageAsked) -> None:
    """Fill the shelf of what was looked at lately and not bought since: the newest first, by how fresh the look is."""
    for row in range(len(known.looked)):
        product, time = known.looked[row], known.times[row]
        if asked.now - time > asked.lately or is_closed(product, asked.standing) or is_excluded(product, known.barred):
            continue
        if _bought_at(state, product) < time:
            if page.counts[_CONTINUE] == 0:
                page.strengths[_CONTINUE] = WORTH[_CONTINUE] * _fresh(asked, time)
            _put(page, _CONTINUE, product, _fresh(asked, time), (_REVISIT, product))


@kernel
def _bought_at(state: State, product: int) -> int:
    """Return when a product was bought last, -1 for never."""
    first = HEADER + state[H_EVENTS] * EVENT_WORDS + state[H_CART] * CART_WORDS
    for at in range(first, first + state[H_BOUGHT] * BOUGHT_WORDS, BOUGHT_WORDS):
        if state[at] & NO_NUMBER == product:
            return int(state[at + 2])
    return -1


@kernel
def _dropped(page: Page, known: _Known, columns: TableColumns, asked: PageAsked) -> None:
    """Fill the shelf of what became cheaper: the price fell after the look, and has not risen since the look."""
    products, shares = np.empty(len(known.looked), np.uint32), np.empty(len(known.looked))
    size, newest = 0, 0
    for row in range(len(known.looked)):
        product, time = known.looked[row], known.times[row]
        if not is_known(columns, product) or is_closed(product, asked.standing) or is_excluded(product, known.done):
            continue
        share = 1.0 - columns.prices[product] / columns.before[product]
        if columns.raised[product] <= time < columns.dropped[product] and share > 0.0:
            products[size], shares[size] = product, share
            newest = max(newest, time)
            size += 1
    _put_best(page, _DROP, (products[:size], shares[:size]), _PRICE_DROP)
    if size > 0:
        page.strengths[_DROP] = WORTH[_DROP] * _fresh(asked, newest)


@kernel
def _buy_again(page: Page, known: _Known, state: State, columns: TableColumns, asked: PageAsked) -> None:
    """Fill the shelf of what was bought on two days or more, or is replenishable, and is due by its interval."""
    n = state[H_BOUGHT]
    first = HEADER + state[H_EVENTS] * EVENT_WORDS + state[H_CART] * CART_WORDS
    products, scores = np.empty(n, np.uint32), np.empty(n)
    size, strength = 0, 0.0
    for at in range(first, first + n * BOUGHT_WORDS, BOUGHT_WORDS):
        product, days = state[at] & NO_NUMBER, state[at] >> DAYS_AT
        if is_closed(product, asked.standing) or is_excluded(product, known.barred):
            continue
        if days < 2 and not _is_replenishable(columns, product):
            continue
        due = dueness(state[at], state[at + 2], asked.now, asked.interval, asked.due_from)
        if due > 0.0:
            products[size], scores[size] = product, max(days, 1) * due
            strength = max(strength, due)
            size += 1
    best = scores[:size].max() if size > 0 else 1.0
    _put_best(page, _AGAIN, (products[:size], scores[:size] / best), _BUY_AGAIN)
    page.strengths[_AGAIN] = WORTH[_AGAIN] * strength


@kernel
def dueness(word: int, latest: int, now: int, interval: float, due_from: float) -> float:
    """Return how due a product of a state is: 1 until one interval after the latest purchase, then falling off.

    `word` is its word in the state; the interval is the mean time between the days on which it was bought, and the
    given one where that was one day. Before the share `due_from` of it nothing is due: 0.
    """
    days = word >> DAYS_AT
    if days > 1:
        interval = max((latest // DAY - ((word >> FIRST_DAY_AT) & MOST_DAY)) / (days - 1), 1.0) * DAY
    passed = (now - latest) / interval
    if passed < due_from:
        return 0.0
    return 1.0 / max(passed, 1.0)


@kernel
def _because_viewed(
    table: Any, related: Related, scratch: ShelfScratch, about: tuple[_Known, State], asked: PageAsked
) -> None:
    """Fill the shelf of what is nearest to the newest product acted on that has something near."""
    known, state = about
    page, wanted = scratch.page, Wanted(MOST, known.done, asked.standing)
    for row in range(min(len(known.looked), _TRIED)):
        product = known.looked[row]
        found, scores, reasons = put_nearest(table, related, scratch.nearest, (product, False), wanted)
        for place in range(len(found)):
            _put(page, _VIEWED, found[place], scores[place], (reasons[place], product))
        if page.counts[_VIEWED] > 0:
            page.strengths[_VIEWED] = WORTH[_VIEWED] * _fresh(asked, known.times[row])
            page.about[_VIEWED] = product
            page.other[_VIEWED] = int(_bought_at(state, product) >= known.times[row])
            return


@kernel
def _new(scratch: ShelfScratch, related: Related, known: _Known, columns: TableColumns, asked: PageAsked) -> None:
    """Fill the shelf of new products that are described like what the customer acted on, the newest counting most.

    New is what was released lately, by its date: of a product without one nobody knows, and old stock is not new.
    """
    candidates, alike, count = scratch.nearest, related.alike, 0
    standing, released = columns.standing, columns.released
    since = asked.now - asked.new
    for row in range(min(len(known.looked), _TASTE)):
        product = known.looked[row]
        if product + 1 >= len(alike.offsets):
            continue
        for at in range(alike.offsets[product], alike.offsets[product + 1]):
            other = alike.products[at]
            if other >= len(standing) or standing[other] == 0 or other >= len(candidates.slots):
                continue
            if released[other] <= 0 or released[other] < since or _is_among(known.looked, other):
                continue
            slot = slot_of(candidates, count, other)
            if slot < 0:
                slot = count
                count = insert(candidates, count, other)
            amount = alike.weights[at] / (1.0 + row)
            candidates.scores[slot] += amount
            if amount > candidates.strongest[slot]:
                candidates.strongest[slot] = amount
                candidates.evidence[slot] = product
    wanted = Wanted(MOST, known.done, asked.standing)
    slots = top_n(candidates.products[:count], candidates.scores[:count], wanted)
    for slot in slots:
        score = candidates.scores[slot] / candidates.scores[slots[0]]
        _put(scratch.page, _NEW, candidates.products[slot], score, (_SIMILAR, candidates.evidence[slot]))
    scratch.page.strengths[_NEW] = WORTH[_NEW]


@kernel
def _is_among(products: Numbers, product: int) -> bool:
    found = False
    for other in products:
        found = found or other == product
    return found


@kernel
def _complete(
    table: Any,
    sources: ShelfSources,
    scratch: ShelfScratch,
    about: tuple[StateSections, _Known, State],
    asked: PageAsked,
) -> None:
    """Fill the shelf of what is bought together with the cart, but what would only replace a product of it."""
    sections, known, state = about
    if len(sections.cart) == 0:
        return
    page, relation = scratch.page, scratch.relation
    count = item_knn.collect(sources.bought, sources.alike, relation, sections.cart)
    excluded = np.concatenate((known.done, stand_ins(table, sources.bought, sections.cart, asked.nearness)))
    excluded.sort()
    candidates = relation.candidates
    slots = top_n(candidates.products[:count], candidates.scores[:count], Wanted(MOST, excluded, asked.standing))
    for slot in slots:
        share = candidates.scores[slot] / candidates.scores[slots[0]]
        _put(page, _CART, candidates.products[slot], share, (_BOUGHT_TOGETHER, candidates.evidence[slot]))
    if len(slots) > 0:
        newest = state[HEADER + state[H_EVENTS] * EVENT_WORDS + state[H_CART] * CART_WORDS - CART_WORDS + 2]
        page.strengths[_CART] = WORTH[_CART] * _fresh(asked, newest)


@kernel
def _trending(page: Page, trending: Ranking, known: _Known, columns: TableColumns, asked: PageAsked) -> None:
    """Fill the shelf of what grows in the categories that the customer acted in; in the shop where nothing does."""
    mine = np.empty(len(known.looked), np.uint32)
    size = 0
    for product in known.looked:
        if is_known(columns, product) and columns.categories[product] != NO_NUMBER:
            mine[size] = columns.categories[product]
            size += 1
    mine = mine[:size]
    mine.sort()
    for in_mine in (True, False):
        if in_mine and size == 0:
            continue
        for place in range(len(trending.products)):
            product = trending.products[place]
            if is_closed(product, asked.standing) or is_excluded(product, known.done):
                continue
            if in_mine and not (is_known(columns, product) and is_excluded(columns.categories[product], mine)):
                continue
            score = trending.scores[place] / trending.scores[0]
            _put(page, _TRENDING, product, score, (trending.reasons[place], NO_NUMBER))
        if page.counts[_TRENDING] > 0:
            page.other[_TRENDING] = int(not in_mine)
            page.strengths[_TRENDING] = WORTH[_TRENDING] * (1.0 if in_mine else _OF_SHOP)
            return


@kernel
def _popular(page: Page, popular: Ranking, known: _Known, asked: PageAsked) -> None:
    """Fill the shelf of what many chose; what few have looked at has a shelf of its own, which says less."""
    for place in range(len(popular.products)):
        product, reason = popular.products[place], popular.reasons[place]
        if is_closed(product, asked.standing) or is_excluded(product, known.done):
            continue
        shelf = _CATALOGUE if reason in (_SEEN, _IN_CATALOGUE) else _POPULAR
        _put(page, shelf, product, popular.scores[place] / popular.scores[0], (reason, NO_NUMBER))
        if page.counts[_POPULAR] == MOST or page.counts[_CATALOGUE] == MOST:
            break
    page.strengths[_POPULAR] = WORTH[_POPULAR]
    page.strengths[_CATALOGUE] = WORTH[_CATALOGUE]


@kernel
def _stands_there(rows: Rows, size: int, product: int, columns: TableColumns) -> bool:
    """Whether a product, or a variant of it, is among the rows."""
    has_group = is_known(columns, product) and columns.groups[product] != NO_NUMBER
    for row in range(size):
        other = rows.products[row]
        if other == product:
            return True
        if has_group and is_known(columns, other) and columns.groups[other] == columns.groups[product]:
            return True
    return False
