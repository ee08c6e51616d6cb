"""The catalogue of the simulated shop: what there is, what it costs, and when it can be bought."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.evaluation.simulator.assortment import Assortment
from active_customers.evaluation.simulator.config import HISTORY, SimulatorConfig

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CURRENCY = "EUR"
BRAND_STEP = 0.22
"""Rise of the logarithm of the price with each level of the brand."""
SIZE_FACTOR = 1.6
"""Rise of the price with each size of a product that is sold in sizes."""
GROUP_SIZES = (0.5, 0.2, 0.2, 0.1)
"""How often a product comes in one, two, three and four variants."""
ATTRACTION = 1.5
"""How much appeal draws attention: the higher, the longer the tail of products that few look at."""
NOVELTY_DAYS = 14
"""Days after which the novelty of a product has fallen to 1/e."""
N_RELATED = 20
"""Products like this one that its page can show."""
RELATED_BLOCK = 1_024
"""Likeness is looked for among so many products of a category at a time."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Products as columns, ordered by category and, within it, by kind; a product is its row.

    Shapes, for n products, K kinds, L categories and D styles: `category`, `kind`, `brand`, `group`, `colour` and
    `option` (-1: none) int64[n]; `style` float64[n, D], unit vectors; `price` float64[n] in EUR; `dearness` float64[n],
    how far the price lies above the usual one of the category, in standard deviations; `appeal` float64[n], what every
    customer likes, mean 0; `demand` float64[n], share of attention in the whole shop, sums to 1; `released` int64[n] in
    microseconds; `stock_outs` int64[m, 3]: product, first day, day it is back, counted from the period's first;
    `related` int64[n, r], most alike first, itself where the category has no more; `kind_start` int64[K + 1] and
    `category_start` int64[L + 1], where the rows of each begin.
    """

    assortment: Assortment
    category: Integers
    kind: Integers
    brand: Integers
    group: Integers
    option: Integers
    colour: Integers
    style: Floats
    price: Floats
    dearness: Floats
    appeal: Floats
    demand: Floats
    released: Integers
    stock_outs: Integers
    related: Integers
    kind_start: Integers
    category_start: Integers

    def __len__(self) -> int:
        return len(self.category)

    def in_stock(self, day: int) -> NDArray[np.bool_]:
        """Return for each product whether it can be bought on this day of the period, bool[n]."""
        stocked = np.ones(len(self), np.bool_)
        product, first, back = self.stock_outs.T
        stocked[product[(first <= day) & (day < back)]] = False
        return stocked

    def novelty(self, products: Integers, moment: int) -> Floats:
        """Return how new products are, in their shape: 1 on the first day, 1/e after two weeks; by whole days."""
        age = np.maximum((moment - self.released[products]) // DAY, 0)
        return np.asarray(np.exp(-age / NOVELTY_DAYS))


@dataclass(frozen=True, slots=True)
class _Groups:
    """What the variants of one product have in common, a row per product."""

    kind: Integers
    size: Integers
    brand: Integers
    style: Floats
    appeal: Floats
    dearness: Floats
    released: Integers

    def __len__(self) -> int:
        return len(self.kind)


def make_catalogue(config: SimulatorConfig, assortment: Assortment) -> Catalogue:
    """Return the catalogue of a configuration; the same one each time."""
    rng = config.rng(1)
    groups = _make_groups(config, assortment, rng)
    group = np.repeat(np.arange(len(groups)), groups.size)
    kind = groups.kind[group]
    category = assortment.kind_category[kind]
    option = _options(assortment, groups, group, rng)
    appeal = groups.appeal[group] + rng.normal(0, 0.4, len(group))
    style = groups.style[group]
    category_start = _starts(category, len(assortment.categories))
    return Catalogue(
        assortment=assortment,
        category=category,
        kind=kind,
        brand=groups.brand[group],
        group=group,
        option=option,
        colour=_colours(assortment, category, option, rng.integers(len(assortment.colours), size=len(groups))[group]),
        style=style,
        price=_prices(assortment, category, option, groups.dearness[group]),
        dearness=groups.dearness[group],
        appeal=appeal,
        demand=_demand(assortment, category, appeal),
        released=groups.released[group],
        stock_outs=_stock_outs(config, rng),
        related=_related(style, category_start),
        kind_start=_starts(kind, len(assortment.kinds)),
        category_start=category_start,
    )


def _starts(sorted_codes: Integers, n_codes: int) -> Integers:
    return np.searchsorted(sorted_codes, np.arange(n_codes + 1)).astype(np.int64)


def _make_groups(config: SimulatorConfig, assortment: Assortment, rng: np.random.Generator) -> _Groups:
    kind, size, is_first = _group_kinds(config.products, assortment, rng)
    brand = _group_brands(assortment, kind, rng)
    level = np.array([maker.level for maker in assortment.brands])[brand]
    brand_style = np.array([maker.style for maker in assortment.brands])[brand]
    style = rng.normal(0, 0.5, (len(kind), len(assortment.styles)))
    style[np.arange(len(kind)), brand_style] += 1.0
    spread = np.array([category.spread for category in assortment.categories])[assortment.kind_category[kind]]
    return _Groups(
        kind=kind,
        size=size,
        brand=brand,
        style=style / np.linalg.norm(style, axis=1, keepdims=True),
        appeal=rng.normal(0, 1, len(kind)) + 0.15 * level,
        dearness=BRAND_STEP * level / spread + rng.normal(0, 0.7, len(kind)),
        released=_releases(config, is_first, rng),
    )


def _group_kinds(
    n_products: int, assortment: Assortment, rng: np.random.Generator
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Return kind, number of variants and "first of its kind" of each group, by kind; every kind has a first one."""
    n_kinds = len(assortment.kinds)
    share = (
        assortment.weights[assortment.kind_category] / np.bincount(assortment.kind_category)[assortment.kind_category]
    )
    kind = np.concatenate((np.arange(n_kinds), rng.choice(n_kinds, n_products, p=share)))
    n_options = np.array([max(1, len(category.options)) for category in assortment.categories])
    drawn = rng.choice(len(GROUP_SIZES), len(kind), p=GROUP_SIZES) + 1
    size = np.minimum(drawn, n_options[assortment.kind_category[kind]])
    size[:n_kinds] = 1
    before = np.cumsum(size) - size
    kept = before < n_products
    size = np.minimum(size, n_products - before)[kept]
    order = np.argsort(kind[kept], kind="stable")
    return kind[kept][order], size[order], (np.arange(len(order)) < n_kinds)[order]


