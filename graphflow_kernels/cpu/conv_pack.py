"""What a convolution copies before it computes: weights into panels, input with zeros around it; and the tables."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.conv_plan import Conv
from graphflow_kernels.cpu.gemm_pack import transposed
from graphflow_kernels.cpu.loops import Integers, loop
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.types import ITEMSIZE
from graphflow_kernels.cpu.value import Value

Numbers = Any
"""``numbers(name)`` gives a number of the plan as an int64 value."""
Four = tuple[Value, Value, Value, Value]


def fill_table(s: ScalarBuilder, table: Any, extents: Four, strides: Four) -> Value:
    """Write the offset of each point of a box, in row-major order; the number of points."""
    n, d, h, w = extents
    at_n, at_d, at_h, at_w = strides
    with loop(s, 0, n) as i, loop(s, 0, d) as j, loop(s, 0, h) as k:
        row = ((i * d + j) * h + k) * w
        start = i * at_n + j * at_d + k * at_h
        with loop(s, 0, w) as l:
            s.store_element(start + l * at_w, table, row + l, "int64")
    return n * d * h * w


def copy_input(
    conv: Conv,
    builder: ir.IRBuilder,
    number: Numbers,
    source: Any,
    first: Four,
    extents: Four,
    target: Any,
    channels: Value,
) -> None:
    """Copy images and `channels` of x, zeros where it has no elements.

    ``first`` is the first image's channel as an index of x, and the input's place there; ``extents`` are the images and
    the places.
    """
    s = ScalarBuilder(builder, conv.target, 1)
    v = ScalarBuilder(builder, conv.target, conv.target.lanes(conv.dtype))
    start, d0, h0, w0 = first
    images, depth, height, width = extents
    number_of_lane = v.iota("int32")
    with loop(s, 0, images) as n, loop(s, 0, channels) as c, loop(s, 0, depth) as d, loop(s, 0, height) as h:
        inside = _within(s, d0 + d, number("in_d")) & _within(s, h0 + h, number("in_h"))
        length = s.select(inside, number("in_w"), s.const(0, "int64"))
        row = start + n * number("x_n") + c * number("x_c") + (d0 + d) * number("x_d") + (h0 + h) * number("x_h")
        to = n * number("at_n") + c * number("at_c") + d * number("at_d") + h * number("at_h")
        with loop(s, 0, width, v.lanes) as w:
            place = w0 + w
            places = v.splat(s.cast(place, "int32")) + number_of_lane
            mask = _below(v, places, s.cast(length, "int32"))
            if conv.x_unit:
                whole = (place >= 0) & (place + v.lanes <= length)
                values = _load(v, source, row + place, conv.x_dtype, mask, whole)
            else:
                indices = (v.splat(place) + v.iota("int64")) * v.splat(number("x_w")) + v.splat(row)
                values = v.gather(source, indices, conv.x_dtype, mask)
            v.store(values, target, to + w, conv.dtype)


def _within(s: ScalarBuilder, place: Value, size: Value) -> Value:
    return (place >= 0) & (place < size)


def _below(v: ScalarBuilder, places: Value, length: Value) -> Value:
    """0 <= place < length in each lane, as one comparison of unsigned numbers."""
    return v.value(v.builder.icmp_unsigned("<", places.ir, v.splat(v.value(length.ir, "int32")).ir), "bool")


def _load(v: ScalarBuilder, source: Any, index: Value, dtype: str, mask: Value, whole: Value) -> Value:
    """The elements of the mask, zeros in the other lanes."""
    if v.target.has_masks and ITEMSIZE[dtype] >= 4:
        return v.load(source, index, dtype, mask=mask)
    # Without such an instruction a masked load is a branch per lane: only where it is needed.
    builder = v.builder
    full, part, after = (builder.append_basic_block(name) for name in ("whole", "part", "loaded"))
    builder.cbranch(whole.ir, full, part)
    values = []
    for block, chosen in ((full, None), (part, mask)):
        builder.position_at_end(block)
        values.append((v.load(source, index, dtype, mask=chosen), builder.block))
        builder.branch(after)
    builder.position_at_end(after)
    phi = builder.phi(values[0][0].ir.type)
    for value, block in values:
        phi.add_incoming(value.ir, block)
    return v.value(phi, values[0][0].dtype)


def pack_weights(
    conv: Conv,
    builder: ir.IRBuilder,
    number: Numbers,
    source: Any,
    start: Value,
    outputs: Value,
    extents: Four,
    target: Any,
) -> None:
    """One panel of weights: for each channel and tap of ``extents``, the weights of a tile's outputs side by side.

    ``start`` is the index in w of the first output's first weight, ``outputs`` how many there are from there on.
    """
    s, v = ScalarBuilder(builder, conv.target, 1), ScalarBuilder(builder, conv.target, conv.lanes)
    if conv.across:
        _pack_rows(conv, s, v, number, source, start, extents, target)
        return
    c, d, h, w = extents
    joined = number("joined")
    one = s.const(1, "int64")
    # Axes that lie in memory as one with the last are walked as one.
    run = w * s.select(joined >= 1, h, one) * s.select(joined >= 2, d, one) * s.select(joined >= 3, c, one)
    c, d, h = s.select(joined >= 3, one, c), s.select(joined >= 2, one, d), s.select(joined >= 1, one, h)
    with loop(s, 0, conv.tile[1]) as q:
        first = q * conv.lanes
        rows = v.minimum(v.iota("int64") + v.splat(first), v.splat(outputs - 1)) * v.splat(number("w_o"))
        to = s.address(target, first, conv.dtype)
        with loop(s, 0, c) as i, loop(s, 0, d) as j, loop(s, 0, h) as k:
            begin = start + i * number("w_c") + j * number("w_d") + k * number("w_h")
            place = ((i * d + j) * h + k) * run
            if conv.w_unit:
                _transpose_run(conv, s, v, source, rows, begin, run, to, place)
            else:
                with loop(s, 0, run) as l:
                    values = v.gather(source, rows + v.splat(begin + l * number("w_w")), conv.w_dtype)
                    v.store(values, to, (place + l) * conv.width, conv.dtype)


def _pack_rows(
    conv: Conv,
    s: ScalarBuilder,
    v: ScalarBuilder,
    number: Numbers,
    source: Any,
    start: Value,
    extents: Four,
    target: Any,
) -> None:
    """The weights of a tap, or vectors of taps, output by output."""
    c, d, h, w = extents
    step = conv.across if conv.along == "taps" else 1
    row = Integers(s).rounded_up(w, step)
    with (
        loop(s, 0, conv.width) as output,
        loop(s, 0, c) as i,
        loop(s, 0, d) as j,
        loop(s, 0, h) as k,
        loop(s, 0, row) as l,
    ):
        at = start + output * number("w_o") + i * number("w_c") + j * number("w_d") + k * number("w_h")
        to = (((i * d + j) * h + k) * row + l) * conv.tap + output * step
        if step == 1:
            s.store_element(s.load_element(source, at + l * number("w_w"), conv.w_dtype), target, to, conv.dtype)
        else:
            left = w - l * step
            if conv.w_unit:
                values = _load(v, source, at + l * step, conv.w_dtype, v.mask_first(left), left >= step)
            else:
                places = (v.splat(l * step) + v.iota("int64")) * v.splat(number("w_w")) + v.splat(at)
                values = v.gather(source, places, conv.w_dtype, v.mask_first(left))
            v.store(values, target, to, conv.dtype)


def _transpose_run(
    conv: Conv,
    s: ScalarBuilder,
    v: ScalarBuilder,
    source: Any,
    rows: Value,
    begin: Value,
    run: Value,
    to: Any,
    place: Value,
) -> None:
    """Weights that are adjacent in memory: squares are transposed in registers.

    Whole squares are written; what is too much is written over by the next run.
    """
    starts = [v.lane(rows, r) + begin for r in range(v.lanes)]
    with loop(s, 0, run, v.lanes) as l:
        mask = v.mask_first(run - l)
        whole = run - l >= v.lanes
        square = [_load(v, source, start + l, conv.w_dtype, mask, whole) for start in starts]
        for r, column in enumerate(transposed(v, square)):
            v.store(column, to, (place + l + r) * conv.width, conv.dtype)
