"""Beyond accuracy: how much of the catalogue is shown, how popular that is, and how unlike each other the products are.

All of it is told by what training held, and by nothing that a tested model has learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.metrics import coverage
from active_customers.models.base import SessionLog

if TYPE_CHECKING:
    from scipy.sparse import csr_array

HEAD, MIDDLE, TAIL, UNSEEN = "head", "middle", "tail", "unseen"
HEAD_SHARE, MIDDLE_SHARE = 0.05, 0.2
"""The most popular 5 % of the products are the head, those from there to 20 % the middle, the others the tail."""

LISTS_COMPARED = 2_000
"""Lists drawn for their diversity: it compares every two products of a list, and means settle long before that."""


class Catalogue:
    """What training held of each product: its acts, where that places it, and what it stands together with."""

    def __init__(self, train: SessionLog) -> None:
        from scipy.stats import rankdata  # noqa: PLC0415 - half a second, which no other command should wait for

        self.n_products = train.n_products
        self.acts = np.bincount(train.products, minlength=train.n_products)
        self.percentiles = rankdata(self.acts) / train.n_products
        self.bits = -np.log2(np.maximum(self.acts, 1) / max(int(self.acts.sum()), 1))
        self._together, self._sessions_of = _together(train)

    def popularity(self, products: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Return the share of the catalogue that each product is more popular than, or equally; 0 for unseen ones."""
        return _looked_up(self.percentiles, products)

    def tiers(self, products: NDArray[np.uint32]) -> NDArray[np.str_]:
        """Return the popularity class of each product, by rank among all products; ties share theirs.

        One that training holds no act on is unseen, whether or not a catalogue knows it.
        """
        percentile = self.popularity(products)
        return np.select(
            [_looked_up(self.acts, products) == 0, percentile > 1 - HEAD_SHARE, percentile > 1 - MIDDLE_SHARE],
            [UNSEEN, HEAD, MIDDLE],
            TAIL,
        )

    def figures(
        self, lists: NDArray[np.uint32], targets: NDArray[np.uint32], rng: np.random.Generator
    ) -> dict[str, float]:
        """Return the figures of lists [n, k] (`NO_NUMBER` after the last) beside what was right."""
        shown = lists[lists != NO_NUMBER]
        recommended, actual = _mean(self.popularity(shown)), _mean(self.popularity(targets))
        return {
            "coverage": coverage(lists, self.n_products),
            "gini": gini(np.bincount(shown, minlength=self.n_products)),
            "popularity": recommended,
            "popularity_of_targets": actual,
            "popularity_lift": recommended / actual if actual else 0.0,
            "novelty": _mean(_looked_up(self.bits, shown)),
            "diversity": self._diversity(lists, rng),
        }

    def _diversity(self, lists: NDArray[np.uint32], rng: np.random.Generator) -> float:
        """Return the mean of 1 - cosine over all pairs within a list, of some lists, by the sessions they share."""
        sample = lists[rng.permutation(len(lists))[:LISTS_COMPARED]]
        left, right = np.triu_indices(lists.shape[1], 1)
        first, second = sample[:, left].ravel(), sample[:, right].ravel()
        both = (first != NO_NUMBER) & (second != NO_NUMBER)
        if not both.any():
            return 0.0
        first, second = first[both], second[both]
        shared = np.asarray(self._together[first, second]).ravel()
        return 1 - _mean(shared / np.sqrt(np.maximum(self._sessions_of[first] * self._sessions_of[second], 1)))


def gini(shown: NDArray[Any]) -> float:
    """Return how unequally the products are shown: 0 where all are alike, near 1 where one has everything.

    >>> gini(np.array([3, 3, 3])), round(gini(np.array([0, 0, 0, 8])), 2)
    (0.0, 0.75)
    """
    n, total = len(shown), shown.sum()
    if not total:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(shown) / (n * total))


def _together(train: SessionLog) -> tuple[csr_array, NDArray[np.float64]]:
    """Return in how many sessions two products stand together [products, products], and each one alone."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - as above

    sessions = np.repeat(np.arange(train.n_sessions), np.diff(train.offsets))
    keys = np.unique(sessions << 32 | train.products)
    rows, columns = keys >> 32, keys & NO_NUMBER
    held = csr_array(
        (np.ones(len(keys), np.float32), (rows, columns)), shape=(train.n_sessions, max(train.n_products, 1))
    )
    counts = np.bincount(columns, minlength=train.n_products).astype(np.float64)
    return csr_array(held.T @ held), counts


def _looked_up(table: NDArray[Any], products: NDArray[np.uint32]) -> NDArray[np.float64]:
    known = products < len(table)
    return np.where(known, table[np.where(known, products, 0)], 0.0)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
