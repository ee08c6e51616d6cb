"""How kernels are compiled: cached on disk, without the GIL, without `fastmath` (NaN and infinity may occur)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

unsigned = np.uint64
"""What counts and indexes are cast to in the loops that take the most time: a signed index might be negative and then
count from the end, which numba looks at in every access. Arithmetic of both kinds gives a float: cast what is final."""

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a plain function of arrays and scalars; the typed stand-in for `numba.njit`.

    Where nothing can be written, neither beside the source nor in a home directory, it is compiled in every process
    anew: that takes half a minute at the start and changes nothing else (`NUMBA_CACHE_DIR` names a folder to use).
    """
    return _compiled(function)


def inlined_kernel(function: F) -> F:
    """Compile as `kernel` does, as a part of each caller: a call would count references to every array it is given."""
    return _compiled(function, inline="always")


def summing_kernel(function: F) -> F:
    """Compile as `kernel` does, and let sums be added up in any order, several at once."""
    return _compiled(function, fastmath={"reassoc"})


def _compiled(function: F, **options: Any) -> F:
    try:
        return cast("F", njit(function, cache=True, nogil=True, error_model="numpy", **options))
    except RuntimeError:  # numba: "no locator available"
        return cast("F", njit(function, nogil=True, error_model="numpy", **options))
