"""Products as a file describes them: a catalogue that models may propose from beyond what training acted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.interactions import Source
from active_customers.models.product_features import Token


class DescribedProducts(NamedTuple):
    """Products by id, strings [n], with their tokens; an id may come more than once, and then has all of them."""

    ids: NDArray[np.str_]
    tokens: Sequence[Sequence[Token]]
    sources: tuple[Source, ...] = ()

    def beyond(self, known: NDArray[Any]) -> NDArray[Any]:
        """Return the ids that are not among the `known`, ascending: as integers where the known ones are integers.

        Where an id is no integer they stay strings, and then all are compared as strings.
        """
        others = np.setdiff1d(self.ids, known.astype(np.str_))
        if known.dtype.kind not in "iu":
            return others
        try:
            integers = others.astype(np.int64)
        except (ValueError, OverflowError):
            return others
        return np.sort(integers) if (integers.astype(np.str_) == others).all() else others
