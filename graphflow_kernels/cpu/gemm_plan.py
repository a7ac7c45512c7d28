"""The shape of a generated matrix multiplication: register tile, blocks, chunks, scratch. Pure Python, no LLVM.

C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. The output is cut into tiles that fit the vector registers, tiles
into blocks whose packed operands fit the cache, and each block is one chunk of work. All follow from the sizes alone,
never from the number of threads; along k nothing is split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from graphflow_kernels.cpu.target import Target
from graphflow_kernels.cpu.types import ITEMSIZE, STORAGE_ONLY

BASE_TILES = {
    # target: {bytes of an element: (rows, vectors of columns)}
    "avx512": {4: (14, 2), 8: (8, 3)},
    "avx2": {4: (6, 2), 8: (4, 3)},
    "neon": {4: (8, 3), 8: (8, 3)},
    "sse2": {4: (4, 2), 8: (4, 2)},
    "generic": {4: (4, 2), 8: (4, 2)},
}
"""Accumulators that leave registers for one row of B and one element of A."""

PACKED_A_BYTES = 384 * 1024
"""What the packed block of A may take: it is read again for each column of tiles, so it should stay in the L2 cache."""
BLOCK_COLUMNS = 256
"""Columns of a block, so that packing A once for them costs little."""
CHUNK_PRODUCTS = 1 << 18
"""Multiplications worth a chunk of their own (about 4 us)."""
ROW_BLOCKS = 16
"""Blocks of rows that a large product is cut into, so that threads finish together."""
DIRECT_ROWS = 28
"""Up to so many rows of C, B is read where it is: packed data would not be read often enough."""
DOT_SIZE = 8
"""Up to so many rows or columns of C, and k contiguous in both operands, products are sums along vectors of k."""


class Layout(NamedTuple):
    """How an operand lies in memory: its dtype and the strides in elements (None where known at run time only).

    For A the rows are m and the columns k; for B the rows are k and the columns n.
    """

    dtype: str
    row: int | None
    col: int | None


class Tile(NamedTuple):
    """A register tile: rows of C, and vectors of columns."""

    rows: int
    vectors: int


class Plan(NamedTuple):
    """What a caller must know to run a product of given sizes."""

    nchunks: int
    scratch_bytes: int


class Blocks(NamedTuple):
    """How the tiles of C are grouped: tiles per block and blocks, along rows and columns (numbers or LLVM values)."""

    tile_rows: Any
    tile_columns: Any
    row_blocks: Any
    column_blocks: Any


class Numbers:
    """Arithmetic on Python ints, in the words that the emitter also has for LLVM values."""

    def least(self, x: int, y: int) -> int:
        """The lesser."""
        return min(x, y)

    def greatest(self, x: int, y: int) -> int:
        """The greater."""
        return max(x, y)

    def quotient(self, x: int, y: int) -> int:
        """x // y of nonnegative numbers."""
        return x // y

    def rounded_up(self, x: int, y: int) -> int:
        """How many y it takes to cover x."""
        return (x + y - 1) // y


