"""Packing: copying blocks of operands into the order in which the register tiles read them.

A packed panel holds, for each k, the elements of one tile's rows (A) or columns (B) side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir

from graphflow_kernels.cpu.emitter import I32, I64, numbers
from graphflow_kernels.cpu.gemm_plan import Gemm, Layout
from graphflow_kernels.cpu.loops import Integers, loop
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.shared import shared_function
from graphflow_kernels.cpu.types import ITEMSIZE
from graphflow_kernels.cpu.value import Value

BLOCK = 16
"""Bytes within which elements change places in one instruction."""


def packer(gemm: Gemm, module: ir.Module, operand: Layout, along: int | None, across: int | None) -> ir.Function:
    """The function ``pack(source, along, across, count, k, target, width, panel)``.

    Copies `count` elements across, for each of `k` elements along, into panels of `width` elements (less than a vector,
    or several whole ones) that start `panel` elements apart. `along` and `across` are strides; where one is known to be
    1, that decides how to read. Whole vectors are written: up to one vector behind the last panel too.
    """
    emit = _copy if across == 1 else _transpose if along == 1 else _gather
    kinds = [POINTER, I64, I64, I64, I64, POINTER, I64, I64]

    def body(builder: ir.IRBuilder, *arguments: Any) -> None:
        s = ScalarBuilder(builder, gemm.target, 1)
        v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        values = (x if x.type == POINTER else s.value(x, "int64") for x in arguments)
        emit(s, v, operand.dtype, gemm.dtype, _Block(*values))

    content = (gemm.target.name, operand.dtype, gemm.dtype)
    return shared_function(module, f"pack{emit.__name__}", kinds, body, content)


class _Block(NamedTuple):
    """The arguments of a packing function: pointers, and int64 values."""

    source: Any
    along: Value
    across: Value
    elements: Value
    k: Value
    target: Any
    width: Value
    panel: Value


def load_some(v: ScalarBuilder, pointer: Any, index: Any, dtype: str, count: Value) -> Value:
    """A vector of the first `count` elements, zero in the other lanes."""
    mask = v.mask_first(count)
    if v.target.has_masks and ITEMSIZE[dtype] >= 4:
        return v.load(pointer, index, dtype, mask=mask)
    # Without such an instruction a masked load is a branch per lane: only where it is needed.
    builder = v.builder
    whole, part, after = (builder.append_basic_block(name) for name in ("whole", "part", "loaded"))
    builder.cbranch(builder.icmp_signed(">=", count.ir, I64(v.lanes)), whole, part)
    values = []
    for block, chosen in ((whole, None), (part, mask)):
        builder.position_at_end(block)
        values.append((v.load(pointer, index, dtype, mask=chosen), builder.block))
        builder.branch(after)
    builder.position_at_end(after)
    phi = builder.phi(values[0][0].ir.type)
    for value, block in values:
        phi.add_incoming(value.ir, block)
    return v.value(phi, values[0][0].dtype)


def _copy(s: ScalarBuilder, v: ScalarBuilder, dtype: str, to: str, p: _Block) -> None:
    """The elements across are contiguous: rows are read from one end to the other."""
    panels = Integers(s).rounded_up(p.elements, p.width)
    with loop(s, 0, p.k) as i, loop(s, 0, panels) as number:
        first, target = number * p.width, number * p.panel + i * p.width
        with loop(s, 0, p.width, v.lanes) as lane:
            start = first + lane
            values = load_some(v, p.source, i * p.along + start, dtype, p.elements - start)
            v.store(values, p.target, target + lane, to)


def _gather(s: ScalarBuilder, v: ScalarBuilder, dtype: str, to: str, p: _Block) -> None:
    """Nothing is contiguous."""
    with _vectors_of_panels(s, v, p) as (rows, target), loop(s, 0, p.k) as i:
        v.store(v.gather(p.source, rows + v.splat(i * p.along), dtype), p.target, target + i * p.width, to)


def _transpose(s: ScalarBuilder, v: ScalarBuilder, dtype: str, to: str, p: _Block) -> None:
    """The elements along k are contiguous: a few of each row are read at a time, and squares of them transposed."""
    few = BLOCK // ITEMSIZE[to]
    part = ScalarBuilder(v.builder, v.target, few)
    whole = Integers(s).quotient(p.k, few) * few
    with _vectors_of_panels(s, v, p) as (rows, target):
        starts = [v.lane(rows, number) for number in range(v.lanes)]
        with loop(s, 0, whole, few) as i:
            read = [part.load(p.source, start + i, dtype).ir for start in starts]
            # Vector number j has row j of each square.
            columns = _squares_transposed(v, [_joined(v, read[j::few]) for j in range(few)])
            for number, column in enumerate(columns):
                v.store(v.value(column, to), p.target, target + (i + number) * p.width, to)
        # The last few of k one at a time.
        with loop(s, whole, p.k) as i:
            v.store(v.gather(p.source, rows + v.splat(i), dtype), p.target, target + i * p.width, to)


@contextmanager
def _vectors_of_panels(s: ScalarBuilder, v: ScalarBuilder, p: _Block) -> Iterator[tuple[Value, Value]]:
    """A loop over the vectors of all panels: where each element starts in the source, and the vector in the target.

    Lanes past the edge read the last element again: what they hold is never stored in C.
    """
    panels = Integers(s).rounded_up(p.elements, p.width)
    with loop(s, 0, panels) as number, loop(s, 0, p.width, v.lanes) as lane:
        last = v.splat(p.elements - 1)
        rows = v.minimum(v.iota("int64") + v.splat(number * p.width + lane), last) * v.splat(p.across)
        yield rows, number * p.panel + lane


def _joined(v: ScalarBuilder, parts: list[Any]) -> Any:
    """Vectors side by side in one."""
    while len(parts) > 1:
        pattern = numbers(I32, *range(2 * parts[0].type.count))
        parts = [v.builder.shuffle_vector(x, y, pattern) for x, y in zip(parts[::2], parts[1::2])]
    return parts[0]


def _squares_transposed(v: ScalarBuilder, rows: list[Any]) -> list[Any]:
    """The columns of squares that lie side by side in vectors: halves of the rows are interleaved, again and again.

    A square is as wide as a block of 16 bytes, within which every CPU with vectors interleaves in one instruction.
    """
    size, half = len(rows), len(rows) // 2
    starts = range(0, v.lanes, size)
    low = [start + i + other for start in starts for i in range(half) for other in (0, v.lanes)]
    patterns = numbers(I32, *low), numbers(I32, *(lane + half for lane in low))
    step = 1
    while step < size:
        pairs = zip(rows[:half], rows[half:])
        rows = [v.builder.shuffle_vector(x, y, pattern) for x, y in pairs for pattern in patterns]
        step *= 2
    return rows


def transposed(v: ScalarBuilder, rows: list[Value]) -> list[Value]:
    """The columns of a square of `lanes` vectors: halves are exchanged, then quarters, down to single lanes."""
    lanes, distance = v.lanes, v.lanes // 2
    values = [row.ir for row in rows]
    while distance:
        keep = [i if not i & distance else lanes + i - distance for i in range(lanes)]
        move = [i + distance if not i & distance else lanes + i for i in range(lanes)]
        new = list(values)
        for i in range(lanes):
            if not i & distance:
                for place, pattern in ((i, keep), (i + distance, move)):
                    new[place] = v.builder.shuffle_vector(values[i], values[i + distance], numbers(I32, *pattern))
        values, distance = new, distance // 2
    return [v.value(value, rows[0].dtype) for value in values]
