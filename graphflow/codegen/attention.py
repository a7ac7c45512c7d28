"""Attention: from an AttentionKernel to a generated kernel with what follows in its epilogue.

The kernel itself (tiles, softmax, copies) is ``graphflow_kernels.cpu.attention``; the epilogue is emitted by the code
that emits loop kernels. Sizes and strides of the operands are run-time numbers, but for the length of a query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from graphflow.codegen.loops import Arguments, LoopPlan, Work
from graphflow.core.dims import Dim, Size, evaluate, product
from graphflow.schedule.kernels import Access, AttentionKernel, Product


class AttentionPlan:
    """Sizes, strides and arguments of one batch of attentions, and their text."""

    def __init__(self, kernel: AttentionKernel) -> None:
        self.kernel = kernel
        self.arguments = Arguments()
        q, k, v = kernel.shapes[:3]
        self.batch, self.queries, self.keys = q[:-2], q[-2], k[-2]
        self.size, self.values = q[-1], v[-1]
        self.stacked = len(kernel.epilogue.shape) > len(q)
        self.operands = [self._operand(*pair) for pair in zip(kernel.shapes, kernel.operands)]
        self.counts = [self.arguments.size(s, always=True) for s in (*self.batch, self.queries, self.keys)]
        self.epilogue = LoopPlan(kernel.epilogue, arguments=self.arguments)
        self.text = self._text()
        self.key = hashlib.sha256(self.text.encode()).hexdigest()[:40]

    def _operand(self, shape: Any, access: Access) -> str:
        """Where an operand is found: its buffer, where it begins, its strides along the batch."""
        arg, lead = self.arguments, len(self.batch) + 2 - len(shape)
        strides = self.batch_strides(access, lead, shape)
        text = " ".join(arg.size(s, always=True) if s != 0 else "0" for s in strides)
        return f"b{arg.buffer(access.buffer)}[{text}]+{arg.size(access.offset, always=True)}"

    def batch_strides(self, access: Access, lead: int, shape: Any) -> list[Size]:
        """Strides along all axes of the batch; a mask may have fewer, and axes of size 1."""
        sizes, strides = shape[:-2], access.strides[:-2]
        return [0] * lead + [0 if not isinstance(n, Dim) and n == 1 else s for n, s in zip(sizes, strides)]

    def _text(self) -> str:
        places = f"{self.counts} {self.operands}"
        return f"{self.attention} {places} {'stacked' if self.stacked else ''}\n{self.epilogue.text}"

    @cached_property
    def attention(self) -> Any:
        """The generator's description."""
        from graphflow_kernels.cpu.attention_plan import Attention
        from graphflow_kernels.cpu.target import host

        k = self.kernel
        size, values = (None if isinstance(s, Dim) else s for s in (self.size, self.values))
        units = tuple(access.strides[-1] == 1 for access in k.operands[: k.own])
        mask: int | None = None
        if len(k.operands) > k.own:
            step = self._along(k.own)[1]
            mask = -1 if isinstance(step, Dim) or step not in (0, 1) else step
        return Attention(host(), k.dtype.name, size, values, units, mask, k.causal, k.backward, k.scale)

    def _along(self, index: int) -> tuple[Size, Size]:
        """Strides of an operand along its last two axes; none along an axis of size 1, which a mask may have."""
        shape, strides = self.kernel.shapes[index][-2:], self.kernel.operands[index].strides[-2:]
        row, column = (0 if not isinstance(n, Dim) and n == 1 else s for n, s in zip(shape, strides))
        return row, column

    def work(self, sizes: Mapping[str, int]) -> Work:
        from graphflow_kernels.cpu.attention_plan import Sizes

        k = self.kernel
        strides = [evaluate(s, sizes) for i in range(k.own) for s in k.operands[i].strides[-2:]]
        strides += [0] * (8 - len(strides))
        strides += [evaluate(s, sizes) for s in self._along(k.own)] if len(k.operands) > k.own else [0, 0]
        known = (product(self.batch), self.queries, self.keys, self.size, self.values)
        plan = self.attention.plan(Sizes(*(evaluate(s, sizes) for s in known)), tuple(strides))
        return Work(plan.nchunks, list(plan.numbers), plan.scratch_bytes)


def emit_attention(plan: AttentionPlan, module: Any, symbol: str, target: Any) -> None:
    """Define the kernel's function in the module."""
    from graphflow.codegen.emit_loops import LoopEmitter, Point
    from graphflow_kernels.cpu import attention
    from graphflow_kernels.cpu.attention_plan import NUMBERS

    emitter = LoopEmitter(plan.epilogue, module, symbol, target)
    frame, builder = emitter.frame, emitter.builder
    kernel, body = plan.kernel, plan.kernel.epilogue.body
    products = [i for i, value in enumerate(body) if isinstance(value, Product)]
    first_number, axes = len(plan.arguments.sizes), len(plan.batch)

    def number(name: str) -> Any:
        return frame.argument(first_number + NUMBERS.index(name))

    places: dict[int, list[Any]] = {}  # of each number that has been taken apart

    def coordinates(batch: Any) -> list[Any]:
        """The number of one attention as coordinates along the axes of the batch."""
        if id(batch) in places:
            return places[id(batch)]
        number, out = batch, places.setdefault(id(batch), [])
        for axis in reversed(range(axes)):
            size = emitter.size(plan.batch[axis], always=True)
            out.insert(0, builder.srem(number, size) if axis else number)
            number = builder.sdiv(number, size) if axis else number
        return out

    def pointer(shape: Any, access: Access) -> Any:
        strides = plan.batch_strides(access, axes + 2 - len(shape), shape)

        def place(batch: Any) -> Any:
            index = emitter.size(access.offset, always=True)
            for at, stride in zip(coordinates(batch.ir), strides):
                if stride != 0:
                    index = builder.add(index, builder.mul(at, emitter.size(stride, always=True)))
            base = frame.pointers[plan.arguments.buffers.index(access.buffer)]
            return emitter.scalar_builder.address(base, index, access.buffer.dtype.name)

        return place

    def epilogue(sb: Any, part: Any, row: Any, column: Any, values: Any, mask: Any, batch: Any) -> None:
        place = [*coordinates(batch.ir), row.ir, column.ir]
        if plan.stacked:
            place.insert(0, part.ir)
        elif kernel.backward:
            keys = emitter.size(plan.keys, always=True)
            below = builder.add(emitter.size(plan.queries, always=True), builder.mul(builder.sub(part.ir, one), keys))
            below = builder.select(builder.icmp_signed("==", part.ir, none), none, below)
            place[-2] = builder.add(row.ir, below)
        point = Point(sb, dict(enumerate(place)), mask, True)
        for i in products:
            point.values[i] = values
        emitter.store_all(kernel.epilogue.stores, point)

    none, one = (emitter.scalar_builder.const(n, "int64").ir for n in (0, 1))
    operands = [pointer(*pair) for pair in zip(kernel.shapes, kernel.operands)]
    attention.emit(plan.attention, builder, operands, frame.begin, frame.end, frame.scratch, epilogue, number)
    builder.ret_void()
