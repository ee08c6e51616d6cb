"""What `active-customers off-policy` does between its flags and what it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from active_customers.batch.choice_history import Asked, ChoiceHistory
from active_customers.core.clock import HOUR
from active_customers.core.errors import InvalidValueError, meant
from active_customers.evaluation.logged_choices import Floats, LoggedChoices
from active_customers.evaluation.off_policy import (
    Estimate,
    OffPolicyConfig,
    OffPolicyReport,
    by_position,
    evaluate_policy,
    observed,
)
from active_customers.importing.open_bandit import read_open_bandit

UNIFORM = "uniform"
"""All arms alike."""

_TITLES = ("policy", "estimator", "value", "95 % interval", "against the log", "95 % interval", "effective size")


@dataclass(frozen=True, slots=True)
class Judged:
    """One policy by one log; `truth` is what it earned itself, where that is known."""

    policy: str
    report: OffPolicyReport
    places: Mapping[int, OffPolicyReport]
    truth: Estimate | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "policy": self.policy,
            **self.report.as_dict(),
            **({"observed": self.truth.as_dict()} if self.truth else {}),
            "by_position": {str(place): found.as_dict() for place, found in self.places.items()},
        }


@dataclass(frozen=True, slots=True)
class Section:
    """Policies judged by one log; `log` says which, `facts` what is in it."""

    log: str
    facts: str
    judged: Sequence[Judged]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"log": self.log, "facts": self.facts, "policies": [judged.as_dict() for judged in self.judged]}

    def lines(self) -> Iterator[str]:
        """Yield what was found as a table, warnings under it."""
        yield f"{self.log}: {self.facts}"
        rows = [row for judged in self.judged for row in _rows(judged)]
        widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
        for row in (_TITLES, *rows):
            yield "  ".join(map(str.ljust, row, widths)).rstrip()
        for judged in self.judged:
            yield from (f"{judged.policy}: {warning}" for warning in judged.report.warnings)


def from_files(paths: Sequence[Path], config: OffPolicyConfig) -> Iterator[Section]:
    """Judge each policy of each file by the logs of the others, beside what it earned itself."""
    for path in paths:
        logs = read_open_bandit(path)
        for policy, other in logs.pairs():
            choices, wanted = logs.choices[other], logs.judged(policy, other)
            truth = observed(logs.choices[policy])
            judged = Judged(
                policy, evaluate_policy(choices, wanted, config), by_position(choices, wanted, config), truth
            )
            yield Section(f"{path.name}, log of {other}", _facts(choices), [judged])


def from_shop(found: ChoiceHistory, asked: Asked, policies: Sequence[str], config: OffPolicyConfig) -> Section:
    """Judge policies by what a bandit of the shop chose; by default each arm alone, and all alike."""
    choices = found.choices
    named = {text: distribution(text, choices.names) for text in policies or (*choices.names, UNIFORM)}
    judged = [Judged(text, evaluate_policy(choices, wanted, config), {}) for text, wanted in named.items()]
    return Section(f"bandit {found.bandit}, version {found.version}", _shop_facts(found, asked), judged)


def distribution(text: str, names: Sequence[str]) -> Floats:
    """Return the probabilities that `a=0.7,b=0.3`, `a` or `uniform` stands for: [arms].

    Raises `InvalidValueError` for an arm that there is not and for shares that do not sum to 1.

    >>> distribution("b=0.25,a=0.75", ["a", "b", "c"]).tolist(), distribution("c", ["a", "b", "c"]).tolist()
    ([0.75, 0.25, 0.0], [0.0, 0.0, 1.0])
    """
    if text == UNIFORM and UNIFORM not in names:
        return np.full(len(names), 1 / len(names))
    shares = np.zeros(len(names))
    for part in text.split(","):
        name, _, share = part.strip().rpartition("=") if "=" in part else (part.strip(), "", "1")
        if name not in names:
            raise InvalidValueError("policy", name, meant(name, names))
        try:
            shares[names.index(name)] += float(share)
        except ValueError as error:
            raise InvalidValueError("policy", part, "write ARM=SHARE, such as hybrid=0.7,popular=0.3") from error
    if not ((shares >= 0).all() and abs(shares.sum() - 1) <= 1e-6):
        raise InvalidValueError("policy", text, f"shares are 0 or more and sum to 1, these to {shares.sum():g}")
    return shares


def cutting(max_weight: float | None) -> OffPolicyConfig:
    """Return how to evaluate with weights cut above a number, which is above 0."""
    if max_weight is not None and not max_weight > 0:
        raise InvalidValueError("max_weight", max_weight, "weights are above 0: cut them at 10, say, or not at all")
    return OffPolicyConfig(max_weight=max_weight)


def window(hours: float) -> int:
    """Return a window in microseconds; raises `InvalidValueError` for one that no act could fall into."""
    if not 0 < hours < float("inf"):
        raise InvalidValueError("window_hours", hours, "name a time after the choice, such as 24")
    return round(hours * HOUR)


def write(sections: Sequence[Section], file: Path) -> None:
    """Write all that was found as JSON."""
    file.write_bytes(orjson.dumps([section.as_dict() for section in sections], option=orjson.OPT_INDENT_2))


def check(files: Sequence[Path], of_shop: Mapping[str, object], out: Path | None) -> None:
    """Refuse flags about the shop's own log beside files, which they say nothing of, and a report without a folder."""
    if out and not out.parent.is_dir():
        raise InvalidValueError("out", str(out), f"there is no folder {out.parent}: make it first")
    for flag, value in of_shop.items():
        if files and value:
            raise InvalidValueError(flag, value, "it is about the shop's own log: leave it out beside --open-bandit")


def _rows(judged: Judged) -> Iterator[tuple[str, ...]]:
    for name, estimate in judged.report.estimates.items():
        low, high = estimate.change_interval
        change = (f"{estimate.change:+.5f}", f"{low:+.5f} to {high:+.5f}")
        yield (judged.policy, name, *_figures(estimate), *change, f"{judged.report.effective_size:,.0f}")
    if judged.truth is not None:
        yield (judged.policy, "observed", *_figures(judged.truth), "", "", "")


def _figures(estimate: Estimate) -> tuple[str, str]:
    low, high = estimate.interval
    return f"{estimate.value:.5f}", f"{low:.5f} to {high:.5f}"


def _facts(choices: LoggedChoices) -> str:
    own = observed(choices)
    low, high = own.interval
    rewarded = int((choices.rewards != 0).sum())
    return f"{len(choices):,} choices, {rewarded:,} rewarded: {own.value:.5f} ({low:.5f} to {high:.5f})"


def _shop_facts(found: ChoiceHistory, asked: Asked) -> str:
    left_out = (
        (found.n_open, f"younger than {asked.window / HOUR:g} h"),
        (found.n_passed_over, "of robots and of who wants no profile"),
        (found.n_unreadable, "unreadable"),
    )
    told = [f"{count:,} {why}" for count, why in left_out if count]
    return (
        f"{_facts(found.choices)} by {asked.reward} within {asked.window / HOUR:g} h, "
        f"{found.choices.clusters[1]:,} customers"
        + (f"; left out: {', '.join(told)}" if told else "")
        + (f"; {found.n_unverified:,} acts did not verify" if found.n_unverified else "")
    )
