"""When products are wanted: each one's share by hour, weekday and month against the shop's, learned from the log.

A product's customers are counted once each, by when they first acted on it, since one customer's habits say nothing of
others. In a part b of a cycle it has n_b of them, where e_b were expected from the shop's activity since it is there.
How often it is wanted then, against its own average, is taken as Gamma distributed around 1 with the shape k, and n_b
as Poisson around e_b times that; what is believed after the count is (n_b + k) / (e_b + k): 1 where data are few, n_b /
e_b where they are many. k is estimated from all counts by the method of moments: sum of e^2 / sum of ((n - e)^2 - e).
(The Gamma-Poisson shrinkage of DuMouchel, "Bayesian data mining in large frequency tables", 1999.) Categories are
learned first, and a product is believed to be as its category until its own counts say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY, HOUR, SECOND
from active_customers.core.config import Config
from active_customers.models.base import Arrays, SessionLog
from active_customers.models.kernel_arguments import frozen
from active_customers.models.product_features import About

CYCLES: Mapping[str, int] = {"hour": 24, "weekday": 7, "month": 12}
"""Parts of each cycle; Monday is weekday 0, January month 0."""

_UTC = "UTC"
_YEAR_DAYS = 365
_MONTH_DAYS = 30.44
_SHAPES = (0.5, 1e6)
"""Between which k is believed."""


class PatternsConfig(Config):
    """Parameters of what is learned of the times at which products are wanted."""

    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Power of the factors that what is popular is multiplied with: 0 for none, 1 for those that were learned."""
    visit_strength: Annotated[float, Field(ge=0, le=1)] = 0.3
    """The same for what is ranked by a customer's acts: they tell of the time, too."""
    significance: Annotated[float, Field(ge=0)] = 4.0
    """Standard errors by which counts must vary more than by chance; a cycle in which they do not is not learned."""
    most: Annotated[float, Field(ge=1)] = 3.0
    """The largest factor of a product, all cycles together; its reciprocal is the smallest."""
    memory_days: Annotated[float, Field(gt=0)] = 30.0
    """Half-life of what the models know anyway: a month's factor is against the season that they have learned from."""


class Factor(NamedTuple):
    """By how much more, or less, a product is wanted in one part of a cycle than on average."""

    cycle: str
    part: int
    factor: float


