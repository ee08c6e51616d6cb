"""Logs of two policies as one file: the form of the Open Bandit Dataset (Saito et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.evaluation.logged_choices import Floats, LoggedChoices

COLUMNS = ("policy", "item_id", "position", "click", "propensity_score")


@dataclass(frozen=True, slots=True)
class PolicyLogs:
    """What each policy chose, by its name, with one numbering of arms: those that any of them ever chose."""

    choices: dict[str, LoggedChoices]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield each policy with each other one whose log it can be judged by."""
        for policy in self.choices:
            yield from ((policy, other) for other in self.choices if other != policy)

    def judged(self, policy: str, by: str) -> Floats:
        """Return the probabilities [n, arms] with which a policy would have chosen where another one did."""
        table = chosen_shares(self.choices[policy])
        logged = self.choices[by].positions
        return np.stack([table[place] for place in (() if logged is None else logged.tolist())])


def read_open_bandit(path: Path) -> PolicyLogs:
    """Read a Parquet file of `COLUMNS`; each row is one item at one place of a page.

    Raises `InvalidValueError` for a file without these columns, `NoDataError` where it holds one policy alone.
    """
    if not path.is_file():
        raise InvalidValueError(str(path), None, "there is no such file: check the path")
    names = pq.read_schema(path).names
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        remedy = f"it has no column {', '.join(missing)}: give Parquet with {', '.join(COLUMNS)}"
        raise InvalidValueError("open-bandit", str(path), remedy)
    table = pq.read_table(path, columns=list(COLUMNS))
    policies = pc.unique(table["policy"]).to_pylist()
    if len(policies) < 2:
        raise NoDataError(f"{path} holds the log of one policy: give the log of another one beside it")
    arms = _arms(table)
    return PolicyLogs({policy: _log(table.filter(pc.equal(table["policy"], policy)), arms) for policy in policies})


def chosen_shares(choices: LoggedChoices) -> dict[int, Floats]:
    """Return by place how often a policy chooses each arm: [arms].

    By how often it did. Each choice was drawn by the probabilities of its time, so that shares tell their mean over the
    log, rightly also where they change from hour to hour; a mean of logged propensities does not, as an arm is logged
    most while it is likely. A policy that logged nothing but 1 / arms at a place is known exactly.
    """
    if choices.positions is None:
        raise InvalidValueError("positions", None, "name the place of each choice")
    n_arms = len(choices.names)
    found = {}
    for place in np.unique(choices.positions).tolist():
        here = choices.positions == place
        is_uniform = np.allclose(choices.propensities[here], 1 / n_arms, rtol=1e-6, atol=0)
        counts = np.bincount(choices.arms[here], minlength=n_arms)
        found[place] = np.full(n_arms, 1 / n_arms) if is_uniform else counts / here.sum()
    return found


def _arms(table: pa.Table) -> NDArray[Any]:
    return np.asarray(pc.unique(table["item_id"]).sort().to_numpy(zero_copy_only=False))


def _log(table: pa.Table, arms: NDArray[Any]) -> LoggedChoices:
    column = {name: np.asarray(table[name].to_numpy(zero_copy_only=False)) for name in COLUMNS[1:]}
    return LoggedChoices(
        tuple(map(str, arms.tolist())),
        np.searchsorted(arms, column["item_id"]),
        column["click"].astype(np.float64),
        column["propensity_score"].astype(np.float64),
        positions=column["position"].astype(np.int64),
    )
