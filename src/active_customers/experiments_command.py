"""What `active-customers experiments` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from active_customers.command_options import DEFAULT_DATA, ConfigFile, DataDir, DryRun, loaded, opened_directory
from active_customers.core.clock import Clock
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.experiment_schema import ExperimentIn
from active_customers.experiments.strategy_schema import StrategyIn
from active_customers.realtime.experiment_changes import ExperimentChanges, Saved
from active_customers.serving.writer_socket import OpenStore
from active_customers.storage.base import Change, NamedRecords
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryNamed
from active_customers.storage.simulated_clock import clock_of
from active_customers.terminal import say

app = typer.Typer(help="Store, show or stop strategies and experiments.", no_args_is_help=True)

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
    for line in _aligned([("experiment", "version", "status", "starts", "ends", "share", "layer", "variants"), *rows]):
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


def _changes(opened: OpenStore) -> ExperimentChanges:
    return ExperimentChanges(opened.store.records, opened.writer.change_records, opened.clock, lambda: None)


def _on_copies(store: EmbeddedStore, clock: Clock) -> ExperimentChanges:
    """Return what reads copies of the records, and tries changes on them."""
    copies: dict[str, NamedRecords] = {}
    for kind, records in store.records.items():
        copies[kind] = MemoryNamed()
        copies[kind].change(records.all())

    def change(kind: str, records: Change, *, whole: bool = False) -> None:
        copies[kind].change(records, whole=whole)

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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            str(file), None, f"it cannot be read as YAML ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(found, dict) or set(found) - {"strategies", "experiments"}:
        raise InvalidValueError(str(file), None, "write `strategies:` and `experiments:`, each with a list below it")
    try:
        strategies = [StrategyIn.read(sent, f"strategies[{place}].") for place, sent in _listed(found, "strategies")]
        experiments = [ExperimentIn.read(sent, f"experiments[{at}].") for at, sent in _listed(found, "experiments")]
    except InvalidValueError as error:
        raise _in_file(file, "", error) from error
    return strategies, experiments


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


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
