"""Packing: copying blocks of operands into the order in which the register tiles read them.

A packed panel holds, for each k, the elements of one tile's rows (A) or columns (B) side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from graphflow_kernels.cpu.emitter import I32, I64
from graphflow_kernels.cpu.gemm_plan import Gemm
from graphflow_kernels.cpu.loops import Integers, loop
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.types import ITEMSIZE
from graphflow_kernels.cpu.value import Value


def shared_function(
    module: ir.Module, name: str, kinds: list[ir.Type], body: Callable[..., None], result: ir.Type | None = None
) -> ir.Function:
    """The internal function `name` of the module; ``body(builder, *arguments)`` emits it the first time."""
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(result or ir.VoidType(), kinds), name)
        function.linkage = "internal"
        # Inlining the parts into the loop nest would compile them several times and gain nothing.
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block())
        body(builder, *function.args)
        if not builder.block.is_terminated:
            builder.ret_void()
    return function


def packer(gemm: Gemm, module: ir.Module, dtype: str, along: int | None, across: int | None) -> ir.Function:
    """The function ``pack(source, stride_along, stride_across, count, k, target, target_stride)``.

    Writes, for each k, one vector of the `count` elements across the panel (fewer than a vector at the edge) to
    ``target + k * target_stride``. `along` is the stride of k and `across` the other, where known: the way to read
    depends on which of them is 1.
    """
    kinds = [POINTER, I64, I64, I64, I64, POINTER, I64]
    if across == 1:
        return shared_function(module, f"graphflow.pack_rows.{dtype}", kinds, _body(gemm, dtype, _copy))
    if along == 1:
        return shared_function(module, f"graphflow.pack_columns.{dtype}", kinds, _body(gemm, dtype, _transpose))
    return shared_function(module, f"graphflow.pack_any.{dtype}", kinds, _body(gemm, dtype, _gather))


class _Panel(NamedTuple):
    """The arguments of a packing function: pointers, and int64 values."""

    source: Any
    along: Value
    across: Value
    elements: Value
    k: Value
    target: Any
    stride: Value


def _body(gemm: Gemm, dtype: str, emit: Callable[..., None]) -> Callable[..., None]:
    def body(builder: ir.IRBuilder, *arguments: Any) -> None:
        s = ScalarBuilder(builder, gemm.target, 1)
        v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        emit(gemm, dtype, s, v, _Panel(*(x if x.type == POINTER else s.value(x, "int64") for x in arguments)))

    return body


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


def _copy(gemm: Gemm, dtype: str, s: ScalarBuilder, v: ScalarBuilder, p: _Panel) -> None:
    """The elements across the panel are contiguous."""
    with loop(s, 0, p.k) as i:
        v.store(load_some(v, p.source, i * p.along, dtype, p.elements), p.target, i * p.stride, gemm.dtype)


def _gather(gemm: Gemm, dtype: str, s: ScalarBuilder, v: ScalarBuilder, p: _Panel) -> None:
    """Nothing is contiguous."""
    mask = v.mask_first(p.elements)
    with loop(s, 0, p.k) as i:
        values = v.load_strided(p.source, i * p.along, p.across, dtype, mask=mask)
        v.store(values, p.target, i * p.stride, gemm.dtype)


def _transpose(gemm: Gemm, dtype: str, s: ScalarBuilder, v: ScalarBuilder, p: _Panel) -> None:
    """The elements along k are contiguous: squares of a vector's width are transposed in registers."""
    lanes = gemm.lanes
    # Lanes past the edge read the last row again: what they hold is never stored in C.
    starts = [s.minimum(s.const(row, "int64"), p.elements - 1) * p.across for row in range(lanes)]
    whole = Integers(s).quotient(p.k, lanes) * lanes
    with loop(s, 0, whole, lanes) as i:
        columns = transposed(v, [v.load(p.source, start + i, dtype) for start in starts])
        for number, column in enumerate(columns):
            v.store(column, p.target, (i + number) * p.stride, gemm.dtype)
    # The last few of k one at a time: a second copy of the above would cost more to compile than this takes.
    rows = v.minimum(v.iota("int64"), v.splat(p.elements - 1)) * v.splat(p.across)
    with loop(s, whole, p.k) as i:
        v.store(v.gather(p.source, rows + v.splat(i), dtype), p.target, i * p.stride, gemm.dtype)


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
                    mask = ir.Constant(ir.VectorType(I32, lanes), pattern)
                    new[place] = v.builder.shuffle_vector(values[i], values[i + distance], mask)
        values, distance = new, distance // 2
    return [v.value(value, rows[0].dtype) for value in values]
