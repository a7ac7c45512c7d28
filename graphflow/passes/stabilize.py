"""Numerical stabilisation: formulas that overflow, underflow or cancel become equal ones that do not.

The results differ where the formula as written loses digits or gives an infinity or NaN for no good reason;
elsewhere in the last places. Gradients are rewritten too: that of ``log(p)`` divides by p, which is 0 where a softmax
or a sigmoid underflows, only for p to be multiplied back in.

Here e = exp(x), s = sum(e) along some axes, so softmax(x) is p = e / s.
"""

from __future__ import annotations

import numpy as np

from graphflow.core.dims import Shape
from graphflow.ir.graph import Node
from graphflow.passes.engine import Match, Replacement, Rules, builder


# -- what the operands are ---------------------------------------------------------------------------------------------
def total_of(s: Node) -> Node | None:
    """The sum that s is: itself, or reshaped so that it broadcasts against what was summed; None if it is not one."""
    total = s.inputs[0] if s.op.name == "reshape" else s
    if total.op.name != "sum":
        return None
    whole, axes = total.inputs[0].aval.shape, total.attrs["axes"]
    kept = tuple(1 if i in axes else size for i, size in enumerate(whole))
    return total if _without_lead(kept) == _without_lead(s.aval.shape) else None


def _without_lead(shape: Shape) -> Shape:
    """Axes of size 1 in front make no difference to broadcasting."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _is_sum_of(s: Node, e: Node) -> bool:
    total = total_of(s)
    return total is not None and total.inputs[0] is e


def _is_softmax(p: Node) -> bool:
    return p.op.name == "divide" and p.inputs[0].op.name == "exp" and _is_sum_of(p.inputs[1], p.inputs[0])


def _is_shifted(x: Node) -> bool:
    """Whether the maximum was taken off x already."""
    if x.op.name != "subtract":
        return False
    shift = x.inputs[1]
    while shift.op.name in ("reshape", "broadcast_to", "stop_gradient", "where", "cast"):
        shift = shift.inputs[1 if shift.op.name == "where" else 0]
    return shift.op.name == "max"


# -- rewrites too long for a line --------------------------------------------------------------------------------------
def _powers_and_total(m: Match, total: Node) -> tuple[Node, Node, Node]:
    """exp(x - shift), its sum like ``total`` = sum(exp(x)), and the shift, which has axes of size 1.

    The shift is the maximum, so that exp cannot overflow; 0 where that is infinite, so that infinities and NaN come
    out where they did.
    """
    x, axes = total.inputs[0].inputs[0], total.attrs["axes"]
    shape = tuple(1 if i in axes else size for i, size in enumerate(x.aval.shape))
    greatest = m.make("reshape", m.make("max", x, axes=axes), shape=shape)
    zero = m.make("constant", value=np.zeros((), x.aval.dtype.np))
    shift = m.make("where", m.make("isfinite", greatest), greatest, zero)
    powers = m.make("exp", m.make("subtract", x, shift))
    return powers, m.make("sum", powers, axes=axes), shift


def _log_sum_exp(m: Match) -> Node | None:
    """log(sum(exp(x))) -> log(sum(exp(x - shift))) + shift"""
    total = m.s.inputs[0] if m.s.op.name == "reshape" else m.s
    if total.op.name != "sum" or total.inputs[0].op.name != "exp" or _is_shifted(total.inputs[0].inputs[0]):
        return None
    _, total, shift = _powers_and_total(m, total)
    return m.make("add", m.make("log", _like(m, total, m.s)), _like(m, shift, m.s))


def _softmax(m: Match) -> Node | None:
    """exp(x) / sum(exp(x)) -> the same of x - shift"""
    total = total_of(m.s)
    if total is None or total.inputs[0] is not m.e or _is_shifted(m.x):
        return None
    powers, total, _ = _powers_and_total(m, total)
    return m.make("divide", powers, _like(m, total, m.s))


def _like(m: Match, node: Node, shape_of: Node) -> Node:
    shape = shape_of.aval.shape
    return node if node.aval.shape == shape else m.make("reshape", node, shape=shape)


def _softmax_gradient(m: Match) -> Node | None:
    """(g / s + sum(h / s)) * e -> (g + sum(h)) * p, as s is the same along the axes of the sum"""
    inner, outer = total_of(m.u), total_of(m.s)
    if inner is None or outer is None or inner.inputs[0].op.name != "divide" or outer.inputs[0] is not m.e:
        return None
    h, s = inner.inputs[0].inputs
    axes = inner.attrs["axes"]
    if s is not m.s or axes != outer.attrs["axes"]:
        return None
    total = _like(m, m.make("sum", h, axes=axes), m.u)
    return m.make("multiply", m.make("add", m.g, total), m.make("divide", m.e, s))


def _share(m: Match) -> Node | None:
    """g / s * e -> g * p, the gradient of log(s)"""
    return m.make("multiply", m.g, m.make("divide", m.e, m.s)) if _is_sum_of(m.s, m.e) else None


def _reshaped_share(m: Match) -> Node | None:
    """reshape(g / t) * e -> reshape(g) * p, where t is the sum before it is reshaped"""
    if m.t.inputs[0] is not m.e:
        return None
    shape = m.r.aval.shape
    s = m.make("reshape", m.t, shape=shape)
    if not _is_sum_of(s, m.e):
        return None
    g = m.g if m.g.aval == m.t.aval else m.make("broadcast_to", m.g, shape=m.t.aval.shape)
    return m.make("multiply", m.make("reshape", g, shape=shape), m.make("divide", m.e, s))


def _for_softmax(replacement: str) -> Replacement:
    """The replacement, if p is a softmax (so positive: it can be cancelled)."""
    build = builder(replacement)
    return lambda m: build(m) if _is_softmax(m.p) else None


def _soft_plus(m: Match) -> Node | None:
    """log(1 + exp(x)) -> logaddexp(x, 0), unless x is not positive by the way it was made."""
    negative = m.x.op.name == "negative" and m.x.inputs[0].op.name in ("abs", "square")
    return None if negative else m.make("logaddexp", m.x, 0.0)


# -- the rules ---------------------------------------------------------------------------------------------------------
LOGARITHMS = Rules(
    ("log(exp(x))", "x"),
    ("log(sigmoid(x))", "negative(logaddexp(negative(x), 0.0))"),
    ("log(subtract(1, sigmoid(x)))", "negative(logaddexp(x, 0.0))"),
    ("log1p(negative(sigmoid(x)))", "negative(logaddexp(x, 0.0))"),
    ("log(divide(exp(x), s))", "subtract(x, log(s))"),
    ("log(s)", _log_sum_exp),
    ("log(add(exp(x), exp(y)))", "logaddexp(x, y)"),
    ("log(add(x, 1))", "log1p(x)"),
    ("log(subtract(1, x))", "log1p(negative(x))"),
    ("log1p(exp(x))", _soft_plus),
)
EXPONENTIALS = Rules(
    ("subtract(exp(x), 1)", "expm1(x)"),
    ("add(exp(x), -1)", "expm1(x)"),
    ("subtract(1, exp(x))", "subtract(0.0, expm1(x))"),
    ("divide(e:exp(x), add(e, 1))", "sigmoid(x)"),
    ("divide(1, add(exp(negative(x)), 1))", "sigmoid(x)"),
    ("divide(e:exp(x), s)", _softmax),
)
GRADIENTS = Rules(
    ("multiply(add(divide(g, s), u), e:exp(x))", _softmax_gradient),
    ("multiply(divide(g, s), e:exp(x))", _share),
    ("multiply(r:reshape(divide(g, t:sum(e))), e:exp(x))", _reshaped_share),
    ("multiply(divide(g, p), p)", _for_softmax("g")),
    ("multiply(negative(divide(g, p)), p)", _for_softmax("negative(g)")),
    ("multiply(add(divide(g, p), u), p)", _for_softmax("add(g, multiply(u, p))")),
    # p = sigmoid(x), q = 1 - p; the gradient of sigmoid multiplies by p * q
    ("multiply(divide(g, p:sigmoid(x)), multiply(p, q))", "multiply(g, q)"),
    ("multiply(divide(g, q:subtract(1, p:sigmoid(x))), multiply(p, q))", "multiply(g, p)"),
    ("multiply(negative(divide(g, q:subtract(1, p:sigmoid(x)))), multiply(p, q))", "negative(multiply(g, p))"),
    (
        "multiply(subtract(divide(g, p:sigmoid(x)), divide(h, q:subtract(1, p))), multiply(p, q))",
        "subtract(multiply(g, q), multiply(h, p))",
    ),
    (
        "multiply(add(divide(g, p:sigmoid(x)), divide(h, q:subtract(1, p))), multiply(p, q))",
        "add(multiply(g, q), multiply(h, p))",
    ),
)
STABILIZE = LOGARITHMS + EXPONENTIALS + GRADIENTS
