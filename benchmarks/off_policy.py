"""Whether intervals of off-policy evaluation hold the truth: where it is known, and on public logs of two policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.logged_choices import LoggedChoices
from active_customers.evaluation.off_policy import evaluate_policy, observed
from active_customers.importing.open_bandit import PolicyLogs, chosen_shares, read_open_bandit
from benchmarks.plan import Mark, Plan, Result, say

_Floats = NDArray[np.float64]
_RUNS = 1_000
_LOW, _HIGH = 0.936, 0.964
"""95 % within the noise of 1,000 runs."""

Case = tuple[LoggedChoices, _Floats, float]
"""A log, a policy's probabilities by choice or for all, and what that policy earns for each choice."""


def places(rng: np.random.Generator) -> Case:
    """Show 20 items at three places of a page, one in 50 is clicked; the policy prefers some of them."""
    return _page(rng, 0.02, 1.0)


def rare(rng: np.random.Generator) -> Case:
    """Show likewise, but one in 100 is clicked, and the policy prefers a few: ten clicks carry the estimate."""
    return _page(rng, 0.01, 0.5)


def _page(rng: np.random.Generator, rate: float, evenness: float) -> Case:
    n, n_items = 5_000, 20
    fixed = np.random.default_rng(1)
    appeal = fixed.beta(2, 2 / rate - 2, (3, n_items))
    wanted = fixed.dirichlet(np.full(n_items, evenness), 3)
    positions, items = rng.integers(0, 3, n), rng.integers(0, n_items, n)
    rewards = (rng.random(n) < appeal[positions, items]).astype(np.float64)
    choices = LoggedChoices(_names(n_items), items, rewards, np.full(n, 1 / n_items), positions=positions)
    return choices, wanted[positions], float((wanted * appeal).sum(axis=1).mean())


def customers(rng: np.random.Generator) -> Case:
    """Draw customers with one to twenty choices each, some of whom click at everything."""
    appeal, logging, wanted = np.array([0.2, 0.3, 0.4]), np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6])
    who = np.repeat(np.arange(300), rng.integers(1, 21, 300))
    likes = rng.uniform(-0.2, 0.2, 300)[who]
    arms = rng.choice(3, len(who), p=logging)
    rewards = (rng.random(len(who)) < appeal[arms] + likes).astype(np.float64)
    return LoggedChoices(_names(3), arms, rewards, logging[arms], customers=who), wanted, float(wanted @ appeal)


def context(rng: np.random.Generator) -> Case:
    """Choose by two features of the customer; logged was a policy that goes by them wrongly."""
    n, slopes = 2_000, np.array([[-0.15, -0.1], [0.0, 0.2], [0.15, -0.1]])
    features = rng.uniform(-1, 1, (n, 2))
    logging, wanted = _softmax(-4 * features @ slopes.T), _softmax(8 * features @ slopes.T)
    arms = (logging.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=2)
    rewards = (rng.random(n) < 0.5 + (features * slopes[arms]).sum(axis=1)).astype(np.float64)
    choices = LoggedChoices(_names(3), arms, rewards, logging[np.arange(n), arms], features=features)
    axis = np.linspace(-1, 1, 201)
    every = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    gains = every @ slopes.T
    return choices, wanted, 0.5 + float((_softmax(8 * gains) * gains).sum(axis=1).mean())


def learning(rng: np.random.Generator) -> Case:
    """Let a Thompson bandit of five arms learn a hundred choices at a time; asked is what its worst arm earns."""
    appeal = np.array([0.05, 0.06, 0.07, 0.08, 0.12])
    tried, earned = np.zeros(5), np.zeros(5)
    arms, rewards, propensities = [], [], []
    for _ in range(30):
        best = rng.beta(1 + earned, 1 + tried - earned, (1_000, 5)).argmax(axis=1)
        chances = 0.8 * np.bincount(best, minlength=5) / 1_000 + 0.04
        arms.append(rng.choice(5, 100, p=chances))
        rewards.append((rng.random(100) < appeal[arms[-1]]) * 1.0)
        propensities.append(chances[arms[-1]])
        tried += np.bincount(arms[-1], minlength=5)
        earned += np.bincount(arms[-1], rewards[-1], 5)
    choices = LoggedChoices(_names(5), np.concatenate(arms), np.concatenate(rewards), np.concatenate(propensities))
    return choices, np.eye(5)[0], float(appeal[0])


CASES: Mapping[str, Callable[[np.random.Generator], Case]] = {
    "places": places,
    "customers": customers,
    "context": context,
    "rare": rare,
    "learning": learning,
}
_ASSUMED = ("places", "customers", "context")
"""Cases in which what intervals take for granted holds: rewards enough, and choices that depend on no earlier ones."""
_PROMISED = ("ips", "snips", "dr")
"""The direct method is as right as its model, which draws what it saw little of to the mean."""


