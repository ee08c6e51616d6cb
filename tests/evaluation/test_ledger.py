"""The ledger of looks at a test part."""

from dataclasses import replace

import orjson
import pytest
from tests.conftest import NOW

from active_customers.evaluation.ledger import Ledger, Look
from active_customers.evaluation.report import Report

FILE = "evaluations.jsonl"
LOOK = Look("ab", "next-item", ("vstan",), {"k": 20})


def test_looks_are_counted_by_test_part(tmp_path):
    ledger = Ledger(tmp_path / "made" / "for it.jsonl")
    assert [ledger.add(LOOK, NOW), ledger.add(replace(LOOK, test_sha256="cd"), NOW), ledger.add(LOOK, NOW)] == [1, 1, 2]


def test_a_look_is_a_line_that_says_when_and_how(tmp_path):
    Ledger(tmp_path / FILE).add(LOOK, NOW)
    assert orjson.loads((tmp_path / FILE).read_bytes()) == {
        "time": "2025-01-15T12:00:00Z",
        "test_sha256": "ab",
        "protocol": "next-item",
        "models": ["vstan"],
        "settings": {"k": 20},
    }


def test_lines_before_stay_as_they_are_even_those_cut_short(tmp_path):
    (tmp_path / FILE).write_bytes(b'{"test_sha256": "ab"}\n{"test_sha\n[]\n')
    assert Ledger(tmp_path / FILE).add(LOOK, NOW) == 2
    assert (tmp_path / FILE).read_bytes().startswith(b'{"test_sha256": "ab"}\n{"test_sha\n[]\n')


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [(["a"], ["b"], "b"), (["a"], [], "a"), (["a", "b"], [], None)],
)
def test_the_hash_is_that_of_the_test_file_or_of_the_whole_that_is_split(train, test, expected):
    data = {"train_files": [{"sha256": name} for name in train], "test_files": [{"sha256": name} for name in test]}
    look = Look.of(Report("rolling", 20, data, {}), {})
    assert look.test_sha256 == expected or (expected is None and len(look.test_sha256) == 64)