class Patterns:
    """Learned factors by cycle, float32[n_products, parts]; a cycle in which nothing was learned has no rows.

    Parts are those of the shop's time zone. `as_of` is when the models had learned what they know of the season.
    """

    def __init__(
        self, factors: Mapping[str, NDArray[np.float32]], zone: str, as_of: int, config: PatternsConfig | None = None
    ) -> None:
        self.factors = factors
        self.zone = zone
        self.config = config or PatternsConfig()
        self._as_of = as_of
        self._zone = ZoneInfo(zone)

    @property
    def learned(self) -> list[str]:
        """The cycles in which something was learned."""
        return [cycle for cycle, factors in self.factors.items() if len(factors)]

    def weights(self, now: int, power: float = 1.0) -> NDArray[np.float32]:
        """Return by what each product's score is multiplied in the hour of `now`; empty where nothing is to be."""
        learned = self.learned if power else []
        if not learned:
            return frozen(np.empty(0, np.float32))
        product = np.prod([self._of_cycle(cycle, now) for cycle in learned], axis=0) ** power
        return frozen(np.clip(product, 1 / self.config.most, self.config.most).astype(np.float32))

    def factors_of(self, product: int, now: int) -> list[Factor]:
        """Return what each cycle says of a product in the hour of `now`."""
        local = _local(now, self._zone)
        return [
            Factor(cycle, _part(cycle, local), float(self._of_cycle(cycle, now)[product]))
            for cycle in self.learned
            if product < len(self.factors[cycle])
        ]

    def _of_cycle(self, cycle: str, now: int) -> NDArray[np.float64]:
        """Return one cycle's factors at a moment.

        A month's are those between the middles of two months, against what the season was while the models learned.
        """
        factors, local = self.factors[cycle], _local(now, self._zone)
        if cycle != "month":
            return np.asarray(factors[:, _part(cycle, local)], np.float64)
        days = np.arange(round(4 * self.config.memory_days))
        known = _season(_local(self._as_of, self._zone) - days * DAY)
        known = (0.5 ** (days / self.config.memory_days)) @ known
        return np.asarray((factors @ _season(np.array([local]))[0]) / (factors @ (known / known.sum())), np.float64)

    def arrays(self) -> Arrays:
        """Return everything learned, by name."""
        return {
            **self.factors,
            "zone": np.frombuffer(self.zone.encode(), np.uint8),
            "as_of": np.array([self._as_of], np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the patterns again from what `arrays` returned; nothing was learned where it is empty."""
        if not arrays:
            return cls(_nothing(), _UTC, 0)
        factors = {cycle: arrays[cycle] for cycle in CYCLES}
        zone, as_of = bytes(arrays["zone"]).decode(), int(arrays["as_of"][0])
        return cls(factors, zone, as_of, PatternsConfig.model_validate(config))


def no_patterns() -> Patterns:
    """Return patterns that say nothing."""
    return Patterns(_nothing(), _UTC, 0)


def learn_patterns(log: SessionLog, config: PatternsConfig, zone: str = _UTC) -> Patterns:
    """Learn when products are wanted; months from a year on, for less has seen each at most once in part."""
    factors = dict(_nothing())
    if len(log.products):
        categories = _categories(log)
        for cycle in CYCLES:
            factors[cycle] = _learned(_Counting.of(log, cycle, zone), categories, config)
    return Patterns(factors, zone, log.reference_time, config)


class _Counting(NamedTuple):
    """Acts as they are counted in one cycle: who, on what, on which day since the first one, in which part.

    `activity` float64[days + 1, parts] sums up the shop's visitors before each day, by part.
    """

    customers: NDArray[np.int64]
    products: NDArray[np.int64]
    days: NDArray[np.int64]
    parts: NDArray[np.int64]
    activity: NDArray[np.float64]
    n_products: int
    is_whole: bool

    @classmethod
    def of(cls, log: SessionLog, cycle: str, zone: str) -> Self:
        """Look at the acts of a log in the order of time."""
        order = np.argsort(log.times, kind="stable")
        local = _local(log.times[order], ZoneInfo(zone))
        days = local // DAY - local[0] // DAY
        customers = np.repeat(log.customers.astype(np.int64), np.diff(log.offsets))[order]
        parts = np.asarray(_part(cycle, local), np.int64)
        visits = _first(customers, days)
        activity = np.zeros((int(days[-1]) + 2, CYCLES[cycle]))
        np.add.at(activity, (days[visits] + 1, parts[visits]), 1.0)
        is_whole = cycle != "month" or int(days[-1]) >= _YEAR_DAYS
        products = log.products[order].astype(np.int64)
        return cls(customers, products, days, parts, np.cumsum(activity, axis=0), log.n_products, is_whole)


class _Counts(NamedTuple):
    """Customers of products or categories by part, and how many were expected: float64[n, parts]."""

    found: NDArray[np.float64]
    expected: NDArray[np.float64]


def _learned(acts: _Counting, categories: NDArray[np.int64], config: PatternsConfig) -> NDArray[np.float32]:
    """Return the factors of each product; no rows where neither categories nor products differ more than by chance."""
    neutral = np.ones((acts.n_products, acts.activity.shape[1]))
    if not acts.is_whole:
        return _none(acts.activity.shape[1])
    of_categories = _shrunken(_counts(acts, categories[acts.products], int(categories.max()) + 1), config)
    believed = neutral if of_categories is None else of_categories[categories]
    found, expected = _counts(acts, acts.products, acts.n_products)
    of_products = _shrunken(_Counts(found, expected * believed), config)
    if of_products is None and of_categories is None:
        return _none(acts.activity.shape[1])
    factors = believed if of_products is None else believed * of_products
    return frozen(factors.astype(np.float32))


def _counts(acts: _Counting, entities: NDArray[np.int64], n: int) -> _Counts:
    """Count each customer of an entity once, when they first acted on it; expect as the shop's visitors came since."""
    rows = _first(acts.customers, entities)
    n_parts = acts.activity.shape[1]
    found = np.zeros((n, n_parts))
    np.add.at(found, (entities[rows], acts.parts[rows]), 1.0)
    begun = np.full(n, len(acts.activity) - 1)
    np.minimum.at(begun, entities, acts.days)
    since = acts.activity[-1] - acts.activity[begun]
    shares = since / np.maximum(since.sum(axis=1, keepdims=True), 1.0)
    return _Counts(found, shares * found.sum(axis=1, keepdims=True))


def _shrunken(counts: _Counts, config: PatternsConfig) -> NDArray[np.float64] | None:
    """Return (n + k) / (e + k) by entity and part; None where the counts vary no more than chance lets them."""
    found, expected = counts
    some = expected > 0
    n, e = found[some], expected[some]
    if not len(n):
        return None
    beyond = ((n - e) ** 2 / e).sum() - len(n)
    if beyond < config.significance * np.sqrt((2 + 1 / e).sum()):
        return None
    variance = ((n - e) ** 2 - e).sum()
    k = float(np.clip((e**2).sum() / variance, *_SHAPES)) if variance > 0 else _SHAPES[1]
    return (found + k) / (expected + k)


def _categories(log: SessionLog) -> NDArray[np.int64]:
    """Return the number of each product's category, its rarest level; 0 for what the catalogue gives none."""
    categories = np.zeros(log.n_products, np.int64)
    features = log.features
    if features is None or not len(features.tokens):
        return categories
    rows = np.repeat(np.arange(features.n_products), np.diff(features.offsets))
    is_level = features.fields[features.tokens] == About.CATEGORY
    rows, levels = rows[is_level], features.tokens[is_level].astype(np.int64)
    often = np.bincount(levels, minlength=features.n_tokens)
    order = np.lexsort((levels, -often[levels]))
    categories[rows[order]] = levels[order] + 1  # of several the last one stays, which is the rarest
    return categories


def _first(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows at which each pair occurs first."""
    return np.asarray(np.unique(one << 32 | other, return_index=True)[1])


def _part(cycle: str, local: Any) -> Any:
    """Return in which part of a cycle local times lie, in microseconds since 1970."""
    if cycle == "hour":
        return local // HOUR % 24
    if cycle == "weekday":
        return (local // DAY + 3) % 7  # 1970 began on a Thursday
    months = np.asarray(local).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
    return months if np.ndim(local) else int(months)


def _season(local: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far local times lie in each month, float64[n, 12]: between the middles of two months, in both."""
    moments = np.asarray(local).astype("datetime64[us]")
    of_year = (moments - moments.astype("datetime64[Y]")).astype("timedelta64[D]").astype(np.int64)
    place = of_year / _MONTH_DAYS - 0.5
    before = np.floor(place).astype(np.int64)
    shares = np.zeros((len(place), 12))
    rows = np.arange(len(place))
    shares[rows, before % 12] += 1 - (place - before)
    shares[rows, (before + 1) % 12] += place - before
    return shares


def _local(times: Any, zone: ZoneInfo) -> Any:
    """Return times as clocks in a zone show them, in microseconds since 1970 there; one hour has one offset."""
    hours, places = np.unique(np.asarray(times) // HOUR, return_inverse=True)
    offsets = [
        datetime.fromtimestamp(hour * HOUR // SECOND, UTC).astimezone(zone).utcoffset() for hour in hours.tolist()
    ]
    seconds = np.array([0 if offset is None else round(offset.total_seconds()) for offset in offsets], np.int64)
    return (
        times + seconds[places].reshape(np.shape(times)) * SECOND
        if np.ndim(times)
        else times + int(seconds[0]) * SECOND
    )


def _nothing() -> dict[str, NDArray[np.float32]]:
    return {cycle: _none(parts) for cycle, parts in CYCLES.items()}


def _none(parts: int) -> NDArray[np.float32]:
    return frozen(np.empty((0, parts), np.float32))
