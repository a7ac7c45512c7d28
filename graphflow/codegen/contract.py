"""Contractions: from a ContractKernel to a generated matrix product with the kernel's epilogue in it.

The product itself (register tiles, packing, blocks) is ``graphflow_kernels.cpu.gemm``; the epilogue is the kernel's
body, emitted for each finished vector of the result by the same code that emits loop kernels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from graphflow.codegen.loops import Arguments, LoopPlan, Work
from graphflow.core.dims import Dim, Size, evaluate, product
from graphflow.schedule.kernels import Access, ContractKernel, Load, Product

CACHE_LINE = 64
FLOATS = ("float16", "bfloat16", "float32", "float64")


class ContractPlan:
    """Sizes, strides and arguments of one matrix product, and its text."""

    def __init__(self, kernel: ContractKernel) -> None:
        self.kernel = kernel
        self.arguments = Arguments()
        batch = len(kernel.batch)
        self.m_axis, self.n_axis = batch, batch + 1
        a, b = kernel.a.strides, kernel.b.strides
        self.sizes: dict[str, Size] = {"m": kernel.m, "n": kernel.n, "k": kernel.k}
        self.sizes |= {"a_row": a[batch], "a_col": a[batch + 2], "b_row": b[batch + 2], "b_col": b[batch + 1]}
        self.batch_strides = {"a": a[:batch], "b": b[:batch]}
        self.epilogue = LoopPlan(kernel.epilogue, arguments=self.arguments)
        self.text = self._text()
        self.key = hashlib.sha256(self.text.encode()).hexdigest()[:40]

    def _text(self) -> str:
        arg, kernel = self.arguments, self.kernel
        lines = [" ".join(f"{name}={arg.size(size)}" for name, size in self.sizes.items()) + f" parts={kernel.parts}"]
        lines.append(f"batch {' '.join(arg.size(s) for s in kernel.batch)}")
        for name, access in (("a", kernel.a), ("b", kernel.b)):
            strides = " ".join(arg.size(s) for s in self.batch_strides[name])
            offset = "" if access.offset == 0 else f"+{arg.size(access.offset, always=True)}"
            lines.append(f"{name} {access.buffer.dtype} b{arg.buffer(access.buffer)}[{strides}]{offset}")
        return f"contract {kernel.dtype}\n" + "\n".join(lines) + "\n" + self.epilogue.text

    @cached_property
    def gemm(self) -> Any:
        """The generator's description of the product; sizes that are symbolic are left open."""
        from graphflow_kernels.cpu.gemm_plan import Gemm, Layout
        from graphflow_kernels.cpu.target import host

        known = {name: None if isinstance(size, Dim) else size for name, size in self.sizes.items()}
        a = Layout(self.kernel.a.buffer.dtype.name, known["a_row"], known["a_col"])
        b = Layout(self.kernel.b.buffer.dtype.name, known["b_row"], known["b_col"])
        return Gemm(host(), known["m"], known["n"], known["k"], a, b, self.kernel.parts)

    def work(self, sizes: Mapping[str, int]) -> Work:
        batch = evaluate(product(self.kernel.batch), sizes)
        plan = self.gemm.plan(batch, *(evaluate(self.sizes[name], sizes) for name in "mnk"))
        return Work(plan.nchunks, [] if self.gemm.is_known else list(plan.blocks), plan.scratch_bytes)


def can_generate(kernel: ContractKernel) -> bool:
    """Whether the product is of a dtype that matrix kernels are generated for; others are plain loops."""
    return all(a.buffer.dtype.name in FLOATS for a in (kernel.a, kernel.b))


def emit_contract(plan: ContractPlan, module: Any, symbol: str, target: Any) -> None:
    """Define the kernel's function in the module."""
    from graphflow.codegen.emit_loops import LoopEmitter, Point
    from graphflow.codegen.frame import i64
    from graphflow_kernels.cpu import gemm

    emitter = LoopEmitter(plan.epilogue, module, symbol, target)
    frame, builder = emitter.frame, emitter.builder
    body = plan.kernel.epilogue.body
    products = {i: value.part for i, value in enumerate(body) if isinstance(value, Product)}

    def batch_coordinates(number: Any) -> dict[int, Any]:
        coords: dict[int, Any] = {}
        for axis in reversed(range(plan.m_axis)):
            size = emitter.size(plan.kernel.batch[axis])
            coords[axis] = builder.srem(number, size) if axis else number
            number = builder.sdiv(number, size) if axis else number
        return coords

    def pointer(name: str) -> Any:
        access = getattr(plan.kernel, name)

        def place(sb: Any, batch: Any) -> Any:
            index = i64(0) if access.offset == 0 else emitter.size(access.offset, always=True)
            for axis, number in batch_coordinates(batch.ir).items():
                stride = plan.batch_strides[name][axis]
                if stride != 0:
                    index = builder.add(index, builder.mul(number, emitter.size(stride)))
            base = frame.pointers[plan.arguments.buffers.index(access.buffer)]
            return sb.address(base, index, access.buffer.dtype.name)

        return place

    def epilogue(sb: Any, row: Any, column: Any, values: Any, mask: Any, batch: Any) -> None:
        coords = {**batch_coordinates(batch.ir), plan.m_axis: row.ir, plan.n_axis: column.ir}
        point = Point(sb, coords, mask, True)
        for i, part in products.items():
            point.values[i] = values[part] if plan.kernel.parts > 1 else values
        emitter.store_all(plan.kernel.epilogue.stores, point)

    emitter.hoist()
    touched = _rows_touched(plan) if plan.kernel.parts == 1 else []  # of gates, asking takes longer than waiting

    def ahead(sb: Any, row: Any, column: Any, columns: int, batch: Any) -> list[Any]:
        coords = {**batch_coordinates(batch.ir), plan.m_axis: row.ir, plan.n_axis: column.ir}
        lines = []
        for access in touched:
            base, index, _ = emitter.address(access, Point(sb, coords, None, True))
            name = access.buffer.dtype.name
            start = sb.address(base, index, name)
            step = max(1, CACHE_LINE // access.buffer.dtype.itemsize)
            lines += [sb.address(start, line, name) for line in range(0, columns, step)]
        return lines

    run_time = {name: emitter.size(size) for name, size in plan.sizes.items() if isinstance(size, Dim)}
    if not plan.gemm.is_known:
        start = len(plan.arguments.sizes)
        run_time |= {name: frame.argument(start + i) for i, name in enumerate(gemm.Blocks._fields)}
    operands = (pointer("a"), pointer("b"), frame.begin, frame.end, frame.scratch)
    gemm.emit(plan.gemm, builder, *operands, epilogue, run_time, ahead if touched else None)
    builder.ret_void()


def _rows_touched(plan: ContractPlan) -> list[Access]:
    """What the epilogue reads or writes along rows of the result, each buffer once."""
    kernel = plan.kernel.epilogue
    accesses = [s.access for s in kernel.stores] + [v.access for v in kernel.body if isinstance(v, Load)]
    found: dict[Any, Access] = {}
    for access in accesses:
        strides = plan.epilogue.strides[id(access)]
        if strides[plan.n_axis] == 1 and strides[plan.m_axis] != 0:
            found.setdefault(access.buffer, access)
    return list(found.values())
