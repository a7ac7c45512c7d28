"""The innermost part of attention: one register tile of a small product, whose operands all lie in scratch memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from graphflow_kernels.cpu.attention_plan import Attention
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.shared import shared_function

I1 = ir.IntType(1)


class TileShape(NamedTuple):
    """Rows and vectors of columns of C; whether the rows of A or its columns are contiguous; how far apart rows are."""

    rows: int
    vectors: int
    turned: bool = False
    apart: int | None = None  # known rows have constant addresses: one register points to all of them


def product_tile(attention: Attention, module: ir.Module, shape: TileShape) -> ir.Function:
    """The function ``tile(a, a_step, b, b_step, count, c, c_step, more)``: C = A B for all rows of a tile.

    Rows of B and C are `b_step` and `c_step` elements apart. Rows of A are `a_step` apart, or its columns, if `turned`:
    the others are neighbours. With `more` the products are added to what C holds.
    """
    rows, vectors, turned, apart = shape
    lanes, dtype = attention.lanes, attention.dtype
    kinds = [POINTER, I64, POINTER, I64, I64, POINTER, I64, I1]

    def body(builder: ir.IRBuilder, a: Any, a_step: Any, b: Any, b_step: Any, *rest: Any) -> None:
        count, c, c_step, more = rest
        a_step = a_step if apart is None else I64(apart)
        v = ScalarBuilder(builder, attention.target, lanes)
        spots = [(r, q) for r in range(rows) for q in range(vectors)]
        places = [v.address(v.address(c, builder.mul(c_step, I64(r)), dtype), q * lanes, dtype) for r, q in spots]
        starts = [r if turned else r * apart if apart is not None else builder.mul(a_step, I64(r)) for r in range(rows)]
        entry = builder.block
        add, head, inside, after = (builder.append_basic_block(n) for n in ("add", "along", "product", "done"))
        builder.cbranch(more, add, head)
        builder.position_at_end(add)
        before = [v.load(place, 0, dtype).ir for place in places]
        builder.branch(head)
        builder.position_at_end(head)
        k, a_here, b_here = builder.phi(I64), builder.phi(POINTER), builder.phi(POINTER)
        totals = [builder.phi(v.llvm_type(dtype)) for _ in spots]
        zero = v.const(0.0, dtype).ir
        phis = [k, a_here, b_here, *totals]
        for phi, fresh, held in zip(phis, [count, a, b] + [zero] * len(spots), [count, a, b, *before]):
            phi.add_incoming(fresh, entry)
            phi.add_incoming(held, add)
        builder.cbranch(builder.icmp_signed(">", k, I64(0)), inside, after)
        builder.position_at_end(inside)
        column = [v.load(b_here, q * lanes, dtype) for q in range(vectors)]
        new = []
        for r in range(rows):
            element = v.splat(v.load_element(a_here, starts[r], dtype))
            held = totals[r * vectors : (r + 1) * vectors]
            new += [v.fma(element, x, v.value(total, dtype)).ir for x, total in zip(column, held)]
        a_next = v.address(a_here, a_step if turned else 1, dtype)
        b_next = v.address(b_here, b_step, dtype)
        for phi, value in zip(phis, [builder.sub(k, I64(1)), a_next, b_next, *new]):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        for place, total in zip(places, totals):
            v.store(v.value(total, dtype), place, 0, dtype)

    content = (attention.target.name, dtype, *shape)
    return shared_function(module, "attention", kinds, body, content)
