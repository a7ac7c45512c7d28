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


class Tile(NamedTuple):
    """A register tile: rows of C, and vectors of columns."""

    rows: int
    vectors: int


BASE_TILES = {
    # target: {bytes of an element: (rows, vectors of columns)}
    "avx512": {4: Tile(14, 2), 8: Tile(8, 3)},
    "avx2": {4: Tile(6, 2), 8: Tile(4, 3)},
    "neon": {4: Tile(8, 3), 8: Tile(8, 3)},
    "sse2": {4: Tile(4, 2), 8: Tile(4, 2)},
    "generic": {4: Tile(4, 2), 8: Tile(4, 2)},
}
"""Accumulators that leave registers for one row of B and one element of A."""

PACKED_A_BYTES = 384 * 1024
"""What the packed block of A may take: it is read again for each column of tiles, so it should stay in the L2 cache."""
BLOCK_COLUMNS = 256
"""Columns of a block (twice as many in large products): packing A once for them costs little."""
CHUNK_PRODUCTS = 1 << 18
"""Multiplications worth a chunk of their own (about 4 us)."""
CHUNKS = 12
"""Chunks that a product is cut into if it is large enough, so that threads finish together."""
CHUNK_AREA = 1 << 16
"""Elements of C in a chunk of a large product."""
DIRECT_ROWS = 256
"""Up to so many rows of C, B is read where it is: packed data would not be read often enough."""
DIRECT_B_BYTES = 48 * 1024
"""Up to this size B is read where it is anyway."""
ROW_TILE_BYTES = 2048
"""Width of the tiles of a single row."""
DIRECT_TILES = 4
"""Up to so many tiles side by side, A is read where it is if its rows are short."""
DIRECT_K_BYTES = 2048
"""What counts as short."""
DOT_SIZE = 8
"""Up to so many rows or columns of C, and k contiguous in both operands, products are sums along vectors of k."""


class Layout(NamedTuple):
    """How an operand lies in memory: its dtype and the strides in elements (None where known at run time only).

    For A the rows are m and the columns k; for B the rows are k and the columns n.
    """

    dtype: str
    row: int | None
    col: int | None


class Blocks(NamedTuple):
    """How the tiles of C are grouped: tiles per block and blocks, along rows and columns (numbers or LLVM values).

    ``height``: the rows of a tile.
    """

    tile_rows: Any
    tile_columns: Any
    row_blocks: Any
    column_blocks: Any
    height: Any


class Plan(NamedTuple):
    """What a caller must know to run a product of given sizes."""

    nchunks: int
    scratch_bytes: int
    blocks: Blocks


def _rounded_up(x: int, y: int) -> int:
    """How many y it takes to cover x."""
    return (x + y - 1) // y


def _cost(rows: int, lower: int) -> int:
    """What so many rows cost, those of unused parts of tiles among them, in tiles ``lower`` than the highest."""
    return rows * (50 + lower)


