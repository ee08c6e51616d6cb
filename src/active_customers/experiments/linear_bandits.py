"""Bandits with contexts: what an arm earns depends on features of the request, or of the arm at that moment.

Rewards are taken to be a weighted sum of the features. Of each set of weights the state keeps two sums: of the outer
products of contexts, and of contexts times rewards. Both only add up, so old ones can fade, and the order in which
choices are settled does not matter.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.errors import InvalidValueError
from active_customers.experiments.policy import Choice, Floats, Policy, PolicyConfig
from active_customers.experiments.priors import MIDDLE, strength_of_weights
from active_customers.kernels.bandits import Board, LinearShape, choose_by_bound, choose_by_drawn_weights
from active_customers.kernels.handover import hand_over
from active_customers.models.kernel_arguments import Prepared

MAX_FEATURES = 64


class LinearConfig(PolicyConfig):
    """What policies with contexts have in common: a reward is taken to be a weighted sum of features."""

    features: Annotated[int, Field(ge=1, le=MAX_FEATURES)]
    """Numbers in a context. Let the first be 1, always, if nothing else says how good an arm is on average."""
    shared: bool = False
    """Whether one set of weights holds for all arms, which then need features of their own (a row for each); else each
    arm has its own weights for the features of the request."""


class LinUcbConfig(LinearConfig):
    """The arm that may be the best in this context: LinUCB (Li et al., 2010)."""

    policy: Literal["lin_ucb"] = "lin_ucb"
    width: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Standard deviations between an estimate and its bound: the paper's alpha."""


class LinearThompsonConfig(LinearConfig):
    """Each arm as often as it is likely to be the best in this context (Agrawal and Goyal, 2013)."""

    policy: Literal["linear_thompson"] = "linear_thompson"
    draws: Annotated[int, Field(ge=8, le=1_024)] = 32
    """Sets of weights drawn for what is published; every share is a multiple of 1 / draws."""
    width: Annotated[float, Field(gt=0, le=10)] = 0.6
    """Standard deviations of the weights that are drawn, as a multiple of what is known: the paper's v. With 1 arms are
    tried long after it could be known better."""


L = TypeVar("L", bound=LinearConfig)


class Posterior(NamedTuple):
    """What is known of weights: for each set the likeliest ones, and the inverse of their covariance."""

    weights: Floats
    precisions: Floats


