"""Models by name."""

import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.models.registry import MODELS, new_model


def test_an_unknown_model_is_refused_with_the_names_there_are():
    with pytest.raises(InvalidValueError, match="session_knn"):
        new_model("session_k")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"neighbours": 0}, "session_knn.neighbours"),
        ({"neighbors": 7}, "session_knn.neighbors"),
    ],
)
def test_a_wrong_parameter_is_named(config, field):
    with pytest.raises(InvalidValueError) as caught:
        new_model("session_knn", config)
    assert caught.value.field == field


def test_a_new_model_takes_the_parameters_it_is_given():
    assert new_model("session_knn", {"neighbours": 7}).config.neighbours == 7


def test_every_entry_makes_a_model_of_its_default_configuration():
    for name, entry in MODELS.items():
        assert new_model(name).config == entry.config()
