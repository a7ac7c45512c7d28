"""The shape of a generated convolution: register tile, blocks, chunks, scratch. Pure Python, no LLVM.

out[n, g, o, p] = sum over channels c and taps t of x[n, g, c, p * stride + t * dilation - low] * w[g, o, c, t]

Places are (depth, height, width); fewer axes are the last ones. What lies outside of x counts as zero. A register tile
is a few places by a few vectors of outputs: for each channel and tap, one vector load of packed weights and one
broadcast element of x for each place. Two tables say how far these elements lie from the first: one for the places of
a block, one for the channels and taps. So no place is special, whatever the strides, gaps and sizes.

Where outputs are too few to fill vectors, these lie along rows instead: of places (for each channel and tap, vectors
of x and one broadcast weight for each output), or, in gradients of weights, of taps (vectors of both, whose lanes are
added up at the end).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from graphflow_kernels.cpu.gemm_plan import BASE_TILES
from graphflow_kernels.cpu.target import Target
from graphflow_kernels.cpu.types import ITEMSIZE

Three = tuple[int, int, int]

X_BYTES = 320 * 1024
"""What the copied part of x may take, with zeros around it. Together these three should fit an L2 cache."""
W_BYTES = 384 * 1024
"""What the packed weights may take."""
SUMS_BYTES = 192 * 1024
"""What the sums of a block may take."""
CHUNK_PRODUCTS = 1 << 18
"""Multiplications worth a chunk of their own."""
CHUNKS = 64
"""Chunks at most."""
FEW = 8
"""Outputs of a group up to which vectors lie along rows."""
SHORT = 6
"""Elements of a row for which that does not pay."""
UNITS = 16
"""Blocks at least that a large convolution is cut into, so that threads can share it."""

NUMBERS = (
    # sizes: batch, groups, outputs and channels of a group; axes of the result, the kernel and the input
    *("n", "g", "o", "c", "out_d", "out_h", "out_w", "taps_d", "taps_h", "taps_w", "in_d", "in_h", "in_w"),
    # strides of the operands, in elements
    *("x_n", "x_g", "x_c", "x_d", "x_h", "x_w", "w_g", "w_o", "w_c", "w_d", "w_h", "w_w"),
    *("stride_d", "stride_h", "stride_w", "dilation_d", "dilation_h", "dilation_w", "low_d", "low_h", "low_w"),
    # a block: images, places, panels of outputs; and how much of the channels and taps is done at a time
    *("block_n", "block_d", "block_h", "block_w", "panels", "block_c", "block_td", "block_th", "block_tw"),
    # how many partial sums there are, each of a part of the channels; blocks, and how many of them a chunk has
    *("splits", "units", "grain"),
    # strides of the copied part of x, in elements; how many axes of the taps lie in w as one
    *("at_n", "at_c", "at_d", "at_h", "joined"),
    # where things lie in the scratch memory, in bytes; places that the tables have room for
    *("taps_at", "square_at", "sums_at", "w_at", "x_at", "places"),
)
"""The numbers that a kernel gets at run time, in order."""


@dataclass(frozen=True)
class Geometry:
    """A convolution of known sizes. Strides count elements: of x (batch, group, channel, d, h, w), w (group, ...)."""

    batch: int
    groups: int
    outputs: int
    channels: int
    sizes: Three
    taps: Three
    spatial: Three
    x_strides: tuple[int, ...]
    w_strides: tuple[int, ...]
    strides: Three
    dilations: Three
    low: Three
    splits: int = 1

    @property
    def products(self) -> int:
        """Multiplications."""
        places = self.batch * self.groups * self.outputs * math.prod(self.sizes)
        return places * self.channels * math.prod(self.taps)


class ConvPlan(NamedTuple):
    """What a caller must know to run a convolution of given sizes."""

    nchunks: int
    scratch_bytes: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Conv:
    """What the code of a convolution depends on; all other sizes come at run time.

    outputs   of a group, where known: the register tile is chosen for it
    x_unit, w_unit   whether neighbours along the last axis (of the input, of the kernel) are known to be adjacent
    along   what lies along a vector: "outputs", "places" or "taps"; for the latter two, `across` is its lanes, and
            `exact` whether the taps of a row are known to be whole vectors

    >>> from graphflow_kernels.cpu.target import named
    >>> conv = Conv(named("avx512"), "float32", "float32", 64, True, True)
    >>> conv.tile, conv.lanes
    ((14, 2), 16)
    """

    target: Target
    x_dtype: str
    w_dtype: str
    outputs: int | None
    x_unit: bool
    w_unit: bool
    along: str = "outputs"
    across: int = 0
    exact: bool = False

    def with_rows(self, places: int, taps: int) -> Conv:
        """The same, or with vectors along rows of so many places or taps (0: these are not adjacent in the input)."""
        along, row = ("places", places) if places >= taps else ("taps", taps)
        if self.outputs is None or not 0 < self.outputs <= FEW or row < SHORT:
            return self
        most = self.target.lanes(self.dtype)
        # Half a register costs little more than half as much: that pays where it leaves fewer lanes unused.
        across = min((n for n in (most, most // 2) if n > 1), key=lambda n: -(-row // n) * (1.0 if n == most else 0.6))
        return replace(self, along=along, across=across, exact=along == "taps" and row % across == 0)

    @property
    def dtype(self) -> str:
        """The dtype of the sums."""
        return "float64" if "float64" in (self.x_dtype, self.w_dtype) else "float32"

    @property
    def lanes(self) -> int:
        """Elements of a vector: those of a register, or fewer where that leaves none unused."""
        if self.across:
            return self.across
        lanes = self.target.lanes(self.dtype)
        while self.outputs is not None and lanes > 4 and lanes // 2 >= self.outputs:
            lanes //= 2
        return lanes

    @property
    def tile(self) -> tuple[int, int]:
        """Places (or vectors of them), and vectors of outputs (or outputs)."""
        if self.across and self.outputs:
            return max(1, min(8, (self.target.registers - 2) // (self.outputs + 1))), self.outputs
        rows, vectors = BASE_TILES[self.target.name][ITEMSIZE[self.dtype]]
        needed = 2 if self.outputs is None else -(-self.outputs // self.lanes)
        wanted = vectors if needed > 3 else needed
        if wanted != vectors:
            free = self.target.registers - 1 - (not self.target.has_fma)
            rows, vectors = min(free // wanted - 1, 14), wanted
        return rows, vectors

    @property
    def width(self) -> int:
        """Outputs in a panel: all vectors of a tile."""
        return self.tile[1] * (1 if self.across else self.lanes)

    @property
    def spot(self) -> int:
        """Sums that belong to a position: a place, or a vector of places."""
        return self.width * max(1, self.across)

    @property
    def tap(self) -> int:
        """Packed weights that belong to a tap, or a vector of taps."""
        return self.width * (self.across if self.along == "taps" else 1)

    def plan(self, g: Geometry) -> ConvPlan:
        """Blocks, chunks, scratch memory and the numbers for these sizes."""
        return _Planner(self, g).plan()


def _parts(size: int, most: int) -> int:
    """The size of equal parts, of ``most`` at most."""
    return -(-size // max(1, -(-size // max(1, most))))


class _Planner:
    """Chooses blocks for one convolution."""

    def __init__(self, conv: Conv, g: Geometry) -> None:
        self.conv = conv
        self.g = g
        self.size = ITEMSIZE[conv.dtype]
        self.rows = conv.tile[0]
        self.split_c = -(-g.channels // g.splits)
        self.block_n, self.sizes = g.batch, list(g.sizes)
        self.block_c, self.taps = max(1, self.split_c), [max(1, k) for k in g.taps]
        self.all_panels = max(1, -(-g.outputs // conv.width))
        self.panels = self.all_panels

    # -- sizes of what lies in the scratch memory ------------------------------------------------------------------
    def spans(self) -> list[int]:
        """How much of the input a block of places and taps touches along each axis."""
        g = self.g
        return [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(self.sizes, g.strides, self.taps, g.dilations)]

    def plane(self) -> int:
        """Elements from one channel to the next: an odd number of cache lines, so that channels keep apart."""
        line = max(1, 64 // self.size)
        return (-(-math.prod(self.spans()) // line) | 1) * line

    def x_bytes(self) -> int:
        return self.block_n * self.block_c * self.plane() * self.size

    def tap_count(self) -> int:
        """Taps of a channel in a block, or vectors of them."""
        row = self.conv.across if self.conv.along == "taps" else 1
        return math.prod(self.taps[:2]) * -(-self.taps[2] // row)

    def panel_bytes(self) -> int:
        return self.block_c * self.tap_count() * self.conv.tap * self.size

    def places(self) -> int:
        """Places in a block, or vectors of them."""
        row = self.conv.across if self.conv.along == "places" else 1
        return self.block_n * math.prod(self.sizes[:2]) * -(-self.sizes[2] // row)

    def sums_bytes(self) -> int:
        return self.places() * self.panels * self.conv.spot * self.size

    # -- choosing --------------------------------------------------------------------------------------------------
    def choose(self) -> None:
        """Shrink the blocks until they fit, in the order that costs least."""
        self.fit_weights()
        self.panels = max(1, min(self.all_panels, W_BYTES // max(1, self.panel_bytes())))
        self.panels = _parts(self.all_panels, self.panels)
        self.fit_places()
        self.share()

    def fit_weights(self) -> None:
        """Fewer channels and taps at a time, if one panel of weights would be too large."""
        one = self.panel_bytes() // self.block_c
        # Sums are brought to memory and back between parts, and only whole weights are kept from block to block.
        most = W_BYTES if self.places() > 8 * self.rows else 4 * W_BYTES
        self.block_c = _parts(self.block_c, max(1, most // max(1, one)))
        for axis in range(3):
            others = self.panel_bytes() // self.taps[axis]
            if self.block_c == 1 and self.panel_bytes() > 4 * W_BYTES:
                self.taps[axis] = _parts(self.taps[axis], max(1, W_BYTES // max(1, others)))
        if self.conv.exact:
            self.taps[2] = -(-self.taps[2] // self.conv.across) * self.conv.across

    def fit_places(self) -> None:
        """Fewer images and places at a time, so that the input and the sums stay in cache."""

        def fits() -> bool:
            return self.x_bytes() <= X_BYTES and self.sums_bytes() <= SUMS_BYTES

        self.shrink(fits, 1)
        while not fits() and self.panels > 1:
            self.panels = _parts(self.all_panels, self.panels - 1)
        if not fits() and self.block_c > 1:
            self.block_c = _parts(self.split_c, max(1, self.block_c // 2))
            self.fit_places()

    def shrink(self, done: Any, least: int) -> None:
        """Halve the block, the batch first, until `done` or until it has no more than `least` places."""
        while not done() and self.block_n > 1 and self.places() >= 2 * least:
            self.block_n = _parts(self.g.batch, self.block_n // 2)
        for axis in range(3):
            while not done() and self.sizes[axis] > 1 and self.places() >= 2 * least:
                before = self.sizes[axis]
                self.sizes[axis] = _parts(self.g.sizes[axis], before // 2)
                if self.sizes[axis] == before:
                    break

    def share(self) -> None:
        """Enough blocks for threads to share, as long as each of them is worth it."""
        enough = min(UNITS, self.g.products // CHUNK_PRODUCTS)
        self.shrink(lambda: self.units() >= enough, 4 * self.rows)

    def counts(self) -> list[int]:
        """Blocks along splits, groups, panels, batch and places."""
        g = self.g
        along = [-(-n // b) for n, b in zip((g.batch, *g.sizes), (self.block_n, *self.sizes)) if b]
        return [g.splits, g.groups, -(-self.all_panels // self.panels), *along]

    def units(self) -> int:
        return math.prod(self.counts())

    # -- the result ------------------------------------------------------------------------------------------------
    def plan(self) -> ConvPlan:
        g = self.g
        if g.batch * g.groups * g.outputs * math.prod(g.sizes) == 0:
            return ConvPlan(0, 0, (0,) * len(NUMBERS))
        self.choose()
        units = self.units()
        chunks = min(units, CHUNKS, max(1, g.products // CHUNK_PRODUCTS))
        grain = -(-units // chunks)
        spans, plane = self.spans(), self.plane()
        names: dict[str, int] = dict(n=g.batch, g=g.groups, o=g.outputs, c=g.channels, units=units, grain=grain)
        for i, axis in enumerate("dhw"):
            names |= {f"out_{axis}": g.sizes[i], f"taps_{axis}": g.taps[i], f"in_{axis}": g.spatial[i]}
            names |= {f"stride_{axis}": g.strides[i], f"dilation_{axis}": g.dilations[i], f"low_{axis}": g.low[i]}
            names |= {f"block_{axis}": self.sizes[i], f"block_t{axis}": self.taps[i]}
        names |= {f"x_{axis}": stride for axis, stride in zip("ngcdhw", g.x_strides)}
        names |= {f"w_{axis}": stride for axis, stride in zip("gocdhw", g.w_strides)}
        names |= dict(block_n=self.block_n, panels=self.panels, block_c=self.block_c, splits=g.splits)
        names |= dict(at_n=self.block_c * plane, at_c=plane, at_d=spans[1] * spans[2], at_h=spans[2])
        names["joined"] = self.joined()
        names, scratch = self.laid_out(names)
        return ConvPlan(-(-units // grain), scratch, tuple(names[name] for name in NUMBERS))

    def joined(self) -> int:
        """How many axes before the last one lie in w as if they were one with it."""
        g, w, run = self.g, self.g.w_strides, self.g.taps[2]
        count = 0
        for axis, size, whole in ((4, g.taps[1], g.taps[2] == self.taps[2]), (3, g.taps[0], g.taps[1] == self.taps[1])):
            if not whole or (size != 1 and w[axis] != run * w[5]):
                return count
            run *= size
            count += 1
        return count + (g.taps[0] == self.taps[0] and w[2] == run * w[5])

    def laid_out(self, names: dict[str, int]) -> tuple[dict[str, int], int]:
        """Where the tables, sums, weights and input lie, and the memory they take together."""
        conv, vector = self.conv, self.conv.lanes * self.size
        places = self.places() + max(self.rows, conv.lanes)
        areas = {
            "taps_at": 8 * places,  # the table of places is at 0
            "square_at": 2 * 8 * self.block_c * self.tap_count(),  # their offsets, and how many a vector has
            "sums_at": conv.lanes * vector,
            "w_at": self.panels * places * conv.spot * self.size,
            "x_at": self.panels * self.panel_bytes() + conv.lanes * conv.tap * self.size,
            "": self.x_bytes() + conv.target.vector_bytes,
        }
        at, out = 0, dict(names, places=places)
        for name, bytes_before in areas.items():
            at += -(-bytes_before // 64) * 64
            out[name] = at
        return out, at


def named(numbers: tuple[int, ...]) -> Mapping[str, int]:
    """The numbers of a plan by name."""
    return dict(zip(NUMBERS, numbers))
