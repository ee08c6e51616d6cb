"""What customers look for in a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.simulator.catalogue import Catalogue

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Intent:
    """What one customer looks for: a category, a kind of product in it, and the style wished for (float64[D])."""

    category: int
    kind: int
    wish: Floats = field(repr=False)


@dataclass(frozen=True, slots=True)
class Needs:
    """Intents of many customers as columns; shapes: `category` and `kind` int64[s], `wish` float64[s, D].

    Category and kind -1 with a wish of zeros is a customer who looks for nothing in particular.
    """

    category: Integers
    kind: Integers
    wish: Floats

    @classmethod
    def like(cls, catalogue: Catalogue, products: Integers) -> Needs:
        """Return the needs of customers who each have one product (int64[s]) in mind."""
        return cls(catalogue.category[products], catalogue.kind[products], catalogue.style[products])

    @classmethod
    def of(cls, intent: Intent | None, n_styles: int) -> Needs:
        """Return one row: the intent, or none in particular."""
        if intent is None:
            return cls(np.array([-1]), np.array([-1]), np.zeros((1, n_styles)))
        return cls(np.array([intent.category]), np.array([intent.kind]), np.asarray(intent.wish)[None, :])

    @classmethod
    def joined(cls, parts: Sequence[Needs]) -> Needs:
        """Return the rows of several."""
        columns = ("category", "kind", "wish")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def at(self, rows: Integers) -> Needs:
        """Return some of the rows."""
        return Needs(self.category[rows], self.kind[rows], self.wish[rows])

    def put(self, rows: Integers, needs: Needs) -> None:
        """Overwrite some of the rows."""
        self.category[rows], self.kind[rows], self.wish[rows] = needs.category, needs.kind, needs.wish
