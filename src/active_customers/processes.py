"""`serve`: everything in one process, or committer, updater and workers under a supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from active_customers.asgi import build_app
from active_customers.config.settings import Settings
from active_customers.core.errors import ActiveCustomersError
from active_customers.models.artifacts import ArtifactStore
from active_customers.monitoring.exposition import FOLDER_VARIABLE
from active_customers.serving.server import run
from active_customers.serving.startup import Startup
from active_customers.serving.supervisor import Part, Pulse, Supervisor, leave_with_supervisor
from active_customers.serving.updater import Work
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.wiring import Lifecycle, build, build_owner, build_updater, build_worker

_STARTED = "active_customers.cli"
"""What every process runs again as its main module: imported once for all, or each would take a second to start."""
_LOADED = "active_customers.preloaded"
_BEAT_SECONDS = 0.5
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder with a random name is made there


def log_to_stderr() -> None:
    """Write log lines of this process to standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(processName)s %(levelname)s %(name)s: %(message)s", force=True
    )


def serve_alone(settings: Settings, directory: DataDirectory, listener: socket.socket, startup: Startup) -> bool:
    """Serve in this process until it is asked to end; return whether the service came up at all."""
    startup.doing(f"opening {directory.root}")
    services = build(settings, directory)
    about = _about(services.store, directory)
    startup.doing("loading the catalogue and the models")
    app = build_app(services, settings.server.cors_origins)
    return run(app, listener, lambda: startup.ready(about), services.streams.end)


def serve_together(settings: Settings, directory: DataDirectory, listener: socket.socket, startup: Startup) -> bool:
    """Serve with processes for committer, updater and several workers; return whether the service came up at all."""

    def on_ready() -> None:
        with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
            startup.ready(_about(store, directory))

    startup.doing(f"starting committer, updater and {settings.server.workers} workers on {directory.root}")
    workers = [
        Part(f"worker-{number}", run_worker, (settings, directory.root, listener))
        for number in range(1, settings.server.workers + 1)
    ]
    writers = [
        Part("committer", run_committer, (settings, directory.root)),
        Part("updater", run_updater, (settings, directory.root)),
    ]
    with TemporaryDirectory(prefix="active-customers-metrics-", dir=_folder_in_memory()) as metrics:
        os.environ[FOLDER_VARIABLE] = metrics  # read by prometheus_client when the processes import it
        return Supervisor([*writers, *workers], settings.supervisor, on_ready).run(__name__, _STARTED, _LOADED)


def _about(store: EmbeddedStore, directory: DataDirectory) -> str:
    """Return what a service answers with."""
    version = ArtifactStore(directory.models).current()
    return f"{store.catalog.n_entries():,} products, {'no model yet' if version is None else f'model {version}'}"


def _folder_in_memory() -> Path | None:
    """Return where mapped files meet no full disk, which kills whoever writes to them; None where no such place is."""
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None


def run_worker(pulse: Pulse, settings: Settings, root: Path, listener: socket.socket) -> None:
    """Be a worker: answer, and pass events on to the committer."""
    with _process(pulse):
        services = build_worker(settings, DataDirectory(root), Work(pulse.beat, _BEAT_SECONDS))
        if not run(build_app(services, settings.server.cors_origins), listener, pulse.beat, services.streams.end):
            sys.exit(1)


def run_committer(pulse: Pulse, settings: Settings, root: Path) -> None:
    """Be the owner of the data directory: commit, archive, serve commands."""
    with _process(pulse):
        asyncio.run(_live(pulse, build_owner(settings, DataDirectory(root), Work(pulse.beat, _BEAT_SECONDS))))


def run_updater(pulse: Pulse, settings: Settings, root: Path) -> None:
    """Be the writer of the live index. It is ready at once: nobody waits until it has caught up."""
    with _process(pulse):
        asyncio.run(_live(pulse, build_updater(settings, DataDirectory(root), Work(pulse.beat, _BEAT_SECONDS))))


async def _live(pulse: Pulse, parts: Lifecycle) -> None:
    """Run until SIGTERM."""
    asked_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked_to_end.set)
    await parts.start()
    pulse.beat()
    await asked_to_end.wait()
    await parts.stop()


@contextmanager
def _process(pulse: Pulse) -> Iterator[None]:
    """Set a process of the service up: logs, signals, and the end of its supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all processes; the supervisor ends them in order
    log_to_stderr()
    threading.Thread(target=leave_with_supervisor, args=(pulse,), daemon=True).start()
    try:
        yield
    except ActiveCustomersError as error:
        sys.stderr.write(f"active-customers: {error}\n")
        sys.exit(2)