def _group_brands(assortment: Assortment, kind: Integers, rng: np.random.Generator) -> Integers:
    brand = np.empty(len(kind), np.int64)
    departments = np.array([category.department for category in assortment.categories])[assortment.kind_category[kind]]
    for department in dict.fromkeys(departments.tolist()):
        rows = np.flatnonzero(departments == department)
        brands = assortment.brands_of(department)
        share = 1 / np.arange(2, len(brands) + 2)
        brand[rows] = rng.choice(rng.permutation(brands), len(rows), p=share / share.sum())
    return brand


def _releases(config: SimulatorConfig, is_first: NDArray[np.bool_], rng: np.random.Generator) -> Integers:
    """Return release times at midnight: some within the period, never the first product of a kind, the rest before."""
    n = len(is_first)
    age = np.minimum(1 + rng.exponential(400, n).astype(np.int64), HISTORY // DAY)
    within = rng.integers(config.days, size=n)
    is_new = (rng.random(n) < config.new_product_share) & ~is_first
    return config.start + np.where(is_new, within, -age) * DAY


def _options(assortment: Assortment, groups: _Groups, group: Integers, rng: np.random.Generator) -> Integers:
    """Return which option of its category each variant is: neighbouring ones within a group, -1 without options."""
    n_options = np.array([len(category.options) for category in assortment.categories])
    of_group = n_options[assortment.kind_category[groups.kind]]
    first = rng.integers(np.maximum(of_group - groups.size, 0) + 1)
    rank = np.arange(len(group)) - (np.cumsum(groups.size) - groups.size)[group]
    return np.where(of_group[group] > 0, first[group] + rank, -1)


def _colours(assortment: Assortment, category: Integers, option: Integers, otherwise: Integers) -> Integers:
    """Return the colour of each product: that of its option where the options are colours."""
    names = list(assortment.colours)
    colour = otherwise.copy()
    for i, leaf in enumerate(assortment.categories):
        if leaf.options and not leaf.sized:
            rows = category == i
            colour[rows] = np.array([names.index(name) for name in leaf.options])[option[rows]]
    return colour


def _prices(assortment: Assortment, category: Integers, option: Integers, dearness: Floats) -> Floats:
    """Return log-normal prices with the endings that shops like: 4.49, 12.95, 89.90, 349.00."""
    median = np.array([leaf.price for leaf in assortment.categories])[category]
    spread = np.array([leaf.spread for leaf in assortment.categories])[category]
    middle = np.array([(len(leaf.options) - 1) / 2 if leaf.sized else np.nan for leaf in assortment.categories])
    steps = np.nan_to_num(option - middle[category])
    exact = np.clip(median * np.exp(spread * dearness) * SIZE_FACTOR**steps, 1.0, 20_000.0)
    euros = np.floor(exact)
    small = euros + np.where(exact - euros < 0.5, 0.49, 0.99)
    usual = np.floor(exact) + np.where(euros % 3 == 0, 0.95, 0.90)
    large = np.maximum(np.round(exact / 10) * 10 - 1, 1.0)
    return np.asarray(np.round(np.select([exact < 15, exact < 150], [small, usual], large), 2))


def _demand(assortment: Assortment, category: Integers, appeal: Floats) -> Floats:
    attraction = np.exp(ATTRACTION * appeal)
    total = np.bincount(category, attraction, len(assortment.categories))
    demand = assortment.demand[category] * attraction / total[category]
    return np.asarray(demand / demand.sum())


def _stock_outs(config: SimulatorConfig, rng: np.random.Generator) -> Integers:
    times = rng.poisson(config.stock_out_share * config.days / 90, config.products)
    product = np.repeat(np.arange(config.products), times)
    first = rng.integers(config.days, size=len(product))
    return np.column_stack((product, first, first + rng.integers(2, 11, len(product)))).astype(np.int64)


def _related(style: Floats, category_start: Integers) -> Integers:
    related = np.repeat(np.arange(len(style))[:, None], N_RELATED, axis=1)
    for start, stop in pairwise(category_start.tolist()):
        for low in range(start, stop, RELATED_BLOCK):
            block = style[low : min(low + RELATED_BLOCK, stop)]
            likeness = block @ block.T
            np.fill_diagonal(likeness, -np.inf)
            nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : min(N_RELATED, len(block) - 1)]
            related[low : low + len(block), : nearest.shape[1]] = low + nearest
    return related
