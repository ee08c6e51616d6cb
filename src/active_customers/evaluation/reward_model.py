"""What each arm would have earned in each choice, learned from the arms that were chosen."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

import numpy as np
from pydantic import Field

from active_customers.core.config import Config
from active_customers.evaluation.logged_choices import Floats, Integers, LoggedChoices


class RewardModelConfig(Config):
    """How much a reward model trusts what little it saw of an arm."""

    prior_choices: Annotated[float, Field(gt=0)] = 10.0
    """An arm chosen so often at a place stands halfway between its own mean and that of the place."""


class Design(NamedTuple):
    """What rewards are told by: `places` [n] of choices, `n_places`, and `regressors` [n, w], places among them."""

    places: Integers
    n_places: int
    regressors: Floats

    @classmethod
    def of(cls, choices: LoggedChoices) -> Self:
        """Return the design of choices."""
        places, n_places = choices.cells
        of_place = np.eye(n_places)[places]
        return cls(places, n_places, of_place if choices.features is None else np.hstack((of_place, choices.features)))

    def where(self, rows: Integers) -> Self:
        """Return some rows, with all places."""
        return self._replace(places=self.places[rows], regressors=self.regressors[rows])


class RewardModel(NamedTuple):
    """Ridge regressions, one for each arm, of what it earns beyond the mean of its place.

    `base` [places] are the means, `weights` [arms, w] the regressions, `inverses` [arms, w, w] those of their normal
    equations. Without features that is an arm's mean at a place, drawn to the mean of all arms there.
    """

    base: Floats
    weights: Floats
    inverses: Floats

    def rewards(self, design: Design) -> Floats:
        """Return what each arm is expected to earn in each choice: [n, arms]."""
        return np.asarray(self.base[design.places][:, None] + design.regressors @ self.weights.T)


def fit_rewards(choices: LoggedChoices, design: Design, rows: Integers, config: RewardModelConfig) -> RewardModel:
    """Fit to some rows of the choices, at least one; an arm that they lack earns the mean of its place."""
    places, _, regressors = design.where(rows)
    arms, rewards = choices.arms[rows], choices.rewards[rows]
    counts = np.bincount(places, minlength=design.n_places)
    sums = np.bincount(places, rewards, design.n_places)
    base = np.where(counts > 0, sums / np.maximum(counts, 1), rewards.mean())
    n_arms, width = len(choices.names), regressors.shape[1]
    inverses, weights = np.empty((n_arms, width, width)), np.empty((n_arms, width))
    beyond = rewards - base[places]
    for arm in range(n_arms):
        is_own = arms == arm
        own = regressors[is_own]
        inverses[arm] = np.linalg.inv(own.T @ own + config.prior_choices * np.eye(width))
        weights[arm] = inverses[arm] @ (own.T @ beyond[is_own])
    return RewardModel(base, weights, inverses)


def model_influence(choices: LoggedChoices, design: Design, wanted: Floats, model: RewardModel) -> Floats:
    """Return how each row moves a policy's mean expected reward, through the fit and by being asked about: [n].

    To first order and times n, so that the mean square is n times the variance. `wanted` [n, arms] are the policy's
    probabilities; the model was fitted to all rows.
    """
    by_model = model.rewards(design)
    expected = np.einsum("ij,ij->i", wanted, by_model)
    pulls = np.einsum("aw,awv->av", wanted.T @ design.regressors, model.inverses)
    through_fit = np.einsum("iw,iw->i", pulls[choices.arms], design.regressors)
    # The mean of a place counts for what is asked about there, but where arms' own rewards say otherwise.
    sizes = np.bincount(design.places, minlength=design.n_places)
    left = (sizes - np.bincount(design.places, through_fit, design.n_places)) / sizes
    residuals = choices.rewards - by_model[np.arange(len(choices)), choices.arms]
    beyond = choices.rewards - model.base[design.places]
    return np.asarray(expected - expected.mean() + through_fit * residuals + left[design.places] * beyond)
