"""The base of every component's configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


def split_list(value: object) -> object:
    """Read "a, b" as a list, since the environment holds only text; anything else passes as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


StringList = Annotated[tuple[str, ...], BeforeValidator(split_list)]
"""Several texts; one text with commas will do."""


class Config(BaseModel):
    """Parameters of one component: frozen, unknown names refused, each documented by the string under it.

    A parameter exists once, in the subclass that stands beside the class it configures; `config/config.yaml`, the docs
    and the command line's `config` are generated from these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
