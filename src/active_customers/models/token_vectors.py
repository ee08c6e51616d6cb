"""Products' vectors in the making: each its own, or that and those of its tokens."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.embedding import Moving, TokenRows, compose_rows, pass_on, take_step
from active_customers.models.product_features import About, ProductFeatures, token_weights


class Vectors(Protocol):
    """Vectors of products that learn; the last row is that of no product."""

    def shown(self, rows: NDArray[np.int64]) -> Moving:
        """Return values and gradient of all products, of which the named ones are up to date (-1: no product)."""
        ...

    def step(self, rate: float, number: int) -> None:
        """Move against the gradient of the rows that were shown last, the `number`-th time."""
        ...

    def whole(self) -> NDArray[np.float32]:
        """Return the vectors of all products."""
        ...


class OwnVectors:
    """`Vectors` that are the products' own; those that nobody acted on (`counts` int64[n]) end with length 0."""

    def __init__(self, values: NDArray[np.float32], counts: NDArray[np.int64]) -> None:
        self._moving = moving(values)
        self._counts = counts

    def shown(self, rows: NDArray[np.int64]) -> Moving:
        """Return everything."""
        del rows
        return self._moving

    def step(self, rate: float, number: int) -> None:
        """Move against the gradient."""
        take_step(self._moving, rate, number)

    def whole(self) -> NDArray[np.float32]:
        """Return the vectors."""
        vectors = self._moving.values[:-1]
        vectors[self._counts == 0] = 0.0
        return vectors


class TokenVectors:
    """`Vectors` that are the sum of a product's own and those of its tokens, so that an untouched product has one.

    LightFM (Kula, "Metadata embeddings for user and item cold-start recommendations", 2015), with tokens weighted.
    """

    def __init__(self, own: NDArray[np.float32], described: TokenRows, tokens: NDArray[np.float32]) -> None:
        self._own, self._tokens = moving(own), moving(tokens)
        self._described = described
        self._composed = np.zeros_like(own)
        self._rows = np.empty(0, np.int64)

    @classmethod
    def of(
        cls,
        own: NDArray[np.float32],
        counts: NDArray[np.int64],
        described: tuple[ProductFeatures, float],
        rng: np.random.Generator,
    ) -> Self:
        """Return vectors that begin by chance; all tokens of a product together weigh as `described` says.

        What nobody acted on (`counts` int64[n] is 0) has no own vector, and a token of such products alone none either.
        """
        features, weight = described
        weights = token_weights(features, np.ones(len(About))) * np.float32(weight)
        own[:-1][counts == 0] = 0.0
        tokens = rng.standard_normal((features.n_tokens, own.shape[1]), np.float32)
        tokens *= 1 / np.sqrt(own.shape[1])
        touched = features.tokens[np.repeat(counts > 0, np.diff(features.offsets))]
        tokens[np.bincount(touched, minlength=features.n_tokens) == 0] = 0.0
        return cls(own, TokenRows(features.offsets, features.tokens, weights), tokens)

    def shown(self, rows: NDArray[np.int64]) -> Moving:
        """Compose the named rows."""
        self._rows = np.unique(rows[rows >= 0])
        compose_rows(self._described, self._rows, self._own.values, self._tokens.values, self._composed)
        return self._own._replace(values=self._composed)

    def step(self, rate: float, number: int) -> None:
        """Move the products' own vectors and those of tokens."""
        pass_on(self._described, self._rows, self._own.gradient, self._tokens.gradient)
        take_step(self._own, rate, number)
        take_step(self._tokens, rate, number)

    def whole(self) -> NDArray[np.float32]:
        """Return the vectors of all products."""
        return self.shown(np.arange(len(self._composed) - 1)).values[:-1]


def moving(values: NDArray[np.float32]) -> Moving:
    """Return parameters that have not moved yet."""
    return Moving(values, *(np.zeros_like(values) for _ in range(3)))
