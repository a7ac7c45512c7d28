"""Elementwise arithmetic, rounding, order and selection.

Comparisons and bits are in logic.py, exponentials to erf in mathematical.py. One call to ``elementwise`` is one op; a
gradient rule takes ``(g, out, *inputs)`` and is written in the functions of these files.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import broadcast_shapes
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import bool_, make_iinfo
from graphflow.core.errors import DTypeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.define import cast, elementwise, primitive, promote, public
from graphflow.tensor import Operators, Tensor, as_tensor


def zero_gradient(g: Tensor, out: Tensor, *xs: Tensor) -> tuple[Tensor, ...]:
    """The rule of step functions: flat wherever they have a derivative, so zeros, as in PyTorch."""
    from graphflow.ops.creation import zeros_like

    return tuple(zeros_like(x) for x in xs)


def needs_gradient(x: Tensor) -> bool:
    """Whether a gradient for ``x`` can be used. Rules with costly gradients ask; in graphs unused ones are dropped."""
    return x._node is not None or x.requires_grad


def _is_whole(x: Any) -> bool:
    return x.dtype.kind in "biu"


# -- arithmetic ------------------------------------------------------------------------------------------------------
add = elementwise(
    "add",
    np.add,
    lambda b, x, y: x + y,
    lambda g, out, x, y: (g, g),
    arity=2,
    dtypes="any",
    methods=("__add__", "add"),
    reflected="__radd__",
    commutative=True,
    doc="x1 + x2 (logical or of bools).",
)
subtract = elementwise(
    "subtract",
    np.subtract,
    lambda b, x, y: x - y,
    lambda g, out, x, y: (g, -g),
    arity=2,
    methods=("__sub__", "sub", "subtract"),
    reflected="__rsub__",
    doc="x1 - x2.",
)
multiply = elementwise(
    "multiply",
    np.multiply,
    lambda b, x, y: x * y,
    lambda g, out, x, y: (g * y, g * x),
    arity=2,
    dtypes="any",
    methods=("__mul__", "mul", "multiply"),
    reflected="__rmul__",
    commutative=True,
    doc="x1 * x2 (logical and of bools).",
)
divide = elementwise(
    "divide",
    np.divide,
    lambda b, x, y: x / y,
    lambda g, out, x, y: (g / y, -g * out / y),
    arity=2,
    dtypes="float",
    methods=("__truediv__", "div", "divide", "true_divide"),
    reflected="__rtruediv__",
    low=0.5,
    cost=4,
    doc="x1 / x2; integers are divided as float32.",
)
floor_divide = elementwise(
    "floor_divide",
    np.floor_divide,
    lambda b, x, y: x // y,
    zero_gradient,
    arity=2,
    methods=("__floordiv__", "floor_divide"),
    reflected="__rfloordiv__",
    low=1.0,
    high=6.0,
    cost=8,
    doc="floor(x1 / x2); an integer divided by zero gives 0.",
)
remainder = elementwise(
    "remainder",
    np.remainder,
    lambda b, x, y: x % y,
    lambda g, out, x, y: (g, -g * floor_divide(x, y)),
    arity=2,
    methods=("__mod__", "remainder"),
    reflected="__rmod__",
    low=1.0,
    high=6.0,
    cost=8,
    doc="The remainder of floor_divide, with the sign of x2; an integer modulo zero gives 0.",
)
negative = elementwise(
    "negative",
    np.negative,
    lambda b, x: -x,
    lambda g, out, x: (-g,),
    methods=("__neg__", "neg", "negative"),
    doc="-x.",
)
sign = elementwise(
    "sign",
    np.sign,
    lambda b, x: b.sign(x),
    zero_gradient,
    methods=("sign",),
    doc="-1, 0 or 1; NaN stays NaN.",
)
abs = elementwise(
    "abs",
    np.abs,
    lambda b, x: b.abs(x),
    lambda g, out, x: (g * sign(x),),
    methods=("__abs__", "abs", "absolute"),
    doc="The absolute value. Its gradient at 0 is 0.",
)
square = elementwise(
    "square",
    np.square,
    lambda b, x: x * x,
    lambda g, out, x: (g * (x * 2),),
    methods=("square",),
    doc="x * x.",
)
sqrt = elementwise(
    "sqrt",
    np.sqrt,
    lambda b, x: b.sqrt(x),
    lambda g, out, x: (g / (out * 2),),
    dtypes="float",
    methods=("sqrt",),
    low=0.1,
    cost=4,
    doc="The square root; NaN below zero.",
)
reciprocal = elementwise(
    "reciprocal",
    lambda x: np.divide(1, x, dtype=x.dtype),
    lambda b, x: b.reciprocal(x),
    lambda g, out, x: (-g * square(out),),
    dtypes="float",
    methods=("reciprocal",),
    low=0.5,
    cost=4,
    doc="1 / x.",
)
rsqrt = elementwise(
    "rsqrt",
    lambda x: np.divide(1, np.sqrt(x), dtype=x.dtype),
    lambda b, x: b.rsqrt(x),
    lambda g, out, x: (g * (out * out * out) * -0.5,),
    dtypes="float",
    methods=("rsqrt",),
    low=0.2,
    cost=8,
    doc="1 / sqrt(x).",
)


def _power_ref(x: Any, y: Any) -> Any:
    if not _is_whole(x):
        return np.power(x, y)
    # NumPy refuses negative integer exponents. What is left of 1 / x**n in integers: 1 for 1, +-1 for -1, else 0.
    powers = np.power(x, np.maximum(y, 0))
    inverses = np.where(x == 1, 1, np.where(x == -1, np.where(y % 2 == 0, 1, -1), 0))
    return np.where(y < 0, inverses, powers) if y.dtype.kind == "i" else powers


def _power_vjp(g: Tensor, out: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor | None, ...]:
    from graphflow.ops.mathematical import log

    dx = where(y == 0, 0.0, g * y * power(x, y - 1)) if needs_gradient(x) else None
    dy = where((x == 0) & (y >= 0), 0.0, g * out * log(where(x == 0, 1.0, x))) if needs_gradient(y) else None
    return dx, dy


power = elementwise(
    "pow",
    _power_ref,
    lambda b, x, y: b.pow(x, y),
    _power_vjp,
    arity=2,
    reflected="__rpow__",
    low=0.3,
    cost=32,
)


@public(methods=("__pow__", "pow"))
def pow(x1: Any, x2: Any, /) -> Tensor:
    """x1 to the power x2.

    Integers to negative powers give the whole part of the result. ``x ** 2`` is ``square(x)``.

    >>> import graphflow as gf
    >>> gf.pow(gf.tensor([1.0, 2.0]), 3.0).numpy()
    array([1., 8.], dtype=float32)
    """
    if type(x2) in (int, float) and x2 == 2 and not isinstance(x1, (int, float)):
        x = as_tensor(x1)
        if x.dtype.is_float or (x.dtype.is_int and type(x2) is int):
            return square(x)
    return power(x1, x2)


@public(methods=("__pos__", "positive"))
def positive(x: Any, /) -> Tensor:
    """x itself.

    >>> import graphflow as gf
    >>> (+gf.tensor(1.5)).item()
    1.5
    """
    x = as_tensor(x)
    if x.dtype is bool_:
        raise DTypeError(at_line("positive takes numeric tensors, got bool", user_origin()))
    return x


# -- rounding --------------------------------------------------------------------------------------------------------
def _rounding(name: str, ref: Any, emit: Any, doc: str) -> Any:
    return elementwise(
        name,
        lambda x: x if _is_whole(x) else ref(x),
        emit,
        zero_gradient,
        methods=(name, f"__{name}__"),
        doc=f"{doc} Integers stay as they are.",
    )


floor = _rounding("floor", np.floor, lambda b, x: b.floor(x), "The greatest whole number not above x.")
ceil = _rounding("ceil", np.ceil, lambda b, x: b.ceil(x), "The least whole number not below x.")
trunc = _rounding("trunc", np.trunc, lambda b, x: b.trunc(x), "x without its fraction.")
round = _rounding("round", np.rint, lambda b, x: b.round(x), "The nearest whole number, ties to even.")


# -- order and selection ---------------------------------------------------------------------------------------------
def _extremum_vjp(g: Tensor, out: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where both are equal each gets half, as in PyTorch; a NaN operand lets the gradient through to both."""
    half = where(x == y, g * 0.5, g)
    return where(x == out, half, where(y == out, 0.0, half)), where(y == out, half, where(x == out, 0.0, half))


