"""Choices as off-policy evaluation reads them: what was chosen, with what probability, and what it earned."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError, NoDataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class LoggedChoices:
    """Choices by column, each of n rows: an arm, the reward it earned, and the probability it was chosen with.

    Arms are numbers below `len(names)`. Where several are shown at once each is a row, and `positions` says which place
    it stood at; rows are then evaluated place by place. `features` [n, d] is what the choice was made by, `customers`
    who it was made for: choices of one customer are not independent.

    Raises `NoDataError` for no rows and `InvalidValueError`, with the first row at fault, for all that cannot be.

    >>> LoggedChoices(("a", "b"), np.array([0, 1]), np.array([1.0, 0.0]), np.array([0.5, 1.5]))
    Traceback (most recent call last):
    active_customers.core.errors.InvalidValueError: propensities[1]: 1.5 is not valid: probabilities lie in (0, 1]
    """

    names: tuple[str, ...]
    arms: Integers
    rewards: Floats
    propensities: Floats
    positions: Integers | None = None
    features: Floats | None = None
    customers: Integers | None = None

    def __post_init__(self) -> None:
        """Refuse what no estimate can be made of."""
        if not len(self.arms):
            raise NoDataError("there are no choices to evaluate by: log some with their propensities")
        for name, column in self._columns().items():
            if len(column) != len(self.arms):
                raise InvalidValueError(name, len(column), f"give one for each of the {len(self.arms)} choices")
        _refuse(
            "arms", self.arms, (self.arms < 0) | (self.arms >= len(self.names)), "arms count from 0 up to their names"
        )
        _refuse("rewards", self.rewards, ~np.isfinite(self.rewards), "rewards are finite numbers; 0 for none")
        is_probability = (self.propensities > 0) & (self.propensities <= 1)
        _refuse("propensities", self.propensities, ~is_probability, "probabilities lie in (0, 1]")
        if self.features is not None:
            wrong = np.asarray(~np.isfinite(self.features).all(axis=1))
            _refuse("features", self.features, wrong, "features are finite numbers")

    def __len__(self) -> int:
        return len(self.arms)

    @property
    def cells(self) -> tuple[Integers, int]:
        """The place of each row, counted from 0 without gaps, and how many places there are."""
        if self.positions is None:
            return np.zeros(len(self), np.int64), 1
        found, places = np.unique(self.positions, return_inverse=True)
        return places, len(found)

    @property
    def clusters(self) -> tuple[Integers, int]:
        """The customer of each row, counted from 0 without gaps, and how many there are; else each row is one."""
        if self.customers is None:
            return np.arange(len(self)), len(self)
        found, codes = np.unique(self.customers, return_inverse=True)
        return codes, len(found)

    def where(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the rows that are marked."""
        columns: dict[str, Any] = {name: column[chosen] for name, column in self._columns().items()}
        return replace(self, **columns)

    def _columns(self) -> dict[str, NDArray[Any]]:
        named = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        return {name: column for name, column in named.items() if column is not None}


class Support(NamedTuple):
    """What the log holds of the arms that the evaluated policy would choose."""

    unsupported: float
    """Share of its choices that are of arms never logged at their place: nothing is known of what they earn."""
    arms: tuple[str, ...]
    """Names of these arms."""


def support(choices: LoggedChoices, probabilities: Floats) -> Support:
    """Return how much of a policy's `probabilities` [n, arms] lies where the log has no choice."""
    places, n_places = choices.cells
    n_arms = len(choices.names)
    logged = np.bincount(places * n_arms + choices.arms, minlength=n_places * n_arms).reshape(n_places, n_arms)
    beyond = np.where(logged[places] == 0, probabilities, 0.0).sum(axis=0) / len(choices)
    return Support(float(beyond.sum()), tuple(choices.names[arm] for arm in np.flatnonzero(beyond)))


def checked_probabilities(choices: LoggedChoices, probabilities: Floats) -> Floats:
    """Return a policy's probabilities by choice and arm: [n, arms] as given, or one row [arms] for all choices.

    Raises `InvalidValueError` where the shape is another, a number is below 0 or a row does not sum to 1.
    """
    n_arms = len(choices.names)
    if probabilities.shape not in {(n_arms,), (len(choices), n_arms)}:
        remedy = f"give {n_arms} probabilities, one for each arm, or such a row for each of the {len(choices)} choices"
        raise InvalidValueError("probabilities.shape", probabilities.shape, remedy)
    rows = np.atleast_2d(probabilities)
    wrong = ~(rows >= 0).all(axis=1) | ~(np.abs(rows.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    _refuse("probabilities", rows.sum(axis=1), wrong, "each row is 0 or more and sums to 1")
    return np.broadcast_to(probabilities, (len(choices), n_arms))


def _refuse(name: str, column: NDArray[Any], wrong: NDArray[np.bool_], remedy: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidValueError(f"{name}[{row}]", column[row].tolist(), remedy)
