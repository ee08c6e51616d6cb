"""When products are wanted: each one's share by hour, weekday and month against the shop's, learned from the log.

A product's customers are counted once each, by when they first acted on it, since one customer's habits say nothing of
others. In a part b of a cycle it has n_b of them, where e_b were expected from the shop's activity since it is there.
How often it is wanted then, against its own average, is taken as Gamma distributed around 1 with the shape k, and n_b
as Poisson around e_b times that; what is believed after the count is (n_b + k) / (e_b + k): 1 where data are few, n_b /
e_b where they are many. k is estimated from all counts by the method of moments: sum of e^2 / sum of ((n - e)^2 - e).
(The Gamma-Poisson shrinkage of DuMouchel, "Bayesian data mining in large frequency tables", 1999.) Categories are
learned first, and a product is believed to be as its category until its own counts say otherwise.

What two cycles could both tell is told once: customers before a holiday are expected as they come in that month, where
months were learned, and those of a channel as they come at that hour of that month.
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
from active_customers.core.event import Channel
from active_customers.models.base import Arrays, SessionLog
from active_customers.models.holiday_calendar import holidays_ahead
from active_customers.models.kernel_arguments import frozen
from active_customers.models.product_features import About

CYCLES: Mapping[str, int] = {"hour": 24, "weekday": 7, "month": 12, "holiday": 1, "channel": len(Channel)}
"""Parts of each cycle; Monday is weekday 0, January month 0.

