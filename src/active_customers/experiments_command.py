"""What `active-customers experiments` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
import yaml

from active_customers.batch.experiment_results import ExperimentResults
from active_customers.command_options import DEFAULT_DATA, ConfigFile, DataDir, DryRun, loaded, opened_directory
from active_customers.config.settings import Settings
from active_customers.core.clock import Clock
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.experiment_schema import ExperimentIn
from active_customers.experiments.planning import Design, Usual, detectable_effect, duration
from active_customers.experiments.report_text import aligned, lines_of
from active_customers.experiments.strategy_schema import StrategyIn
from active_customers.realtime.experiment_changes import ExperimentChanges, Saved
from active_customers.serving.experiment_guard import looked_at
from active_customers.serving.writer_socket import OpenStore
from active_customers.storage.base import Change, NamedRecords
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryNamed
from active_customers.storage.simulated_clock import clock_of
from active_customers.terminal import say

app = typer.Typer(help="Plan experiments, store them, stop them, and see what they prove.", no_args_is_help=True)

_File = Annotated[Path, typer.Argument(help="YAML: `strategies:` and `experiments:`, each a list.")]
_Name = Annotated[str, typer.Argument(help="What the experiment is called.")]
_OWN = ("version", "number", "places", "changed", "stopped_because")
"""Fields that the service adds."""


@app.command("put")
def put(file: _File, data_dir: DataDir = DEFAULT_DATA, config: ConfigFile = None, dry_run: DryRun = False) -> None:
    """Store what a file says, beside what there is; a running service goes by it within a second."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    strategies, experiments = _read(file)
    with opened_directory(directory, settings) as opened:
        tried = list(_saved(_on_copies(opened.store, opened.clock), strategies, experiments, file))
        if not dry_run:  # of what is wrong nothing is stored
            tried = list(_saved(_changes(opened), strategies, experiments, file))
    for what in tried:
        say(_line(what))
    say("nothing was changed" if dry_run else f"strategies: {len(strategies)}, experiments: {len(experiments)}, stored")


