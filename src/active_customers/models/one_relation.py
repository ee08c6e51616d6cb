"""What models share that know one relation of products: a session's products add up what they are related to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.session import SessionQuery
from active_customers.kernels.candidate_set import Room, evidence_of, make_room, scores_of
from active_customers.kernels.item_knn import Relation, RelationScratch, collect, recommend
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates
from active_customers.models.kernel_arguments import PerThread, frozen, longest_row, question, wanted


class OneRelation:
    """A model that holds one relation; the evidence is the product of the session that adds most."""

    def _hold(self, related: Relation, by_place: NDArray[np.float64]) -> None:
        """Take a relation; the i-th newest distinct product of a session weighs `by_place[i]`."""
        self.related = Relation(*(frozen(array) for array in related))
        self.by_place = by_place
        self._scratch = PerThread(lambda: RelationScratch(*make_room(self.room)))

    @property
    def room(self) -> Room:
        """The scratch memory that a question needs."""
        offsets = self.related.offsets
        return Room(len(self.by_place) * longest_row(offsets), len(offsets) - 1)

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products that those of the session speak for, best first."""
        scratch = self._scratch.get()
        asked = question(session.products)
        return Candidates(*recommend(self.related, self.by_place, scratch, asked, wanted(n, excluded)))

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return what the session's products add up to for each given one; 0 where they say nothing."""
        scratch = self._scratch.get()
        count = collect(self.related, self.by_place, scratch, question(session.products))
        return scores_of(scratch.candidates, count, question(products))

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that adds most to this one, or `NO_NUMBER`."""
        scratch = self._scratch.get()
        count = collect(self.related, self.by_place, scratch, question(session.products))
        return evidence_of(scratch.candidates, count, int(product))

    def arrays(self) -> Arrays:
        """Return the rows of weights: `offsets`, `products`, `weights`."""
        return {"offsets": self.related.offsets, "products": self.related.products, "weights": self.related.weights}
