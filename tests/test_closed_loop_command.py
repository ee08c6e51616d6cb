"""What the flags of the closed loop mean, and which do not go together."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from active_customers.cli import app
from active_customers.closed_loop_command import knobs, loop_config, shop_config
from active_customers.core.errors import InvalidValueError


def _refusal(*arguments: str) -> str:
    outcome = CliRunner().invoke(app, ["simulate", *arguments])
    assert isinstance(outcome.exception, InvalidValueError)
    return str(outcome.exception)


def test_knobs_are_told_apart_by_their_names():
    shop, loop = knobs(["cart_rate=0.02", "pictures=false", "attention_share=0.8"])
    assert shop == {"cart_rate": 0.02, "pictures": False}
    assert loop == {"attention_share": 0.8}


def test_a_knob_that_nobody_knows_is_named_with_the_one_that_was_meant():
    assert "'cart_rat' is not valid: there is no such knob; did you mean cart_rate?" in _refusal("--set", "cart_rat=1")


def test_values_out_of_range_name_field_and_remedy():
    with pytest.raises(
        InvalidValueError, match="attention_share: 2 is not valid: it should be less than or equal to 1"
    ):
        loop_config({"attention_share": 2}, None, None)
    with pytest.raises(InvalidValueError, match=r"cart_rate: 7.* is not valid: send a share from 0 to 1"):
        shop_config({"cart_rate": 7})


def test_strategies_are_named_with_commas():
    assert loop_config({}, None, "hybrid, popularity,").strategies == ("hybrid", "popularity")
    assert loop_config({}, 5, None).warm_up_days == 5


@pytest.mark.parametrize("flags", [("--warm-up", "3"), ("--url", "http://127.0.0.1:1"), ("--json",), ("--set", "n=3")])
def test_what_only_the_closed_loop_does_is_not_passed_over_in_silence(flags):
    assert "add --closed-loop" in _refusal(*flags)


def test_a_key_belongs_to_an_address():
    assert "it belongs to --url" in _refusal("--closed-loop", "--key", "secret")