def run(plan: Plan) -> Result:
    """Evaluate many logs whose truth is known, then each policy of the public data by the other's log."""
    figures: dict[str, Any] = {}
    lines: list[str] = []
    marks: list[Mark] = []
    runs = plan.size(_RUNS)
    for name, case in CASES.items():
        say(f"{name}: {runs:,} logs")
        figures[name] = found = _coverage(case, runs)
        lines.append(f"{name}: " + ", ".join(f"{estimator} {told['held']:.3f}" for estimator, told in found.items()))
        if name in _ASSUMED:
            held = [found[estimator]["held"] for estimator in _PROMISED]
            marks.append(Mark(f"{name}: intervals hold the truth, least often", min(held), _LOW, least=True))
            marks.append(Mark(f"{name}: intervals hold the truth, most often", max(held), _HIGH))
    folder = plan.shops.data / "open_bandit_small"
    if folder.is_dir():
        figures["open_bandit"] = public = {name: _public(folder / f"{name}.parquet") for name in ("men", "women")}
        told = [each for found in public.values() for each in found]
        lines += [_line(name, each) for name, found in public.items() for each in found]
        held = [estimate["holds_observed"] for each in told for estimate in each["estimates"].values()]
        marks.append(Mark("open bandit: intervals that hold the observed rate", float(np.mean(held)), 1.0, least=True))
    return Result(
        "logs with a known truth" + ("; open_bandit_small" if folder.is_dir() else ""), 1, figures, lines, marks
    )


def _coverage(case: Callable[[np.random.Generator], Case], runs: int) -> dict[str, dict[str, float]]:
    """Return by estimator how often its interval holds the truth, its bias and its spread against its own error."""
    rng = np.random.default_rng(0)
    values: dict[str, list[tuple[float, float, bool]]] = {}
    truth = 0.0
    for _ in range(runs):
        choices, wanted, truth = case(rng)
        for name, estimate in evaluate_policy(choices, wanted).estimates.items():
            low, high = estimate.interval
            values.setdefault(name, []).append((estimate.value, estimate.standard_error, low <= truth <= high))
    found = {}
    for name, rows in values.items():
        told, errors, held = np.array(rows, np.float64).T
        found[name] = {
            "held": float(held.mean()),
            "truth": truth,
            "bias": float(told.mean() - truth),
            "spread": float(told.std()),
            "standard_error": float(errors.mean()),
        }
    return found


def _public(path: Path) -> list[dict[str, Any]]:
    """Judge each policy by the other's log; what it chooses is told from all of its own log, and from halves."""
    logs = read_open_bandit(path)
    return [_judged(logs, policy, by) for policy, by in logs.pairs()]


def _judged(logs: PolicyLogs, policy: str, by: str) -> dict[str, Any]:
    choices, own = logs.choices[by], logs.choices[policy]
    report = evaluate_policy(choices, logs.judged(policy, by))
    truth = observed(own)
    found = {"policy": policy, "by": by, "observed": truth.as_dict(), **report.as_dict()}
    for estimate in found["estimates"].values():
        low, high = estimate["interval"]
        estimate["holds_observed"] = low <= truth.value <= high
    is_first = np.arange(len(own)) % 2 == 0
    found["halves"] = [_half(own, is_first, choices), _half(own, ~is_first, choices)]
    return found


def _half(own: LoggedChoices, is_told: NDArray[np.bool_], choices: LoggedChoices) -> dict[str, Any]:
    """Tell the policy's choices from one half of its log, and what it earned from the other."""
    shares = chosen_shares(own.where(is_told))
    assert choices.positions is not None
    report = evaluate_policy(choices, np.stack([shares[place] for place in choices.positions.tolist()]))
    truth = observed(own.where(~is_told)).value
    low, high = report.estimates["snips"].interval
    return {"snips": report.estimates["snips"].as_dict(), "observed": truth, "holds_observed": low <= truth <= high}


def _line(name: str, found: Mapping[str, Any]) -> str:
    estimates = [f"{label} {each['value']:.5f}" for label, each in found["estimates"].items()]
    return (
        f"{name}, {found['policy']} by {found['by']}: {', '.join(estimates)}; "
        f"observed {found['observed']['value']:.5f}, effective size {found['effective_sample_size']:,.0f}"
    )


def _names(n: int) -> tuple[str, ...]:
    return tuple(map(str, range(n)))


def _softmax(logits: _Floats) -> _Floats:
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
