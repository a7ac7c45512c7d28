"""The shape of a generated attention kernel: register tile, blocks, chunks, scratch. Pure Python, no LLVM.

out[b] = softmax(q[b] k[b]^T * scale + mask[b]) v[b]. The queries of a block lie in the lanes of vectors, and their
scores are rows, one for each key: a softmax of all of them needs no look across lanes. Forward, a block meets the keys
part by part, and the matrix of all scores never exists (Dao et al. 2022). Backward, a block meets all keys at once, and
one chunk is all of one b, whose queries add to the same gradients of keys and values one after the other: the same bits
on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from graphflow_kernels.cpu.target import Target
from graphflow_kernels.cpu.types import ITEMSIZE, compute_dtype

TILE_ROWS = {"avx512": 8, "neon": 8}
"""Rows of a register tile; four elsewhere. Two vectors of columns leave enough independent sums."""
SCORE_TILES = {"avx512": (16, 1)}
"""Keys, and vectors of queries, of a tile of scores, where one vector is best: causal blocks skip more."""
BLOCK_QUERIES = 64
"""Queries that add to the gradients of keys and values at a time, backward."""
KEYS = 256
"""Keys that a block of queries meets at a time, forward."""
SCORES = 1 << 15
"""Scores of a block of queries, backward: for many keys it has fewer queries."""
CHUNK_PRODUCTS = 1 << 20
"""Multiplications worth a chunk of their own, forward."""

NUMBERS = (
    *("queries", "keys", "size", "values", "blocks", "chunk_rows", "block_rows", "block_keys"),
    # strides of the operands, in elements
    *("q_row", "q_col", "k_row", "k_col", "v_row", "v_col", "g_row", "g_col", "m_row", "m_col"),
    # lengths of rows in the scratch memory, and where its parts begin, in elements
    *("wide", "value_wide", "score_wide", "qt_at", "gt_at", "k_at", "v_at", "q_at", "o_at", "g_at", "s_at", "ds_at"),
    *("m_at", "dq_at", "dk_at", "dv_at", "rows_at"),
)
"""The numbers that a kernel gets at run time, in order."""


class AttentionPlan(NamedTuple):
    """What a caller must know to run attention of given sizes."""

    nchunks: int
    scratch_bytes: int
    numbers: tuple[int, ...]


class Sizes(NamedTuple):
    """Known sizes: of the batch (all axes before the last two), and of one attention in it."""

    batch: int
    queries: int
    keys: int
    size: int
    values: int


@dataclass(frozen=True)
class Attention:
    """What the code of a kernel depends on; all other sizes come at run time.

    size, values   length of a query and of a value, where known: the register tile is chosen for them
    units          for q, k, v and the result's gradient: whether neighbours in a row are known to be adjacent
    mask           None, or the stride of the mask along the keys (0, 1, or -1 for others)

    >>> from graphflow_kernels.cpu.target import named
    >>> kernel = Attention(named("avx512"), "float32", 32, 32, (True,) * 3, None, True, False, 0.25)
    >>> kernel.rows, kernel.vectors(32), kernel.plan(Sizes(64, 100, 100, 32, 32), (32, 1) * 5).nchunks
    (8, 2, 64)
    """

    target: Target
    memory_dtype: str
    size: int | None
    values: int | None
    units: tuple[bool, ...]
    mask: int | None
    causal: bool
    backward: bool
    scale: float

    @property
    def dtype(self) -> str:
        """The dtype of the sums."""
        return compute_dtype(self.memory_dtype)

    @property
    def lanes(self) -> int:
        """Elements of a vector register."""
        return self.target.lanes(self.dtype)

    @property
    def width(self) -> int:
        """Queries side by side in the scores: a block's, forward."""
        return self.score_tile[1] * self.lanes

    @property
    def score_tile(self) -> tuple[int, int]:
        """Keys, and vectors of queries, of a register tile of scores."""
        return SCORE_TILES.get(self.target.name, (TILE_ROWS.get(self.target.name, 4), 2))

    @property
    def rows(self) -> int:
        """Rows of a register tile of the other products."""
        return min(TILE_ROWS.get(self.target.name, 4), self.width)

    def vectors(self, size: int | None) -> int:
        """Vectors of columns of a tile along a query or value."""
        return 1 if size is not None and size <= self.lanes else 2

    def row(self, size: int, known: int | None) -> int:
        """The length in scratch memory of a row of `size` elements: whole tiles."""
        return _up(size, self.vectors(known) * self.lanes)

    def plan(self, s: Sizes, strides: tuple[int, ...]) -> AttentionPlan:
        """Blocks, chunks, scratch memory and the numbers for these sizes; ``strides`` as in NUMBERS."""
        most = s.keys + max(self.score_tile[0], self.rows)  # tiles reach past the last key
        if self.backward:
            block_rows, block_keys = max(_up(BLOCK_QUERIES, self.width), self.width), most
            while block_rows > self.width and block_rows * s.keys > SCORES:
                block_rows //= 2
            chunk_rows = max(_up(s.queries, block_rows), block_rows)
        else:
            block_rows, block_keys = self.width, KEYS
            worth = -(-CHUNK_PRODUCTS // max(1, s.keys * (s.size + s.values)))
            chunk_rows = _up(min(max(worth, 1), max(s.queries, 1)), block_rows)
        blocks = 1 if self.backward else -(-s.queries // chunk_rows)
        wide, value_wide = self.row(s.size, self.size), self.row(s.values, self.values)
        # Backward, rows are longer than a block: no power of two, which would keep them from the cache.
        score_wide = block_rows + self.lanes if self.backward else block_rows
        score_rows = min(block_keys + self.score_tile[0], most)
        areas = {
            "qt": s.size * self.width,
            "gt": s.values * self.width * self.backward,
            "k": most * wide,
            "v": most * value_wide,
            "q": block_rows * wide * self.backward,
            "o": 0 if self.backward else block_rows * value_wide,
            "g": block_rows * value_wide * self.backward,
            "s": score_rows * score_wide,
            "ds": score_rows * score_wide * self.backward,
            "m": min(block_keys, s.keys) * self.width * (self.mask is not None),
            "dq": block_rows * wide * self.backward,
            "dk": most * wide * self.backward,
            "dv": most * value_wide * self.backward,
            "rows": 3 * self.width,
        }
        at, starts = 0, {}
        for name, length in areas.items():
            starts[f"{name}_at"] = at
            at += _up(length, self.lanes) + self.lanes  # packing writes a vector past the end
        known = {"queries": s.queries, "keys": s.keys, "size": s.size, "values": s.values, "blocks": blocks}
        known |= {"chunk_rows": chunk_rows, "block_rows": block_rows, "block_keys": block_keys}
        known |= dict(zip(NUMBERS[8:18], strides, strict=True))
        known |= {"wide": wide, "value_wide": value_wide, "score_wide": score_wide, **starts}
        nchunks = s.batch * (1 if self.backward else blocks) if s.queries or self.backward else 0
        return AttentionPlan(nchunks, at * ITEMSIZE[self.dtype], tuple(known[n] for n in NUMBERS))


def _up(x: int, step: int) -> int:
    return -(-x // step) * step
