"""Looks at running experiments now and then, in a process of its own, and stops those that do harm."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from active_customers.batch.experiment_results import ExperimentResults
from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError
from active_customers.experiments.analysis import AnalysisConfig
from active_customers.experiments.experiment_report import ExperimentReport
from active_customers.experiments.outcomes import OutcomesConfig
from active_customers.realtime.experiment_changes import ExperimentChanges
from active_customers.serving.refresh_process import give_way, leave_with_service
from active_customers.serving.writer_socket import OpenStore, open_served
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig

_log = logging.getLogger(__name__)

_FAILED = 2


class GuardTask(Config):
    """What the process is told."""

    data_dir: Path
    storage: StorageConfig
    counting: OutcomesConfig
    reading: AnalysisConfig

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

    def look(self) -> None:
        """Log what a look that has ended found, and start the next when it is due."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            said = (self._process.stdout.read() if self._process.stdout else "").strip()
            if said or self._process.returncode:
                level = logging.ERROR if self._process.returncode else logging.WARNING
                _log.log(level, "experiments: %s", said or f"a look ended with code {self._process.returncode}")
            self.close()
        if time.monotonic() >= self._due and self._is_needed():
            self._due = time.monotonic() + self._every_seconds
            self._process = subprocess.Popen(  # noqa: S603 - a command of our own
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )

    def close(self) -> None:
        """End a look that is under way."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate()


def looked_at(opened: OpenStore, results: ExperimentResults) -> Iterator[tuple[ExperimentReport, str]]:
    """Yield the report of each running experiment, and why it was stopped; empty where it goes on."""
    changes = ExperimentChanges(opened.store.records, opened.writer.change_records, opened.clock, lambda: None)
    for experiment, _ in list(changes.all()):
        now = opened.clock.now()
        if experiment.bandit is not None or not experiment.is_running(now):
            continue
        report = results.of(experiment, now)
        because = "; ".join(
            f"{harm.variant}: {harm.name} is {harm.value:.3g} instead of {harm.control:.3g}" for harm in report.harms
        )
        if because:
            changes.stop(experiment.name, because)
        yield report, because


def main() -> None:
    """Look, and say in a line for each what was stopped."""
    threading.Thread(target=leave_with_service, daemon=True).start()
    give_way()
    task = GuardTask.model_validate_json(sys.argv[1])
    directory = DataDirectory(task.data_dir)
    try:
        with open_served(directory, task.storage) as opened:
            archive = opened.writer.archive_log
            results = ExperimentResults(opened.store, directory, archive, task.counting, task.reading)
            for report, because in looked_at(opened, results):
                if because:
                    sys.stdout.write(f"{report.experiment} was stopped: {because}\n")
    except ActiveCustomersError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(_FAILED)


if __name__ == "__main__":
    main()
