"""What another policy would have earned, told from choices that were made by chance and logged with their chances.

Dudik, Langford, Li: Doubly robust policy evaluation and learning (2011); Swaminathan, Joachims: The self-normalized
estimator for counterfactual learning (2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.evaluation.logged_choices import Floats, LoggedChoices, Support, checked_probabilities, support
from active_customers.evaluation.metrics import CONFIDENCE, Interval
from active_customers.evaluation.reward_model import Design, RewardModelConfig, fit_rewards, model_influence

ESTIMATORS: Mapping[str, str] = {
    "ips": "inverse propensity scores: each reward counts as often as the policy would have made the choice more often",
    "snips": "the same over the sum of the weights: steadier where these vary",
    "dm": "direct method: what a model of rewards expects of the policy's choices; as right as the model",
    "dr": "doubly robust: the direct method, its errors corrected by weights; right when either model or weights are",
}


_MOST_NAMED = 5
_LARGE_SHARE = 0.1
"""Of all weight, that a single choice may carry before it is warned of."""


class OffPolicyConfig(Config):
    """How policies are evaluated from a log."""

    max_weight: Annotated[float, Field(gt=0)] | None = None
    """Weights above this are cut: a bias towards what is expected anyway, for less chance. None cuts none."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Parts of the log, by customer; the model that judges one was fitted to the others."""
    seed: int = 0
    """Of which customer is in which part."""
    least_rewards: Annotated[int, Field(ge=0)] = 30
    """Fewer choices with a reward than this are warned of: intervals are approximate."""
    least_size: Annotated[float, Field(ge=0)] = 100.0
    """A smaller effective sample size is warned of."""
    model: RewardModelConfig = RewardModelConfig()
    """The model of rewards."""


