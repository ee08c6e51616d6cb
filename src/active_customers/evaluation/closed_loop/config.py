"""How simulated customers meet a service."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from active_customers.core.config import Config


class LoopConfig(Config):
    """The knobs of the closed loop; those of shop and customers are in `SimulatorConfig`."""

    warm_up_days: Annotated[int, Field(ge=1)] = 21
    """Days of history, in a shop without recommendations, before the first day that is played."""
    slice_minutes: Annotated[int, Field(ge=1, le=1_440)] = 10
    """How far the clock moves at a time; the customers of so many minutes act together."""
    attention_share: Annotated[float, Field(ge=0, le=1)] = 0.6
    """How often the recommendations on a page are looked at; then, without a click, the shop's own list is."""
    refresh_days: Annotated[int, Field(ge=1)] = 1
    """Days from one refresh of the models to the next."""
    n: Annotated[int, Field(ge=1, le=100)] = 10
    """Products that are asked for."""
    homepage: bool = True
    """Home pages ask for shelves (`/api/v1/homepage`); else, and wherever `strategies` are named, for a list."""
    judged_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the answers of which the regret is computed: it takes looking at the whole catalogue."""
    connections: Annotated[int, Field(ge=1, le=1_000)] = 32
    """How many requests are under way at once."""
    before: tuple[str, ...] = ()
    """Commands that are run beside the service before anything else, such as `rules put rules.yaml`."""
    strategies: tuple[str, ...] = ()
    """Strategies among which the shop splits its customers, evenly and for good; none: the service decides."""
