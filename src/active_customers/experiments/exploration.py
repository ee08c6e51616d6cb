"""How much new products are shown: enough to be known, then what their appeal deserves.

A new product is ranked by a guess, from what it looks like. If the guess is too low it is not shown, gets no clicks,
and the guess stands. So each gets a factor on its score: what its clicks say against what was expected of its
impressions, held to 1 by the guess while little is known, with a bonus for what it might turn out to be. The bonus is
gone after `trial` impressions, so that none keeps an advance that it did not earn.

What an impression is expected to bring is the shop's own click rate, divided by the factor that the product had then:
where scores decide what is shown, all that is shown is about equally promising, and a product that had its factor
doubled to get there is half as promising by its guess. Without that division products that deserve much would seem to
deserve less the more often they are shown.

>>> exploration = Exploration(n_products=3)
>>> products = np.array([1, 2])
>>> exploration.learn(products, impressions=np.array([500.0, 500.0]), clicks=np.array([30.0, 2.0]), click_rate=0.02)
>>> exploration.factors(products).round(2)
array([1.  , 2.43, 0.43], dtype=float32)
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError

Floats = NDArray[np.float64]


class ExplorationConfig(Config):
    """How new products are tried."""

    trial: Annotated[float, Field(gt=0)] = 200.0
    """Impressions in which a new product has a bonus, less with each."""
    bonus: Annotated[float, Field(ge=0, le=5)] = 1.0
    """The bonus, in standard deviations of what the product's appeal may be; 0 shows new products by their guess."""
    guess_clicks: Annotated[float, Field(gt=0)] = 4.0
    """Clicks that the guess counts for: the less it can be trusted the fewer. With 4 appeal is taken to be within half
    and twice the guess, mostly."""
    most: Annotated[float, Field(gt=1)] = 10.0
    """A factor's upper bound, and 1 divided by its lower one."""


class Exploration:
    """Counts impressions and clicks of products by number, and says what factors their scores deserve.

    `state` holds for each product impressions, clicks, clicks that were expected, and its factor of the moment; it may
    be saved and restored as it is.
    """

    def __init__(self, n_products: int, config: ExplorationConfig | None = None) -> None:
        self.config = config or ExplorationConfig()
        self.state: Floats = np.zeros((4, n_products))
        self.state[3] = 1.0

    def learn(self, products: NDArray[np.int64], impressions: Floats, clicks: Floats, click_rate: float) -> None:
        """Add what some products (each once) were shown and clicked since the last time.

        `click_rate` is clicks by impressions of all products that are not new, in the same places. Raises
        `InvalidValueError` for one that is not above 0, or counts that are none; nothing is learned then.
        """
        if not 0.0 < click_rate <= 1.0:
            raise InvalidValueError(
                "click_rate", click_rate, "send clicks divided by impressions, above 0 and at most 1"
            )
        for field, counts in (("impressions", impressions), ("clicks", clicks)):
            if not (np.isfinite(counts) & (counts >= 0.0)).all():
                raise InvalidValueError(field, counts, "send counts, 0 or more")
        shown, clicked, expected, factors = self.state
        shown[products] += impressions
        clicked[products] += clicks
        expected[products] += impressions * click_rate / factors[products]

    def factors(self, new: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a factor for every product, in force from now on: 1 for all but the `new` ones."""
        config, (shown, clicked, expected, _) = self.config, self.state[:, new]
        known = config.guess_clicks + expected
        appeal = (config.guess_clicks + clicked) / known
        doubt = np.sqrt(config.guess_clicks + clicked) / known
        trial = np.maximum(1.0 - shown / config.trial, 0.0)
        self.state[3] = 1.0
        self.state[3, new] = np.clip(appeal + config.bonus * trial * doubt, 1.0 / config.most, config.most)
        return np.asarray(self.state[3], np.float32)

    def forget(self, products: NDArray[np.int64]) -> None:
        """Begin anew with products: because they are new again, or because their guess is another one."""
        self.state[:, products] = np.array([[0.0], [0.0], [0.0], [1.0]])
