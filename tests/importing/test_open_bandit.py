"""Logs of two policies in one file, each judged by the other's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.evaluation.off_policy import evaluate_policy, observed
from active_customers.importing.open_bandit import chosen_shares, read_open_bandit

APPEAL = np.array([0.05, 0.1, 0.2])
PLACES = np.array([1.0, 0.7])
"""What is left of an item's appeal at each place."""


def write(path, policies, n=6_000, seed=0):
    """Write logs of policies whose probabilities change from hour to hour: [hours, items] each."""
    rng = np.random.default_rng(seed)
    tables = []
    for name, by_hour in policies.items():
        hours = rng.integers(0, len(by_hour), n)
        positions = rng.integers(1, 3, n)
        items = (by_hour[hours].cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
        clicks = rng.random(n) < APPEAL[items] * PLACES[positions - 1]
        tables.append(
            pa.table(
                {
                    "policy": pa.array([name] * n).dictionary_encode(),
                    "item_id": items * 10,
                    "position": positions,
                    "click": clicks.astype(np.int64),
                    "propensity_score": by_hour[hours, items],
                }
            )
        )
    pq.write_table(pa.concat_tables(tables), path)
    return path


RANDOM = np.full((1, 3), 1 / 3)
LEARNING = np.array([[0.2, 0.4, 0.4], [0.1, 0.1, 0.8]])


@pytest.fixture
def logs(tmp_path):
    return read_open_bandit(write(tmp_path / "logs.parquet", {"random": RANDOM, "learning": LEARNING}))


def test_each_policy_has_its_choices_with_one_numbering_of_items(logs):
    assert [choices.names for choices in logs.choices.values()] == [("0", "10", "20")] * 2
    assert [len(choices) for choices in logs.choices.values()] == [6_000] * 2
    assert np.allclose(logs.choices["random"].propensities, 1 / 3)
    assert list(logs.pairs()) == [("random", "learning"), ("learning", "random")]


def test_shares_are_the_mean_probabilities_of_a_policy_that_changes(logs):
    choices = logs.choices["learning"]
    shares = chosen_shares(choices)
    for place in (1, 2):
        assert shares[place] == pytest.approx(LEARNING.mean(axis=0), abs=0.03)
    logged = [choices.propensities[choices.arms == arm].mean() for arm in range(3)]
    assert sum(logged) > 1.05  # what the mean of logged propensities would make of it


def test_a_uniform_policy_is_known_exactly(logs):
    assert chosen_shares(logs.choices["random"])[1].tolist() == [1 / 3] * 3


def test_each_policy_is_judged_rightly_by_the_other_ones_log(logs):
    truth = {
        name: float(by_hour.mean(axis=0) @ APPEAL * PLACES.mean())
        for name, by_hour in (("random", RANDOM), ("learning", LEARNING))
    }
    for policy, by in logs.pairs():
        found = evaluate_policy(logs.choices[by], logs.judged(policy, by))
        for name, estimate in found.estimates.items():
            assert estimate.value == pytest.approx(truth[policy], abs=0.02), name
            low, high = estimate.interval
            assert low <= observed(logs.choices[policy]).value <= high, name


def test_a_file_without_the_columns_says_which_are_missing(tmp_path):
    pq.write_table(pa.table({"policy": ["a"], "item_id": [1]}), tmp_path / "logs.parquet")
    with pytest.raises(InvalidValueError, match="it has no column position, click, propensity_score"):
        read_open_bandit(tmp_path / "logs.parquet")


def test_a_log_of_one_policy_has_nothing_to_be_judged_by(tmp_path):
    path = write(tmp_path / "logs.parquet", {"random": RANDOM}, 100)
    with pytest.raises(NoDataError, match="the log of one policy"):
        read_open_bandit(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidValueError, match="there is no such file"):
        read_open_bandit(tmp_path / "none.parquet")


def test_a_propensity_that_is_none_is_refused_with_its_row(tmp_path):
    path = write(tmp_path / "logs.parquet", {"random": RANDOM, "learning": LEARNING}, 100)
    table = pq.read_table(path)
    scores = table["propensity_score"].to_numpy().copy()
    scores[103] = 0
    at = table.column_names.index("propensity_score")
    pq.write_table(table.set_column(at, "propensity_score", pa.array(scores)), path)
    with pytest.raises(InvalidValueError, match=r"propensities\[3\]: 0.0"):
        read_open_bandit(path)
