"""The shape of a generated attention kernel: register tile, blocks, chunks, scratch. Pure Python, no LLVM.

out[b] = softmax(q[b] k[b]^T * scale + mask[b]) v[b]. A block of queries meets the keys block by block: its scores and
their softmax live in a small buffer, and the matrix of all scores never exists (Dao et al. 2022). Backward, a block of
queries meets all keys at once, and one chunk is all of one b, whose queries add to the same gradients of keys and
values one after the other: the same bits on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from graphflow_kernels.cpu.target import Target
from graphflow_kernels.cpu.types import ITEMSIZE, compute_dtype

TILE_ROWS = {"avx512": 8, "neon": 8}
"""Rows of a register tile; four elsewhere. Two vectors of columns leave enough independent sums."""
TILES = 4
"""Tiles that a block of queries has."""
KEYS = 512
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
    *("wide", "value_wide", "score_wide", "kt_at", "k_at", "v_at", "q_at", "o_at", "g_at", "s_at", "ds_at", "dq_at"),
    *("dk_at", "dv_at", "rows_at"),
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
    def rows(self) -> int:
        """Rows of a register tile."""
        return TILE_ROWS.get(self.target.name, 4)

    @property
    def key_width(self) -> int:
        """Keys that a tile of scores covers."""
        return 2 * self.lanes

    def vectors(self, size: int | None) -> int:
        """Vectors of columns of a tile along a query or value."""
        return 1 if size is not None and size <= self.lanes else 2

    def plan(self, s: Sizes, strides: tuple[int, ...]) -> AttentionPlan:
        """Blocks, chunks, scratch memory and the numbers for these sizes; ``strides`` as in NUMBERS."""
        block_rows, block_keys = TILES * self.rows, KEYS
        keys = _up(s.keys, self.key_width)
        if self.backward:
            block_keys = max(keys, self.key_width)
            while block_rows > self.rows and block_rows * block_keys > SCORES:
                block_rows //= 2
            chunk_rows = max(_up(s.queries, block_rows), block_rows)
        else:
            worth = -(-CHUNK_PRODUCTS // max(1, s.keys * (s.size + s.values)))
            chunk_rows = _up(min(max(worth, 1), max(s.queries, 1)), block_rows)
        blocks = 1 if self.backward else -(-s.queries // chunk_rows)
        wide = _up(s.size, self.vectors(self.size) * self.lanes)
        value_wide = _up(s.values, self.vectors(self.values) * self.lanes)
        score_wide = min(block_keys, keys) + self.lanes  # no power of two, which would keep rows from the cache
        areas = {
            "kt": keys * s.size,
            "k": s.keys * wide * self.backward,
            "v": keys * s.values if self.backward else s.keys * value_wide,  # transposed, backward
            "q": block_rows * wide,
            "o": 0 if self.backward else block_rows * value_wide,
            "g": block_rows * value_wide * self.backward,
            "s": block_rows * score_wide,
            "ds": block_rows * score_wide * self.backward,
            "dq": block_rows * wide * self.backward,
            "dk": (keys + self.rows) * wide * self.backward,
            "dv": (keys + self.rows) * value_wide * self.backward,
            "rows": 3 * block_rows,
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