class LinearPolicy(Policy[L]):
    """A policy with contexts: float32 arrays with a row of features for each arm, or one row for all arms."""

    def __init__(self, config: L, n_arms: int, draws: int, board: Board | None = None) -> None:
        models, size = 1 if config.shared else n_arms, config.features
        page = models * size * draws or n_arms * (size + size * (size + 1) // 2)
        super().__init__(config, n_arms, 2 + models * (1 + size + size * size), page, board)
        self.totals, rest = self.state[1:3], self.state[3:]
        """Sum of rewards and of their squares."""
        self.counts, rest = rest[:models], rest[models:]
        self.moments = rest[: models * size].reshape(models, size)
        self.grams = rest[models * size :].reshape(models, size, size)
        self._shapes = frozenset({(1, size), (n_arms, size)})
        self._handed = hand_over((self.reading, LinearShape(n_arms, models, size, draws, config.explore)))
        self._choose = Prepared(choose_by_drawn_weights if draws else choose_by_bound)
        if board is None:
            self.publish(np.random.default_rng(0))

    def pull(self, context: NDArray[Any] | None, draw: float) -> Choice:
        """Return an arm and its propensity in a context; raises `InvalidValueError` for one of another shape."""
        return Choice(*self._choose(self._handed, self._context(context), draw))

    def update(self, arm: int, reward: float, context: NDArray[Any] | None, time: int) -> None:
        """Learn what a choice in a context earned."""
        share = self.checked(arm, reward)
        rows = self._context(context)
        if not np.isfinite(rows).all():
            raise InvalidValueError("context", context, "send finite numbers")
        features = rows[arm if len(rows) > 1 else 0].astype(np.float64)
        weight, model = self.faded(time), 0 if self.config.shared else arm
        self.totals += weight * share, weight * share * share
        self.counts[model] += weight
        self.moments[model] += weight * share * features
        self.grams[model] += weight * features[:, None] * features

    def posterior(self) -> Posterior:
        """Return what is known of the weights.

        Arms with weights of their own start from those that suit all arms, as strongly as the arms are alike (see
        `priors`); shared ones start from none.
        """
        usual, common = self._in_common()
        variance = self._variance()
        away = self.moments - self.grams @ common
        half = np.linalg.inv(np.linalg.cholesky(usual))
        known, turned = np.linalg.eigh(half @ self.grams @ half.T)
        strength = strength_of_weights(
            known, (turned.transpose(0, 2, 1) @ (away @ half.T)[:, :, None])[:, :, 0], variance
        )
        precisions = self.grams + strength * usual
        weights = common + np.linalg.solve(precisions, away[:, :, None])[:, :, 0]
        return Posterior(weights, precisions / variance)

    def _in_common(self) -> tuple[Floats, Floats]:
        """Return what one observation usually tells of weights, and the weights that suit all arms.

        Each arm weighs by how much is known of it: else the one that is chosen most would speak for all.
        """
        size = self.config.features
        weighing = 1.0 / (self.counts + MIDDLE)
        observed = float(weighing @ self.counts)
        if observed <= 0.0:
            return np.eye(size), np.zeros(size)
        together = np.einsum("m,mij->ij", weighing, self.grams) / observed
        usual = together + np.eye(size) * max(float(np.trace(together)) / size * 1e-3, 1e-9)
        common = np.zeros(size) if self.config.shared else np.linalg.solve(usual, weighing @ self.moments / observed)
        return usual, common

    def _variance(self) -> float:
        """Return the variance of rewards around their mean; without any, that of a coin."""
        count = float(self.counts.sum())
        if count <= 0.0:
            return 0.25
        mean, square = self.totals / count
        return float(max(square - mean * mean, 1.0 / (count + 4.0) ** 2))

    def _context(self, context: NDArray[Any] | None) -> NDArray[np.float32]:
        """Return a context as kernels want it, always as an array of its own, so that its type is always the same."""
        if context is None:
            raise InvalidValueError("context", None, f"send {self.config.features} features")
        rows = np.array(context, np.float32, ndmin=2)
        if rows.shape not in self._shapes:
            wanted = f"{self.config.features} features, in one row or in {self.n_arms}, one for each arm"
            raise InvalidValueError("context", f"an array of {rows.shape}", f"send {wanted}")
        return rows


class LinUcb(LinearPolicy[LinUcbConfig]):
    """The arm with the highest bound: its estimate, and so many standard deviations of it."""

    def __init__(self, config: LinUcbConfig, n_arms: int, board: Board | None = None) -> None:
        super().__init__(config, n_arms, 0, board)

    def page(self, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        """Return weights by feature and arm, then what pairs of features add to the squared width, by pair and arm."""
        weights, precisions = self.posterior()
        first, second = np.triu_indices(self.config.features)
        forms = np.linalg.inv(precisions)[:, first, second] * np.where(first == second, 1.0, 2.0)
        found = np.concatenate((weights, self.config.width**2 * forms), axis=1)
        return np.broadcast_to(found, (self.n_arms, found.shape[1])).T


class LinearThompson(LinearPolicy[LinearThompsonConfig]):
    """Draws of the weights of all arms; a request takes one draw, and its propensity is how many draws agree."""

    def __init__(self, config: LinearThompsonConfig, n_arms: int, board: Board | None = None) -> None:
        super().__init__(config, n_arms, config.draws, board)

    def page(self, rng: np.random.Generator) -> Floats:
        """Return weights by model, feature and draw."""
        weights, precisions = self.posterior()
        normal = rng.standard_normal((*weights.shape, self.config.draws))
        upper = np.linalg.cholesky(precisions).transpose(0, 2, 1)
        return weights[:, :, None] + self.config.width * np.linalg.solve(upper, normal)
