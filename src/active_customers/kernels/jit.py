"""How kernels are compiled: cached on disk, without the GIL, without `fastmath` (NaN and infinity may occur)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a plain function of arrays and scalars; the typed stand-in for `numba.njit`."""
    return cast("F", njit(function, cache=True, nogil=True, error_model="numpy"))
