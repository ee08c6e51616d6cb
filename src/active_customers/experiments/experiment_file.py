"""A test in a YAML file, with what the log does not tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from active_customers.core.clock import parse_time
from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.analysis import Guardrail, Watched
from active_customers.experiments.definition import Experiment, Variant
from active_customers.experiments.estimators import Counted

_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class VariantIn(Config):
    """One variant, by name."""

    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Its share of customers, against the others' weights."""
    strategy: str
    """What answers its customers."""
    code: Annotated[int, Field(ge=0, le=65_535)] = 0
    """What stands for it in `recommendation_id`; without one its clicks are not known."""


class CountedIn(Config):
    """What was counted of a variant: `cases` among `n`, or the `mean` and `variance` of `n` values."""

    n: _Count
    cases: _Count | None = None
    mean: _Number | None = None
    variance: _Number | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        is_share = self.cases is not None and self.mean is None and self.variance is None
        is_mean = self.cases is None and self.mean is not None and self.variance is not None
        if not (is_share or is_mean):
            raise ValueError("give cases, or mean and variance")
        if is_share and self.cases is not None and self.cases > self.n:
            raise ValueError("there are more cases than n")
        return self

    def counted(self) -> Counted:
        """Return it as a figure."""
        if self.cases is not None:
            return Counted.of_share(self.cases, self.n)
        return Counted(self.mean or 0.0, self.variance or 0.0, self.n)


class GuardrailIn(Config):
    """Something that must not rise by more than a share `tolerance`, counted by variant."""

    tolerance: _Number = 0.0
    variants: dict[str, CountedIn]


class ExperimentFile(Config):
    """The whole file."""

    name: str
    version: Annotated[int, Field(ge=0)] = 1
    control: str
    variants: dict[str, VariantIn]
    starts: AwareDatetime
    ends: AwareDatetime | None = None
    guardrails: dict[str, GuardrailIn] = Field(default_factory=dict)
    lost_exposures: _Count = 0

    def experiment(self) -> Experiment:
        """Return the test."""
        variants = [Variant(name, each.weight, each.strategy, each.code) for name, each in self.variants.items()]
        ends = None if self.ends is None else parse_time(self.ends.isoformat())
        return Experiment(self.name, self.version, variants, self.control, parse_time(self.starts.isoformat()), ends)

    def watched(self) -> Watched:
        """Return what the log does not tell."""
        guardrails = [
            Guardrail(name, {variant: each.counted() for variant, each in found.variants.items()}, found.tolerance)
            for name, found in self.guardrails.items()
        ]
        return Watched(guardrails, self.lost_exposures)


def read_experiment_file(path: Path) -> ExperimentFile:
    """Return what a file says; raises `InvalidValueError` naming the file and the field."""
    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidValueError(str(path), None, f"write YAML ({' '.join(str(error).split())})") from error
    if not isinstance(found, Mapping):
        raise InvalidValueError(str(path), found, "write `name:`, `control:`, `variants:` and `starts:`")
    try:
        return ExperimentFile.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise InvalidValueError(f"{path}: {field}", first["input"], first["msg"]) from error
