"""The innermost parts of a matrix multiplication: one register tile, computed into a small buffer.

The buffer holds the tile's rows one after the other, `tile.vectors` vectors each. Passing the sums through memory costs
two instructions a vector, and lets one copy of the epilogue's code serve all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_plan import Gemm, Tile
from graphflow_kernels.cpu.loops import Integers, loop
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.shared import shared_function
from graphflow_kernels.cpu.types import ITEMSIZE
from graphflow_kernels.cpu.value import Value

ROWS_TOGETHER = 8
"""Rows of B that a single row of C takes up at a time."""
CACHE_LINE = 64
INDEPENDENT_SUMS = 8
"""As many additions as a CPU starts before the first of them ends."""
PACE_BITS = 32
"""Of the fraction, where a tile walks along a table."""
PREFETCH_ROWS = 40
"""How far ahead rows of B are fetched: of rows read in place, the CPU does not foresee short pieces of long ones."""


def outer_tile(gemm: Gemm, module: ir.Module, tile: Tile, masked: bool = False) -> ir.Function:
    """The function ``tile(a, a_row, a_col, rows, b, b_row, columns, k, output, lines, pace)`` for tiles of this size.

    A column of A times a row of B is added for each k. `rows` of A exist (a packed A has all of them), and `columns` of
    B: the last vector is read with a mask if `masked`, else whole. Meanwhile cache lines are fetched for what comes
    after: those in the table `lines`, on which each k goes on by `pace`, in parts of 2 ** PACE_BITS.
    """
    kinds = [POINTER, I64, I64, I64, POINTER, I64, I64, I64, POINTER, POINTER, I64]

    def body(builder: ir.IRBuilder, a: Any, a_row: Any, a_col: Any, rows: Any, b: Any, *rest: Any) -> None:
        b_row, columns, k, output, lines, pace = rest
        v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        s = ScalarBuilder(builder, gemm.target, 1)
        offsets = _row_offsets(gemm, s, tile.rows, s.value(a_row, "int64"), s.value(rows, "int64"))
        in_place = s.value(a_col, "int64") if gemm.a.col is None else gemm.a.col
        a_step = in_place if gemm.a_direct else tile.rows
        last = s.value(columns, "int64") - (tile.vectors - 1) * gemm.lanes
        mask = v.mask_first(last) if masked else None
        walk = _Walk(gemm, s, v, tile, offsets, a_step, s.value(b_row, "int64"), mask, lines, pace)
        # Each row of the output has as many vectors as the widest tile.
        pairs = [(row, vector) for row in range(tile.rows) for vector in range(tile.vectors)]
        places = [(row * gemm.tile.vectors + vector) * gemm.lanes for row, vector in pairs]
        for place, total in zip(places, walk.sums(a, b, k)):
            v.store(total, output, place, gemm.dtype, align=ITEMSIZE[gemm.dtype] * gemm.lanes)

    in_place = (gemm.a.row, gemm.a.col, _is_exact(gemm, tile.rows)) if gemm.a_direct else None
    content = (gemm.target.name, gemm.dtype, *tile, masked, gemm.tile.vectors, in_place)
    return shared_function(module, "tile", kinds, body, content)


def _row_offsets(gemm: Gemm, s: ScalarBuilder, rows: int, a_row: Value, count: Value) -> list[Any]:
    """Where each row of A starts; rows past the last one read it again."""
    if not gemm.a_direct:
        return list(range(rows))
    stride = a_row if gemm.a.row is None else gemm.a.row
    if _is_exact(gemm, rows):
        return [stride * row for row in range(rows)]
    return [s.minimum(s.const(row, "int64"), count - 1) * stride for row in range(rows)]


def _is_exact(gemm: Gemm, rows: int) -> bool:
    """Whether no tile of so many rows reaches past the last row."""
    return gemm.m is not None and gemm.m % rows == 0


class _Walk(NamedTuple):
    """How a tile walks along k."""

    gemm: Gemm
    s: ScalarBuilder
    v: ScalarBuilder
    tile: Tile
    offsets: list[Any]
    a_step: Any
    b_step: Value
    mask: Value | None
    lines: Any
    pace: Any

    def sums(self, a: Any, b: Any, k: Any) -> list[Value]:
        """The tile's sums, in registers until all of k is done."""
        size = self.tile.rows * self.tile.vectors
        # A sum waits for the one before: few of them are kept several times, for every second, fourth, ... k.
        copies = 1
        while size * copies < INDEPENDENT_SUMS:
            copies *= 2
        totals = [self.v.const(0.0, self.gemm.dtype)] * (size * copies)
        a, b, k, totals = self.along(a, b, k, totals, copies)
        if copies > 1:
            while len(totals) > size:
                half = len(totals) // 2
                totals = [x + y for x, y in zip(totals[:half], totals[half:])]
            a, b, k, totals = self.along(a, b, k, totals, 1)
        return totals

    def along(self, a: Any, b: Any, left: Any, start: list[Value], steps: int) -> tuple[Any, Any, Any, list[Value]]:
        """The loop over k, `steps` at a time, until less than that is left; where it stopped, and the sums."""
        builder, dtype = self.v.builder, self.gemm.dtype
        before = builder.block
        head, inside, after = (builder.append_basic_block(name) for name in ("along_k", "product", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        starts = [a, b, left, I64(0), *(x.ir for x in start)]
        phis = [builder.phi(x.type) for x in starts]
        for phi, first in zip(phis, starts):
            phi.add_incoming(first, before)
        a_here, b_here, left_here, line, *rest = phis
        sums = [self.v.value(phi, dtype) for phi in rest]
        builder.cbranch(builder.icmp_signed(">=", left_here, I64(steps)), inside, after)
        builder.position_at_end(inside)
        if steps == 1:
            self.ask(line)
        size, new, a_next, b_next = len(sums) // steps, [], a_here, b_here
        for step in range(steps):
            new += self.products(a_next, b_next, sums[step * size : (step + 1) * size])
            a_next = self.s.address(a_next, self.a_step, dtype)
            b_next = self.s.address(b_next, self.b_step, dtype)
        left_next, line_next = builder.sub(left_here, I64(steps)), builder.add(line, self.pace)
        for phi, value in zip(phis, [a_next, b_next, left_next, line_next, *(x.ir for x in new)]):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return a_here, b_here, left_here, sums

    def ask(self, line: Any) -> None:
        """Fetch the cache line whose turn it is."""
        builder = self.v.builder
        place = builder.gep(self.lines, [builder.lshr(line, I64(PACE_BITS))], source_etype=POINTER)
        self.v.prefetch(builder.load(place, typ=POINTER), write=True)

    def products(self, a: Any, b: Any, sums: list[Value]) -> list[Value]:
        """The sums with a column of A times a row of B added."""
        v, dtype, vectors = self.v, self.gemm.dtype, self.tile.vectors
        ahead = self.s.address(b, self.b_step * PREFETCH_ROWS, dtype)
        for line in range(0, vectors * self.gemm.target.vector_bytes, CACHE_LINE):
            v.prefetch(self.s.address(ahead, line // ITEMSIZE[dtype], dtype))
        masks = [None] * (vectors - 1) + [self.mask]
        row = [v.load(b, q * self.gemm.lanes, dtype, mask=mask) for q, mask in enumerate(masks)]
        new: list[Value] = []
        for r, offset in enumerate(self.offsets):
            # One element after the other: all sums are in registers, and few are left.
            element = v.splat(v.load_element(a, offset, dtype))
            new += [v.fma(element, x, total) for x, total in zip(row, sums[r * vectors : (r + 1) * vectors])]
        return new


def row_tile(gemm: Gemm, module: ir.Module) -> ir.Function:
    """The function ``row(a, a_col, b, b_row, columns, k, output)`` for a single row of C.

    Several rows of B at a time are added to the whole tile, from end to end: B is read once, and in long pieces.
    """
    kinds = [POINTER, I64, POINTER, I64, I64, I64, POINTER]

    def body(builder: ir.IRBuilder, *arguments: Any) -> None:
        a, a_col, b, b_row, columns, k, output = arguments
        v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        s = ScalarBuilder(builder, gemm.target, 1)
        a_col, b_row, columns, k = (s.value(x, "int64") for x in (a_col, b_row, columns, k))
        with loop(s, 0, columns, gemm.lanes) as c:
            v.store(v.const(0.0, gemm.dtype), output, c, gemm.dtype)
        vectors = Integers(s).quotient(columns, gemm.lanes) * gemm.lanes

        def add(first: Value, rows: int) -> None:
            elements = [s.load_element(a, (first + r) * a_col, gemm.dtype) for r in range(rows)]
            starts = [s.address(b, (first + r) * b_row, gemm.dtype) for r in range(rows)]

            def step(lanes: ScalarBuilder, c: Value, mask: Value | None) -> None:
                total = lanes.load(output, c, gemm.dtype)
                for element, start in zip(elements, starts):
                    x = lanes.splat(lanes.value(element.ir, gemm.dtype))
                    total = lanes.fma(x, lanes.load(start, c, gemm.dtype, mask=mask), total)
                lanes.store(total, output, c, gemm.dtype)

            with loop(s, 0, vectors, gemm.lanes) as c:
                step(v, c, None)
            if gemm.target.has_masks:
                with builder.if_then((columns > vectors).ir):
                    step(v, vectors, v.mask_first(columns - vectors))
            else:
                with loop(s, vectors, columns) as c:
                    step(s, c, None)

        together = Integers(s).quotient(k, ROWS_TOGETHER) * ROWS_TOGETHER
        with loop(s, 0, together, ROWS_TOGETHER) as i:
            add(i, ROWS_TOGETHER)
        with loop(s, together, k) as i:
            add(i, 1)

    return shared_function(module, "row", kinds, body, (gemm.target.name, gemm.dtype))


def dot_tile(gemm: Gemm, module: ir.Module, single_row: bool) -> ir.Function:
    """The function ``dots(a, a_row, rows, b, b_col, columns, k, output, width)``: sums along vectors of k.

    Rows of the output are `width` elements apart.

    For few rows or columns, where k is contiguous in both operands and copying them would cost more than it saves. A
    single row leaves the registers to columns: it is as fast as B can be read.
    """
    kinds = [POINTER, I64, I64, POINTER, I64, I64, I64, POINTER, I64]
    group = (1, 8) if single_row else ((8, 1) if gemm.n == 1 else (2, 4))

    def body(builder: ir.IRBuilder, a: Any, *arguments: Any) -> None:
        a_row, rows, b, b_col, columns, k, output, width = arguments
        v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        s = ScalarBuilder(builder, gemm.target, 1)
        a_row, rows, b_col, columns, k, width = (s.value(x, "int64") for x in (a_row, rows, b_col, columns, k, width))
        vectors = builder.alloca(v.llvm_type(gemm.dtype), group[0] * group[1])
        with loop(s, 0, rows, group[0]) as i, loop(s, 0, columns, group[1]) as j:
            row_numbers = [s.minimum(i + r, rows - 1) for r in range(group[0])]
            column_numbers = [s.minimum(j + c, columns - 1) for c in range(group[1])]
            a_rows = [s.address(a, r * a_row, gemm.dtype) for r in row_numbers]
            b_columns = [s.address(b, c * b_col, gemm.dtype) for c in column_numbers]
            sums = _dots(gemm, s, v, a_rows, b_columns, k)
            for number, total in enumerate(sums):
                v.store(total, vectors, number * gemm.lanes, gemm.dtype)
            # One piece of code adds the lanes of all sums.
            with loop(s, 0, len(sums)) as which:
                row = Integers(s).quotient(which, group[1])
                r = s.minimum(i + row, rows - 1)
                c = s.minimum(j + (which - row * group[1]), columns - 1)
                total = v.load(vectors, which * gemm.lanes, gemm.dtype)
                s.store_element(v.reduce_sum(total), output, r * width + c, gemm.dtype)

    content = (gemm.target.name, gemm.dtype, group)
    return shared_function(module, "dots", kinds, body, content)


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
