"""What the shop's hour says of products: the learned patterns, looked up once an hour and not with every answer."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from active_customers.core.clock import HOUR
from active_customers.core.config import Config
from active_customers.core.event import Channel
from active_customers.kernels.retrieval import Ranking
from active_customers.models.holiday_calendar import countries, country_meant
from active_customers.models.kernel_arguments import frozen
from active_customers.models.patterns import Factor, Patterns, Place

_QUARTER = HOUR // 4
"""Zones are whole quarters of an hour apart, so that an hour begins with one everywhere."""


class ShopConfig(Config):
    """Where the shop is."""

    time_zone: str = "UTC"
    """The zone that the shop's customers live by, such as Europe/Berlin: hours, weekdays and months are those there."""
    country: str = ""
    """The country whose public holidays its customers keep, such as DE (ISO 3166-1 alpha-2); empty for no holidays."""
    free_delivery_from: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Value of a cart, in the currency of the catalogue, from which delivery is free; 0 for never, or always."""
    gap_factor: Annotated[float, Field(ge=1, le=10)] = 1.3
    """On cart and checkout pages the scores of products that would make delivery free are multiplied with this."""
    gap_reach: Annotated[float, Field(ge=1)] = 2.0
    """Such a product costs what is missing at least, and so many times that at most."""

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no such time zone; {_meant(value)}") from None
        return value

    @field_validator("country")
    @classmethod
    def _is_a_country(cls, value: str) -> str:
        if value and value not in countries():
            raise ValueError(f"there is no such country; {country_meant(value)}")
        return value


def _meant(zone: str) -> str:
    """Say which time zone is meant, or where they are listed: there are six hundred."""
    by_small_letters = {name.lower(): name for name in available_timezones()}
    close = get_close_matches(zone.lower(), by_small_letters, n=1)
    listed = "names are such as Europe/Berlin (IANA time zone database)"
    return f"did you mean {by_small_letters[close[0]]}?" if close else listed


class _Weights(NamedTuple):
    """By product, for what is ranked and for what is popular."""

    ranked: NDArray[np.float32]
    popular: NDArray[np.float32]

    def is_as(self, other: _Weights) -> bool:
        """Whether both say the same."""
        return all(map(np.array_equal, self, other))


NO_WEIGHTS = frozen(np.empty(0, np.float32))


class ContextEngine:
    """The factors of the hour that it was asked about last: one set for all channels unless patterns tell them apart.

    Nothing is weighed as long as nobody told the time, and where nothing was learned.
    """

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._quarter = -1
        self.channels: list[Channel | None] = list(Channel) if patterns.tells_channels_apart else [None]
        """Those that have weights of their own; None for all alike."""
        self._weights = [_Weights(NO_WEIGHTS, NO_WEIGHTS)] * len(self.channels)

    @property
    def weights(self) -> NDArray[np.float32]:
        """By product, for what is ranked in the first channel."""
        return self.ranked_in(0)

    @property
    def place(self) -> Place:
        """The time zone and the country that the patterns are of, and the holidays."""
        return self._patterns.place

    def ranked_in(self, channel: int) -> NDArray[np.float32]:
        """Return by what the scores of what is ranked in a channel, by its place in `channels`, are multiplied."""
        return self._weights[channel].ranked

    def turn_to(self, now: int) -> bool:
        """Look at the clock; return whether other weights hold from now on."""
        if not self._patterns.learned or now // _QUARTER == self._quarter:
            return False
        self._quarter = now // _QUARTER
        patterns, before, config = self._patterns, self._weights, self._patterns.config
        powers = (config.visit_strength, config.strength)
        after = [_Weights(*(patterns.weights(now, power, channel) for power in powers)) for channel in self.channels]
        if all(new.is_as(old) for new, old in zip(after, before, strict=True)):
            return False
        self._weights = after
        return True

    def factors(
        self, product: int, moment: tuple[int, Channel | None], *, ranked: bool
    ) -> Iterator[tuple[Factor, float]]:
        """Yield what each cycle says of a product, and the factor that comes of it for one that is ranked, or not."""
        config = self._patterns.config
        power = config.visit_strength if ranked else config.strength
        for found in self._patterns.factors_of(product, *moment):
            yield found, found.factor**power

    def weighed(self, ranking: Ranking, channel: int = 0) -> Ranking:
        """Return what is popular in the order of this hour and a channel, by its place in `channels`."""
        factors = self._weights[channel].popular
        if not len(factors):
            return ranking
        products = ranking.products
        weights = np.ones(len(products), np.float32)
        known = products < len(factors)
        weights[known] = factors[products[known]]
        scores = ranking.scores * weights
        order = np.argsort(-scores, kind="stable")
        return Ranking(frozen(products[order]), frozen(scores[order]), frozen(ranking.reasons[order]))