Part 0 of holidays is all days without one ahead, then there is one for each that was learned. A channel is no time, but
all the same a part of what there is.
"""

_UTC = "UTC"
_MONTH, _HOLIDAY, _CHANNEL = "month", "holiday", "channel"
_YEAR_DAYS = 365
_MONTH_DAYS = 30.44
_ORDINARY_DAYS = 56
"""Days without a holiday ahead that are needed to say what is different before one: eight of each weekday."""
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
    """Half-life of what the models know anyway: months and holidays count against the season that they learned from."""
    holiday_days: Annotated[int, Field(ge=1, le=60)] = 14
    """Days before a holiday in which customers prepare for it, the day itself counted: two weekends."""


class Factor(NamedTuple):
    """By how much more, or less, a product is wanted in one part of a cycle than on average."""

    cycle: str
    part: int
    factor: float


class Place(NamedTuple):
    """Where a shop is: its time zone, its country ("" for none), and the holidays that were learned, by part - 1."""

    zone: str = _UTC
    country: str = ""
    holidays: tuple[str, ...] = ()

    def parts(self, days: NDArray[np.int64], run_up: int) -> NDArray[np.int64]:
        """Return which learned holiday is ahead on local days since 1970; 0 for none."""
        numbers = {name: part for part, name in enumerate(self.holidays, 1)}
        return np.array([numbers.get(name, 0) for name in holidays_ahead(self.country, days, run_up)], np.int64)


class Patterns:
    """Learned factors by cycle, float32[n_products, parts]; a cycle in which nothing was learned has no rows.

    Parts are those of the shop's time zone and country, which may be given as a zone alone. `as_of` is when the models
    had learned what they know of the season.
    """

    def __init__(
        self,
        factors: Mapping[str, NDArray[np.float32]],
        place: Place | str,
        as_of: int,
        config: PatternsConfig | None = None,
    ) -> None:
        self.factors = {**_nothing(), **factors}
        self.place = Place(place) if isinstance(place, str) else place
        self.zone = self.place.zone
        self.config = config or PatternsConfig()
        self._as_of = as_of
        self._zone = ZoneInfo(self.zone)

    @property
    def learned(self) -> list[str]:
        """The cycles in which something was learned."""
        return [cycle for cycle, factors in self.factors.items() if len(factors)]

    @property
    def tells_channels_apart(self) -> bool:
        """Whether weights differ by channel."""
        return len(self.factors[_CHANNEL]) > 0

    def weights(self, now: int, power: float = 1.0, channel: Channel | None = None) -> NDArray[np.float32]:
        """Return by what each product's score is multiplied in the hour of `now`; empty where nothing is to be.

        Without a channel none is any other.
        """
        told = [cycle for cycle in self.learned if cycle != _CHANNEL or channel is not None] if power else []
        if not told:
            return frozen(np.empty(0, np.float32))
        product = np.prod([self._of_cycle(cycle, now, channel) for cycle in told], axis=0) ** power
        return frozen(np.clip(product, 1 / self.config.most, self.config.most).astype(np.float32))

    def factors_of(self, product: int, now: int, channel: Channel | None = None) -> list[Factor]:
        """Return what each cycle says of a product in the hour of `now`, and in a channel."""
        return [
            Factor(cycle, self._part(cycle, now, channel), float(self._of_cycle(cycle, now, channel)[product]))
            for cycle in self.learned
            if product < len(self.factors[cycle]) and (cycle != _CHANNEL or channel is not None)
        ]

    def _part(self, cycle: str, now: int, channel: Channel | None) -> int:
        if cycle == _CHANNEL:
            return int(channel or 0)
        local = _local(now, self._zone)
        return int(self._ahead(np.array([local]))[0]) if cycle == _HOLIDAY else int(_part(cycle, local))

    def _ahead(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.place.parts(local // DAY, self.config.holiday_days)

    def _shares(self, cycle: str, local: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how far local times lie in each part of a cycle of the year, float64[n, parts]."""
        return _season(local) if cycle == _MONTH else np.eye(len(self.place.holidays) + 1)[self._ahead(local)]

    def _of_cycle(self, cycle: str, now: int, channel: Channel | None = None) -> NDArray[np.float64]:
        """Return one cycle's factors at a moment.

        A month's are those between the middles of two months; they and a holiday's are against what the season was
        while the models learned.
        """
        factors = self.factors[cycle]
        if cycle not in (_MONTH, _HOLIDAY):
            return np.asarray(factors[:, self._part(cycle, now, channel)], np.float64)
        local = _local(now, self._zone)
        days = np.arange(round(4 * self.config.memory_days))
        known = self._shares(cycle, _local(self._as_of, self._zone) - days * DAY)
        known = (0.5 ** (days / self.config.memory_days)) @ known
        at_moment = self._shares(cycle, np.array([local]))[0]
        return np.asarray((factors @ at_moment) / (factors @ (known / known.sum())), np.float64)

    def arrays(self) -> Arrays:
        """Return everything learned, by name."""
        return {
            **self.factors,
            "zone": _text(self.zone),
            "country": _text(self.place.country),
            "holidays": _text("\n".join(self.place.holidays)),
            "as_of": np.array([self._as_of], np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the patterns again from what `arrays` returned; nothing was learned where it is empty."""
        if not arrays:
            return cls(_nothing(), _UTC, 0)
        factors = {cycle: arrays[cycle] for cycle in CYCLES if cycle in arrays}
        said = {name: bytes(arrays.get(name, b"")).decode() for name in ("zone", "country", "holidays")}
        place = Place(said["zone"], said["country"], tuple(filter(None, said["holidays"].split("\n"))))
        return cls(factors, place, int(arrays["as_of"][0]), PatternsConfig.model_validate(config))


def no_patterns() -> Patterns:
    """Return patterns that say nothing."""
    return Patterns(_nothing(), _UTC, 0)


def learn_patterns(log: SessionLog, config: PatternsConfig, zone: str = _UTC, country: str = "") -> Patterns:
    """Learn when products are wanted, and in which channel.

    Months from a year on, for less has seen each at most once in part; a holiday when its whole run-up was seen, beside
    eight weeks without any; channels from the acts that name one.
    """
    factors, place = dict(_nothing()), Place(zone, country)
    if len(log.products):
        categories, acts = _categories(log), _Acts.of(log, zone)
        for cycle in ("hour", "weekday", _MONTH):
            if cycle != _MONTH or int(acts.days[-1]) >= _YEAR_DAYS:
                counting = _Counting.of(acts, np.asarray(_part(cycle, acts.local), np.int64), CYCLES[cycle])
                factors[cycle] = _learned(counting, categories, config)
        by_month = len(factors[_MONTH]) > 0
        factors[_HOLIDAY], place = _learned_holidays(acts, place, categories, config, by_month=by_month)
        factors[_CHANNEL] = _learned_channels(acts, categories, config)
    return Patterns(factors, place, log.reference_time, config)


class _Acts(NamedTuple):
    """Acts in the order of time: who, on what, when by local clocks, on which day since the first one.

    `channels` holds a channel + 1 for each; 0 where none was named.
    """

    customers: NDArray[np.int64]
    products: NDArray[np.int64]
    local: NDArray[np.int64]
    days: NDArray[np.int64]
    channels: NDArray[np.int64]
    n_products: int

    @classmethod
    def of(cls, log: SessionLog, zone: str) -> Self:
        """Look at the acts of a log."""
        order = np.argsort(log.times, kind="stable")
        local = _local(log.times[order], ZoneInfo(zone))
        customers = np.repeat(log.customers.astype(np.int64), np.diff(log.offsets))[order]
        channels = np.zeros(len(order), np.int64) if log.channels is None else log.channels[order].astype(np.int64)
        days = local // DAY - local[0] // DAY
        return cls(customers, log.products[order].astype(np.int64), local, days, channels, log.n_products)

    @property
    def months(self) -> NDArray[np.int64]:
        """The month of each act, counted from 1970."""
        return self.local.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


class _Counting(NamedTuple):
    """Acts as they are counted in one cycle, each in a part.

    `activity` float64[days + 1, parts] sums up the shop's visitors before each day, by part. Where there are `strata`,
    acts are expected as those of the same stratum come, and not as visitors do. Parts before `first` are left out.
    """

    acts: _Acts
    parts: NDArray[np.int64]
    activity: NDArray[np.float64]
    strata: NDArray[np.int64] | None = None
    first: int = 0

    @classmethod
    def of(cls, acts: _Acts, parts: NDArray[np.int64], n_parts: int) -> Self:
        """Count visitors by the day and the part."""
        visits = _first(acts.customers, acts.days)
        activity = np.zeros((int(acts.days[-1]) + 2, n_parts))
        np.add.at(activity, (acts.days[visits] + 1, parts[visits]), 1.0)
        return cls(acts, parts, np.cumsum(activity, axis=0))

    def within(self, strata: NDArray[np.int64]) -> Self:
        """Return the same, but that acts are expected as those of their stratum."""
        return self._replace(strata=np.unique(strata, return_inverse=True)[1])


class _Counts(NamedTuple):
    """Customers of products or categories by part, how many were expected, and their variance by chance alone.

    Shapes: float64[n, parts].
    """

    found: NDArray[np.float64]
    expected: NDArray[np.float64]
    by_chance: NDArray[np.float64]


def _learned(counting: _Counting, categories: NDArray[np.int64], config: PatternsConfig) -> NDArray[np.float32]:
    """Return the factors of each product; no rows where neither categories nor products differ more than by chance."""
    n_products, n_parts = counting.acts.n_products, counting.activity.shape[1] - counting.first
    of_categories = _shrunken(_counts(counting, categories[counting.acts.products], int(categories.max()) + 1), config)
    believed = np.ones((n_products, n_parts)) if of_categories is None else of_categories[categories]
    counts = _counts(counting, counting.acts.products, n_products)
    of_products = _shrunken(
        counts._replace(expected=counts.expected * believed, by_chance=counts.by_chance * believed), config
    )
    if of_products is None and of_categories is None:
        return _none(n_parts)
    factors = believed if of_products is None else believed * of_products
    return frozen(factors.astype(np.float32))


def _learned_holidays(
    acts: _Acts, place: Place, categories: NDArray[np.int64], config: PatternsConfig, *, by_month: bool
) -> tuple[NDArray[np.float32], Place]:
    """Return the factors of each product, and the place with the holidays that something was learned of.

    Each holiday is learned apart from the others, against all other days: products may know Christmas and no May Day.
    One that does not come again within fourteen months, such as a royal wedding, is a day like any other.
    """
    first = int(acts.local[0]) // DAY
    span = np.arange(first, first + int(acts.days[-1]) + 1)
    ahead = np.array(holidays_ahead(place.country, span, config.holiday_days))
    if (ahead == "").sum() < _ORDINARY_DAYS or len(span) == (ahead == "").sum():
        return _none(1), place
    columns, learned = [np.ones(acts.n_products, np.float32)], []
    to_come = set(holidays_ahead(place.country, span[-1] + np.arange(_YEAR_DAYS + 60), 1))
    for name in [seen for seen in _seen_whole(ahead) if seen in to_come]:
        parts = (ahead[acts.days] == name).astype(np.int64)
        counting = _Counting.of(acts, parts, 2)._replace(first=1)
        factors = _learned(counting.within(acts.months) if by_month else counting, categories, config)
        if len(factors):
            columns.append(factors.ravel())
            learned.append(name)
    if not learned:
        return _none(1), place
    return frozen(np.stack(columns, axis=1).astype(np.float32)), place._replace(holidays=tuple(learned))


def _seen_whole(ahead: NDArray[np.str_]) -> list[str]:
    """Return the holidays of which a run-up neither begins with the first day nor ends with the last one."""
    begins = np.flatnonzero(ahead[1:] != ahead[:-1]) + 1
    return sorted({str(name) for name in ahead[begins[:-1]]} - {""})


def _learned_channels(acts: _Acts, categories: NDArray[np.int64], config: PatternsConfig) -> NDArray[np.float32]:
    """Return the factors of each product by channel, against acts at the same hour of the same month."""
    named = acts.channels > 0
    if not named.any():
        return _none(CYCLES[_CHANNEL])
    rows = acts._replace(
        customers=acts.customers[named],
        products=acts.products[named],
        local=acts.local[named],
        days=acts.days[named],
        channels=acts.channels[named],
    )
    counting = _Counting.of(rows, rows.channels - 1, CYCLES[_CHANNEL])
    return _learned(counting.within(rows.months * 24 + _part("hour", rows.local)), categories, config)


def _counts(counting: _Counting, entities: NDArray[np.int64], n: int) -> _Counts:
    """Count each customer of an entity once, when they first acted on it; expect as the shop's visitors came since."""
    acts, activity, strata = counting.acts, counting.activity, counting.strata
    rows = _first(acts.customers, entities)
    found = np.zeros((n, activity.shape[1]))
    np.add.at(found, (entities[rows], counting.parts[rows]), 1.0)
    if strata is None:
        begun = np.full(n, len(activity) - 1)
        np.minimum.at(begun, entities, acts.days)
        since = activity[-1] - activity[begun]
        shares = since / np.maximum(since.sum(axis=1, keepdims=True), 1.0)
        expected = by_chance = shares * found.sum(axis=1, keepdims=True)
    else:
        expected, by_chance = _expected_in_strata(strata[rows], counting.parts[rows], entities[rows], found)
    return _Counts(*(counts[:, counting.first :] for counts in (found, expected, by_chance)))


def _expected_in_strata(
    strata: NDArray[np.int64], parts: NDArray[np.int64], entities: NDArray[np.int64], found: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many of each entity's customers would be in each part if they were as all others of their stratum.

    And the variance of that: each is in the part or not.
    """
    of_strata = np.zeros((int(strata.max()) + 1, found.shape[1]))
    np.add.at(of_strata, (strata, parts), 1.0)
    of_strata /= np.maximum(of_strata.sum(axis=1, keepdims=True), 1.0)

    def by_part(of_strata: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = [np.bincount(entities, of_strata[strata, part], len(found)) for part in range(found.shape[1])]
        return np.stack(sums, axis=1)

    return by_part(of_strata), by_part(of_strata * (1 - of_strata))


def _shrunken(counts: _Counts, config: PatternsConfig) -> NDArray[np.float64] | None:
    """Return (n + k) / (e + k) by entity and part; None where the counts vary no more than chance lets them."""
    found, expected, by_chance = counts
    some = expected > 0
    n, e, chance = found[some], expected[some], by_chance[some]
    if not len(n):
        return None
    beyond = (((n - e) ** 2 - chance) / e).sum()
    if beyond < config.significance * np.sqrt((2 + 1 / e).sum()):
        return None
    variance = ((n - e) ** 2 - chance).sum()
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


def _text(said: str) -> NDArray[np.uint8]:
    return np.frombuffer(said.encode(), np.uint8)


def _nothing() -> dict[str, NDArray[np.float32]]:
    return {cycle: _none(parts) for cycle, parts in CYCLES.items()}


def _none(parts: int) -> NDArray[np.float32]:
    return frozen(np.empty((0, parts), np.float32))
