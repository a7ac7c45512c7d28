"""From kernels to instructions: for each kernel its compile unit, the buffers and sizes it is called with, its chunks.

Nothing here imports LLVM until a unit must be compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.codegen.attention import AttentionPlan, emit_attention
from graphflow.codegen.contract import ContractPlan, can_generate, emit_contract
from graphflow.codegen.conv import ConvPlan, emit_conv
from graphflow.codegen.jit import Unit
from graphflow.codegen.loops import LoopPlan, Work
from graphflow.codegen.user import UserPlan, user_unit
from graphflow.core.dims import Dim, Size, evaluate
from graphflow.schedule.kernels import (
    Access,
    AttentionKernel,
    Buffer,
    Compute,
    ContractKernel,
    ConvKernel,
    HostStep,
    Indirect,
    Kernel,
    LibraryKernel,
    Load,
    LoopKernel,
    Product,
    Reduce,
    Store,
)
from graphflow.schedule.marks import Mark


@dataclass
class Instruction:
    """One call of a native kernel.

    Its arguments are the numbers of its buffers, its symbolic ``sizes``, and what the plan adds for these sizes.
    """

    kernel: Any
    unit: Unit
    buffers: list[Buffer]
    sizes: list[Size]
    plan: Any

    def call(self, numbers: Mapping[Buffer, int], sizes: Mapping[str, int]) -> tuple[list[int], Work]:
        """The i64 arguments and the amount of work for concrete symbolic sizes."""
        work: Work = self.plan.work(sizes)
        return [numbers[b] for b in self.buffers] + [evaluate(s, sizes) for s in self.sizes] + work.arguments, work


class LibraryPlan:
    """How a library kernel is called: shapes follow the buffers, chunks are its own rule."""

    def __init__(self, kernel: LibraryKernel, node: int) -> None:
        self.kernel = kernel
        self.node = node

    def work(self, sizes: Mapping[str, int]) -> Work:
        from graphflow_kernels.cpu.library import chunks

        call = self.kernel.nodes[0]  # its operands may be reshaped views of the buffers
        shapes = [[evaluate(s, sizes) for s in n.aval.shape] for n in (*call.inputs, call)]
        flat = [n for shape in shapes for n in shape]
        return Work(chunks(self.kernel.name, shapes), [self.node + 1, *flat])


def build(kernels: list[Kernel], status: Buffer, numbers: Mapping[Any, int]) -> list[Any]:
    """An Instruction for each kernel (a HostStep and a Mark stay as they are)."""
    out: list[Any] = []
    for kernel in kernels:
        if isinstance(kernel, (HostStep, Mark)):
            out.append(kernel)
        elif isinstance(kernel, LibraryKernel):
            out.append(_library(kernel, status, numbers[kernel.nodes[0]]))
        elif isinstance(kernel, ConvKernel):
            out.append(_conv(kernel))
        elif isinstance(kernel, AttentionKernel):
            out.append(_attention(kernel))
        elif isinstance(kernel, ContractKernel):
            out.append(_contract(kernel) if can_generate(kernel) else _loop(as_loop(kernel), kernel))
        else:
            out.append(_loop(kernel, kernel))
    return out


def _loop(loop: LoopKernel, kernel: Any) -> Instruction:
    plan = LoopPlan(loop)

    def emit(module: Any, symbol: str) -> None:
        from graphflow.codegen.emit_loops import emit_loop
        from graphflow_kernels.cpu.target import host

        emit_loop(plan, module, symbol, host())

    return Instruction(kernel, Unit(plan.key, emit, _name(kernel)), plan.arguments.buffers, plan.arguments.sizes, plan)


def _contract(kernel: ContractKernel) -> Instruction:
    plan = ContractPlan(kernel)

    def emit(module: Any, symbol: str) -> None:
        from graphflow_kernels.cpu.target import host

        emit_contract(plan, module, symbol, host())

    unit = Unit(plan.key, emit, _name(kernel))
    return Instruction(kernel, unit, plan.arguments.buffers, plan.arguments.sizes, plan)


def _conv(kernel: ConvKernel) -> Instruction:
    plan = ConvPlan(kernel)

    def emit(module: Any, symbol: str) -> None:
        from graphflow_kernels.cpu.target import host

        emit_conv(plan, module, symbol, host())

    unit = Unit(plan.key, emit, _name(kernel), family=plan.family)
    return Instruction(kernel, unit, plan.arguments.buffers, plan.arguments.sizes, plan)


def _attention(kernel: AttentionKernel) -> Instruction:
    plan = AttentionPlan(kernel)

    def emit(module: Any, symbol: str) -> None:
        from graphflow_kernels.cpu.target import host

        emit_attention(plan, module, symbol, host())

    unit = Unit(plan.key, emit, _name(kernel))
    return Instruction(kernel, unit, plan.arguments.buffers, plan.arguments.sizes, plan)


def _library(kernel: LibraryKernel, status: Buffer, node: int) -> Instruction:
    import hashlib

    dtypes = [b.dtype.name for b in (*kernel.inputs, kernel.output)]
    text = f"library {kernel.name} {dtypes} {kernel.params!r} {[len(b.shape) for b in (*kernel.inputs, kernel.output)]}"

    key = hashlib.sha256(text.encode()).hexdigest()[:40]
    if kernel.name == "user":
        return Instruction(kernel, user_unit(kernel, key), [*kernel.inputs, kernel.output], [], UserPlan(kernel))

    from graphflow_kernels.cpu.library import KERNELS

    function: Any = KERNELS[kernel.name](dtypes, kernel.params)
    return Instruction(
        kernel,
        Unit.python(key, function, kernel.name),
        [*kernel.inputs, kernel.output, status],
        [],
        LibraryPlan(kernel, node),
    )


def _name(kernel: Any) -> str:
    return "+".join(dict.fromkeys(n.op.name for n in kernel.nodes)) or kernel.kind


def as_loop(kernel: ContractKernel) -> LoopKernel:
    """A contraction as a plain loop kernel over (batch.., m, n, k): multiply, add along k, then the epilogue."""
    from graphflow.core.op import get_op

    epilogue = kernel.epilogue
    rank = len(epilogue.shape)
    loop = LoopKernel((*epilogue.shape, kernel.k), (rank,), nodes=kernel.nodes)
    multiply = get_op("multiply")
    axes = tuple(range(rank + 1))
    loop.body = [
        Load(kernel.a, kernel.dtype),
        Load(kernel.b, kernel.dtype),
        Compute(multiply, (0, 1), (), kernel.dtype, axes),
    ]
    moved: dict[int, int] = {}

    def wider(access: Access) -> Access:
        return Access(access.buffer, (*access.strides, 0), access.offset)

    for i, value in enumerate(epilogue.body):
        new: Any = value
        if isinstance(value, Product):
            new = Reduce("add", 2, kernel.dtype)
        elif isinstance(value, Load):
            new = Load(wider(value.access), value.dtype)
        elif isinstance(value, Indirect):
            new = Indirect(wider(value.access), moved[value.index], value.stride, value.extent, value.dtype, value.node)
        elif isinstance(value, Compute):
            new = Compute(value.op, tuple(moved[a] for a in value.args), value.attrs, value.dtype, value.axes)
        loop.body.append(new)
        moved[i] = len(loop.body) - 1
    loop.stores = [Store(moved[s.value], wider(s.access), s.dtype) for s in epilogue.stores]
    return loop


def is_symbolic(size: Size) -> bool:
    return isinstance(size, Dim)
