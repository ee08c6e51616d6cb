"""A disk that takes its time: a library that delays each fsync, loaded before all others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int later(const char *name, int descriptor) {
    const char *milliseconds = getenv("SYNC_MILLISECONDS");
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    if (milliseconds != NULL) usleep(1000 * atoi(milliseconds));
    return real(descriptor);
}
int fsync(int descriptor) { return later("fsync", descriptor); }
int fdatasync(int descriptor) { return later("fdatasync", descriptor); }
"""


def slow_disk(folder: Path, milliseconds: int) -> dict[str, str]:
    """Return the environment of processes that wait so long with each fsync; skips the test without a C compiler."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(_SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SYNC_MILLISECONDS": str(milliseconds)}