@app.command("show")
def show(data_dir: DataDir = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Print all strategies, and the experiments that have not ended, as a file that `experiments put` takes."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
        changes = _on_copies(store, clock_of(directory))
        going = [record for record in changes.experiments()["experiments"] if record["status"] != "ended"]
        experiments = [_without(record, (*_OWN, "status")) for record in going]
        told = {**changes.strategies(), "experiments": experiments}
    say(yaml.safe_dump(told, sort_keys=False, allow_unicode=True).rstrip())


@app.command("list")
def list_all(data_dir: DataDir = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Print a line for each experiment: whether it runs, since when, and on whom."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
        changes = _on_copies(store, clock_of(directory))
        rows = [_row(record) for record in changes.experiments()["experiments"]]
    for line in aligned([("experiment", "version", "status", "starts", "ends", "share", "layer", "variants"), *rows]):
        say(line)


@app.command("stop")
def stop(
    name: _Name,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    because: Annotated[str, typer.Option(help="Why, for those who read it later.")] = "",
) -> None:
    """End a running experiment now; its customers are answered as set within a second."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with opened_directory(directory, settings) as opened:
        say(f"{_changes(opened).stop(name, because)['name']}  stopped")


@app.command("plan")
def plan(
    usual: Annotated[
        float, typer.Option(help="The figure as it is: a share such as 0.03, or a mean with --deviation.")
    ],
    daily: Annotated[float, typer.Option(help="New customers a day, of variant and control together.")],
    effect: Annotated[float, typer.Option(help="The least relative effect that matters.")] = 0.05,
    deviation: Annotated[float | None, typer.Option(help="Standard deviation from customer to customer.")] = None,
    told_before: Annotated[float, typer.Option(help="Correlation of customers' figures with their past.")] = 0.0,
    share: Annotated[float, typer.Option(help="The variant's share of these customers.")] = 0.5,
    variants: Annotated[int, typer.Option(help="Variants that are compared with the control.")] = 1,
    power: Annotated[float, typer.Option(help="The share of such tests that are to find the effect.")] = 0.8,
    once: Annotated[bool, typer.Option("--once", help="Look at the end only.")] = False,
) -> None:
    """Say how many customers and days an experiment needs before it starts."""
    if deviation is None and 0 < usual < 1 <= usual * (1 + effect):
        raise InvalidValueError("effect", effect, f"a share of {usual:g} cannot rise so far: it would be all and more")
    figure = Usual.of_share(usual, told_before) if deviation is None else Usual(usual, deviation, told_before)
    design = Design(share, power, n_comparisons=variants, sequential=not once)
    for line in _planned(figure, effect, daily, design):
        say(line)


@app.command("results")
def results(
    name: _Name,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    version: Annotated[int | None, typer.Option(help="The newest by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Say what an experiment proves so far; look as often as you like."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with opened_directory(directory, settings) as opened:
        experiment = _changes(opened).tested(name, version)
        report = _results(opened, directory, settings).of(experiment, opened.clock.now())
    if as_json:
        say(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2).decode())
        return
    for line in lines_of(report):
        say(line)


@app.command("guard")
def guard(data_dir: DataDir = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Look at every running experiment, and stop those that do harm; a service does so by itself."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with opened_directory(directory, settings) as opened:
        looked = list(looked_at(opened, _results(opened, directory, settings)))
    for name, outcome in looked:
        say(f"{name}  {outcome}")
    if not looked:
        say("no experiment runs")


def _results(opened: OpenStore, directory: DataDirectory, settings: Settings) -> ExperimentResults:
    counting, reading = settings.experiment_outcomes, settings.experiment_analysis
    return ExperimentResults(opened.store, directory, counting, reading, opened.writer.archive_log)


def _planned(usual: Usual, effect: float, daily_customers: float, design: Design) -> Iterator[str]:
    """Yield how long a test takes, looked at once or at any time, and what other durations can find."""
    found = duration(usual, effect, daily_customers, design)
    how = "looked at any time" if design.sequential else "looked at once, at its end"
    yield f"{found.customers:,} customers of variant and control together, {found.days:,} days, {how}"
    low, high = found.interval
    yield f"an effect of {effect:+.1%} will then be told as {low:+.1%} to {high:+.1%}"
    yield f"for settings: experiment_analysis.planned_customers: {found.customers}"
    for days in (7, 14, 28):
        least = detectable_effect(usual, max(2, int(days * daily_customers)), design)
        yield f"{days} days find an effect of {least:.1%}"


def _changes(opened: OpenStore) -> ExperimentChanges:
    return ExperimentChanges(opened.store.records, opened.writer.change_records, opened.clock, lambda: None)


def _on_copies(store: EmbeddedStore, clock: Clock) -> ExperimentChanges:
    """Return what reads copies of the records, and tries changes on them."""
    copies: dict[str, NamedRecords] = {}
    for kind, records in store.records.items():
        copies[kind] = MemoryNamed()
        copies[kind].change(records.all())

    def change(kind: str, records: Change, *, whole: bool = False, seen: Mapping[str, int] | None = None) -> bool:
        copies[kind].change(records, whole=whole)
        return seen is not None

    return ExperimentChanges(copies, change, clock, lambda: None)


def _saved(
    changes: ExperimentChanges, strategies: Iterable[StrategyIn], experiments: Iterable[ExperimentIn], file: Path
) -> Iterator[Saved]:
    """Store strategies, then experiments; raises `InvalidValueError` naming the file and which of them."""
    for strategy in strategies:
        try:
            yield changes.save_strategy(strategy)
        except InvalidValueError as error:
            raise _in_file(file, f"strategies.{strategy.name}.", error) from error
    for experiment in experiments:
        try:
            yield changes.save_experiment(experiment)
        except InvalidValueError as error:
            raise _in_file(file, f"experiments.{experiment.name}.", error) from error


def _read(file: Path) -> tuple[list[StrategyIn], list[ExperimentIn]]:
    """Return the strategies and experiments of a file; raises `InvalidValueError` naming the file and the field."""
    try:
        found = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidValueError(
            str(file), None, f"it cannot be read as YAML ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(found, dict) or set(found) - {"strategies", "experiments"}:
        raise InvalidValueError(str(file), None, "write `strategies:` and `experiments:`, each with a list below it")
    try:
        _check_names(found)
        strategies = [StrategyIn.read(sent, f"strategies[{place}].") for place, sent in _listed(found, "strategies")]
        experiments = [ExperimentIn.read(sent, f"experiments[{at}].") for at, sent in _listed(found, "experiments")]
    except InvalidValueError as error:
        raise _in_file(file, "", error) from error
    return strategies, experiments


def _check_names(found: dict[str, Any]) -> None:
    """Raise `InvalidValueError` where two of a kind have one name: the second would change the first."""
    for kind in ("strategies", "experiments"):
        places: dict[object, int] = {}
        for place, sent in _listed(found, kind):
            name = sent.get("name") if isinstance(sent, dict) else None
            if name is not None and name in places:
                raise InvalidValueError(f"{kind}[{place}].name", name, f"{kind}[{places[name]}] has this name")
            places[name] = place


def _listed(found: dict[str, Any], kind: str) -> Iterator[tuple[int, Any]]:
    several = found.get(kind) or []
    if not isinstance(several, list):
        raise InvalidValueError(kind, several, "write a list below it")
    return enumerate(several)


def _in_file(file: Path, at: str, error: InvalidValueError) -> InvalidValueError:
    return InvalidValueError(f"{file}: {at}{error.field}", error.value, error.remedy)


def _line(what: Saved) -> str:
    share = "" if what.share is None else f", version {what.version}, {what.share:g} % of the layer's customers"
    return f"{what.name}  {what.status.replace('_', ' ')}{share}"


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    variants = ", ".join(f"{name} {variant['weight']:g} %" for name, variant in record["variants"].items())
    ends = record.get("ends", "")
    stopped = f" ({record['stopped_because']})" if record.get("stopped_because") else ""
    share, layer = f"{record['share']:g} %", record.get("layer", "main")
    return (
        record["name"],
        str(record["version"]),
        record["status"] + stopped,
        record["starts"],
        ends,
        share,
        layer,
        variants,
    )


def _without(record: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: value for field, value in record.items() if field not in fields}
