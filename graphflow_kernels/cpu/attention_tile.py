"""The innermost part of attention: one register tile of a small product, whose operands all lie in scratch memory."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.attention_plan import Attention
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_pack import shared_function
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder

I1 = ir.IntType(1)


def product_tile(attention: Attention, module: ir.Module, vectors: int, turned: bool = False) -> ir.Function:
    """The function ``tile(a, a_step, b, b_step, count, c, c_step, more)``: C = A B for all rows of a tile.

    Rows of B and C are `b_step` and `c_step` elements apart. Rows of A are `a_step` apart, or its columns, if `turned`:
    the others are neighbours. With `more` the products are added to what C holds.
    """
    rows, lanes, dtype = attention.rows, attention.lanes, attention.dtype
    kinds = [POINTER, I64, POINTER, I64, I64, POINTER, I64, I1]

    def body(builder: ir.IRBuilder, a: Any, a_step: Any, b: Any, b_step: Any, *rest: Any) -> None:
        count, c, c_step, more = rest
        v = ScalarBuilder(builder, attention.target, lanes)
        spots = [(r, q) for r in range(rows) for q in range(vectors)]
        places = [v.address(v.address(c, builder.mul(c_step, I64(r)), dtype), q * lanes, dtype) for r, q in spots]
        starts = [v.address(a, r if turned else builder.mul(a_step, I64(r)), dtype) for r in range(rows)]
        entry = builder.block
        add, head, inside, after = (builder.append_basic_block(n) for n in ("add", "along", "product", "done"))
        builder.cbranch(more, add, head)
        builder.position_at_end(add)
        before = [v.load(place, 0, dtype).ir for place in places]
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(I64)
        totals = [builder.phi(v.llvm_type(dtype)) for _ in spots]
        zero = v.const(0.0, dtype).ir
        for phi, fresh, held in zip([k, *totals], [I64(0)] + [zero] * len(spots), [I64(0), *before]):
            phi.add_incoming(fresh, entry)
            phi.add_incoming(held, add)
        builder.cbranch(builder.icmp_signed("<", k, count), inside, after)
        builder.position_at_end(inside)
        row = v.address(b, builder.mul(k, b_step), dtype)
        column = [v.load(row, q * lanes, dtype) for q in range(vectors)]
        new = []
        at = builder.mul(k, a_step) if turned else k
        for r in range(rows):
            element = v.splat(v.load_element(starts[r], at, dtype))
            held = totals[r * vectors : (r + 1) * vectors]
            new += [v.fma(element, x, v.value(total, dtype)).ir for x, total in zip(column, held)]
        for phi, value in zip([k, *totals], [builder.add(k, I64(1)), *new]):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        for place, total in zip(places, totals):
            v.store(v.value(total, dtype), place, 0, dtype)

    name = f"graphflow.attention.{rows}x{vectors}{'.turned' if turned else ''}"
    return shared_function(module, name, kinds, body)
