"""Death at a chosen point: a piece of the program runs in a process of its own and is killed at its n-th change."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from active_customers.storage.embedded.environment import Environment

_CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}

_UNPUBLISHED_ARRAY = re.compile(r"/models/\.[^/]+/[^/]+\.npy$")

_MOST_ALIKE = 3
"""Changes that are points of those that leave the same behind, one more or less: a version's many arrays while it is in
no place where anybody looks for it, and the many empty transactions that open a store's sub-databases."""


def deaths(function: Callable[[Path], object], fresh: Callable[[], Path]) -> Iterator[Path]:
    """Run a function on fresh data directories, killed at its first change, its second, and so on until it survives.

    Yields the directory after each death. Points are: each file or folder below the directory that is opened for
    writing, made, renamed or removed, and the begin and the commit of each transaction of the store, each before it
    happens; of those that are alike the first ones.
    """
    context = forking()
    for point in count(1):
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
    left, alike = point, Counter[str]()

    def pass_point(kind: str) -> None:
        nonlocal left
        alike[kind] += 1
        left -= not kind or alike[kind] <= _MOST_ALIKE
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_file(event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in _CHANGES and str(arguments[0]).startswith(str(root))
        if changes and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            pass_point("array" if event == "open" and _UNPUBLISHED_ARRAY.search(str(arguments[0])) else "")

    write = Environment.writing

    @contextmanager
    def writing(environment: Environment) -> Iterator[Any]:
        kind = "database" if sys._getframe(2).f_code is Environment.database.__code__ else ""
        pass_point(kind)
        with write(environment) as transaction:
            yield transaction
            pass_point(kind)

    sys.addaudithook(on_file)
    Environment.writing = writing  # type: ignore[method-assign]
    function(root)
