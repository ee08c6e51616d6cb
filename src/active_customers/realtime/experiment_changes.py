"""The shop's strategies and experiments as the API and the command line read and change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from active_customers.core.clock import Clock
from active_customers.core.errors import InvalidValueError, UnknownExperimentError
from active_customers.core.json_body import json_of
from active_customers.experiments.assignment import PLACES
from active_customers.experiments.changes import Known, check_unused, saved, stopped
from active_customers.experiments.definition import Experiment
from active_customers.experiments.experiment_schema import WHOLE, ExperimentIn, experiment_of
from active_customers.experiments.strategy_schema import MAX_STRATEGIES, StrategyIn
from active_customers.storage.base import ChangeRecords, NamedRecords

Status = Literal["created", "replaced", "unchanged", "deleted", "new_version", "stopped"]


class Saved(BaseModel):
    """What became of a strategy or an experiment; with `dry_run` what would have."""

    name: str
    status: Status
    version: int | None = None
    """Of an experiment: what was measured under another version stays apart."""
    share: float | None = None
    """Percent of the layer's customers that an experiment has."""


@dataclass(frozen=True, slots=True)
class ExperimentChanges:
    """Reads from the store at hand, has changes made by whoever owns it, and has them taken up here at once."""

    records: Mapping[str, NamedRecords]
    change: ChangeRecords
    clock: Clock
    taken_up: Callable[[], None]

    def strategies(self) -> dict[str, Any]:
        """Return all strategies by name."""
        return {"strategies": list(self.records["strategies"].all().values())}

    def strategy(self, name: str) -> dict[str, Any]:
        """Return a strategy; raises `UnknownExperimentError`."""
        return self._found("strategies", name)

    def put_strategy(self, name: str, body: bytes, *, dry_run: bool = False) -> dict[str, Any]:
        """Store a strategy, whatever had its name; raises `InvalidValueError` naming the field."""
        return _told(self.save_strategy(StrategyIn.read(json_of(body), name=name), dry_run=dry_run))

    def save_strategy(self, strategy: StrategyIn, *, dry_run: bool = False) -> Saved:
        """Store a strategy; one that a running experiment answers by stays as it is: that would be another experiment.

        Raises `InvalidValueError`.
        """
        known, record, name = self._known(), strategy.record(), strategy.name or ""
        before = known.strategies.get(name)
        status: Status = "created" if before is None else "unchanged" if before == record else "replaced"
        if status == "created" and len(known.strategies) >= MAX_STRATEGIES:
            raise InvalidValueError("name", name, f"there are {MAX_STRATEGIES} strategies, no more: delete one")
        if status == "replaced":
            check_unused(name, known, self.clock.now())
        if not dry_run and status != "unchanged":
            self._make("strategies", name, record)
        return Saved(name=name, status=status)

    def delete_strategy(self, name: str) -> dict[str, Any]:
        """Take a strategy away.

        Raises `UnknownExperimentError`, and `InvalidValueError` while an experiment answers by it.
        """
        self._found("strategies", name)
        check_unused(name, self._known(), self.clock.now())
        self._make("strategies", name, None)
        return _told(Saved(name=name, status="deleted"))

    def experiments(self) -> dict[str, Any]:
        """Return all experiments by name, with what became of each."""
        found = self.records["experiments"].all().values()
        return {"experiments": [self._shown(record) for record in found]}

    def experiment(self, name: str) -> dict[str, Any]:
        """Return an experiment; raises `UnknownExperimentError`."""
        return self._shown(self._found("experiments", name))

    def tested(self, name: str) -> Experiment:
        """Return what is compared; raises `UnknownExperimentError`."""
        return experiment_of(self._found("experiments", name))

    def put_experiment(self, name: str, body: bytes, *, dry_run: bool = False) -> dict[str, Any]:
        """Store an experiment (see `experiments.changes.saved`); raises `InvalidValueError` naming the field."""
        return _told(self.save_experiment(ExperimentIn.read(json_of(body), name=name), dry_run=dry_run))

    def save_experiment(self, given: ExperimentIn, *, dry_run: bool = False) -> Saved:
        """Store an experiment (see `experiments.changes.saved`); raises `InvalidValueError`."""
        known, name = self._known(), given.name or ""
        record = saved(given, known, self.clock.now())
        before = known.experiments.get(name)
        status: Status = "created"
        if before is not None:
            is_same = _without_time(record) == _without_time(before)
            status = "unchanged" if is_same else "replaced"
            status = status if record["version"] == before["version"] else "new_version"
        if not dry_run and status != "unchanged":
            self._make("experiments", name, record)
        share = sum(end - first for first, end in record["places"]) / PLACES * WHOLE
        return Saved(name=name, status=status, version=record["version"], share=share)

    def stop(self, name: str, because: str = "") -> dict[str, Any]:
        """End a running experiment now; its customers are answered as set from their next request on.

        Raises `UnknownExperimentError`, and `InvalidValueError` where it does not run.
        """
        record = stopped(self._found("experiments", name), self.clock.now(), because)
        self._make("experiments", name, record)
        return _told(Saved(name=name, status="stopped", version=record["version"]))

    def delete_experiment(self, name: str) -> dict[str, Any]:
        """Take an experiment away that has not begun.

        Raises `UnknownExperimentError`, and `InvalidValueError` for one that has: results and links refer to it.
        """
        experiment = experiment_of(self._found("experiments", name))
        if experiment.starts <= self.clock.now():
            remedy = "it has begun, and what was measured refers to it: stop it, and it stays as one that ended"
            raise InvalidValueError("name", name, remedy)
        self._make("experiments", name, None)
        return _told(Saved(name=name, status="deleted"))

    def all(self) -> Iterator[tuple[Experiment, dict[str, Any]]]:
        """Yield the experiments with their records."""
        for record in self.records["experiments"].all().values():
            yield experiment_of(record), record

    def _shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        experiment, now = experiment_of(dict(record)), self.clock.now()
        status = "running" if experiment.is_running(now) else "scheduled" if experiment.starts > now else "ended"
        told = {field: value for field, value in record.items() if field != "places"}
        return {**told, "status": status, "share": len(experiment.places) / PLACES * WHOLE}

    def _known(self) -> Known:
        return Known(self.records["strategies"].all(), self.records["experiments"].all())

    def _found(self, kind: str, name: str) -> dict[str, Any]:
        known = self.records[kind].all()
        if name not in known:
            one = "strategy" if kind == "strategies" else "experiment"
            raise UnknownExperimentError(f"there is no {one} {name!r}: GET /api/v1/{kind} lists those that there are")
        return known[name]

    def _make(self, kind: str, name: str, record: Mapping[str, Any] | None) -> None:
        self.change(kind, {name: record})
        self.taken_up()


def _told(what: Saved) -> dict[str, Any]:
    return what.model_dump(exclude_none=True)


def _without_time(record: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in record.items() if field != "changed"}
