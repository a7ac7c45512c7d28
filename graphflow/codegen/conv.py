"""Convolutions: from a ConvKernel to a generated convolution with the kernel's epilogue in it.

The convolution itself (register tiles, copies, blocks) is ``graphflow_kernels.cpu.conv``; the epilogue is the kernel's
body, emitted for vectors of finished results by the same code that emits loop kernels. Sizes and strides of the
operands are run-time numbers, so convolutions that differ in them share their code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from graphflow.codegen.loops import Arguments, LoopPlan, Work
from graphflow.core.dims import Dim, Size, evaluate
from graphflow.schedule.kernels import ConvKernel, Product

UNKNOWN = 63  # elements that a row of symbolic length is taken to have: some, and not whole vectors of them


class ConvPlan:
    """Sizes, strides and arguments of one convolution, and its text."""

    def __init__(self, kernel: ConvKernel) -> None:
        self.kernel = kernel
        self.arguments = Arguments()
        self.ids = [self.arguments.buffer(access.buffer) for access in (kernel.a, kernel.b)]
        self.offsets = [self.arguments.size(access.offset, always=True) for access in (kernel.a, kernel.b)]
        # The epilogue's axes: perhaps splits; batch and outputs, in this or that order; places.
        first = len(kernel.epilogue.shape) - len(kernel.sizes) - 2
        self.split_axis = 0 if first else None
        self.output_axis = first + (not kernel.outputs_first)
        self.batch_axis = first + kernel.outputs_first
        self.epilogue = LoopPlan(kernel.epilogue, arguments=self.arguments, merge_after=self.output_axis)
        self.text = self._text()
        self.key = hashlib.sha256(self.text.encode()).hexdigest()[:40]

    def _text(self) -> str:
        conv, reads = self.conv, ", ".join(f"b{i}+{p}" for i, p in zip(self.ids, self.offsets))
        axes = f"{len(self.kernel.sizes)} axes, output {self.output_axis}, split {self.split_axis}"
        return f"{conv} {reads} {axes}\n{self.epilogue.text}"

    @cached_property
    def conv(self) -> Any:
        """The generator's description."""
        from graphflow_kernels.cpu.conv_plan import Conv
        from graphflow_kernels.cpu.target import host

        k = self.kernel
        outputs = k.w[1]
        x_unit, w_unit = (access.strides[-1] == 1 for access in (k.a, k.b))
        known = None if isinstance(outputs, Dim) else outputs
        conv = Conv(host(), k.a.buffer.dtype.name, k.b.buffer.dtype.name, known, x_unit, w_unit)
        places, taps = (UNKNOWN if isinstance(n, Dim) else n for n in (k.sizes[-1], k.w[-1]))
        return conv.with_rows(places if k.strides[-1] == 1 else 0, taps if k.dilations[-1] == 1 else 0)

    @property
    def family(self) -> str:
        """What the tile depends on: convolutions of one family share it."""
        return f"conv {self.conv.dtype} {self.conv.along} {self.conv.exact} {self.conv.tile} {self.conv.lanes}"

    def work(self, sizes: Mapping[str, int]) -> Work:
        from graphflow_kernels.cpu.conv_plan import Geometry

        k, rank = self.kernel, len(self.kernel.sizes)

        def known(values: Sequence[Size], fill: int) -> Any:
            """Three numbers for the places: of fewer axes, these are the last ones."""
            return (fill,) * (3 - rank) + tuple(evaluate(v, sizes) for v in values)

        def strides(values: Sequence[Size]) -> Any:
            return (*(evaluate(v, sizes) for v in values[:3]), *known(values[3:], 0))

        batch, groups, channels = (evaluate(s, sizes) for s in k.x[:3])
        geometry = Geometry(
            batch,
            groups,
            evaluate(k.w[1], sizes),
            channels,
            known(k.sizes, 1),
            known(k.w[3:], 1),
            known(k.x[3:], 1),
            strides(k.a.strides),
            strides(k.b.strides),
            known(k.strides, 1),
            known(k.dilations, 1),
            known(k.low, 0),
            k.splits,
        )
        plan = self.conv.plan(geometry)
        return Work(plan.nchunks, list(plan.numbers), plan.scratch_bytes)

    def walked(self) -> int:
        """How many of the last axes of (batch, depth, height, width) the epilogue walks as one."""
        merged = len(self.epilogue.axes[-1].domain)
        return merged + (3 - len(self.kernel.sizes)) if merged > len(self.kernel.sizes) else merged


def emit_conv(plan: ConvPlan, module: Any, symbol: str, target: Any) -> None:
    """Define the kernel's function in the module."""
    from graphflow.codegen.emit_loops import LoopEmitter, Point
    from graphflow_kernels.cpu import conv
    from graphflow_kernels.cpu.conv_plan import NUMBERS

    emitter = LoopEmitter(plan.epilogue, module, symbol, target)
    frame, builder = emitter.frame, emitter.builder
    kernel, body = plan.kernel, plan.kernel.epilogue.body
    products = [i for i, value in enumerate(body) if isinstance(value, Product)]
    first_number = len(plan.arguments.sizes)

    def number(name: str) -> Any:
        return frame.argument(first_number + NUMBERS.index(name))

    def operand(access: Any) -> Any:
        base = frame.pointers[plan.arguments.buffers.index(access.buffer)]
        offset = emitter.size(access.offset, always=True)
        return emitter.scalar_builder.address(base, offset, access.buffer.dtype.name)

    def coordinates(place: Any) -> dict[int, Any]:
        """The coordinate along each axis of the epilogue's nest."""
        domain = {plan.output_axis: place.output.ir, plan.batch_axis: place.image.ir}
        if plan.split_axis is not None:
            domain[plan.split_axis] = place.split.ir
        places = (place.depth.ir, place.height.ir, place.width.ir)[3 - len(kernel.sizes) :]
        first = len(kernel.epilogue.shape) - len(kernel.sizes)
        domain |= {first + i: at for i, at in enumerate(places)}
        coords = {}
        for i, axis in enumerate(plan.epilogue.axes):
            at = domain[axis.domain[0]]
            for inner in axis.domain[1:]:
                size = number(f"out_{'dhw'[inner - len(kernel.epilogue.shape)]}")
                at = builder.add(builder.mul(at, size), domain[inner])
            coords[i] = at
        return coords

    def epilogue(sb: Any, place: Any, values: Any, mask: Any) -> None:
        point = Point(sb, coordinates(place), mask, True)
        for i in products:
            point.values[i] = values
        emitter.store_all(kernel.epilogue.stores, point)

    x, w = operand(kernel.a), operand(kernel.b)
    conv.emit(plan.conv, builder, x, w, frame.begin, frame.end, frame.scratch, epilogue, number, plan.walked())
    builder.ret_void()