class Estimate(NamedTuple):
    """The mean reward of a choice, its standard error and 95 % interval.

    `change` is how much more that is than the log itself earned, with an interval of its own: both are of the same
    customers, so that it is mostly narrower than two intervals look.
    """

    value: float
    standard_error: float
    interval: Interval
    change: float
    change_interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate for JSON."""
        return {
            "value": self.value,
            "standard_error": self.standard_error,
            "interval": list(self.interval),
            "change": self.change,
            "change_interval": list(self.change_interval),
        }


@dataclass(frozen=True, slots=True)
class OffPolicyReport:
    """Estimates of a policy's mean reward, by name of the estimator, and how far the log bears them.

    `effective_size` is the number of choices made by the policy itself that would tell as much; `mean_weight` is near 1
    where propensities are right; `largest_share` is that of one choice in the sum of weights, `lost_weight` that which
    `max_weight` cut away.
    """

    estimates: Mapping[str, Estimate]
    n: int
    n_rewarded: int
    effective_size: float
    mean_weight: float
    largest_share: float
    lost_weight: float
    support: Support
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "choices": self.n,
            "rewarded": self.n_rewarded,
            "effective_sample_size": self.effective_size,
            "mean_weight": self.mean_weight,
            "largest_share": self.largest_share,
            "lost_weight": self.lost_weight,
            "unsupported": self.support.unsupported,
            "unsupported_arms": list(self.support.arms),
            "warnings": list(self.warnings),
            "estimates": {name: estimate.as_dict() for name, estimate in self.estimates.items()},
        }


def evaluate_policy(
    choices: LoggedChoices, probabilities: Floats, config: OffPolicyConfig | None = None
) -> OffPolicyReport:
    """Estimate what a policy earns for each choice, had it made the choices of a log.

    `probabilities` are those with which it chooses: [arms] where it always does alike, [n, arms] by choice. See
    `evaluate_logged_arm` where they are known for the logged arms alone. Raises `InvalidValueError` as
    `checked_probabilities` does.

    >>> log = LoggedChoices(("a", "b"), np.arange(400) % 2, np.arange(400) % 4 / 3, np.full(400, 0.5))
    >>> round(evaluate_policy(log, np.array([0.0, 1.0])).estimates["snips"].value, 6)  # b earned 1/3 and 1 in turns
    0.666667
    """
    config = config or OffPolicyConfig()
    wanted = checked_probabilities(choices, np.asarray(probabilities, np.float64))
    _check_size(choices)
    weights = wanted[np.arange(len(choices)), choices.arms] / choices.propensities
    cut = _cut(weights, config)
    design = Design.of(choices)
    found = {
        **_by_weights(choices, cut),
        "dm": _direct(choices, design, wanted, config),
        "dr": _doubly_robust(choices, design, wanted, (cut, config)),
    }
    return _report(choices, weights, config, found, support(choices, wanted))


def evaluate_logged_arm(
    choices: LoggedChoices, probabilities: Floats, config: OffPolicyConfig | None = None
) -> OffPolicyReport:
    """Estimate likewise from the probabilities [n] with which a policy would have chosen each logged arm.

    By weights alone, as a model needs to know the other arms; nor can it be told what the log does not support.
    """
    config = config or OffPolicyConfig()
    wanted = np.asarray(probabilities, np.float64)
    if wanted.shape != (len(choices),) or not ((wanted >= 0) & (wanted <= 1)).all():
        raise InvalidValueError("probabilities", wanted, f"give one in [0, 1] for each of the {len(choices)} choices")
    _check_size(choices)
    weights = wanted / choices.propensities
    found = _by_weights(choices, _cut(weights, config))
    return _report(choices, weights, config, found, Support(0.0, ()))


def by_position(
    choices: LoggedChoices, probabilities: Floats, config: OffPolicyConfig | None = None
) -> dict[int, OffPolicyReport]:
    """Evaluate a policy place by place, each by the choices made for it.

    Empty where choices have no places; a place that was shown to one customer alone is left out.
    """
    if choices.positions is None:
        return {}
    wanted = checked_probabilities(choices, np.asarray(probabilities, np.float64))
    found = {}
    for position in np.unique(choices.positions).tolist():
        here = choices.positions == position
        part = choices.where(here)
        if part.clusters[1] > 1:
            found[position] = evaluate_policy(part, wanted[here], config)
    return found


def observed(choices: LoggedChoices) -> Estimate:
    """Return what the logged choices earned themselves."""
    if not choices.rewards.any():
        return unrewarded(len(choices))
    mean = float(choices.rewards.mean())
    return _estimate(choices, mean, choices.rewards - mean)


def unrewarded(size: float) -> Estimate:
    """Return what `size` choices tell that were never rewarded: the bound is Clopper and Pearson's, of a share.

    >>> round(unrewarded(100.0).interval[1], 4)
    0.0362
    """
    high = 1 - float((1 - CONFIDENCE) / 2) ** (1 / max(size, 1.0))
    return Estimate(0.0, 0.0, (0.0, high), 0.0, (-high, high))


def effective_size(weights: Floats) -> float:
    """Return how many choices of equal weight tell as much (Kish).

    >>> effective_size(np.array([1.0, 1.0, 0.0])), effective_size(np.zeros(2))
    (2.0, 0.0)
    """
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def interval_of(value: float, totals: Floats, n: int) -> tuple[float, Interval]:
    """Return standard error and 95 % interval of a mean of n from the influence on it by cluster, `totals` [clusters].

    By Student's t, corrected for skewness (Hall, 1992): rewards are rare, and one in a choice of great weight pulls the
    estimate up and its spread with it.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - a fifth of a second, which no other command should wait for

    size = len(totals)
    squares = float(totals @ totals)
    error = np.sqrt(size / (size - 1) * squares) / n
    if squares == 0:
        return 0.0, (value, value)
    skewness = float((totals**3).mean() / (squares / size) ** 1.5)
    reach = stdtrit(size - 1, 0.5 + CONFIDENCE / 2)
    low, high = (value - error * _unskewed(t, skewness / np.sqrt(size)) for t in (reach, -reach))
    return float(error), (float(low), float(high))


def _unskewed(t: float, skew: float) -> float:
    """Return the value of a studentised mean for which Hall's transformation is t.

    >>> round(_unskewed(2.0, 1e-9), 6)
    2.0
    """
    if abs(skew) < 1e-6:
        return t
    return float(3 / skew * (np.cbrt(1 + skew * (t - skew / 6)) - 1))


def _cut(weights: Floats, config: OffPolicyConfig) -> Floats:
    return weights if config.max_weight is None else np.minimum(weights, config.max_weight)


def _by_weights(choices: LoggedChoices, weights: Floats) -> dict[str, Estimate]:
    """Return the estimates that need no model; all weights 0 tell nothing, which is a value of 0 and not a number."""
    earned = weights * choices.rewards
    plain, mean_weight = float(earned.mean()), float(weights.mean())
    found = {"ips": _estimate(choices, plain, earned - plain)}
    if not mean_weight:
        nothing, anything = float("nan"), (float("-inf"), float("inf"))
        return {**found, "snips": Estimate(nothing, nothing, anything, nothing, anything)}
    normed = plain / mean_weight
    return {**found, "snips": _estimate(choices, normed, weights * (choices.rewards - normed) / mean_weight)}


def _direct(choices: LoggedChoices, design: Design, wanted: Floats, config: OffPolicyConfig) -> Estimate:
    model = fit_rewards(choices, design, np.arange(len(choices)), config.model)
    value = float(np.einsum("ij,ij->", wanted, model.rewards(design)) / len(choices))
    return _estimate(choices, value, model_influence(choices, design, wanted, model))


