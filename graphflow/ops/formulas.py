"""Small formulas under PyTorch's names: elementwise, of matrices, and along an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core.dims import normalize_axis, shape_str
from graphflow.core.dtypes import as_dtype, default_float
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops import creation, elementwise, linalg, logic, mathematical, movement, reduce
from graphflow.ops.creation import beside, literal
from graphflow.ops.define import cast, promote, public
from graphflow.ops.elementwise import abs, maximum, minimum, where
from graphflow.ops.mathematical import log
from graphflow.ops.movement import expand_dims, reshape
from graphflow.ops.spelling import takes_dim
from graphflow.tensor import Tensor, as_tensor


# -- elementwise -----------------------------------------------------------------------------------------------------
@public(methods=("clamp_min",))
def clamp_min(x: Any, min: Any) -> Tensor:
    """x, but at least ``min``."""
    return elementwise.clip(x, min, None)


@public(methods=("clamp_max",))
def clamp_max(x: Any, max: Any) -> Tensor:
    """x, but at most ``max``."""
    return elementwise.clip(x, None, max)


@public(methods=("addcmul",))
def addcmul(x: Any, tensor1: Any, tensor2: Any, *, value: float = 1.0) -> Tensor:
    """x + value * tensor1 * tensor2."""
    product = as_tensor(tensor1) * tensor2
    return as_tensor(x) + (product if value == 1 else product * value)


@public(methods=("addcdiv",))
def addcdiv(x: Any, tensor1: Any, tensor2: Any, *, value: float = 1.0) -> Tensor:
    """x + value * tensor1 / tensor2."""
    return as_tensor(x) + value * (as_tensor(tensor1) / tensor2)


@public(methods=("logit",))
def logit(x: Any, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; x is held ``eps`` away from 0 and 1, if given.

    >>> import graphflow as gf
    >>> gf.logit(gf.tensor(0.5)).item()
    0.0
    """
    x = as_tensor(x) if eps is None else elementwise.clip(x, eps, 1.0 - eps)
    return log(x / (1.0 - x))


@public(methods=("sinc",))
def sinc(x: Any) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
    x = as_tensor(x) * math.pi
    zero = x == 0
    return where(zero, 1.0, mathematical.sin(x) / where(zero, 1.0, x))


@public(methods=("xlogy",))
def xlogy(x: Any, other: Any) -> Tensor:
    """x * log(other), 0 where x is 0."""
    a, b = promote(x, other)
    return a * log(where((a == 0) & ((b <= 0) | (b == math.inf)), 1, b))


@public(methods=("heaviside",))
def heaviside(x: Any, values: Any) -> Tensor:
    """0 where x is negative, 1 where it is positive, ``values`` where it is 0."""
    a, b = promote(x, values)
    return where(a == 0, b, cast(a > 0, a.dtype))


@public(methods=("fmod",))
def fmod(x: Any, other: Any) -> Tensor:
    """The remainder of a division rounded towards zero: it has the sign of x.

    >>> import graphflow as gf
    >>> gf.fmod(gf.tensor([-3.0, 3.0]), 2.0).tolist()
    [-1.0, 1.0]
    """
    a, b = promote(x, other)
    size = elementwise.remainder(abs(a), abs(b))
    return where(a < 0, -size, size)


@public(methods=("frac",))
def frac(x: Any) -> Tensor:
    """x without its whole part, with its sign."""
    x = as_tensor(x)
    return x - elementwise.trunc(x)


@public(methods=("deg2rad",))
def deg2rad(x: Any) -> Tensor:
    """Degrees as radians."""
    return as_tensor(x) * (math.pi / 180.0)


@public(methods=("rad2deg",))
def rad2deg(x: Any) -> Tensor:
    """Radians as degrees."""
    return as_tensor(x) * (180.0 / math.pi)


@public(methods=("fmax",))
def fmax(x: Any, other: Any) -> Tensor:
    """The greater of both; the other one where one is NaN."""
    a, b = promote(x, other)
    return where(logic.isnan(a), b, where(logic.isnan(b), a, maximum(a, b))) if a.dtype.is_float else maximum(a, b)


@public(methods=("fmin",))
def fmin(x: Any, other: Any) -> Tensor:
    """The lesser of both; the other one where one is NaN."""
    a, b = promote(x, other)
    return where(logic.isnan(a), b, where(logic.isnan(b), a, minimum(a, b))) if a.dtype.is_float else minimum(a, b)


