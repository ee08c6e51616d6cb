"""Death at a chosen point: a piece of the program runs in a process of its own and is killed at its n-th change."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import FrameType
from typing import Any

from active_customers.storage.embedded.environment import Environment

_CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
_WRITING = Environment.writing.__wrapped__.__code__  # type: ignore[attr-defined]


def deaths(function: Callable[[Path], object], fresh: Callable[[], Path], step: int = 1) -> Iterator[Path]:
    """Run a function on fresh data directories, killed at its first change, its second, and so on until it survives.

    A `step` of 2 leaves every other change out.

    Yields the directory after each death. Points are: each file or folder below the directory that is opened for
    writing, made, renamed or removed, and the begin and the commit of each transaction of the store, each before it
    happens.
    """
    context = forking()
    for point in count(1, step):
        root = fresh()
        process = context.Process(target=_run, args=(function, root, point))
        process.start()
        process.join(60)
        code = process.exitcode
        process.close()
        if code == 0:
            assert point > 1, "it changes nothing"
            return
        assert code == -signal.SIGKILL, f"it failed by itself at point {point}"
        yield root


def forking() -> ForkServerContext:
    """Return what starts processes that have everything loaded from the beginning."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.e2e.test_faults_kill", "tests.e2e.loaded_kernels"])
    return context


def _run(function: Callable[[Path], object], root: Path, point: int) -> None:
    left = point

    def pass_point() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_file(event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in _CHANGES and str(arguments[0]).startswith(str(root))
        if changes and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            pass_point()

    def on_call(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is _WRITING:  # its generator is entered before and after a transaction
            pass_point()

    sys.addaudithook(on_file)
    sys.setprofile(on_call)
    function(root)
