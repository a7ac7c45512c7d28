"""Convolution as LLVM IR: the loop nest around the register tiles, with copying and the caller's epilogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir

from graphflow_kernels.cpu.conv_pack import Numbers, copy_input, fill_table, pack_weights
from graphflow_kernels.cpu.conv_plan import Conv
from graphflow_kernels.cpu.conv_tile import conv_tile
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_pack import transposed
from graphflow_kernels.cpu.loops import Integers, loop
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.types import ITEMSIZE
from graphflow_kernels.cpu.value import Value

I8 = ir.IntType(8)
Box = tuple[Value, Value, Value, Value]
"""Of images (or channels), depth, height and width."""


class Place(NamedTuple):
    """Where finished sums belong: which of several partial sums, output (counted over all groups), image and place."""

    split: Value
    output: Value
    image: Value
    depth: Value
    height: Value
    width: Value


Epilogue = Callable[[ScalarBuilder, Place, Value, "Value | None"], None]
"""``epilogue(b, place, values, mask)``: does with finished sums what is to be done, stores included.

`values` are the sums of one output from `place` on, as many as `b` has lanes (one or a vector), along the last axes
that the caller can walk as one; only the lanes of `mask` exist, where there is one.
"""


def emit(
    conv: Conv,
    builder: ir.IRBuilder,
    x: Any,
    w: Any,
    begin: Any,
    end: Any,
    scratch: Any,
    epilogue: Epilogue,
    number: Callable[[str], Any],
    walked: int = 1,
) -> None:
    """Emit chunks `begin` to `end` (LLVM i64) of a convolution at the builder's position.

    `x` and `w` are the addresses of the operands' first elements, `number` gives an LLVM i64 for each of
    ``conv_plan.NUMBERS``, and `scratch` is memory of this thread, of the size that `Conv.plan` says. `walked` is how
    many of the last axes of (image, depth, height, width) the epilogue can walk as one.
    """
    _Nest(conv, builder, x, w, scratch, epilogue, number, walked).chunks(begin, end)


class _Nest:
    """The function under construction."""

    def __init__(
        self,
        conv: Conv,
        builder: ir.IRBuilder,
        x: Any,
        w: Any,
        scratch: Any,
        epilogue: Epilogue,
        number: Callable[[str], Any],
        walked: int,
    ) -> None:
        self.conv, self.builder, self.epilogue, self.walked = conv, builder, epilogue, walked
        self.x, self.w = x, w
        self.s = ScalarBuilder(builder, conv.target, 1)
        self.v = ScalarBuilder(builder, conv.target, conv.lanes)
        self.ints = Integers(self.s)
        self.number: Numbers = lambda name: self.s.value(number(name), "int64")
        self.rows, self.vectors = conv.tile
        self.size = ITEMSIZE[conv.dtype]

        def area(name: str) -> Any:
            return builder.gep(scratch, [number(name)], source_etype=I8)

        self.places_table, self.taps_table = scratch, area("taps_at")
        self.square, self.sums, self.packed, self.copied = (area(f"{n}_at") for n in ("square", "sums", "w", "x"))
        # What the tables and the packed weights are for, so that they are made anew only when that changes.
        self.kept = {name: [builder.alloca(I64) for _ in range(4)] for name in ("places", "taps", "weights")}
        for slots in self.kept.values():
            for slot in slots:
                builder.store(I64(-1), slot)

    # -- chunks ----------------------------------------------------------------------------------------------------
    def chunks(self, begin: Any, end: Any) -> None:
        """The loop over this call's blocks."""
        s, grain = self.s, self.number("grain")
        first = s.value(begin, "int64") * grain
        last = s.minimum(s.value(end, "int64") * grain, self.number("units"))
        with loop(s, first, last) as unit:
            self.block(unit)

    def block(self, unit: Value) -> None:
        """One block of images, places and outputs; blocks that follow each other share weights."""
        ints, number = self.ints, self.number
        corner, extents = [], []
        for size, block in (("out_w", "block_w"), ("out_h", "block_h"), ("out_d", "block_d"), ("n", "block_n")):
            count = ints.rounded_up(number(size), number(block))
            rest = ints.quotient(unit, count)
            start = (unit - rest * count) * number(block)
            corner.append(start)
            extents.append(self.s.minimum(number(size) - start, number(block)))
            unit = rest
        self.corner: Box = tuple(reversed(corner))  # type: ignore[assignment]
        self.extents: Box = tuple(reversed(extents))  # type: ignore[assignment]
        outputs_in_block = number("panels") * self.conv.width
        count = ints.rounded_up(number("o"), outputs_in_block)
        rest = ints.quotient(unit, count)
        self.output = (unit - rest * count) * outputs_in_block
        self.outputs = self.s.minimum(number("o") - self.output, outputs_in_block)
        self.split = ints.quotient(rest, number("g"))
        self.group = rest - self.split * number("g")
        self.positions = self.make_places()
        self.contract()
        with loop(self.s, 0, self.outputs, self.conv.width) as output:
            {"outputs": self.finish, "places": self.finish_places, "taps": self.finish_taps}[self.conv.along](output)

    @contextmanager
    def changed(self, name: str, *key: Value) -> Iterator[None]:
        """Code for when this key is not the last one."""
        b, slots = self.builder, self.kept[name]
        differs: Any = None
        for slot, value in zip(slots, key):
            here = b.icmp_signed("!=", b.load(slot, typ=I64), value.ir)
            differs = here if differs is None else b.or_(differs, here)
        with b.if_then(differs):
            for slot, value in zip(slots, key):
                b.store(value.ir, slot)
            yield

    def make_places(self) -> Value:
        """The table of where the block's places are in the copied input; how many there are.

        A tile may reach past the last place: there it reads the first one again.
        """
        s, number = self.s, self.number
        n, d, h, w = self.extents
        row = self.conv.across if self.conv.along == "places" else 1
        vectors = self.ints.rounded_up(w, row)
        with self.changed("places", n, d, h, w):
            steps = [number(f"stride_{a}") for a in "dhw"]
            at = [number("at_d"), number("at_h"), s.const(row, "int64")]
            strides = [number("at_n"), *(a * b for a, b in zip(at, steps))]
            box = (n, d, h, vectors)
            count = fill_table(s, self.places_table, box, tuple(x * self.size for x in strides))  # type: ignore[arg-type]
            with loop(s, count, count + self.rows) as i:
                s.store_element(s.const(0, "int64"), self.places_table, i, "int64")
        return n * d * h * vectors

    # -- sums ------------------------------------------------------------------------------------------------------
    def contract(self) -> None:
        """The sums of the block, part by part along channels and taps."""
        number = self.number
        first = self.ints.quotient(self.split * number("c"), number("splits"))
        last = self.ints.quotient((self.split + 1) * number("c"), number("splits"))
        nothing = (last <= first) | (number("taps_d") * number("taps_h") * number("taps_w") <= 0)
        with self.builder.if_then(nothing.ir):
            self.clear()
        with (
            self.parts(first, last, "block_c") as (c, channels),
            self.parts(0, number("taps_d"), "block_td") as (td, depth),
            self.parts(0, number("taps_h"), "block_th") as (th, height),
            self.parts(0, number("taps_w"), "block_tw") as (tw, width),
        ):
            beginning = (c == first) & (td == 0) & (th == 0) & (tw == 0)
            self.part((c, td, th, tw), (channels, depth, height, width), beginning)

    @contextmanager
    def parts(self, start: Any, stop: Value, block: str) -> Iterator[tuple[Value, Value]]:
        """A loop over blocks of a range: where each begins, and how much of it there is."""
        step = self.number(block)
        length = self.s.maximum(stop - start, 0)
        with loop(self.s, 0, self.ints.rounded_up(length, step)) as i:
            here = i * step + start
            yield here, self.s.minimum(stop - here, step)

    def clear(self) -> None:
        """Sums of nothing."""
        count = self.ints.rounded_up(self.outputs, self.conv.width) * self.number("places") * self.conv.spot
        with loop(self.s, 0, count) as i:
            self.s.store_element(self.s.const(0.0, self.conv.dtype), self.sums, i, self.conv.dtype)

    def part(self, tap: Box, extents: Box, beginning: Value) -> None:
        """Add what some channels and taps give to the sums of the block."""
        s, number, conv = self.s, self.number, self.conv
        row = conv.across if conv.along == "taps" else 1
        box = (*extents[:3], self.ints.rounded_up(extents[3], row))
        count = box[0] * box[1] * box[2] * box[3]
        lengths = s.address(self.taps_table, count, "int64")
        with self.changed("taps", *extents):
            gaps = [number(f"dilation_{a}") for a in "dhw"]
            at = [number("at_c"), number("at_d") * gaps[0], number("at_h") * gaps[1], gaps[2] * row]
            fill_table(s, self.taps_table, box, tuple(x * self.size for x in at))  # type: ignore[arg-type]
            if row > 1:
                with loop(s, 0, self.ints.quotient(count, box[3])) as i, loop(s, 0, box[3]) as j:
                    s.store_element(extents[3] - j * row, lengths, i * box[3] + j, "int64")
        self.pack(tap, extents)
        self.copy(tap, extents)
        tile = conv_tile(conv, self.builder.module)
        with loop(s, 0, self.outputs, conv.width) as output, loop(s, 0, self.positions, self.rows) as position:
            panel = self.ints.quotient(output, conv.width)
            places = s.address(self.places_table, position, "int64")
            weights = s.address(self.packed, panel * number("block_c") * self.taps_in_block() * conv.tap, conv.dtype)
            sums = s.address(self.sums, (panel * number("places") + position) * conv.spot, conv.dtype)
            arguments = [self.copied, places, self.taps_table, count.ir, weights, sums, beginning.ir, lengths]
            self.builder.call(tile, arguments)

    def taps_in_block(self) -> Value:
        """Taps of a block for each channel, or vectors of them."""
        row = self.ints.rounded_up(self.number("block_tw"), self.conv.across if self.conv.along == "taps" else 1)
        return self.number("block_td") * self.number("block_th") * row  # type: ignore[no-any-return]

    def pack(self, tap: Box, extents: Box) -> None:
        """The weights of the block, unless the block before has packed the same."""
        s, number, conv = self.s, self.number, self.conv
        c, td, th, tw = tap
        which = (self.split * number("g") + self.group) * number("o") + self.output
        spot = (td * number("taps_h") + th) * number("taps_w") + tw
        with self.changed("weights", which, c, spot), loop(s, 0, self.outputs, conv.width) as output:
            start = self.group * number("w_g") + (self.output + output) * number("w_o") + c * number("w_c")
            start = start + td * number("w_d") + th * number("w_h") + tw * number("w_w")
            each = self.ints.quotient(output * conv.tap, conv.width)
            target = s.address(self.packed, each * number("block_c") * self.taps_in_block(), conv.dtype)
            pack_weights(conv, self.builder, number, self.w, start, self.outputs - output, extents, target)

    def copy(self, tap: Box, extents: Box) -> None:
        """The input that the block's places see through these taps."""
        number = self.number
        start = self.group * number("x_g") + self.corner[0] * number("x_n") + tap[0] * number("x_c")
        first, spans = [start], [self.extents[0]]
        for i, a in enumerate("dhw", 1):
            step, gap = number(f"stride_{a}"), number(f"dilation_{a}")
            first.append(self.corner[i] * step + tap[i] * gap - number(f"low_{a}"))
            spans.append((self.extents[i] - 1) * step + (extents[i] - 1) * gap + 1)
        copy_input(
            self.conv,
            self.builder,
            number,
            self.x,
            tuple(first),
            tuple(spans),  # type: ignore[arg-type]
            self.copied,
            extents[0],
        )

    # -- the epilogue ----------------------------------------------------------------------------------------------
    def finish(self, output: Value) -> None:
        """Hand the finished sums of one panel to the epilogue, run by run of places that lie one after the other."""
        s, number = self.s, self.number
        panel = self.ints.quotient(output, self.conv.width)
        sums = s.address(self.sums, panel * number("places") * self.conv.width, self.conv.dtype)
        outputs = s.minimum(self.outputs - output, self.conv.width)
        n, d, h, w = self.extents
        run, one = w, s.const(1, "int64")
        complete = w == number("out_w")
        lengths: list[Value] = [w]
        for count, extent, whole in ((2, h, "out_h"), (3, d, "out_d"), (4, n, "n")):
            joined = complete if self.walked >= count else s.const(False, "bool")
            run = run * s.select(joined, extent, one)
            lengths.append(s.select(joined, one, extent))
            complete = joined & (extent == number(whole))
        _, height, depth, images = lengths
        with loop(s, 0, images) as i, loop(s, 0, depth) as j, loop(s, 0, height) as k:
            start = ((i * depth + j) * height + k) * run
            place = (self.corner[0] + i, self.corner[1] + j, self.corner[2] + k)
            self.finish_run(sums, start, run, self.output + output, outputs, place)

    def finish_run(
        self, sums: Any, start: Value, run: Value, output: Value, outputs: Value, place: Sequence[Value]
    ) -> None:
        """Turn squares of sums, which are stored place by place, so that each output's places are a vector."""
        s, v, conv, lanes = self.s, self.v, self.conv, self.conv.lanes
        first = self.group * self.number("o") + output
        with loop(s, 0, run, lanes) as p, loop(s, 0, outputs, lanes) as q:
            rows = [v.load(sums, (start + p + r) * conv.width + q, conv.dtype) for r in range(lanes)]
            for row, column in enumerate(transposed(v, rows)):
                v.store(column, self.square, row * lanes, conv.dtype)
            left = run - p

            def hand(b: ScalarBuilder, r: Any, lane: Any, mask: Value | None, p: Value = p, q: Value = q) -> None:
                values = b.load(self.square, r * lanes + lane, conv.dtype)
                where = Place(self.split, first + q + r, *place, self.corner[3] + p + lane)  # type: ignore[call-arg]
                self.epilogue(b, where, values, mask)

            with loop(s, 0, s.minimum(outputs - q, lanes)) as r:
                if conv.target.has_masks:
                    hand(v, r, 0, v.mask_first(left))
                else:
                    with self.builder.if_else((left >= lanes).ir) as (whole, part):
                        with whole:
                            hand(v, r, 0, None)
                        with part, loop(s, 0, left) as lane:
                            hand(s, r, lane, None)

    def finish_places(self, output: Value) -> None:
        """Hand on vectors of places as they are."""
        s, v, conv = self.s, self.v, self.conv
        n, d, h, w = self.extents
        row = self.ints.rounded_up(w, conv.lanes)
        first = self.group * self.number("o") + output
        with loop(s, 0, n) as i, loop(s, 0, d) as j, loop(s, 0, h) as k, loop(s, 0, row) as l:
            position = ((i * d + j) * h + k) * row + l
            left = w - l * conv.lanes
            with loop(s, 0, conv.width) as q:

                def hand(b: ScalarBuilder, lane: Any, mask: Value | None, q: Value = q) -> None:
                    values = b.load(self.sums, (position * conv.width + q) * conv.lanes + lane, conv.dtype)
                    at = self.corner[3] + l * conv.lanes + lane
                    inner = (self.corner[0] + i, self.corner[1] + j, self.corner[2] + k, at)
                    self.epilogue(b, Place(self.split, first + q, *inner), values, mask)

                if conv.target.has_masks:
                    hand(v, 0, v.mask_first(left))
                else:
                    with self.builder.if_else((left >= conv.lanes).ir) as (whole, part):
                        with whole:
                            hand(v, 0, None)
                        with part, loop(s, 0, left) as lane:
                            hand(s, lane, None)

    def finish_taps(self, output: Value) -> None:
        """Add up the lanes of each sum."""
        s, v, conv = self.s, self.v, self.conv
        n, d, h, w = self.extents
        first = self.group * self.number("o") + output
        with (
            loop(s, 0, n) as i,
            loop(s, 0, d) as j,
            loop(s, 0, h) as k,
            loop(s, 0, w) as l,
            loop(s, 0, conv.width) as q,
        ):
            position = ((i * d + j) * h + k) * w + l
            total = v.reduce_sum(v.load(self.sums, (position * conv.width + q) * conv.lanes, conv.dtype))
            inner = (self.corner[0] + i, self.corner[1] + j, self.corner[2] + k, self.corner[3] + l)
            self.epilogue(s, Place(self.split, first + q, *inner), s.value(total.ir, conv.dtype), None)
