"""Reading and writing single words that another process writes or reads at the same time.

A plain access to such memory may be torn, repeated or moved by compiler and processor. These may not: a word is read or
written whole and once, `load` before everything that follows it, `store` after everything that precedes it (acquire and
release). So a loaded number that was checked against a bound is the number that is used, and a version counter that is
odd while its data change tells whether a copy is whole (a seqlock; Boehm, "Can seqlocks get along with programming
language memory models?", 2012). On x86 both cost what a plain move does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return builder.gep(view.data, [index])


def _load(_typing: Any, array: Any, _index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(pointer, ordering="acquire", align=array.dtype.bitwidth // 8)

    return array.dtype(array, types.intp), generate


def _store(_typing: Any, array: Any, _index: Any, _value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store_atomic(arguments[2], pointer, ordering="release", align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


load = cast("Callable[[NDArray[Any], Any], Any]", intrinsic(_load))
"""`load(array, index)`: read a word of a one-dimensional array of numbers; kernels only, the index is not checked."""

store = cast("Callable[[NDArray[Any], Any, Any], None]", intrinsic(_store))
"""`store(array, index, value)`: write a word of a one-dimensional array; kernels only, the index is not checked."""
