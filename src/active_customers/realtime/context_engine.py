"""What the shop's hour says of products: the learned patterns, looked up once an hour and not with every answer."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from pydantic import Field, field_validator

from active_customers.core.clock import HOUR
from active_customers.core.config import Config
from active_customers.kernels.retrieval import Ranking
from active_customers.models.kernel_arguments import frozen
from active_customers.models.patterns import Factor, Patterns

_QUARTER = HOUR // 4
"""Zones are whole quarters of an hour apart, so that an hour begins with one everywhere."""


class ShopConfig(Config):
    """Where the shop is."""

    time_zone: str = "UTC"
    """The zone that the shop's customers live by, such as Europe/Berlin: hours, weekdays and months are those there."""
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


def _meant(zone: str) -> str:
    """Say which time zone is meant, or where they are listed: there are six hundred."""
    by_small_letters = {name.lower(): name for name in available_timezones()}
    close = get_close_matches(zone.lower(), by_small_letters, n=1)
    listed = "names are such as Europe/Berlin (IANA time zone database)"
    return f"did you mean {by_small_letters[close[0]]}?" if close else listed


class ContextEngine:
    """The factors of the hour that it was asked about last."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._quarter = -1
        self.weights = self._of_popular = frozen(np.empty(0, np.float32))
        """By product, for what is ranked; empty as long as nobody told the time, and where nothing was learned."""

    @property
    def zone(self) -> str:
        """The time zone that the patterns are of."""
        return self._patterns.zone

    def turn_to(self, now: int) -> bool:
        """Look at the clock; return whether other weights hold from now on."""
        if not self._patterns.learned or now // _QUARTER == self._quarter:
            return False
        self._quarter = now // _QUARTER
        patterns, before = self._patterns, (self.weights, self._of_popular)
        config = patterns.config
        after = (patterns.weights(now, config.visit_strength), patterns.weights(now, config.strength))
        if all(map(np.array_equal, before, after)):
            return False
        self.weights, self._of_popular = after
        return True

    def factors(self, product: int, now: int, *, ranked: bool) -> Iterator[tuple[Factor, float]]:
        """Yield what each cycle says of a product, and the factor that comes of it for one that is ranked, or not."""
        config = self._patterns.config
        power = config.visit_strength if ranked else config.strength
        for found in self._patterns.factors_of(product, now):
            yield found, found.factor**power

    def weighed(self, ranking: Ranking) -> Ranking:
        """Return what is popular in the order of this hour."""
        if not len(self._of_popular):
            return ranking
        products = ranking.products
        weights = np.ones(len(products), np.float32)
        known = products < len(self._of_popular)
        weights[known] = self._of_popular[products[known]]
        scores = ranking.scores * weights
        order = np.argsort(-scores, kind="stable")
        return Ranking(frozen(products[order]), frozen(scores[order]), frozen(ranking.reasons[order]))
