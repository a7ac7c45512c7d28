"""Matrix multiplication as LLVM IR: the loop nest around the register tiles, with packing and the caller's epilogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_pack import packer
from graphflow_kernels.cpu.gemm_plan import DOT_SIZE, Blocks, Gemm, Tile
from graphflow_kernels.cpu.gemm_tile import PACE_BITS, dot_tile, outer_tile, row_tile
from graphflow_kernels.cpu.loops import Integers, Size, loop
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.value import Value

Pointer = Callable[[ScalarBuilder, Value], Any]
"""Given the number of the product in the batch, the address of the first element of an operand."""
Epilogue = Callable[[ScalarBuilder, Value, Value, Any, "Value | None", Value], None]
"""``epilogue(b, row, column, values, mask, batch)``: does with finished sums what is to be done, stores included.

`values` are the sums of one row from `column` on, as many as `b` has lanes (one or a vector), a list of them where the
product has several parts; only the lanes of `mask` exist, where there is one. `row`, `column` and `batch` are single
int64 values.
"""
Ahead = Callable[[ScalarBuilder, Value, Value, int, Value], "list[Any]"]
"""``ahead(b, row, column, columns, batch)``: the addresses of the cache lines that the epilogue will touch of `columns`
columns of a row. A tile asks for them while it multiplies."""
LONG_K = 64
"""From this k on a tile takes longer than memory does to answer."""


def emit(
    gemm: Gemm,
    builder: ir.IRBuilder,
    a: Pointer,
    b: Pointer,
    begin: Any,
    end: Any,
    scratch: Any,
    epilogue: Epilogue,
    run_time: Mapping[str, Any] | None = None,
    ahead: Ahead | None = None,
) -> None:
    """Emit chunks `begin` to `end` (LLVM i64) of the products at the builder's position.

    `scratch` is memory of this thread, of the size that `Gemm.plan` says and aligned to a vector; `run_time` has an
    LLVM i64 for each name in ``gemm.run_time``. ValueError if one is missing.
    """
    values = dict(run_time or {})
    missing = [name for name in gemm.run_time if name not in values]
    if missing:
        raise ValueError(f"run-time numbers expected for {', '.join(gemm.run_time)}; missing {', '.join(missing)}")
    _Nest(gemm, builder, scratch, epilogue, ahead, values).chunks(a, b, begin, end)


class _Nest:
    """The function under construction: sizes, strides, and where packed operands lie in the scratch memory."""

    def __init__(
        self,
        gemm: Gemm,
        builder: ir.IRBuilder,
        scratch: Any,
        epilogue: Epilogue,
        ahead: Ahead | None,
        values: Mapping[str, Any],
    ) -> None:
        self.gemm, self.builder, self.epilogue = gemm, builder, epilogue
        self.ahead = ahead if gemm.k is None or gemm.k >= LONG_K else None
        self.s = ScalarBuilder(builder, gemm.target, 1)
        self.v = ScalarBuilder(builder, gemm.target, gemm.lanes)
        self.ints = Integers(self.s)

        def size(name: str, known: int | None) -> Size:
            return self.s.value(values[name], "int64") if known is None else known

        self.m, self.n, self.k = size("m", gemm.m), size("n", gemm.n), size("k", gemm.k)
        self.a_row, self.a_col = size("a_row", gemm.a.row), size("a_col", gemm.a.col)
        self.b_row, self.b_col = size("b_row", gemm.b.row), size("b_col", gemm.b.col)
        self.width = gemm.tile.vectors * gemm.lanes
        self.blocks = (
            gemm.blocks(self.m, self.n, self.k)
            if gemm.is_known
            else Blocks(*(self.s.value(values[name], "int64") for name in Blocks._fields))
        )
        self.height: Size = gemm.tile.rows if len(gemm.heights) == 1 else self.blocks.height
        self.depth = self.ints.rounded_up(self.ints.greatest(self.k, 1), gemm.lanes) * gemm.lanes
        self.tile = scratch
        self.packed_a = self.s.address(scratch, gemm.tile_area, gemm.dtype)
        area = 0 if gemm.a_direct else self.blocks.tile_rows * gemm.a_panel(self.depth)
        self.packed_b = self.s.address(self.packed_a, area, gemm.dtype)
        # Which block of B is packed, so that chunks that share it pack it once.
        self.kept = builder.alloca(I64)
        builder.store(I64(-1), self.kept)

    # -- chunks ----------------------------------------------------------------------------------------------------

    def chunks(self, a: Pointer, b: Pointer, begin: Any, end: Any) -> None:
        """The loop over this call's chunks; chunks that follow each other share columns."""
        s, ints, gemm = self.s, self.ints, self.gemm
        with loop(s, s.value(begin, "int64"), s.value(end, "int64")) as chunk:
            column_group = ints.small_quotient(chunk, self.blocks.row_blocks)
            row_block = chunk - column_group * self.blocks.row_blocks
            batch = ints.small_quotient(column_group, self.blocks.column_blocks)
            column_block = column_group - batch * self.blocks.column_blocks
            self.batch = batch
            self.first_row = row_block * (self.blocks.tile_rows * self.height)
            self.rows = ints.least(self.m - self.first_row, self.blocks.tile_rows * self.height)
            self.first_column = column_block * (self.blocks.tile_columns * self.width)
            self.columns = ints.least(self.n - self.first_column, self.blocks.tile_columns * self.width)
            self.a = s.address(a(s, batch), self.first_row * self.a_row, gemm.a.dtype)
            self.b = s.address(b(s, batch), self.first_column * self.b_col, gemm.b.dtype)
            self.block(column_group)

    def either(self, x: Any, y: Any) -> Any:
        """x or y, decided when code is generated where possible."""
        if x is True or y is True:
            return True
        return y if x is False else x if y is False else x | y

    def choose(self, condition: Any, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """One of the two, decided when code is generated where possible."""
        if isinstance(condition, bool):
            (then if condition else otherwise)()
            return
        with self.builder.if_else(condition.ir) as (first, second):
            with first:
                then()
            with second:
                otherwise()

    # -- one block -------------------------------------------------------------------------------------------------

    def block(self, column_group: Value) -> None:
        """One block: packing where it pays, and its tiles, each of which the epilogue finishes."""
        gemm = self.gemm
        dots = gemm.may_dot and self.either(self.m <= DOT_SIZE, self.n <= DOT_SIZE)
        row = gemm.may_be_row and self.m == 1
        direct = gemm.b_direct(self.m)
        self.choose(self.either(dots, row), lambda: None, lambda: self.pack(direct, column_group))
        width: Size = gemm.row_width if row is True else self.width
        if isinstance(row, Value):
            width = self.s.select(row, self.ints.value(gemm.row_width), width)
        with self.tiles(self.columns, width) as (j, columns), self.tiles(self.rows, self.height) as (i, rows):
            tile = partial(self.multiply, i, rows, j, columns, direct)
            others = partial(self.choose, row, partial(self.row, j, columns), tile)
            self.choose(dots, partial(self.dots, i, rows, j, columns), others)
            self.finish(i, rows, j, columns)

    def dots(self, i: Value, rows: Value, j: Value, columns: Value) -> None:
        """A tile whose elements are sums along vectors of k."""
        s, gemm = self.s, self.gemm
        a = s.address(self.a, i * self.a_row, gemm.dtype)
        b = s.address(self.b, j * self.b_col, gemm.dtype)

        def call(single_row: bool) -> None:
            function = dot_tile(gemm, self.builder.module, single_row)
            self.call(function, a, self.a_row, rows, b, self.b_col, columns, self.k, self.tile, self.width)

        self.choose(self.m == 1, partial(call, True), partial(call, False))

    def row(self, j: Value, columns: Value) -> None:
        """A tile of a single row of C."""
        gemm = self.gemm
        b = self.s.address(self.b, j * self.b_col, gemm.dtype)
        function = row_tile(gemm, self.builder.module)
        self.call(function, self.a, self.a_col, b, self.b_row, columns, self.k, self.tile)

    def pack(self, direct: Any, column_group: Value) -> None:
        """Pack what register tiles do not read where it is."""
        self.choose(direct, self.pack_last_columns, lambda: self.pack_columns_once(column_group))
        if not self.gemm.a_direct:
            self.pack_rows()

    @contextmanager
    def tiles(self, length: Size, step: Size) -> Iterator[tuple[Value, Value]]:
        """A loop over tiles: the start of each and how much of it exists."""
        with loop(self.s, 0, length, step) as start:
            yield start, self.s.minimum(length - start, step)

    def multiply(self, i: Value, rows: Value, j: Value, columns: Value, direct: Any) -> None:
        """Call the function of the least tile that covers the rows and columns."""
        gemm, a = self.gemm, self.rows_at(i)
        b, b_row = self.columns_at(j, columns, direct)
        lines = self.lines_ahead(i, rows, j)

        def call(height: int, width: int, masked: bool) -> None:
            function = outer_tile(gemm, self.builder.module, Tile(height, width), masked)
            self.call(function, a, self.a_row, self.a_col, rows, b, b_row, columns, self.k, self.tile, *lines)

        def with_width(height: int) -> None:
            vectors, last = gemm.widths[0], gemm.widths[-1]
            if self.only_full_tiles or not (gemm.b_masked or len(gemm.widths) > 1):
                call(height, vectors, False)
            elif gemm.n is not None and gemm.n < self.width:
                call(height, last, gemm.b_masked)
            else:
                masked = gemm.b_masked and (gemm.n is None or gemm.n % gemm.lanes != 0)
                full = columns == self.width
                self.choose(full, lambda: call(height, vectors, False), lambda: call(height, last, masked))

        def with_height(heights: tuple[int, ...]) -> None:
            if len(heights) == 1:
                with_width(heights[0])
            else:
                high = rows > heights[1]
                self.choose(high, lambda: with_width(heights[0]), lambda: with_height(heights[1:]))

        with_height(gemm.heights)

    def lines_ahead(self, i: Value, rows: Value, j: Value) -> tuple[Any, Any]:
        """The cache lines that the epilogue of a tile will touch, for the tile to ask for: their addresses in a table,
        and how much of the table it walks for each k, in parts of 2 ** PACE_BITS.

        All at once they would be more than a CPU can wait for, and it would stand still before the first product.
        """
        s, builder = self.s, self.builder
        if self.ahead is None:
            with builder.goto_entry_block():
                table = builder.alloca(POINTER)
            builder.store(self.tile, table)
            return table, 0
        with loop(s, 0, rows) as r:
            columns = self.width // self.gemm.parts
            lines = self.ahead(s, self.first_row + i + r, self.first_column + j, columns, self.batch)
            with builder.goto_entry_block():
                table = builder.alloca(POINTER, len(lines) * self.gemm.tile.rows)
            for number, line in enumerate(lines):
                builder.store(line, builder.gep(table, [(r * len(lines) + number).ir], source_etype=POINTER))
        pace = self.ints.quotient(len(lines) << PACE_BITS, self.ints.greatest(self.k, 1))
        return table, rows * pace

    @property
    def only_full_tiles(self) -> bool:
        """Whether no tile reaches past the last column."""
        return self.gemm.n is not None and self.gemm.n % self.width == 0

    def call(self, function: ir.Function, *arguments: Any) -> None:
        """Call an internal function; numbers and values become i64, pointers stay."""
        self.builder.call(function, [self.ints.ir(x) if isinstance(x, (int, Value)) else x for x in arguments])

    # -- packing ---------------------------------------------------------------------------------------------------

    def pack_rows(self) -> None:
        """The rows of A of this block, a panel for each tile."""
        s, gemm = self.s, self.gemm
        function = packer(gemm, self.builder.module, gemm.a, gemm.a.col, gemm.a.row)

        def pack(start: Size, rows: Size, height: Size) -> None:
            source = s.address(self.a, start * self.a_row, gemm.a.dtype)
            panel = gemm.a_panel(self.depth)
            self.call(function, source, self.a_col, self.a_row, rows, self.k, self.rows_at(start), height, panel)

        if len(gemm.heights) == 1:
            pack(0, self.rows, self.height)
            return
        # The last tile may be of a lesser height.
        whole = self.ints.small_quotient(self.rows, self.height) * self.height
        rest, height = self.rows - whole, self.ints.value(self.height)
        for lower in gemm.heights[1:]:
            height = s.select(rest <= lower, s.const(lower, "int64"), height)
        pack(0, whole, self.height)
        pack(whole, rest, height)

    def rows_at(self, i: Size) -> Any:
        """Where a tile reads A."""
        if self.gemm.a_direct:
            return self.s.address(self.a, i * self.a_row, self.gemm.dtype)
        panel = self.ints.small_quotient(i, self.height) * self.gemm.a_panel(self.depth)
        return self.s.address(self.packed_a, panel, self.gemm.dtype)

    def pack_columns(self, start: Size, columns: Size) -> None:
        """Columns of B from `start` on."""
        gemm = self.gemm
        function = packer(gemm, self.builder.module, gemm.b, gemm.b.row, gemm.b.col)
        source = self.s.address(self.b, start * self.b_col, gemm.b.dtype)
        panel = self.width * self.depth
        self.call(function, source, self.b_row, self.b_col, columns, self.k, self.packed_b, self.width, panel)

    def pack_columns_once(self, column_group: Value) -> None:
        """All columns of B of this block, unless the chunk before has packed them."""
        kept = self.builder.load(self.kept, typ=I64)
        with self.builder.if_then(self.builder.icmp_signed("!=", kept, column_group.ir)):
            self.pack_columns(0, self.columns)
            self.builder.store(column_group.ir, self.kept)

    def pack_last_columns(self) -> None:
        """The columns of the last tile if it is not full: whole vectors cannot be read there in place."""
        if self.only_full_tiles or self.gemm.b_masked:
            return
        start = self.ints.quotient(self.columns, self.width) * self.width
        with self.builder.if_then((self.columns > start).ir):
            self.pack_columns(start, self.columns - start)

    def columns_at(self, j: Value, columns: Value, direct: Any) -> tuple[Any, Size]:
        """Where a tile reads B, and the stride of k there."""
        s, dtype = self.s, self.gemm.dtype
        packed = s.address(self.packed_b, j * self.depth, dtype)
        if direct is False:
            return packed, self.width
        in_place = s.address(self.b, j, dtype)
        if direct is True and (self.only_full_tiles or self.gemm.b_masked):
            return in_place, self.b_row
        whole = columns == self.width
        edge = self.packed_b
        if direct is not True:
            edge = self.builder.select(direct.ir, edge, packed)
            whole = whole & direct
        width = s.select(whole, self.ints.value(self.b_row), self.width)
        return self.builder.select(whole.ir, in_place, edge), width

    # -- the epilogue ----------------------------------------------------------------------------------------------

    def finish(self, i: Value, rows: Value, j: Value, columns: Value) -> None:
        """Hand the finished tile to the epilogue, a vector at a time."""
        s, v, gemm = self.s, self.v, self.gemm
        even = gemm.n is not None and gemm.n % gemm.lanes == 0
        masked = not even and gemm.target.name == "avx512"
        whole = columns if even or masked else self.ints.quotient(columns, gemm.lanes) * gemm.lanes
        with loop(s, 0, rows) as r:
            row, start = self.first_row + i + r, r * self.width

            def vector(b: ScalarBuilder, c: Value, mask: Value | None) -> None:
                values = [b.load(self.tile, start + c + p * gemm.lanes, gemm.dtype) for p in range(gemm.parts)]
                found = values if gemm.parts > 1 else values[0]
                self.epilogue(b, row, self.first_column + j + c, found, mask, self.batch)

            if gemm.parts > 1:
                vector(v, s.const(0, "int64"), None)
                return
            with loop(s, 0, whole, gemm.lanes) as c:
                vector(v, c, v.mask_first(columns - c) if masked else None)
            if not even and not masked:
                # Masked stores are slow or missing here: the last columns go one by one.
                with loop(s, whole, columns) as c:
                    vector(s, c, None)