minimum = elementwise(
    "minimum",
    np.minimum,
    lambda b, x, y: b.minimum(x, y),
    _extremum_vjp,
    arity=2,
    methods=("minimum",),
    commutative=True,
    doc="The lesser of the two; NaN if either is NaN. Equal operands share the gradient.",
)
maximum = elementwise(
    "maximum",
    np.maximum,
    lambda b, x, y: b.maximum(x, y),
    _extremum_vjp,
    arity=2,
    methods=("maximum",),
    commutative=True,
    doc="The greater of the two; NaN if either is NaN. Equal operands share the gradient.",
)
relu = elementwise(
    "relu",
    lambda x: np.maximum(x, np.zeros(x.shape, x.dtype)),  # NumPy is slow where one operand is a number
    lambda b, x: b.maximum(x, 0),
    lambda g, out, x: (where(out <= 0, 0.0, g),),
    methods=("relu",),
    doc="maximum(x, 0). Its gradient at 0 is 0.",
)


def _clip_vjp(g: Tensor, out: Tensor, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, ...]:
    """Inside and on the bounds the gradient is x's, beyond them the bound's; crossed bounds always give ``high``."""
    above = (x > high) | (low > high)
    below = (x < low) & ~above
    return where(above | below, 0.0, g), where(below, g, 0.0), where(above, g, 0.0)


