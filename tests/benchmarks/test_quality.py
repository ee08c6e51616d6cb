"""What is asked of public data, and how the answers are read."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.quality import LOOKS, Ahead, Look, Reached, _mark, _taken

from active_customers.evaluation.contestants import CONTESTANTS

SEQUENCES = Look("shop", {"train": "sequences.parquet"}, ("popularity", "item_knn"), ("--protocol", "leave-one-out"))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a look at customers who all buy in the same order says."""
    data = tmp_path_factory.mktemp("data")
    (data / "shop").mkdir()
    rows = [
        {"user_id": customer, "pos": pos, "item_id": pos + customer % 7} for customer in range(60) for pos in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(rows), data / "shop" / "sequences.parquet")
    return _taken(replace(SEQUENCES, models=("popularity", "item_knn", "hybrid")), data)


def test_a_look_names_models_and_marks_that_there_are():
    """A mark about a model that is not asked could never be judged."""
    for look in LOOKS.values():
        assert set(look.models) <= set(CONTESTANTS)
        for mark in look.marks:
            assert {mark.model} <= set(look.models) if isinstance(mark, Reached) else set(mark.of) < set(look.models)


def test_the_command_shown_names_files_as_they_lie_in_their_folder():
    """So that a reader can type it."""
    assert SEQUENCES.arguments()[:3] == ["evaluate", "--train", "sequences.parquet"]


def test_differences_say_how_much_ours_is_ahead(found):
    """The report compares the others with ours; here it is the other way round."""
    models = found["models"]
    for other in ("popularity", "item_knn"):
        difference = found["differences"][other]["hr"]
        assert difference["ahead"] == pytest.approx(models["hybrid"]["hr"] - models[other]["hr"], abs=2e-4)
        low, high = difference["interval"]
        assert low <= difference["ahead"] <= high


def test_being_ahead_of_each_is_judged_by_the_nearest(found):
    """By the lower end of the interval of the one that comes nearest."""
    ends = [found["differences"][other]["hr"]["interval"][0] for other in ("popularity", "item_knn")]
    mark = _mark("shop", Ahead("hr", ("popularity", "item_knn")), found, 20)
    assert mark.measured == min(ends)
    assert mark.is_met == (min(ends) > 0)


def test_a_look_knows_what_it_took(found):
    """An evaluation of a few rows holds an interpreter and its libraries, and no more than a laptop has."""
    assert 0.05 < found["peak_memory_gib"] < 4
    assert found["questions"] == 60
