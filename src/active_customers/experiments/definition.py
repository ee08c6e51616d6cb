"""What an experiment is, as far as its results depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from active_customers.core.errors import InvalidValueError, meant


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the ways in which customers are answered; weights count against each other, in whatever unit."""

    name: str
    weight: float
    strategy: str
    code: int = 0
    """What stands for this variant in `recommendation_id`; 0 where nothing does: then no click is known to be its."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One version of a test: another version is another test, and their customers are not mixed.

    Times are microseconds since the epoch; `ends` is None while no end is set.

    Raises `InvalidValueError` for fewer than two variants, equal names, weights that are not positive, a control that
    is no variant, and an end that is not after the start.

    >>> variants = (Variant("usual", 1, "hybrid"), Variant("bold", 1, "discover"))
    >>> test = Experiment("home", 1, variants, "usual", 0)
    >>> test.names, test.control_place, test.shares
    (('usual', 'bold'), 0, (0.5, 0.5))
    """

    name: str
    version: int
    variants: Sequence[Variant]
    control: str
    starts: int
    ends: int | None = None

    def __post_init__(self) -> None:
        names = self.names
        if len(names) < 2:
            raise InvalidValueError("variants", names, "name at least two")
        if len(set(names)) < len(names):
            raise InvalidValueError("variants", names, "give each a name of its own")
        for variant in self.variants:
            if not 0 < variant.weight < float("inf"):
                raise InvalidValueError(f"variants.{variant.name}.weight", variant.weight, "give a number above 0")
        if self.control not in names:
            raise InvalidValueError("control", self.control, meant(self.control, names))
        if self.ends is not None and self.ends <= self.starts:
            raise InvalidValueError("ends", self.ends, "let it lie after starts")

    @property
    def names(self) -> tuple[str, ...]:
        """The variants' names, in order."""
        return tuple(variant.name for variant in self.variants)

    @property
    def control_place(self) -> int:
        """Where the control stands among the variants."""
        return self.names.index(self.control)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of customers that each variant is to get, by weight."""
        total = sum(variant.weight for variant in self.variants)
        return tuple(variant.weight / total for variant in self.variants)
