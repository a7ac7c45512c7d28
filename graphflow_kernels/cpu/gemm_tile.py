"""The innermost parts of a matrix multiplication: one register tile, computed into a small buffer.

The buffer holds the tile's rows one after the other, `tile.vectors` vectors each. Passing the sums through memory costs
two instructions a vector, and lets one copy of the epilogue's code serve all of them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_pack import shared_function
from graphflow_kernels.cpu.gemm_plan import Gemm
from graphflow_kernels.cpu.loops import Integers, loop
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.types import ITEMSIZE
from graphflow_kernels.cpu.value import Value


def outer_tile(gemm: Gemm, module: ir.Module, rows: int) -> ir.Function:
    """The function ``tile(a, a_row, a_col, count, b, b_row, k, output)`` for tiles of this height.

    A column of A times a row of B is added for each k. `count` rows of A exist; a packed A has all of them.
    """
    kinds = [POINTER, I64, I64, I64, POINTER, I64, I64, POINTER]

    def body(builder: ir.IRBuilder, a: Any, a_row: Any, a_col: Any, count: Any, b: Any, *rest: Any) -> None:
        b_row, k, output = rest
        v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        s = ScalarBuilder(builder, gemm.target, 1)
        offsets = _row_offsets(gemm, s, rows, s.value(a_row, "int64"), s.value(count, "int64"))
        step = (
            s.value(a_col, "int64") if gemm.a_direct and gemm.a.col is None else (gemm.a.col if gemm.a_direct else rows)
        )
        sums = _accumulate(gemm, s, v, rows, (a, offsets, step), (b, s.value(b_row, "int64")), k)
        for number, total in enumerate(sums):
            v.store(total, output, number * gemm.lanes, gemm.dtype, align=ITEMSIZE[gemm.dtype] * gemm.lanes)

    return shared_function(module, f"graphflow.tile.{rows}", kinds, body)


def _row_offsets(gemm: Gemm, s: ScalarBuilder, rows: int, a_row: Value, count: Value) -> list[Any]:
    """Where each row of A starts; rows past the last one read it again."""
    if not gemm.a_direct:
        return list(range(rows))
    exact = gemm.m is not None and gemm.m % rows == 0
    stride = a_row if gemm.a.row is None else gemm.a.row
    if exact:
        return [stride * row for row in range(rows)]
    return [s.minimum(s.const(row, "int64"), count - 1) * stride for row in range(rows)]


def _accumulate(gemm: Gemm, s: Any, v: Any, rows: int, a: tuple, b: tuple, k: Any) -> list[Value]:
    """The loop along k with the whole tile in registers."""
    builder, dtype, vectors = v.builder, gemm.dtype, gemm.tile.vectors
    (a_pointer, offsets, a_step), (b_pointer, b_step) = a, b
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("along_k", "product", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    left, a_here, b_here = builder.phi(I64), builder.phi(POINTER), builder.phi(POINTER)
    sums = [builder.phi(v.llvm_type(dtype)) for _ in range(rows * vectors)]
    for phi, start in ((left, k), (a_here, a_pointer), (b_here, b_pointer)):
        phi.add_incoming(start, before)
    for phi in sums:
        phi.add_incoming(v.const(0.0, dtype).ir, before)
    builder.cbranch(builder.icmp_signed(">", left, I64(0)), inside, after)
    builder.position_at_end(inside)
    row_of_b = [v.load(b_here, q * gemm.lanes, dtype) for q in range(vectors)]
    new = []
    for r in range(rows):
        element = v.splat(v.load_element(a_here, offsets[r], dtype))
        new += [v.fma(element, x, v.value(sums[r * vectors + q], dtype)) for q, x in enumerate(row_of_b)]
    left.add_incoming(builder.sub(left, I64(1)), builder.block)
    a_here.add_incoming(s.address(a_here, a_step, dtype), builder.block)
    b_here.add_incoming(s.address(b_here, b_step, dtype), builder.block)
    for phi, value in zip(sums, new):
        phi.add_incoming(value.ir, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return [v.value(phi, dtype) for phi in sums]


def dot_tile(gemm: Gemm, module: ir.Module) -> ir.Function:
    """The function ``dots(a, a_row, rows, b, b_col, columns, k, output)``: each element a sum along vectors of k.

    For few rows or columns, where k is contiguous in both operands and copying them would cost more than it saves.
    """
    kinds = [POINTER, I64, I64, POINTER, I64, I64, I64, POINTER]
    single_row = gemm.m == 1
    group = (1, 8) if single_row else ((8, 1) if gemm.n == 1 else (2, 4))

    def body(builder: ir.IRBuilder, a: Any, *arguments: Any) -> None:
        a_row, rows, b, b_col, columns, k, output = arguments
        v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        s = ScalarBuilder(builder, gemm.target, 1)
        a_row, rows, b_col, columns, k = (s.value(x, "int64") for x in (a_row, rows, b_col, columns, k))
        with loop(s, 0, rows, group[0]) as i, loop(s, 0, columns, group[1]) as j:
            row_numbers = [s.minimum(i + r, rows - 1) for r in range(group[0])]
            column_numbers = [s.minimum(j + c, columns - 1) for c in range(group[1])]
            a_rows = [s.address(a, r * a_row, gemm.dtype) for r in row_numbers]
            b_columns = [s.address(b, c * b_col, gemm.dtype) for c in column_numbers]
            sums = _dots(gemm, s, v, a_rows, b_columns, k)
            width = gemm.tile.vectors * gemm.lanes
            for (r, c), total in zip([(r, c) for r in row_numbers for c in column_numbers], sums):
                s.store_element(v.reduce_sum(total), output, r * width + c, gemm.dtype)

    return shared_function(module, "graphflow.dots", kinds, body)


def _dots(gemm: Gemm, s: Any, v: Any, a_rows: list[Any], b_columns: list[Any], k: Value) -> list[Value]:
    """Vectors of partial sums of every row of A with every column of B."""
    builder, dtype, lanes = v.builder, gemm.dtype, gemm.lanes
    whole = Integers(s).quotient(k, lanes) * lanes

    def step(sums: list[Value], index: Any, mask: Value | None) -> list[Value]:
        xs = [v.load(pointer, index, dtype, mask=mask) for pointer in a_rows]
        ys = [v.load(pointer, index, dtype, mask=mask) for pointer in b_columns]
        pairs = [(x, y) for x in xs for y in ys]
        return [v.fma(x, y, total) for (x, y), total in zip(pairs, sums)]

    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("along_k", "product", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(I64(0), before)
    phis = [builder.phi(v.llvm_type(dtype)) for _ in range(len(a_rows) * len(b_columns))]
    for phi in phis:
        phi.add_incoming(v.const(0.0, dtype).ir, before)
    sums = [v.value(phi, dtype) for phi in phis]
    builder.cbranch(builder.icmp_signed("<", index, whole.ir), inside, after)
    builder.position_at_end(inside)
    for phi, value in zip(phis, step(sums, index, None)):
        phi.add_incoming(value.ir, builder.block)
    index.add_incoming(builder.add(index, I64(lanes)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    # The last elements; where there are none, nothing is read and zeros are added.
    return step(sums, whole, v.mask_first(k - whole))
