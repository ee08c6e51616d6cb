"""Asking the nodes of a tree of many rows at once, in a processor's registers.

Numba has no vectors. The loop over rows that it can compile brings the rows' leaves to memory and back at every node;
here they stay in registers from a tree's first node to its last, which takes half the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ROWS_AT_ONCE = 64
"""Rows that a node is asked of at once."""

_WORD, _BYTE, _REAL = ir.IntType(32), ir.IntType(8), ir.FloatType()
_WORDS, _REALS = ir.VectorType(_WORD, ROWS_AT_ONCE), ir.VectorType(_REAL, ROWS_AT_ONCE)
_ALL = ir.Constant(_WORDS, [0xFFFFFFFF] * ROWS_AT_ONCE)


def _ask(_typing: Any, nodes: Any, _which: Any, columns: Any, leaves: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def view(kind: Any, array: Any) -> Any:
            return context.make_array(kind)(context, builder, array)

        asked = [view(kind, builder.extract_value(arguments[0], i)).data for i, kind in enumerate(nodes)]
        first, end, row = (builder.extract_value(arguments[1], i) for i in range(3))
        left = _left(builder, asked, (first, end), (view(columns, arguments[2]), row))
        builder.store(left, builder.bitcast(view(leaves, arguments[3]).data, _WORDS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(nodes, _which, columns, leaves), generate


def _left(builder: Any, asked: Any, nodes: Any, rows: Any) -> Any:
    """Generate the loop over nodes; return the vector of what is left of each row's leaves."""
    (first, end), before = nodes, builder.block
    loop, done = builder.append_basic_block("node"), builder.append_basic_block("asked")
    builder.cbranch(builder.icmp_signed("<", first, end), loop, done)
    builder.position_at_end(loop)
    node, left = builder.phi(first.type), builder.phi(_WORDS)
    feature, threshold, mask = (builder.load(builder.gep(part, [node])) for part in asked)
    is_no = builder.fcmp_ordered(">", _values(builder, rows, feature), _everywhere(builder, threshold, _REALS))
    still = builder.and_(left, builder.select(is_no, _everywhere(builder, mask, _WORDS), _ALL))
    following = builder.add(node, ir.Constant(node.type, 1))
    builder.cbranch(builder.icmp_signed("<", following, end), loop, done)
    for value, begun, next_one in ((node, first, following), (left, _ALL, still)):
        value.add_incoming(begun, before)
        value.add_incoming(next_one, loop)
    builder.position_at_end(done)
    result = builder.phi(_WORDS)
    result.add_incoming(_ALL, before)
    result.add_incoming(still, loop)
    return result


def _values(builder: Any, rows: Any, feature: Any) -> Any:
    """Generate the load of a feature of all rows."""
    columns, row = rows
    offset = builder.mul(feature, builder.extract_value(columns.strides, 0))
    column = builder.gep(builder.bitcast(columns.data, _BYTE.as_pointer()), [offset])
    place = builder.gep(builder.bitcast(column, _REAL.as_pointer()), [row])
    return builder.load(builder.bitcast(place, _REALS.as_pointer()), align=4)


def _everywhere(builder: Any, value: Any, kind: Any) -> Any:
    """Generate a vector of one value."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(one, one, ir.Constant(_WORDS, [0] * ROWS_AT_ONCE))


ask_nodes = cast("Callable[..., None]", intrinsic(_ask))
"""`ask_nodes((features, thresholds, masks), (first, end, row), columns, leaves)`, for kernels only.

Asks the nodes `first` to `end` of the `ROWS_AT_ONCE` rows from `row` on, whose values are `columns` float32[f, m]. As
many of `leaves` uint32 become what the `masks` of those nodes have in common whose feature is above the threshold. No
index is checked. The arrays are contiguous along their last axis.
"""