@public(methods=("isposinf",))
def isposinf(x: Any) -> Tensor:
    """Whether elements are infinity."""
    return as_tensor(x) == math.inf


@public(methods=("isneginf",))
def isneginf(x: Any) -> Tensor:
    """Whether elements are minus infinity."""
    return as_tensor(x) == -math.inf


@public(methods=("div",))
def div(x: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """x / other, or that rounded: "trunc" towards zero, "floor" down.

    >>> import graphflow as gf
    >>> gf.div(gf.tensor([-7.0, 7.0]), 2.0, rounding_mode="trunc").tolist()
    [-3.0, 3.0]
    """
    if rounding_mode is None:
        return elementwise.divide(x, other)
    if rounding_mode == "floor":
        return elementwise.floor_divide(x, other)
    if rounding_mode != "trunc":
        raise ValueError(at_line(f'rounding_mode is None, "trunc" or "floor", got {rounding_mode!r}', user_origin()))
    a, b = promote(x, other)
    if a.dtype.is_float:
        return elementwise.trunc(a / b)
    size = elementwise.floor_divide(abs(a), abs(b))
    return where((a < 0) != (b < 0), -size, size)


# -- products --------------------------------------------------------------------------------------------------------
@public(methods=("mv",))
def mv(x: Any, vec: Any) -> Tensor:
    """A matrix times a vector."""
    return linalg.matmul(x, vec)


@public(methods=("baddbmm",))
def baddbmm(x: Any, batch1: Any, batch2: Any, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """beta * x + alpha * (batch1 @ batch2), for batches of matrices."""
    product = linalg.bmm(batch1, batch2)
    return as_tensor(x) * beta + (product if alpha == 1 else product * alpha)


@public(methods=("kron",))
def kron(x: Any, other: Any) -> Tensor:
    """The Kronecker product.

    >>> import graphflow as gf
    >>> gf.kron(gf.tensor([1, 10]), gf.tensor([1, 2])).tolist()
    [1, 2, 10, 20]
    """
    a, b = promote(x, other)
    rank = max(a.ndim, b.ndim)
    a, b = (reshape(t, (*(1,) * (rank - t.ndim), *t.shape)) for t in (a, b))
    spread = expand_dims(a, tuple(range(1, 2 * rank, 2))) * expand_dims(b, tuple(range(0, 2 * rank, 2)))
    return reshape(spread, tuple(m * n for m, n in zip(a.shape, b.shape)))


@public(methods=("matrix_power",))
def matrix_power(x: Any, n: int) -> Tensor:
    """A square matrix multiplied by itself, n >= 0 of them."""
    x = as_tensor(x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or n < 0:
        message = f"matrix_power takes square matrices and n >= 0, got {shape_str(x.shape)} and {n}"
        raise ShapeError(at_line(message, user_origin()))
    with beside(x):
        out = movement.broadcast_to(creation.eye(x.shape[-1], dtype=x.dtype), x.shape)
    while n:
        out = linalg.matmul(out, x) if n & 1 else out
        n >>= 1
        x = linalg.matmul(x, x) if n else x
    return out


# -- along an axis ---------------------------------------------------------------------------------------------------
@public
@takes_dim
def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, axis: int = -1) -> Tensor:
    """The integral of samples along an axis by the trapezoidal rule, ``dx`` or x apart.

    >>> import graphflow as gf
    >>> gf.trapezoid(gf.tensor([1.0, 2.0, 3.0])).item()
    4.0
    """
    y = as_tensor(y)
    at = normalize_axis(axis, y.ndim)
    size = y.shape[at]
    both = movement.part(y, at, 0, size - 1) + movement.part(y, at, 1, size - 1)
    if x is None:
        return reduce.sum(both, axis=at) * (dx / 2)
    x = as_tensor(x)
    x = reshape(x, tuple(-1 if a == at else 1 for a in range(y.ndim))) if x.ndim == 1 else x
    apart = movement.part(x, at, 1, size - 1) - movement.part(x, at, 0, size - 1)
    return reduce.sum(both * apart, axis=at) * 0.5


@public
def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None) -> Tensor:
    """``base`` to powers that are evenly spaced from ``start`` to ``end``."""
    kind = default_float if dtype is None else as_dtype(dtype)
    return literal((base ** np.linspace(float(start), float(end), steps)).astype(kind.np))
