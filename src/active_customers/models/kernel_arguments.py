"""What models hand to kernels: always the same types, so that no question ever waits for a compilation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numba import typeof
from numpy.typing import NDArray

from active_customers.kernels.top_n import Wanted
from active_customers.models.base import NO_PRODUCTS

T = TypeVar("T")
R = TypeVar("R")


class PerThread(Generic[T]):
    """Something that every thread makes for itself on its first use, such as scratch memory.

    >>> scratch = PerThread(list)
    >>> scratch.get() is scratch.get()
    True
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._local = threading.local()

    def get(self) -> T:
        """Return this thread's own."""
        try:
            mine: T = self._local.mine
        except AttributeError:
            mine = self._local.mine = self._make()
        return mine


class Prepared(Generic[R]):
    """A kernel whose arguments always have the same types, called without looking at them again.

    Numba finds the machine code for a call by the types of all its arguments, which for a score of arrays takes as long
    as the answer. The first call is an ordinary one; the next go straight to the code it found. So every argument must
    come from the functions of this module: another type would be misread.
    """

    def __init__(self, kernel: Callable[..., R]) -> None:
        self._kernel = kernel
        self._code: Callable[..., R] | None = None

    def __call__(self, *arguments: object) -> R:
        """Call the kernel."""
        if self._code is not None:
            return self._code(*arguments)
        answer = self._kernel(*arguments)
        dispatcher, type_of = cast("Any", self._kernel), cast("Any", typeof)
        types = tuple(type_of(argument) for argument in arguments)
        self._code = dispatcher.overloads[types].entry_point
        return answer


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous, read-only plain array with the same values, without copying where possible.

    A fitted model and one mapped from files look the same to a kernel.
    """
    plain = np.ascontiguousarray(array).view(np.ndarray)
    plain.flags.writeable = False
    return plain


def longest_row(offsets: NDArray[np.int64]) -> int:
    """Return the length of the longest row between ascending offsets; 0 when there are none.

    Scratch memory is measured by what a model holds, never by what its configuration says.
    """
    return int(np.diff(offsets).max(initial=0))


def question(products: NDArray[Any]) -> NDArray[np.uint32]:
    """Return a contiguous, writable copy of product numbers, whatever they came in."""
    return np.array(products, np.uint32)


def wanted(n: int, excluded: NDArray[Any]) -> Wanted:
    """Return a wish for `n` products in the kernels' form, with `excluded` sorted."""
    return Wanted(int(n), np.sort(question(excluded)) if len(excluded) else NO_PRODUCTS)
