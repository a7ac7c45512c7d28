"""A program as readable text: which ops went into which kernel, over what, and why each kernel ends where it does."""

from __future__ import annotations

from typing import Any

from graphflow.core.dims import shape_str
from graphflow.schedule.kernels import (
    AttentionKernel,
    ContractKernel,
    ConvKernel,
    LibraryKernel,
    LoopKernel,
    Program,
)
from graphflow.schedule.marks import Mark


def describe(program: Program) -> str:
    """One line a kernel, then its inputs, outputs and the user's lines it came from."""
    lines = [f"{len(program.kernels)} kernels, {len(program.nodes)} nodes"]
    for number, kernel in enumerate(program.kernels):
        if isinstance(kernel, Mark):
            lines.append(f"{number:3d} {kernel.region.node.op.name}: {kernel.what}{_steps(kernel)}")
            continue
        lines.append(f"{number:3d} {kernel.kind:<8} {_domain(kernel)}  {_ops(kernel)}")
        reads = ", ".join(dict.fromkeys(f"{b!r} {b.name}".strip() for b in kernel.reads()))
        writes = ", ".join(dict.fromkeys(f"{b!r} {b.name}".strip() for b in kernel.writes()))
        lines.append(f"      {reads or '-'} -> {writes or '-'}")
        origins = dict.fromkeys(f"{n.origin.file.rsplit('/', 1)[-1]}:{n.origin.line}" for n in kernel.nodes if n.origin)
        if origins:
            lines.append(f"      from {', '.join(origins)}")
        if kernel.why:
            lines.append(f"      {kernel.why}")
    return "\n".join(lines)


def _steps(mark: Mark) -> str:
    if mark.flag is not None:
        return f" {mark.flag!r}"
    return f" {mark.region.length} steps" if mark.what == "begin" and mark.region.length is not None else ""


def _domain(kernel: Any) -> str:
    if isinstance(kernel, ContractKernel):
        batch = f"{shape_str(kernel.batch)} x " if kernel.batch else ""
        return f"{batch}{kernel.m}x{kernel.n}x{kernel.k}"
    if isinstance(kernel, ConvKernel):
        parts = f" in {kernel.splits} parts" if kernel.splits > 1 else ""
        return f"{shape_str(kernel.x)} with {shape_str(kernel.w)}{parts}"
    if isinstance(kernel, AttentionKernel):
        return f"{shape_str(kernel.shapes[0])} with {shape_str(kernel.shapes[1])}{' causal' if kernel.causal else ''}"
    if isinstance(kernel, LoopKernel):
        reduced = f" over axes {kernel.reduced}" if kernel.reduced else ""
        return f"{shape_str(kernel.shape)}{reduced}"
    return "" if kernel.output is None else shape_str(kernel.output.shape)


def _ops(kernel: Any) -> str:
    counts: dict[str, int] = {}
    for node in kernel.nodes:
        counts[node.op.name] = counts.get(node.op.name, 0) + 1
    name = kernel.name if isinstance(kernel, LibraryKernel) else ""
    return name or " ".join(f"{op} x{n}" if n > 1 else op for op, n in counts.items())
