"""What `active-customers simulate --closed-loop` does between its flags and what it prints."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from pydantic import ValidationError

from active_customers.batch.experiment_results import ExperimentResults
from active_customers.command_options import loaded, opened_directory
from active_customers.config.settings import set_in
from active_customers.core.errors import InvalidValueError, meant
from active_customers.evaluation.closed_loop import ClosedLoop, LoopConfig, LoopReport, Place, own_service
from active_customers.evaluation.closed_loop.client import Client
from active_customers.evaluation.closed_loop.experiment_truth import Judged
from active_customers.evaluation.closed_loop.report import DayFigures, heading
from active_customers.evaluation.simulator import SimulatorConfig
from active_customers.experiments.experiment_schema import readable
from active_customers.realtime.schemas import first_error
from active_customers.storage.data_dir import DataDirectory
from active_customers.terminal import progress, say

REPORT_FILE = "closed_loop.json"


@dataclass(frozen=True, slots=True)
class Where:
    """Which service the customers meet: one of their own, on a new folder or a temporary one, or that at an address."""

    data_dir: Path | None
    config: Path | None
    workers: int
    url: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Output:
    """Where the report goes: a file in a folder, standard output."""

    folder: Path | None
    as_json: bool


def knobs(settings: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `NAME=VALUE` says of the shop (`SimulatorConfig`) and of the closed loop (`LoopConfig`).

    Raises `InvalidValueError` for a name that is neither.
    """
    given: dict[str, Any] = {}
    for setting in settings:
        set_in(given, setting)
    known = (SimulatorConfig.model_fields, LoopConfig.model_fields)
    for name in given:
        if not any(name in fields for fields in known):
            raise InvalidValueError("--set", name, f"there is no such knob; {meant(name, [*known[0], *known[1]])}")
    shop, loop = ({name: value for name, value in given.items() if name in fields} for fields in known)
    return shop, loop


def shop_config(given: Mapping[str, Any]) -> SimulatorConfig:
    """Return the knobs of the shop; raises `InvalidValueError` for a value that is none."""
    try:
        return SimulatorConfig.model_validate(given)
    except ValidationError as error:
        raise first_error(error, SimulatorConfig) from error


def loop_config(
    given: Mapping[str, Any], warm_up_days: int | None, strategies: str | None, before: Sequence[str] = ()
) -> LoopConfig:
    """Return the knobs of the closed loop, with those that have flags of their own."""
    flags: dict[str, Any] = {"before": tuple(before)}
    if warm_up_days is not None:
        flags["warm_up_days"] = warm_up_days
    if strategies is not None:
        flags["strategies"] = tuple(filter(None, (name.strip() for name in strategies.split(","))))
    try:
        return LoopConfig.model_validate({**given, **flags})
    except ValidationError as error:
        raise first_error(error, LoopConfig) from error


def run(simulator: SimulatorConfig, config: LoopConfig, where: Where, output: Output) -> LoopReport:
    """Play `simulator.days` days after those of the warm-up, tell each of them, and what they came to.

    With `as_json` only the report is printed. Raises `InvalidValueError` for flags that do not go together.
    """
    whole = simulator.model_copy(update={"days": simulator.days + config.warm_up_days})
    tell = _silent if output.as_json else _tell
    with _ending(), TemporaryDirectory(prefix="active-customers-") as scratch, _place(where, Path(scratch)) as place:
        if not output.as_json:
            say(heading())
        with Client(place, config.connections) as client, progress("simulate --closed-loop") as report:
            loop = ClosedLoop(whole, config, place, client)
            outcome = loop.run(Path(scratch), tell, report)
        judged = _judged(place, loop)
    told = outcome.as_dict() | {"experiments": {one.report.experiment: one.as_dict() for one in judged}}
    document = orjson.dumps(told, option=orjson.OPT_INDENT_2)
    if output.folder is not None:
        output.folder.mkdir(parents=True, exist_ok=True)
        (output.folder / REPORT_FILE).write_bytes(document + b"\n")
    for line in [document.decode()] if output.as_json else chain(outcome.lines(), *(one.lines() for one in judged)):
        say(line)
    return outcome


def _judged(place: Place, loop: ClosedLoop) -> list[Judged]:
    """Have the service's experiments analysed, and set the truth beside; none where its directory is out of reach."""
    if place.data_dir is None:
        return []
    settings, directory = loaded(place.config, place.data_dir).settings, DataDirectory(place.data_dir)
    counting = settings.experiment_outcomes
    with opened_directory(directory, settings) as opened:
        reading, now = settings.experiment_analysis, opened.clock.now()
        results = ExperimentResults(opened.store, directory, counting, reading, opened.writer.archive_log)
        return [
            Judged.of(results.of(experiment, now), loop.counts(experiment.name, counting.conversion_days))
            for experiment in readable(opened.store.records["experiments"].all())
            if experiment.bandit is None
        ]


@contextmanager
def _ending() -> Iterator[None]:
    """Let a request to end (SIGTERM) end the service and remove what is temporary, as an interruption does."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _place(where: Where, scratch: Path) -> Iterator[Place]:
    if where.url is not None:
        yield Place.at(where.url, where.key, where.data_dir)
        return
    if where.key is not None:
        raise InvalidValueError("key", "(hidden)", "it belongs to --url: a service of the closed loop has its own")
    with own_service(where.data_dir or scratch / "data", where.workers, where.config) as place:
        yield place


def _tell(day: DayFigures) -> None:
    say(day.line())


def _silent(day: DayFigures) -> None:
    """Keep the figures of a day for the report."""
