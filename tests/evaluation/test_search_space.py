"""What is searched, as the fields of a configuration say."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.search_space import (
    Choice,
    Range,
    defaults_of,
    merged,
    narrowed,
    restricted,
    space_of,
)
from active_customers.models.registry import new_model


class PartConfig(Config):
    decay: Annotated[float, Field(gt=0)] = 2.0


class MadeConfig(Config):
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    lift: Annotated[float, Field(gt=1, lt=5)] = 3.0
    neighbours: Annotated[int, Field(ge=1)] = 100
    depth: Annotated[int, Field(ge=1, le=16)] = 8
    tolerance: Annotated[float, Field(ge=1e-9, le=0.1)] = 1e-3
    curve: Literal["same", "div"] = "div"
    is_on: bool = True
    part: PartConfig = PartConfig()
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] = 2
    setting: Literal["fast", "best"] = "fast"
    unbounded: int = 3
    name: str = "a"
    days: Annotated[float, Field(gt=0)] | None = None


SPACE = space_of(MadeConfig)


@pytest.mark.parametrize(
    ("name", "found", "is_log"),
    [
        ("share", Range(0.0, 1.0, is_whole=False), False),
        ("dropout", Range(0.0, 0.9, is_whole=False), False),
        ("lift", Range(1.25, 4.75, is_whole=False), False),
        ("neighbours", Range(13, 800, is_whole=True), True),
        ("depth", Range(1, 16, is_whole=True), True),
        ("tolerance", Range(0.000125, 0.008, is_whole=False), True),
        ("part.decay", Range(0.25, 16.0, is_whole=False), True),
    ],
)
def test_a_number_is_searched_within_its_bounds_and_eight_times_around_its_default_at_most(name, found, is_log):
    assert SPACE[name] == pytest.approx(found)
    assert SPACE[name].is_log == is_log


def test_choices_and_flags_are_searched_whole():
    assert SPACE["curve"] == Choice(("same", "div"))
    assert SPACE["is_on"] == Choice((False, True))


def test_what_is_no_number_has_no_bounds_or_is_no_question_of_accuracy_is_left_out():
    assert not {"seed", "threads", "setting", "unbounded", "name", "days"} & set(SPACE)


@pytest.mark.parametrize("model", list(CONTESTANTS))
def test_every_model_takes_both_ends_of_what_is_searched_and_has_its_default_between(model):
    config = CONTESTANTS[model].config
    space = space_of(config)
    defaults = defaults_of(config, list(space))
    assert all(found.holds(defaults[name]) for name, found in space.items())
    for end in (0, 1):
        ends = {name: found[end] for name, found in space.items() if isinstance(found, Range)}
        new_model(model, merged({}, ends), CONTESTANTS)


def test_parts_are_named_by_their_section():
    assert list(narrowed(SPACE, ["part", "share"])) == ["share", "part.decay"]
    assert narrowed(SPACE, []) == SPACE
    with pytest.raises(InvalidValueError, match="only: 'par'"):
        narrowed(SPACE, ["par"])


def test_a_range_is_narrowed():
    assert restricted(SPACE, "neighbours", "50..60") == Range(50, 60, is_whole=True)
    assert restricted(SPACE, "share", "0.1..0.3") == Range(0.1, 0.3, is_whole=False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("share", "0.3..0.1"),
        ("share", "a..b"),
        ("share", "0.1..inf"),
        ("neighbours", "1.5..3"),
        ("curve", "1..2"),
        ("unknown", "1..2"),
    ],
)
def test_what_is_no_range_is_refused(name, text):
    with pytest.raises(InvalidValueError, match="set: "):
        restricted(SPACE, name, text)


@pytest.mark.parametrize("value", [0.1234567, 0.10004999, 0.3])
def test_what_is_tried_has_few_digits_and_stays_in_its_range(value):
    found = Range(0.10005, 0.3, is_whole=False).tidy(value)
    assert len(f"{found:g}") <= 7
    assert 0.10005 <= found <= 0.3
