"""Who was shown which variant first, and who cannot be counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.experiments.definition import Experiment

Numbers = NDArray[np.uint32]


class Exposures(NamedTuple):
    """Exposures as the log has them, one for each: customer, time, position, and the variant's place (-1: none)."""

    customer: Numbers
    time: NDArray[np.int64]
    position: NDArray[np.int64]
    variant: NDArray[np.int16]

    def rows(self, kept: NDArray[Any]) -> Exposures:
        """Return some of them, by mask or by place."""
        return Exposures(*(column[kept] for column in self))


class People(NamedTuple):
    """Who is whom, and who is passed over: `StoreWriter.joined` and `StoreWriter.passed_over`."""

    joined: NDArray[np.uint32]
    passed_over: Numbers

    def owners(self, customers: Numbers) -> Numbers:
        """Return whose acts those of some customers are."""
        if not len(self.joined):
            return customers
        numbers, owners = self.joined.T
        places = np.minimum(np.searchsorted(numbers, customers), len(numbers) - 1)
        return np.where(numbers[places] == customers, owners[places], customers)

    def is_passed_over(self, customers: Numbers) -> NDArray[np.bool_]:
        """Tell who was erased, is a robot, or wants no profile, under this number or their own."""
        return np.isin(customers, self.passed_over) | np.isin(self.owners(customers), self.passed_over)


@dataclass(frozen=True, slots=True)
class Assignments:
    """The customers of an experiment by number: since when (microseconds) each has which variant, by its place.

    `n_merged_out` customers had met two variants before a login said that they are one; `n_passed_over` were erased,
    are robots, or want no profile. `n_invalid` exposures were of no known variant or outside the experiment's time.
    """

    customer: Numbers
    since: NDArray[np.int64]
    variant: NDArray[np.int16]
    n_first: tuple[int, ...] = ()
    """How many customers met each variant first, those included who left because they met another, too. Only these can
    be held to shares: who comes on several devices leaves a small variant more often than a large one."""
    n_merged_out: int = 0
    n_passed_over: int = 0
    n_invalid: int = 0

    def __len__(self) -> int:
        return len(self.customer)


def assign(experiment: Experiment, exposures: Exposures, people: People) -> Assignments:
    """Return whom an experiment counts; of several exposures the first wins, whatever it came to be logged as.

    Whoever met two variants before they were known to be one person has the older one from then on, but is not counted:
    nothing says which of the two their acts come from.
    """
    ends = np.iinfo(np.int64).max if experiment.ends is None else experiment.ends
    is_valid = (exposures.variant >= 0) & (exposures.time >= experiment.starts) & (exposures.time < ends)
    is_out = people.is_passed_over(exposures.customer)
    kept = exposures.rows(is_valid & ~is_out)
    firsts = _first_of_each(kept)
    whole = firsts._replace(customer=people.owners(firsts.customer))
    counted = _first_of_each(whole)
    places = np.searchsorted(counted.customer, whole.customer)
    n_first = tuple(np.bincount(counted.variant, minlength=len(experiment.variants)).tolist())
    merged = np.zeros(len(counted.customer), bool)
    merged[places[counted.variant[places] != whole.variant]] = True
    counted = counted.rows(~merged)
    return Assignments(
        counted.customer,
        counted.time,
        counted.variant,
        n_first=n_first,
        n_merged_out=int(merged.sum()),
        n_passed_over=len(np.unique(people.owners(exposures.customer[is_out]))),
        n_invalid=int((~is_valid).sum()),
    )


def _first_of_each(exposures: Exposures) -> Exposures:
    """Return the first exposure of each customer, by customer."""
    rows = exposures.rows(np.lexsort((exposures.position, exposures.time, exposures.customer)))
    return rows.rows(np.unique(rows.customer, return_index=True)[1])
