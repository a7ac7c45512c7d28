"""The innermost part of a convolution: one register tile of places by outputs, added to sums in memory."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.conv_plan import Conv
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_pack import shared_function
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.types import ITEMSIZE
from graphflow_kernels.cpu.value import Value

I1, I8 = ir.IntType(1), ir.IntType(8)


def conv_tile(conv: Conv, module: ir.Module) -> ir.Function:
    """The function ``tile(x, places, taps, count, w, sums, first, lengths)``.

    For each of `count` taps, the x at ``x + places[i] + taps[k]`` (bytes) times the packed weights of tap k are added
    to row i of the sums, which start from zero if `first`. Where vectors lie along taps, ``lengths[k]`` is how many
    lanes of vector k exist.
    """
    rows, vectors = conv.tile
    kinds = [POINTER, POINTER, POINTER, I64, POINTER, POINTER, I1, POINTER]

    def body(
        builder: ir.IRBuilder, x: Any, places: Any, taps: Any, count: Any, w: Any, sums: Any, first: Any, lengths: Any
    ) -> None:
        v = ScalarBuilder(builder, conv.target, conv.lanes)
        align = ITEMSIZE[conv.dtype] * conv.lanes
        entry = builder.block
        more, head, inside, after = (builder.append_basic_block(n) for n in ("more", "along_taps", "tap", "done"))
        builder.cbranch(first, head, more)
        builder.position_at_end(more)
        spots = [(i * vectors + q) * conv.lanes for i in range(rows) for q in range(vectors)]
        before = [v.load(sums, spot, conv.dtype, align=align).ir for spot in spots]
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(I64)
        totals = [builder.phi(v.llvm_type(conv.dtype)) for _ in spots]
        zero = v.const(0.0, conv.dtype).ir
        for phi, start, added in zip([k, *totals], [I64(0)] + [zero] * len(spots), [I64(0), *before]):
            phi.add_incoming(start, entry)
            phi.add_incoming(added, more)
        builder.cbranch(builder.icmp_signed("<", k, count), inside, after)
        builder.position_at_end(inside)
        offset = builder.load(builder.gep(taps, [k], source_etype=I64), typ=I64)
        here = builder.gep(x, [offset], source_etype=I8)
        weights = v.address(w, builder.mul(k, I64(conv.tap)), conv.dtype)
        before = [v.value(total, conv.dtype) for total in totals]
        if conv.along == "outputs":
            new = _along_outputs(conv, v, here, places, weights, before)
        else:
            new = _along_rows(conv, v, here, places, weights, before, builder.gep(lengths, [k], source_etype=I64))
        for phi, value in zip([k, *totals], [builder.add(k, I64(1)), *(x.ir for x in new)]):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        for spot, phi in zip(spots, totals):
            v.store(v.value(phi, conv.dtype), sums, spot, conv.dtype, align=align)

    name = f"graphflow.conv.{conv.along}{'.exact' * conv.exact}.{rows}x{vectors}x{conv.lanes}.{conv.dtype}"
    return shared_function(module, name, kinds, body)


def _along_outputs(conv: Conv, v: ScalarBuilder, x: Any, places: Any, weights: Any, totals: list[Value]) -> list[Value]:
    """Vectors of weights times one element of x for each place."""
    rows, vectors = conv.tile
    align = ITEMSIZE[conv.dtype] * conv.lanes
    column = [v.load(weights, q * conv.lanes, conv.dtype, align=align) for q in range(vectors)]
    new = []
    for i in range(rows):
        place = v.builder.load(v.builder.gep(places, [I64(i)], source_etype=I64), typ=I64)
        element = v.splat(v.load_element(v.builder.gep(x, [place], source_etype=I8), 0, conv.dtype))
        _keep_order(v.builder)
        new += [v.fma(element, each, total) for each, total in zip(column, totals[i * vectors : (i + 1) * vectors])]
    return new


def _along_rows(
    conv: Conv, v: ScalarBuilder, x: Any, places: Any, weights: Any, totals: list[Value], length: Any
) -> list[Value]:
    """Vectors of x times one weight for each output, or, lane by lane, times a vector of weights for it."""
    rows, outputs = conv.tile
    b = v.builder
    offsets = [b.load(b.gep(places, [I64(i)], source_etype=I64), typ=I64) for i in range(rows)]
    vectors = [v.load(b.gep(x, [offset], source_etype=I8), 0, conv.dtype) for offset in offsets]
    taps = conv.along == "taps"
    exist = v.mask_first(b.load(length, typ=I64)) if taps and not conv.exact else None
    new = dict.fromkeys(range(len(totals)), totals[0])
    for q in range(outputs):
        if taps:
            weight = v.load(weights, q * conv.lanes, conv.dtype)
        else:
            weight = v.splat(v.load_element(weights, q, conv.dtype))
        for i in range(rows):
            total = totals[i * outputs + q]
            more = v.fma(vectors[i], weight, total)
            # What lies behind a row's end may be anything: even times zero it must not be added.
            new[i * outputs + q] = more if exist is None else v.select(exist, more, total)
    return list(new.values())


def _keep_order(builder: ir.IRBuilder) -> None:
    """No load moves across this point.

    Left to itself LLVM loads all elements first, for which there are no registers, and spills the sums.
    """
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)
