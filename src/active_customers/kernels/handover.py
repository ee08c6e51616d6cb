"""Handing many arrays to a kernel once, instead of with every call.

Python passes an array by wrapping it anew; sixty of them take as long as an answer. A tuple that was handed over is
passed as one pointer.
"""

from __future__ import annotations

from typing import Any, cast

from numba import types
from numba.experimental import structref

from active_customers.kernels.jit import kernel


@structref.register
class _HandoverType(types.StructRef):
    """The type of `Handover` for the compiler."""

    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, cast("Any", types).unliteral(field)) for name, field in fields)


class Handover(structref.StructRefProxy):
    """A tuple as kernels hold it: they read it as `content`. It keeps the arrays alive."""


cast("Any", structref).define_proxy(Handover, _HandoverType, ["content"])
_new = cast("Any", Handover)


@kernel
def hand_over(content: Any) -> Any:
    """Return a `Handover` of a tuple of arrays, numbers and such tuples."""
    return _new(content)
