"""The command for experiments where no service runs: what it prints, what it stores, how it fails."""

from __future__ import annotations

import pytest
from tests.test_rules_command import command

__all__ = ["command"]

FILE = """strategies:
  - name: sessions
    sources: [sessions]
    ranker: guess
experiments:
  - name: simple
    variants:
      control: {weight: 50}
      sessions: {weight: 50, strategy: sessions}
    share: 20
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "experiments.yaml"
    path.write_text(FILE)
    return path


def test_experiments_are_put_shown_listed_and_stopped(command, file):
    code, out, err = command("experiments", "put", file)
    assert (code, out.splitlines()) == (
        0,
        [
            "sessions  created",
            "simple  created, version 1, 20 % of the layer's customers",
            "strategies: 1, experiments: 1, stored",
        ],
    ), err
    _, shown, _ = command("experiments", "show")
    file.write_text(shown)
    _, out, _ = command("experiments", "put", file)
    assert [line.split(",")[0] for line in out.splitlines()[:2]] == ["sessions  unchanged", "simple  unchanged"]
    _, listed, _ = command("experiments", "list")
    assert listed.splitlines()[1].split()[:3] == ["simple", "1", "running"]
    assert command("experiments", "stop", "simple", "--because", "seen enough")[0] == 0
    _, listed, _ = command("experiments", "list")
    assert "ended (seen enough)" in listed
    assert command("experiments", "stop", "simple")[2].startswith("active-customers: name: 'simple'")


def test_a_dry_run_stores_nothing(command, file):
    assert command("experiments", "put", file, "--dry-run")[1].endswith("nothing was changed\n")
    assert command("experiments", "list")[1].splitlines()[1:] == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("weight: 50, strategy", "weight: 40, strategy", "experiments[0].variants: "),
        ("strategy: sessions}", "strategy: session}", "experiments.simple.variants.sessions.strategy: 'session'"),
        ("ranker: guess", "ranker: best", "strategies[0].ranker: 'best'"),
        ("experiments:", "experiment:", "write `strategies:` and `experiments:`"),
        ("share: 20", "share: 0", "experiments[0].share: 0"),
        ("share: 20", "starts: 2027-02-30", "it cannot be read as YAML (day is out of range for month)"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(command, file, before, after, said):
    file.write_text(FILE.replace(before, after))
    code, _, err = command("experiments", "put", file)
    assert code == 2
    assert said in err
    assert "simple" not in command("experiments", "show")[1]
