"""Runs generated convolutions on NumPy arrays: for tests and benchmarks."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from llvmlite import ir

from graphflow_kernels.cpu import conv as convolution
from graphflow_kernels.cpu.conv_plan import NUMBERS, Conv, Geometry
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.target import Target
from graphflow_kernels.cpu.value import Value
from graphflow_kernels.tools.native import Native
from graphflow_kernels.tools.products import GUARD, GUARD_BYTE

Three = tuple[int, int, int]


def emit_convolution(conv: Conv) -> ir.Module:
    """A module with the function ``kernel`` of the native ABI, which stores (split, output, image, d, h, w).

    The table holds x, w and the result; the arguments are their numbers in the table, then ``NUMBERS``.
    """
    module = ir.Module("convolution")
    signature = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, I64, POINTER])
    function = ir.Function(module, signature, "kernel")
    table, arguments, begin, end, scratch = function.args
    builder = ir.IRBuilder(function.append_basic_block())

    def argument(number: int) -> Any:
        return builder.load(builder.gep(arguments, [I64(number)], source_etype=I64), typ=I64)

    x, w, out = (
        builder.load(builder.gep(table, [argument(number)], source_etype=POINTER), typ=POINTER) for number in range(3)
    )
    numbers = {name: argument(3 + i) for i, name in enumerate(NUMBERS)}

    def store(b: ScalarBuilder, place: convolution.Place, values: Value, mask: Value | None) -> None:
        n = {name: b.value(value, "int64") for name, value in numbers.items()}
        row = (place.split * (n["g"] * n["o"]) + place.output) * n["n"] + place.image
        at = ((row * n["out_d"] + place.depth) * n["out_h"] + place.height) * n["out_w"] + place.width
        b.store(values, out, at, conv.dtype, mask=mask)

    convolution.emit(conv, builder, x, w, begin, end, scratch, store, numbers.__getitem__, walked=4)
    builder.ret_void()
    return module


class Convolution:
    """A compiled convolution of operands like `x` (batch, group, channel, d, h, w) and `w` (group, output, ...)."""

    def __init__(
        self, target: Target, x: np.ndarray, w: np.ndarray, outputs: int | None = None, rows: tuple[int, int] = (0, 0)
    ) -> None:
        x_unit, w_unit = (a.strides[-1] == a.itemsize for a in (x, w))
        self.conv = Conv(target, x.dtype.name, w.dtype.name, outputs, x_unit, w_unit).with_rows(*rows)
        native = Native(emit_convolution(self.conv), target, opt=2)
        self._call = native.function("kernel", *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2, ctypes.c_void_p)

    def prepared(
        self, x: np.ndarray, w: np.ndarray, sizes: Three, strides: Three, low: Three, dilations: Three, splits: int = 1
    ) -> tuple[np.ndarray, Any, Callable[[int, int], None]]:
        """The result (split, output, image, d, h, w) to be, the plan, and ``call(begin, end)``, which does chunks."""
        of_x, of_w = (tuple(n // a.itemsize for n in a.strides) for a in (x, w))
        batch, _, _, *spatial = x.shape
        groups, outputs, channels, *taps = w.shape
        places = (tuple(taps), tuple(spatial), of_x, of_w, strides, dilations, low)
        geometry = Geometry(batch, groups, outputs, channels, sizes, *places, splits)  # type: ignore[arg-type]
        plan = self.conv.plan(geometry)
        out = np.full((splits, groups * outputs, x.shape[0], *sizes), np.nan, self.conv.dtype)
        memory = np.full(plan.scratch_bytes + GUARD + 64, GUARD_BYTE, np.uint8)
        scratch = memory[-memory.ctypes.data % 64 :][: plan.scratch_bytes + GUARD]
        table = np.array([a.ctypes.data for a in (x, w, out)], np.int64)
        arguments = np.array([0, 1, 2, *plan.numbers], np.int64)

        def call(begin: int, end: int) -> None:
            self._call(table.ctypes.data, arguments.ctypes.data, begin, end, scratch.ctypes.data)

        call.keep = (x, w, out, table, arguments, scratch)  # type: ignore[attr-defined]
        return out, plan, call

    def __call__(self, *operands: Any, ranges: Iterable[tuple[int, int]] | None = None, **options: Any) -> np.ndarray:
        out, plan, call = self.prepared(*operands, **options)
        for begin, end in ranges or [(0, plan.nchunks)]:
            call(begin, end)
        scratch = call.keep[-1]  # type: ignore[attr-defined]
        if not (scratch[plan.scratch_bytes :] == GUARD_BYTE).all():
            raise AssertionError("memory behind the scratch memory was written")
        return out


def products(x: np.ndarray, w: np.ndarray, sizes: Three) -> int:
    """Multiplications of a convolution."""
    return int(x.shape[0] * math.prod(sizes) * math.prod(w.shape))