clip_between = elementwise(
    "clip",
    lambda x, low, high: np.minimum(np.maximum(x, low), high),
    lambda b, x, low, high: b.minimum(b.maximum(x, low), high),
    _clip_vjp,
    arity=3,
    samples=lambda: [Sample(((3, 4), (), (4,))), Sample(((2, 3), (2, 3), (2, 3))), Sample(((0,), (), ()))],
)


@public(methods=("clip", "clamp"))
def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """x held between ``min`` and ``max`` (tensors or numbers that broadcast; None for no bound).

    The gradient passes where ``min <= x <= max``, bounds included.

    >>> import graphflow as gf
    >>> gf.clip(gf.tensor([-2.0, 0.5, 9.0]), 0, 1).numpy()
    array([0. , 0.5, 1. ], dtype=float32)
    """
    x = as_tensor(x)
    if min is None and max is None:
        return positive(x)
    least, greatest = (-math.inf, math.inf) if x.dtype.is_float else (None, None)
    if least is None:
        limits = make_iinfo(x.dtype)
        least, greatest = limits.min, limits.max
    return clip_between(x, least if min is None else min, greatest if max is None else max)


def _where_infer(condition: AVal, x: AVal, y: AVal) -> AVal:
    if condition.dtype is not bool_:
        raise DTypeError(f"the condition must be bool, got {condition.dtype}")
    if x.dtype is not y.dtype:
        raise DTypeError(f"both choices must have one dtype, got {x.dtype} and {y.dtype}")
    return AVal(broadcast_shapes(condition.shape, x.shape, y.shape), x.dtype)


def _where_samples() -> list[Sample]:
    mask = np.array([[True, False, True], [False, False, True]])
    return [
        Sample((mask, (2, 3), (2, 3))),
        Sample((mask, (), (3,))),
        Sample((np.array(True), (2, 1), (3,))),
        Sample((np.zeros((0, 3), bool), (0, 3), ())),
    ]


WHERE = primitive(
    "where",
    "map",
    _where_infer,
    np.where,
    lambda g, out, condition, x, y: (None, where(condition, g, 0.0), where(condition, 0.0, g)),
    lambda b, condition, x, y: b.select(condition, x, y),
    samples=_where_samples,
    doc="x1 where the condition holds, else x2.",
)


@public
def where(condition: Any, x1: Any, x2: Any, /) -> Tensor:
    """x1 where ``condition`` holds, else x2; all three broadcast.

    A condition that is not bool is true where it is not zero.

    >>> import graphflow as gf
    >>> gf.where(gf.tensor([True, False]), 1.0, gf.tensor([5.0, 6.0])).numpy()
    array([1., 6.], dtype=float32)
    """
    condition = as_tensor(condition)
    if condition.dtype is not bool_:
        condition = cast(condition, bool_)
    x1, x2 = promote(x1, x2)
    return apply(WHERE, (condition, x1, x2), {})  # type: ignore[no-any-return]


# PyTorch's method: the tensor itself is what is taken where the condition holds.
Operators.where = lambda self, condition, other: where(condition, self, other)  # type: ignore[attr-defined]
