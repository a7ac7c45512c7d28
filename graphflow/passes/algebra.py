"""Algebra that no user can observe: not by rounding, not by a NaN, an infinity, or the sign of a zero.

So there is no ``x * 0 -> 0`` (NaN * 0 is NaN), no ``x + 0.0 -> x`` (-0.0 + 0.0 is 0.0; ``x + -0.0`` is x) and no
``(x + 1.0) + 2.0 -> x + 3.0``. The one exception: small whole powers become multiplications, which may round otherwise
in the last place than ``pow`` does.
"""

from __future__ import annotations

import math

import numpy as np

from graphflow.core.dtypes import make_finfo
from graphflow.ir.graph import Node
from graphflow.passes.engine import Match, Replacement, Rules


def _whole(m: Match) -> bool:
    """Whether the result is an integer or bool, for which addition and multiplication are associative."""
    return not m.root.aval.dtype.is_float


def _regroup(op: str) -> tuple[str, Replacement]:
    """(x op C) op D -> x op (C op D)"""
    ufunc = getattr(np, op)

    def regrouped(m: Match) -> Node | None:
        if not _whole(m):
            return None
        with np.errstate(all="ignore"):  # integers wrap round
            return m.make(op, m.x, ufunc(m.number("C"), m.number("D")))

    return f"{op}({op}(x, C), D)", regrouped


def _minus_constant(m: Match) -> Node:
    with np.errstate(all="ignore"):  # unsigned integers wrap round
        return m.make("multiply", m.x, np.negative(m.number("C")))


def _by_reciprocal(m: Match) -> Node | None:
    """Division by a power of two is multiplication by its reciprocal: both only change the exponent."""
    number = float(m.number("C"))
    if number == 0 or not math.isfinite(number) or abs(math.frexp(number)[0]) != 0.5:
        return None
    limits = make_finfo(m.root.aval.dtype)
    inverse = 1.0 / number
    return m.make("multiply", m.x, inverse) if limits.smallest_normal <= abs(inverse) <= limits.max else None


def _power(m: Match) -> Node | None:
    x, exponent = m.x, m.number("C")
    if exponent == 0:  # 1, for NaN too
        return m.make("broadcast_to", m.make("constant", value=np.ones((), x.aval.dtype.np)), shape=x.aval.shape)
    if exponent == 1:
        return x
    if exponent == 2:
        return m.make("square", x)
    if exponent == 3:
        return m.make("multiply", m.make("square", x), x)
    if exponent == 4:
        return m.make("square", m.make("square", x))
    return m.make("divide", 1.0, x) if exponent == -1 else None


def _size_one(m: Match) -> bool:
    shape = m.x.aval.shape
    return all(shape[a] == 1 for a in m.root.attrs["axes"])


def _only_element(m: Match) -> Node | None:
    """A reduction of one element: the element. (A sum starts from 0.0, so that it gives 0.0 for -0.0.)"""
    if not _size_one(m):
        return None
    x = m.make("reshape", m.x, shape=m.root.aval.shape)
    return m.make("add", x, 0.0) if m.root.op.name == "sum" and x.aval.dtype.is_float else x


def _both_axes(m: Match) -> Node:
    """A reduction of a reduction, over the axes of both."""
    inner, outer = m.r.attrs["axes"], m.root.attrs["axes"]
    left = [a for a in range(m.x.aval.ndim) if a not in inner]
    return m.make(m.root.op.name, m.x, axes=tuple(sorted((*inner, *(left[a] for a in outer)))))


def _whole_both_axes(m: Match) -> Node | None:
    return _both_axes(m) if _whole(m) else None


ARITHMETIC = Rules(
    ("add(x, -0.0)", "x"),
    ("subtract(x, 0.0)", "x"),
    ("subtract(-0.0, x)", "negative(x)"),
    ("multiply(x, 1)", "x"),
    ("multiply(x, -1)", "negative(x)"),
    ("divide(x, 1)", "x"),
    ("divide(x, -1)", "negative(x)"),
    ("divide(x, C)", _by_reciprocal),
    ("reciprocal(x)", "divide(1, x)"),
    ("multiply(x, x)", "square(x)"),
    ("negative(negative(x))", "x"),
    ("subtract(x, negative(y))", "add(x, y)"),
    ("add(x, negative(y))", "subtract(x, y)"),
    ("multiply(negative(x), negative(y))", "multiply(x, y)"),
    ("divide(negative(x), negative(y))", "divide(x, y)"),
    ("multiply(negative(x), C)", _minus_constant),
    ("negative(multiply(x, C))", _minus_constant),
    ("square(negative(x))", "square(x)"),
    ("square(abs(x))", "square(x)"),
    ("pow(x, C)", _power),
    ("gelu(x)", "multiply(x, ndtr(x))"),  # its slope needs the distribution function, too
    _regroup("add"),
    _regroup("multiply"),
)
IDEMPOTENT = Rules(
    ("abs(abs(x))", "abs(x)"),
    ("abs(negative(x))", lambda m: m.make("abs", m.x) if m.x.aval.dtype.kind != "uint" else None),
    ("abs(square(x))", lambda m: m.make("square", m.x) if m.x.aval.dtype.is_float else None),
    ("relu(relu(x))", "relu(x)"),
    ("floor(floor(x))", "floor(x)"),
    ("ceil(ceil(x))", "ceil(x)"),
    ("trunc(trunc(x))", "trunc(x)"),
    ("round(round(x))", "round(x)"),
    ("sign(sign(x))", "sign(x)"),
    ("maximum(x, x)", "x"),
    ("minimum(x, x)", "x"),
)
LOGIC = Rules(
    ("logical_not(logical_not(x))", "x"),  # of bools: another dtype is rejected
    ("logical_and(x, x)", "x"),
    ("logical_or(x, x)", "x"),
    ("logical_and(x, 1)", "x"),
    ("logical_or(x, 0)", "x"),
    ("bitwise_invert(bitwise_invert(x))", "x"),
    ("bitwise_and(x, x)", "x"),
    ("bitwise_or(x, x)", "x"),
    ("where(C, x, y)", lambda m: m.x if m.number("C") else m.y),
    ("where(c, x, x)", "x"),
    ("where(logical_not(c), x, y)", "where(c, y, x)"),
)
REDUCTIONS = Rules(
    *((f"{op}(x)", _only_element) for op in ("sum", "prod", "max", "min", "any", "all")),
    *((f"{op}(r:{op}(x))", _both_axes) for op in ("max", "min", "any", "all")),
    *((f"{op}(r:{op}(x))", _whole_both_axes) for op in ("sum", "prod")),
)
ALGEBRA = ARITHMETIC + IDEMPOTENT + LOGIC + REDUCTIONS