def _doubly_robust(
    choices: LoggedChoices, design: Design, wanted: Floats, weighing: tuple[Floats, OffPolicyConfig]
) -> Estimate:
    """Return the estimate whose model has never seen the customers that it judges."""
    weights, config = weighing
    codes, n_clusters = choices.clusters
    folds = min(config.folds, n_clusters)
    fold_of = (np.random.default_rng(config.seed).permutation(n_clusters) % folds)[codes]
    told = np.empty(len(choices))
    for fold in range(folds):
        judged = np.flatnonzero(fold_of == fold)
        model = fit_rewards(choices, design, np.flatnonzero(fold_of != fold), config.model)
        expected = model.rewards(design.where(judged))
        residuals = choices.rewards[judged] - expected[np.arange(len(judged)), choices.arms[judged]]
        told[judged] = np.einsum("ij,ij->i", wanted[judged], expected) + weights[judged] * residuals
    mean = float(told.mean())
    return _estimate(choices, mean, told - mean)


def _estimate(choices: LoggedChoices, value: float, influence: Floats) -> Estimate:
    """Return the estimate; its interval stays where means can be: above 0 as rewards are, below 1 as shares are."""
    error, (low, high) = interval_of(value, _by_customer(choices, influence), len(choices))
    is_share = bool(((choices.rewards == 0) | (choices.rewards == 1)).all())
    least = 0.0 if choices.rewards.min() >= 0 else float("-inf")
    mean = float(choices.rewards.mean())
    beyond = _by_customer(choices, influence - (choices.rewards - mean))
    _, apart = interval_of(value - mean, beyond, len(choices))
    return Estimate(value, error, (max(low, least), min(high, 1.0) if is_share else high), value - mean, apart)


def _by_customer(choices: LoggedChoices, influence: Floats) -> Floats:
    codes, n_clusters = choices.clusters
    return np.bincount(codes, influence, n_clusters).astype(np.float64)


def _check_size(choices: LoggedChoices) -> None:
    _, n_clusters = choices.clusters
    if n_clusters < 2:
        raise NoDataError("all choices are one customer's, who says nothing of others: log more of them")


def _report(
    choices: LoggedChoices, weights: Floats, config: OffPolicyConfig, found: Mapping[str, Estimate], backing: Support
) -> OffPolicyReport:
    cut, total = _cut(weights, config), float(weights.sum())
    mean, size = float(weights.mean()), effective_size(cut)
    report = OffPolicyReport(
        estimates=found if choices.rewards.any() else dict.fromkeys(found, unrewarded(size)),
        n=len(choices),
        n_rewarded=int((choices.rewards != 0).sum()),
        effective_size=size,
        mean_weight=mean,
        largest_share=float(cut.max() / cut.sum()) if total else 0.0,
        lost_weight=1 - float(cut.sum()) / total if total else 0.0,
        support=backing,
        warnings=(),
    )
    _, between = interval_of(mean, _by_customer(choices, weights - mean), len(choices))
    return replace(report, warnings=tuple(_warnings(report, config, between)))


def _warnings(report: OffPolicyReport, config: OffPolicyConfig, mean_weight: Interval) -> Iterator[str]:
    """Yield what a reader must know before believing the estimates; `mean_weight` is the interval of that mean."""
    low, high = mean_weight
    if not low <= 1 - report.support.unsupported <= high:
        yield (
            f"weights have a mean of {report.mean_weight:.3f} ({low:.3f} to {high:.3f}) where "
            f"{1 - report.support.unsupported:.3f} is due: see whether the propensities are those that choices were "
            "made with, and whether a few choices carry it all"
        )
    if report.support.unsupported > 0:
        yield (
            f"{report.support.unsupported:.1%} of the policy's choices are of arms never logged "
            f"({', '.join(report.support.arms[:_MOST_NAMED])}): ips counts them as earning nothing, dm and dr guess"
        )
    if report.effective_size < config.least_size:
        yield (
            f"the effective sample size is {report.effective_size:.0f} of {report.n:,}: the policies are far apart; "
            "log more choices, or cut weights"
        )
    if report.largest_share > _LARGE_SHARE:
        yield f"one choice carries {report.largest_share:.0%} of all weight: cut weights, or log more choices"
    if report.n_rewarded < config.least_rewards:
        yield f"{report.n_rewarded} choices were rewarded: intervals are approximate below {config.least_rewards}"
    if report.lost_weight > 0:
        yield f"weights above {config.max_weight:g} were cut, {report.lost_weight:.1%} of it all: that biases estimates"
