"""Products that are alike by what the catalogue says of them: what one that nobody acted on yet is known by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.kernels.candidate_set import candidate_set
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.similarity import Described, Nearest, similar_rows
from active_customers.models.base import NO_PRODUCTS, Arrays, SessionLog
from active_customers.models.item_knn import CHUNK
from active_customers.models.kernel_arguments import frozen
from active_customers.models.one_relation import OneRelation
from active_customers.models.product_features import About, ProductFeatures, token_weights


class ContentConfig(Config):
    """Parameters of `Content`. What a field weighs is multiplied by how rare its tokens are."""

    neighbours: Annotated[int, Field(ge=1)] = 50
    """Nearest products kept for each product."""
    most_looks: Annotated[int, Field(ge=1)] = 20_000
    """Entries of the lists of products by token that are looked at for one product, the rarest token first; a token
    whose list would be too much brings no product in, however alike."""
    category: Annotated[float, Field(ge=0)] = 1.0
    """What the levels of the category weigh."""
    brand: Annotated[float, Field(ge=0)] = 1.0
    """What the brand weighs."""
    name: Annotated[float, Field(ge=0)] = 1.0
    """What the words of the name weigh."""
    attribute: Annotated[float, Field(ge=0)] = 1.0
    """What attribute ids weigh."""
    price: Annotated[float, Field(ge=0)] = 0.5
    """What the band of the price weighs."""
    query_depth: Annotated[int, Field(ge=1, le=256)] = 10
    """Newest distinct products of the customer's session that are used."""
    query_decay: Annotated[float, Field(gt=0)] = 2.0
    """How fast older products of the customer's session lose weight, in distinct products."""

    def by_field(self) -> NDArray[np.float64]:
        """Return the weights of fields, by `About`."""
        return np.array([getattr(self, about.name.lower()) for about in About])


class Content(OneRelation):
    """Proposes what is most like the products of a session, whether or not anybody ever acted on it.

    Alike are products whose tokens (`models.product_features`) have a large cosine, weighted by TF-IDF (Salton and
    Buckley, "Term-weighting approaches in automatic text retrieval", 1988). What customers did plays no part.
    """

    def __init__(self, config: ContentConfig | None = None) -> None:
        self.config = config or ContentConfig()
        self._open(Relation(np.zeros(1, np.int64), NO_PRODUCTS, np.empty(0, np.float32), NO_PRODUCTS))

    def fit(self, log: SessionLog) -> None:
        """Find the nearest products of each by the log's features; without these there are none."""
        if log.features is not None:
            self._open(self._related(log.features))

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(ContentConfig.model_validate(config))
        model._open(Relation(arrays["offsets"], arrays["products"], arrays["weights"], NO_PRODUCTS))
        return model

    def _open(self, related: Relation) -> None:
        self._hold(related, np.exp(-np.arange(self.config.query_depth) / self.config.query_decay))

    def _related(self, features: ProductFeatures) -> Relation:
        n_products = features.n_products
        described = make_described(features, token_weights(features, self.config.by_field()))
        nearest = Nearest(self.config.neighbours, self.config.most_looks)
        candidates = candidate_set(n_products)
        parts = [
            similar_rows(described, nearest, candidates, first, min(first + CHUNK, n_products))
            for first in range(0, n_products, CHUNK)
        ]
        lengths, products, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Relation(np.concatenate(([0], np.cumsum(lengths))), products, weights, NO_PRODUCTS)


def make_described(features: ProductFeatures, weights: NDArray[np.float32]) -> Described:
    """Return products with their weighted tokens, and tokens with their products; what weighs nothing is left out."""
    counted = weights > 0
    rows = np.repeat(np.arange(features.n_products), np.diff(features.offsets))[counted]
    tokens, weights = features.tokens[counted], weights[counted]
    counts = np.bincount(tokens, minlength=features.n_tokens)
    by_token, rarest_first = np.lexsort((rows, tokens)), np.lexsort((tokens, counts[tokens], rows))
    return Described(
        offsets=_offsets(np.bincount(rows, minlength=features.n_products)),
        tokens=frozen(tokens[rarest_first]),
        weights=frozen(weights[rarest_first]),
        posting_offsets=_offsets(counts),
        postings=frozen(rows[by_token].astype(np.uint32)),
        posting_weights=frozen(weights[by_token]),
    )


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return frozen(np.concatenate(([0], np.cumsum(counts))).astype(np.int64))