@dataclass(frozen=True)
class Gemm:
    """One matrix multiplication, with the sizes that are known when code is generated (None: a run-time number).

    >>> from graphflow_kernels.cpu.target import named
    >>> a, b = Layout("float32", 784, 1), Layout("float32", 512, 1)
    >>> product = Gemm(named("avx512"), 256, 512, 784, a, b)
    >>> product.tile
    Tile(rows=13, vectors=2)
    >>> product.plan(1, 256, 512, 784).nchunks
    10
    """

    target: Target
    m: int | None
    n: int | None
    k: int | None
    a: Layout
    b: Layout
    parts: int = 1
    """Of how many parts, a vector each, the columns are that the epilogue takes together. They make one tile."""

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
        """Names of the numbers that the kernel needs at run time, in order: sizes, strides, and a plan's `Blocks`."""
        values = {"m": self.m, "n": self.n, "k": self.k, "a_row": self.a.row, "a_col": self.a.col}
        values |= {"b_row": self.b.row, "b_col": self.b.col}
        names = tuple(name for name, value in values.items() if value is None)
        return names if self.is_known else names + Blocks._fields

    @property
    def is_known(self) -> bool:
        """Whether all sizes are known when code is generated."""
        return None not in (self.m, self.n, self.k)

    # -- the register tile -----------------------------------------------------------------------------------------

    @property
    def tile(self) -> Tile:
        """The register tile, chosen for the sizes that are known."""
        most = BASE_TILES[self.target.name][ITEMSIZE[self.dtype]].rows
        m = self.m
        if self.parts > 1:
            free = self.target.registers - 1 - (not self.target.has_fma)
            return Tile(next(r for r in (8, 4, 2, 1) if (r + 1) * self.parts <= free or r == 1), self.parts)
        if m is None:
            return Tile(most, self._vectors)
        if self._few_rows:
            return Tile(self._allowed(m), self._vectors)
        heights = [r for r in range(most, most // 2, -1) if self._allowed(r) == r]
        if self.a_direct:
            # Rows that are read in place have constant addresses where no tile reaches past the last row.
            heights = [r for r in heights if m % r == 0] or heights
        # The height that leaves the fewest rows of the last tile unused.
        return Tile(min(heights, key=lambda r: _cost(-(-m // r) * r, most - r)), self._vectors)

    @property
    def _few_rows(self) -> bool:
        """Whether all rows are one tile, with columns to make up for their number."""
        return self.m is not None and 0 < self.m <= BASE_TILES[self.target.name][ITEMSIZE[self.dtype]].rows // 2

    @property
    def _vectors(self) -> int:
        """Vectors of columns in a tile."""
        vectors = BASE_TILES[self.target.name][ITEMSIZE[self.dtype]].vectors
        if self.parts > 1:
            return self.parts
        if self.single_row:
            vectors = self.row_width // self.lanes
        elif self._few_rows:
            free = self.target.registers - 1 - (not self.target.has_fma)
            vectors = max(1, min(free // (self._allowed(self.m or 1) + 1), 8))
        return vectors if self.n is None else max(1, min(vectors, self._needed))

    @property
    def single_row(self) -> bool:
        """Whether C is one row, wide enough to be added up in memory instead of registers."""
        return self.m == 1 and self.may_be_row

    @property
    def may_be_row(self) -> bool:
        """Whether C is a wide row, or may be one at run time."""
        wide = (self.n is None or self.n > 4 * self.lanes) and self.parts == 1
        return self.m in (None, 1) and wide and self.b_may_be_direct and self.a.dtype == self.dtype

    @property
    def row_width(self) -> int:
        """Columns of a tile of such a row."""
        return ROW_TILE_BYTES // ITEMSIZE[self.dtype]

    @property
    def _needed(self) -> int:
        """Vectors that cover all columns, where their number is known."""
        return 0 if self.n is None else (self.n + self.lanes - 1) // self.lanes

    def _allowed(self, rows: int) -> int:
        """Packing writes whole vectors of rows: up to one, or several whole ones."""
        return rows if rows <= self.lanes else -(-rows // self.lanes) * self.lanes

    @property
    def heights(self) -> tuple[int, ...]:
        """Heights of tiles, the greatest first; the lesser is for the last rows of a number known at run time.

        One lesser height: each takes some 5 ms to compile, and a second one gains only products of two to four rows.
        """
        most = self.tile.rows
        if self.m is not None:
            return (most,)
        return (most, *(h for h in (8,) if h <= most * 2 // 3 and self._allowed(h) == h))

    def height(self, m: int) -> int:
        """The height of all tiles but the last ones: of 32 rows, four tiles of 8 waste none."""
        most = self.heights[0]

        def cost(height: int) -> int:
            whole, rest = divmod(m, height)
            last = min((h for h in self.heights if h >= rest), default=0) if rest else 0
            return _cost(whole * height + last, most - height)

        return min(self.heights, key=cost)

    @property
    def widths(self) -> tuple[int, ...]:
        """Vectors of columns in tiles, and in the last ones where fewer do."""
        rest = self._needed % self._vectors
        return (self._vectors, rest) if rest else (self._vectors,)

    # -- how operands are read -------------------------------------------------------------------------------------

    @property
    def a_direct(self) -> bool:
        """Whether A is read where it is: its elements are used too few times to be worth copying."""
        if self.a.dtype in STORAGE_ONLY:
            return False
        tiles = -(-self._needed // self._vectors)
        once = self.n is not None and tiles <= 1
        few = self.n is not None and tiles <= DIRECT_TILES and self._short_a
        return once or few or (self._few_rows and (self.m or 0) <= 8)

    @property
    def _short_a(self) -> bool:
        """Whether the rows of A that a tile reads at once keep out of each other's way in the L1 cache."""
        if self.k is None or None in (self.a.row, self.a.col) or self.m is None:
            return False
        size = ITEMSIZE[self.dtype]
        apart = self.a.row if self.a.col == 1 else self.a.col
        return self.k * size <= DIRECT_K_BYTES and (apart or 0) * size % 2048 != 0

    @property
    def b_may_be_direct(self) -> bool:
        """Whether B can be read where it is: its rows are contiguous and of the right dtype."""
        return self.b.col == 1 and self.b.dtype == self.dtype

    def b_direct(self, m: Any) -> Any:
        """Whether B is read where it is, for `m` rows (a number or a value)."""
        if not self.b_may_be_direct:
            return False
        if self.parts > 1:
            return True  # each row of B is a row of the tile
        small = self.n is not None and self.k is not None and self.n * self.k * ITEMSIZE[self.dtype] <= DIRECT_B_BYTES
        return True if small else m <= DIRECT_ROWS

    @property
    def b_masked(self) -> bool:
        """Whether the last columns of a B that is always read in place are read with a mask, instead of packed."""
        return self.m is not None and self.target.has_masks and bool(self.b_direct(self.m))

    @property
    def may_dot(self) -> bool:
        """Whether k is contiguous in both operands, so that products can be sums along vectors."""
        return self.a.col == 1 and self.b.row == 1 and self.a.dtype == self.b.dtype == self.dtype

    # -- blocks ----------------------------------------------------------------------------------------------------

    def blocks(self, m: int, n: int, k: int) -> Blocks:
        """The grouping of tiles."""
        height, width = self.height(m), self.tile.vectors * self.lanes
        rows, columns = _rounded_up(m, height), _rounded_up(n, width)
        k = max(k, 1)
        # Enough columns for packing to pay, and for a chunk to be worth starting where there are few rows.
        worth = _rounded_up(CHUNK_PRODUCTS // width, max(m, 8) * k)
        wide = max(min(m * n // (8 * BLOCK_COLUMNS), 2 * BLOCK_COLUMNS), BLOCK_COLUMNS)
        tile_columns = max(min(columns, max(wide // width, 1, worth)), 1)
        column_blocks = _rounded_up(columns, tile_columns)
        tile_columns = _rounded_up(columns, max(column_blocks, 1))
        # Enough rows for a chunk to be worth starting; no more than leaves chunks for many threads, or than stay in
        # cache. The more rows, the less often B is read.
        worth = _rounded_up(CHUNK_PRODUCTS // height, max(tile_columns, 1) * width * k)
        chunks = max(m * n // CHUNK_AREA, CHUNKS)
        row_blocks = _rounded_up(chunks, max(column_blocks, 1))
        tile_rows = max(_rounded_up(rows, row_blocks), worth, 2)
        if not self.a_direct:
            tile_rows = min(tile_rows, max(PACKED_A_BYTES // (ITEMSIZE[self.dtype] * height) // k, 1))
        tile_rows = max(min(tile_rows, rows), 1)
        row_blocks = _rounded_up(rows, tile_rows)
        tile_rows = _rounded_up(rows, max(row_blocks, 1))
        return Blocks(tile_rows, tile_columns, row_blocks, column_blocks, height)

    def depth(self, k: int) -> int:
        """Length of packed panels: k, rounded up to whole vectors."""
        return _rounded_up(max(k, 1), self.lanes) * self.lanes

    @property
    def tile_area(self) -> int:
        """Elements of the buffer for a finished tile."""
        size = self.tile.rows * self.tile.vectors * self.lanes
        return max(size, self.row_width) if self.may_be_row else size

    def a_panel(self, depth: Any) -> Any:
        """Elements of a packed panel of A; packing writes whole vectors, past its end."""
        return depth * self.tile.rows + self.lanes

    def plan(self, batch: int, m: int, n: int, k: int) -> Plan:
        """The number of chunks and the bytes of scratch for `batch` products of these sizes."""
        blocks, depth = self.blocks(m, n, k), self.depth(k)
        tile, width = self.tile_area, self.tile.vectors * self.lanes
        a = 0 if self.a_direct else blocks.tile_rows * self.a_panel(depth)
        # Of a B that is read in place, only the last columns are packed.
        b_panels = 0 if self.b_masked else 1 if self.b_direct(m) else blocks.tile_columns
        b = b_panels * width * depth
        nchunks = batch * blocks.row_blocks * blocks.column_blocks
        return Plan(nchunks, (tile + a + b) * ITEMSIZE[self.dtype], blocks)
