"""Looks at running experiments now and then, in a process of its own, and stops those that do harm."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from active_customers.batch.experiment_results import ExperimentResults
from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError, OverloadedError, StorageError
from active_customers.experiments.analysis import AnalysisConfig
from active_customers.experiments.definition import Experiment
from active_customers.experiments.outcomes import OutcomesConfig
from active_customers.realtime.experiment_changes import ExperimentChanges
from active_customers.serving.refresh_process import give_way, leave_with_service
from active_customers.serving.writer_socket import OpenStore, open_served
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig

_log = logging.getLogger(__name__)

_FAILED = 2
_LONGEST_SECONDS = 1_800.0
GOES_ON = "goes on"


class GuardTask(Config):
    """What the process is told."""

    data_dir: Path
    storage: StorageConfig
    counting: OutcomesConfig
    reading: AnalysisConfig
    name: str | None = None
    """The experiment to report on; all that run are looked at without it."""
    version: int | None = None

    def command(self) -> list[str]:
        """Return the command line that does it."""
        return [sys.executable, "-m", __name__, self.model_dump_json()]


class Guard:
    """Starts a look where one is due. Intervals are real time; `is_needed` tells whether anything runs."""

    def __init__(self, command: Sequence[str], every_minutes: float, is_needed: Callable[[], bool]) -> None:
        self._command = command
        self._every_seconds = every_minutes * 60
        self._is_needed = is_needed
        self._due = time.monotonic() + self._every_seconds
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0

    def look(self) -> None:
        """Log what a look that has ended found, and start the next when it is due."""
        if self._process is not None:
            if self._process.poll() is None and time.monotonic() < self._started + _LONGEST_SECONDS:
                return
            if self._process.poll() is None:
                _log.error("experiments: a look took longer than %g s and was ended", _LONGEST_SECONDS)
                self.close()
                return
            said = (self._process.stdout.read() if self._process.stdout else "").strip()
            if said or self._process.returncode:
                level = logging.ERROR if self._process.returncode else logging.WARNING
                _log.log(level, "experiments: %s", said or f"a look ended with code {self._process.returncode}")
            self.close()
        if time.monotonic() >= self._due and self._is_needed():
            self._started = time.monotonic()
            self._due = self._started + self._every_seconds
            self._process = subprocess.Popen(  # noqa: S603 - a command of our own
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )

    def close(self) -> None:
        """End a look that is under way."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate()


def looked_at(opened: OpenStore, results: ExperimentResults) -> Iterator[tuple[str, str]]:
    """Yield the name of each running experiment and what became of it: `goes on`, why it was stopped, what went wrong.

    What goes wrong with one keeps nobody from looking at the others.
    """
    changes = ExperimentChanges(opened.store.records, opened.writer.change_records, opened.clock, lambda: None)
    for experiment in changes.running():
        if experiment.bandit is not None:
            continue
        try:
            yield experiment.name, _looked_at(experiment, changes, results)
        except ActiveCustomersError as error:
            yield experiment.name, f"could not be looked at: {error}"


def _looked_at(experiment: Experiment, changes: ExperimentChanges, results: ExperimentResults) -> str:
    """Stop an experiment that does harm, unless it is another version by now; return what became of it."""
    report = results.of(experiment, changes.clock.now())
    because = "; ".join(
        f"{harm.variant}: {harm.name} is {harm.value:.3g} instead of {harm.control:.3g}" for harm in report.harms
    )
    if not because:
        return GOES_ON
    changes.stop(experiment.name, because, experiment.version)
    return f"stopped: {because}"


def proof_of(command: Sequence[str]) -> dict[str, Any]:
    """Return what a process says that was told to report on one experiment; raises `StorageError` saying why not."""
    try:
        done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=_LONGEST_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise OverloadedError(f"results took longer than {_LONGEST_SECONDS:g} s") from error
    if done.returncode:
        raise StorageError(done.stdout.decode(errors="replace").strip() or "results could not be made: see the log")
    report: dict[str, Any] = orjson.loads(done.stdout)
    return report


def main() -> None:
    """Look at all that run, or report on one as JSON."""
    task = GuardTask.model_validate_json(sys.argv[1])
    give_way()
    directory = DataDirectory(task.data_dir)
    try:
        with open_served(directory, task.storage) as opened:
            results = ExperimentResults(opened.store, directory, task.counting, task.reading)
            if task.name is not None:
                changes = ExperimentChanges(
                    opened.store.records, opened.writer.change_records, opened.clock, lambda: None
                )
                report = results.of(changes.tested(task.name, task.version), opened.clock.now())
                sys.stdout.buffer.write(orjson.dumps(report.as_dict()))
                return
            threading.Thread(target=leave_with_service, daemon=True).start()
            for name, outcome in looked_at(opened, results):
                if outcome != GOES_ON:
                    sys.stdout.write(f"{name} {outcome}\n")
    except ActiveCustomersError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(_FAILED)


if __name__ == "__main__":
    main()
