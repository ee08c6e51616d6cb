"""The models by name: one line adds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError, meant
from active_customers.models.base import Arrays, Model
from active_customers.models.content import Content, ContentConfig
from active_customers.models.factorization import Factorization, FactorizationConfig
from active_customers.models.hybrid_model import Hybrid, HybridConfig
from active_customers.models.item_knn import ItemKnn, ItemKnnConfig
from active_customers.models.linear import Linear, LinearConfig
from active_customers.models.popularity import Popularity, PopularityConfig
from active_customers.models.session_knn import SessionKnn, SessionKnnConfig


@dataclass(frozen=True, slots=True)
class Entry:
    """A model's class, how to make one again from its arrays, and the class of its configuration."""

    make: Callable[[Any], Model]
    load: Callable[[Arrays, Mapping[str, object]], Model]
    config: type[Config]


MODELS: Mapping[str, Entry] = MappingProxyType(
    {
        "popularity": Entry(Popularity, Popularity.from_arrays, PopularityConfig),
        "item_knn": Entry(ItemKnn, ItemKnn.from_arrays, ItemKnnConfig),
        "hybrid": Entry(Hybrid, Hybrid.from_arrays, HybridConfig),
    }
)


EVALUATED: Mapping[str, Entry] = MappingProxyType(
    {
        **MODELS,
        "session_knn": Entry(SessionKnn, SessionKnn.from_arrays, SessionKnnConfig),
        "linear": Entry(Linear, Linear.from_arrays, LinearConfig),
        "factorization": Entry(Factorization, Factorization.from_arrays, FactorizationConfig),
        "content": Entry(Content, Content.from_arrays, ContentConfig),
    }
)
"""Those that `refresh` fits and publishes, and those that can be measured."""


def new_model(name: str, config: Mapping[str, object] | None = None, among: Mapping[str, Entry] = EVALUATED) -> Model:
    """Return an unfitted model by its name; `config` holds the parameters that differ from the defaults.

    Raises `InvalidValueError` for an unknown name, an unknown parameter and a wrong value.

    >>> type(new_model("session_knn", {"neighbours": 100})).__name__
    'SessionKnn'
    """
    entry = entry_named(name, among)
    try:
        return entry.make(entry.config.model_validate(config or {}))
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join([name, *map(str, wrong["loc"])])
        remedy = _instead(field, entry.config) if wrong["type"] == "extra_forbidden" else wrong["msg"]
        raise InvalidValueError(field, wrong["input"], remedy) from error


def _instead(field: str, config: type[Config]) -> str:
    """Say what is meant by the name of a parameter that there is not."""
    *sections, name = field.split(".")
    for section in sections[1:]:
        inner = config.model_fields[section].annotation
        if isinstance(inner, type) and issubclass(inner, Config):
            config = inner
    return f"there is no such parameter; {meant(name, config.model_fields)}"


def entry_named(name: str, among: Mapping[str, Entry] = EVALUATED) -> Entry:
    """Return a model's entry by its name; raises `InvalidValueError` for an unknown one."""
    try:
        return among[name]
    except KeyError:
        raise InvalidValueError("model", name, f"choose one of {', '.join(among)}") from None
