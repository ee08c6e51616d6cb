"""The process that a service refreshes in: one thread, for time that nobody else wants, gone with the service."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig, lines_about
from active_customers.batch.schedule import Ended
from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError, NoDataError, RefreshRefusedError, StoreLockedError
from active_customers.realtime.context_engine import ShopConfig
from active_customers.serving.writer_socket import open_served
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig

_FAILED = 2
_STANDARD_INPUT = 0
_FIRST_TO_GO = "1000"


class RefreshTask(Config):
    """What the process is told."""

    data_dir: Path
    storage: StorageConfig
    refresh: RefreshConfig
    models: ModelConfigs
    shop: ShopConfig = ShopConfig()

    def command(self) -> list[str]:
        """Return the command line that does it."""
        return [sys.executable, "-m", __name__, self.model_dump_json()]


def main() -> None:
    """Refresh, say in a line what came of it, and end with a code that `batch.schedule` knows."""
    threading.Thread(target=leave_with_service, daemon=True).start()
    give_way()
    code, line = _outcome(RefreshTask.model_validate_json(sys.argv[1]))
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    sys.exit(code)


def _outcome(task: RefreshTask) -> tuple[int, str]:
    directory = DataDirectory(task.data_dir)
    config = task.refresh.model_copy(update={"threads": 1})
    try:
        with open_served(directory, task.storage) as opened:
            job = Refresh(directory, opened.clock, config, task.models, task.shop)
            catalogue = dict(opened.store.catalog.products())
            manifest = job.run(opened.writer, lambda _done, _total: None, catalogue=catalogue)
            return Ended.PUBLISHED, "; ".join(lines_about(manifest))
    except RefreshRefusedError as error:
        return Ended.REFUSED, str(error)
    except (NoDataError, StoreLockedError) as error:
        return Ended.NOTHING_TO_DO, str(error)
    except ActiveCustomersError as error:
        return _FAILED, str(error)


def give_way() -> None:
    """Let everybody else go first, and be the first to go when memory runs out; where the system allows it."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


def leave_with_service() -> None:
    """End this process when the service that started it is gone, however it ended."""
    select.select([_STANDARD_INPUT], [], [])
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
