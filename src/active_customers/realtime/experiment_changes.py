"""The shop's strategies and experiments as the API and the command line read and change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from active_customers.core.clock import Clock
from active_customers.core.errors import InvalidValueError, OverloadedError, UnknownExperimentError
from active_customers.core.json_body import json_of
from active_customers.experiments.assignment import PLACES
from active_customers.experiments.changes import OF_VERSION, Known, check_unused, saved, stopped, superseded
from active_customers.experiments.definition import Experiment
from active_customers.experiments.experiment_schema import WHOLE, ExperimentIn, experiment_of, readable
from active_customers.experiments.strategy_schema import MAX_STRATEGIES, StrategyIn
from active_customers.storage.base import Change, ChangeRecords, NamedRecords

Record = Mapping[str, Any]
_TRIES = 20
"""Times that a change is decided anew because others changed something in between."""

Status = Literal["created", "replaced", "unchanged", "deleted", "new_version", "stopped"]


class Saved(BaseModel):
    """What became of a strategy or an experiment; with `dry_run` what would have."""

    name: str
    status: Status
    version: int | None = None
    """Of an experiment: what was measured under another version stays apart."""
    share: float | None = None
    """Percent of the layer's customers that an experiment has."""


Decide = Callable[[Known], tuple[Change, Saved]]
"""Says by what is stored what is to change, and what becomes of it; raises where that cannot be."""


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
        return dict(_found(self.records["strategies"].all(), "strategy", name))

    def put_strategy(self, name: str, body: bytes, *, dry_run: bool = False) -> dict[str, Any]:
        """Store a strategy, whatever had its name; raises `InvalidValueError` naming the field."""
        return _told(self.save_strategy(StrategyIn.read(json_of(body), name=name), dry_run=dry_run))

    def save_strategy(self, strategy: StrategyIn, *, dry_run: bool = False) -> Saved:
        """Store a strategy; one that a running experiment answers by stays as it is: that would be another experiment.

        Raises `InvalidValueError`.
        """
        record, name = strategy.record(), strategy.name or ""

        def decided(known: Known) -> tuple[Change, Saved]:
            before = known.strategies.get(name)
            if before is None and len(known.strategies) >= MAX_STRATEGIES:
                raise InvalidValueError("name", name, f"there are {MAX_STRATEGIES} strategies, no more: delete one")
            if before is not None and before != record:
                check_unused(name, known, self.clock.now())
            status: Status = "created" if before is None else "unchanged" if before == record else "replaced"
            return {name: record}, Saved(name=name, status=status)

        return self._make("strategies", decided, dry_run=dry_run)

    def delete_strategy(self, name: str) -> dict[str, Any]:
        """Take a strategy away.

        Raises `UnknownExperimentError`, and `InvalidValueError` while an experiment answers by it.
        """

        def decided(known: Known) -> tuple[Change, Saved]:
            _found(known.strategies, "strategy", name)
            check_unused(name, known, self.clock.now())
            return {name: None}, Saved(name=name, status="deleted")

        return _told(self._make("strategies", decided))

    def experiments(self) -> dict[str, Any]:
        """Return all experiments by name, with what became of each."""
        found = self.records["experiments"].all()
        can_be_read = {(experiment.name, experiment.version) for experiment in readable(found)}
        known = [record for record in found.values() if (record.get("name"), record.get("version")) in can_be_read]
        return {"experiments": [self._shown(record) for record in known]}

    def experiment(self, name: str) -> dict[str, Any]:
        """Return an experiment; raises `UnknownExperimentError`."""
        return self._shown(_found(self.records["experiments"].all(), "experiment", name))

    def tested(self, name: str, version: int | None = None) -> Experiment:
        """Return what is compared, by the newest version unless one is named; raises `UnknownExperimentError`."""
        records = self.records["experiments"].all()
        newest = _found(records, "experiment", name)
        if version in (None, newest["version"]):
            return experiment_of(dict(newest))
        record = records.get(f"{name}{OF_VERSION}{version}")
        if record is None:
            raise UnknownExperimentError(f"{name!r} has no version {version}: the newest is {newest['version']}")
        return experiment_of(dict(record))

    def put_experiment(self, name: str, body: bytes, *, dry_run: bool = False) -> dict[str, Any]:
        """Store an experiment (see `experiments.changes.saved`); raises `InvalidValueError` naming the field."""
        return _told(self.save_experiment(ExperimentIn.read(json_of(body), name=name), dry_run=dry_run))

    def save_experiment(self, given: ExperimentIn, *, dry_run: bool = False) -> Saved:
        """Store an experiment (see `experiments.changes.saved`); raises `InvalidValueError`."""
        name = given.name or ""

        def decided(known: Known) -> tuple[Change, Saved]:
            now = self.clock.now()
            record, before = saved(given, known, now), known.experiments.get(name)
            status: Status = "created"
            change: dict[str, Record] = {name: record}
            if before is not None:
                is_same = _without_time(record) == _without_time(before)
                is_new = record["version"] != before["version"]
                status = "new_version" if is_new else "unchanged" if is_same else "replaced"
                change |= [superseded(before, now)] if is_new else []
            share = sum(end - first for first, end in record["places"]) / PLACES * WHOLE
            return change, Saved(name=name, status=status, version=record["version"], share=share)

        return self._make("experiments", decided, dry_run=dry_run)

    def stop(self, name: str, because: str = "", version: int | None = None) -> dict[str, Any]:
        """End a running experiment now; its customers are answered as set from their next request on.

        Raises `UnknownExperimentError`, and `InvalidValueError` where it does not run, or another version than asked.
        """

        def decided(known: Known) -> tuple[Change, Saved]:
            before = _found(known.experiments, "experiment", name)
            if version not in (None, before["version"]):
                raise InvalidValueError("version", version, f"version {before['version']} runs by now")
            record = stopped(before, self.clock.now(), because)
            return {name: record}, Saved(name=name, status="stopped", version=record["version"])

        return _told(self._make("experiments", decided))

    def delete_experiment(self, name: str) -> dict[str, Any]:
        """Take an experiment away that has not begun.

        Raises `UnknownExperimentError`, and `InvalidValueError` for one that has: results and links refer to it.
        """

        def decided(known: Known) -> tuple[Change, Saved]:
            experiment = experiment_of(dict(_found(known.experiments, "experiment", name)))
            if experiment.starts <= self.clock.now():
                remedy = "it has begun, and what was measured refers to it: stop it, and it stays as one that ended"
                raise InvalidValueError("name", name, remedy)
            return {name: None}, Saved(name=name, status="deleted")

        return _told(self._make("experiments", decided))

    def running(self) -> list[Experiment]:
        """Return the experiments that run now; those that this version cannot read are told of and left out."""
        now = self.clock.now()
        return [each for each in readable(self.records["experiments"].all()) if each.is_running(now)]

    def _shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        experiment, now = experiment_of(dict(record)), self.clock.now()
        status = "running" if experiment.is_running(now) else "scheduled" if experiment.starts > now else "ended"
        told = {field: value for field, value in record.items() if field != "places"}
        return {**told, "status": status, "share": len(experiment.places) / PLACES * WHOLE}

    def _make(self, kind: str, decided: Decide, *, dry_run: bool = False) -> Saved:
        """Store what is decided by all that is known, and decide anew where somebody else changed that meanwhile."""
        for _ in range(_TRIES):
            seen = {each: self.records[each].version() for each in ("strategies", "experiments")}
            known = Known(self.records["strategies"].all(), self.records["experiments"].all())
            change, told = decided(known)
            if dry_run or told.status == "unchanged":
                return told
            if self.change(kind, change, seen=seen):
                self.taken_up()
                return told
        raise OverloadedError("others change experiments at this moment")


def _found(known: Mapping[str, Record], one: str, name: str) -> Record:
    if name not in known:
        kind = "strategies" if one == "strategy" else "experiments"
        raise UnknownExperimentError(f"there is no {one} {name!r}: GET /api/v1/{kind} lists those that there are")
    return known[name]


def _told(what: Saved) -> dict[str, Any]:
    return what.model_dump(exclude_none=True)


def _without_time(record: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in record.items() if field != "changed"}