@dataclass(frozen=True)
class Gemm:
    """One matrix multiplication, with the sizes that are known when code is generated (None: a run-time number).

    >>> from graphflow_kernels.cpu.target import named
    >>> a, b = Layout("float32", 784, 1), Layout("float32", 512, 1)
    >>> product = Gemm(named("avx512"), 256, 512, 784, a, b)
    >>> product.tile
    Tile(rows=13, vectors=2)
    >>> product.plan(1, 256, 512, 784).nchunks
    20
    """

    target: Target
    m: int | None
    n: int | None
    k: int | None
    a: Layout
    b: Layout

    @property
    def dtype(self) -> str:
        """The dtype of the sums: float64, or float32 also for 16-bit operands."""
        return "float64" if "float64" in (self.a.dtype, self.b.dtype) else "float32"

    @property
    def lanes(self) -> int:
        """Elements of a vector register."""
        return self.target.lanes(self.dtype)

    @property
    def run_time(self) -> tuple[str, ...]:
        """Names of the numbers that the kernel needs at run time, in order."""
        values = {"m": self.m, "n": self.n, "k": self.k, "a_row": self.a.row, "a_col": self.a.col}
        values |= {"b_row": self.b.row, "b_col": self.b.col}
        return tuple(name for name, value in values.items() if value is None)

    # -- the register tile -----------------------------------------------------------------------------------------

    @property
    def tile(self) -> Tile:
        """The register tile, chosen for the sizes that are known."""
        rows, vectors = BASE_TILES[self.target.name][ITEMSIZE[self.dtype]]
        needed = None if self.n is None else -(-self.n // self.lanes)
        if self.m is not None and self.m <= rows // 2:
            # Few rows: as many columns instead.
            rows = self._allowed(max(1, self.m))
            free = self.target.registers - 1 - (not self.target.has_fma)
            return Tile(rows, max(1, min(free // (rows + 1), 8, needed or 8)))
        if needed is not None:
            # Vectors that compute nothing cost the same as others; so do narrow tiles, a little.
            vectors = min(
                range(max(1, vectors - 1), vectors + 1), key=lambda v: (-(-needed // v) * v * (4 + (v < vectors)), -v)
            )
            vectors = min(vectors, needed)
        if self.m is not None:
            rows = self._rows_for(self.m, rows)
        return Tile(rows, vectors)

    def _rows_for(self, m: int, most: int) -> int:
        """The height near `most` that leaves the fewest rows of the last tile unused."""
        heights = [r for r in range(most, most // 2, -1) if self._allowed(r) == r]
        return min(heights, key=lambda r: -(-m // r) * r * (50 + most - r))

    def _allowed(self, rows: int) -> int:
        """Packing writes whole vectors of rows: up to one, or several whole ones."""
        return rows if rows <= self.lanes else -(-rows // self.lanes) * self.lanes

    @property
    def heights(self) -> tuple[int, ...]:
        """Heights of tiles, the greatest first; the lesser ones are for the last rows of a number known at run time."""
        most = self.tile.rows
        if self.m is not None:
            return (most,)
        return (most, *(h for h in (8, 4, 2) if h <= most * 2 // 3 and self._allowed(h) == h))

    # -- how operands are read -------------------------------------------------------------------------------------

    @property
    def a_direct(self) -> bool:
        """Whether A is read where it is: its elements are used too few times to be worth copying."""
        if self.a.dtype in STORAGE_ONLY:
            return False
        few_columns = self.n is not None and self.n <= self.tile.vectors * self.lanes
        return few_columns or (self.m is not None and self.m <= self.tile.rows and self.m <= 8)

    @property
    def b_may_be_direct(self) -> bool:
        """Whether B can be read where it is: its rows are contiguous and of the right dtype."""
        return self.b.col == 1 and self.b.dtype == self.dtype

    @property
    def may_dot(self) -> bool:
        """Whether k is contiguous in both operands, so that products can be sums along vectors."""
        return self.a.col == 1 and self.b.row == 1 and self.a.dtype == self.b.dtype == self.dtype

    # -- blocks ----------------------------------------------------------------------------------------------------

    def blocks(self, m: Any, n: Any, k: Any, ops: Any) -> Blocks:
        """The grouping of tiles, from sizes that are Python ints (with `Numbers`) or LLVM values."""
        height, width = self.tile.rows, self.tile.vectors * self.lanes
        rows, columns = ops.rounded_up(m, height), ops.rounded_up(n, width)
        k = ops.greatest(k, 1)
        # Enough columns for packing to pay, and for a chunk to be worth starting where there are few rows.
        worth = ops.rounded_up(CHUNK_PRODUCTS // width, ops.greatest(m, 8) * k)
        tile_columns = ops.greatest(ops.least(columns, ops.greatest(max(1, BLOCK_COLUMNS // width), worth)), 1)
        column_blocks = ops.rounded_up(columns, tile_columns)
        tile_columns = ops.rounded_up(columns, ops.greatest(column_blocks, 1))
        # Enough rows for a chunk to be worth starting, and no more than stay in cache.
        worth = ops.rounded_up(CHUNK_PRODUCTS // height, ops.greatest(tile_columns, 1) * width * k)
        tile_rows = ops.greatest(ops.rounded_up(rows, ROW_BLOCKS), ops.greatest(worth, 2))
        if not self.a_direct:
            fits = ops.quotient(PACKED_A_BYTES // (ITEMSIZE[self.dtype] * height), k)
            tile_rows = ops.least(tile_rows, ops.greatest(fits, 1))
        tile_rows = ops.greatest(ops.least(tile_rows, rows), 1)
        row_blocks = ops.rounded_up(rows, tile_rows)
        tile_rows = ops.rounded_up(rows, ops.greatest(row_blocks, 1))
        return Blocks(tile_rows, tile_columns, row_blocks, column_blocks)

    def depth(self, k: Any, ops: Any) -> Any:
        """Length of packed panels: k, rounded up to whole vectors."""
        return ops.rounded_up(ops.greatest(k, 1), self.lanes) * self.lanes

    def plan(self, batch: int, m: int, n: int, k: int) -> Plan:
        """The number of chunks and the bytes of scratch for `batch` products of these sizes."""
        ops = Numbers()
        blocks, depth = self.blocks(m, n, k, ops), self.depth(k, ops)
        width = self.tile.vectors * self.lanes
        tile = self.tile.rows * width
        a = 0 if self.a_direct else blocks.tile_rows * self.tile.rows * depth
        # Of a B that is read in place, only the last columns are packed.
        b = (1 if self.b_may_be_direct and m <= DIRECT_ROWS else blocks.tile_columns) * width * depth
        elements = tile + a + b + self.lanes  # packing writes whole vectors, past the end of A
        return Plan(batch * blocks.row_blocks * blocks.column_blocks, elements * ITEMSIZE[self.dtype])
