"""Elementwise exponentials, logarithms, trigonometric, hyperbolic and error functions, on floating-point tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.ops import _numpy_special as special
from graphflow.ops.define import elementwise
from graphflow.ops.elementwise import reciprocal, rsqrt, sign, square, where, zero_gradient
from graphflow.tensor import Tensor

LN2, LN10 = math.log(2.0), math.log(10.0)


def _float(name: str, ref: Any, emit: Any, vjp: Any, doc: str, cost: int = 16, **options: Any) -> Callable[..., Tensor]:
    return elementwise(name, ref, emit, vjp, dtypes="float", cost=cost, doc=doc, **{"methods": (name,), **options})


# -- exponentials and logarithms -------------------------------------------------------------------------------------
exp = _float("exp", np.exp, lambda b, x: b.exp(x), lambda g, out, x: (g * out,), "e to the power x.")
exp2 = _float("exp2", special.exp2, lambda b, x: b.exp2(x), lambda g, out, x: (g * out * LN2,), "2 to the power x.")
expm1 = _float(
    "expm1",
    np.expm1,
    lambda b, x: b.expm1(x),
    lambda g, out, x: (g * (out + 1),),
    "exp(x) - 1, accurate near 0.",
)
log = _float("log", np.log, lambda b, x: b.log(x), lambda g, out, x: (g / x,), "The natural logarithm.", low=0.2)
log1p = _float(
    "log1p",
    np.log1p,
    lambda b, x: b.log1p(x),
    lambda g, out, x: (g / (x + 1),),
    "log(1 + x), accurate near 0.",
    low=-0.8,
)
log2 = _float(
    "log2", np.log2, lambda b, x: b.log2(x), lambda g, out, x: (g / (x * LN2),), "The logarithm to base 2.", low=0.2
)
log10 = _float(
    "log10",
    np.log10,
    lambda b, x: b.log10(x),
    lambda g, out, x: (g / (x * LN10),),
    "The logarithm to base 10.",
    low=0.2,
)
logaddexp = _float(
    "logaddexp",
    np.logaddexp,
    lambda b, x, y: b.logaddexp(x, y),
    lambda g, out, x, y: (g * _share(x, y), g * _share(y, x)),
    "log(exp(x1) + exp(x2)) without overflow.",
    cost=48,
    arity=2,
    commutative=True,
)


def _share(x: Tensor, y: Tensor) -> Tensor:
    """exp(x) / (exp(x) + exp(y)); equal infinities share evenly."""
    return sigmoid(where(x == y, 0.0, x - y))


sigmoid = _float(
    "sigmoid",
    special.sigmoid,
    lambda b, x: b.sigmoid(x),
    lambda g, out, x: (g * (out * (1 - out)),),
    "1 / (1 + exp(-x)).",
    cost=20,
)

# -- trigonometric ---------------------------------------------------------------------------------------------------
sin: Callable[..., Tensor] = _float(
    "sin", np.sin, lambda b, x: b.sin(x), lambda g, out, x: (g * cos(x),), "The sine of x radians."
)
cos: Callable[..., Tensor] = _float(
    "cos", np.cos, lambda b, x: b.cos(x), lambda g, out, x: (-g * sin(x),), "The cosine of x radians."
)
tan = _float(
    "tan",
    np.tan,
    lambda b, x: b.tan(x),
    lambda g, out, x: (g * (square(out) + 1),),
    "The tangent of x radians.",
    cost=24,
    low=-1.0,
    high=1.0,
)
asin = _float(
    "asin",
    np.arcsin,
    lambda b, x: b.asin(x),
    lambda g, out, x: (g * rsqrt(1 - square(x)),),
    "The angle in [-pi/2, pi/2] whose sine is x.",
    methods=("asin", "arcsin"),
    low=-0.8,
    high=0.8,
)
acos = _float(
    "acos",
    np.arccos,
    lambda b, x: b.acos(x),
    lambda g, out, x: (-g * rsqrt(1 - square(x)),),
    "The angle in [0, pi] whose cosine is x.",
    methods=("acos", "arccos"),
    low=-0.8,
    high=0.8,
)
atan = _float(
    "atan",
    np.arctan,
    lambda b, x: b.atan(x),
    lambda g, out, x: (g / (square(x) + 1),),
    "The angle in (-pi/2, pi/2) whose tangent is x.",
    methods=("atan", "arctan"),
)
atan2 = _float(
    "atan2",
    np.arctan2,
    lambda b, y, x: b.atan2(y, x),
    lambda g, out, y, x: (g * x * reciprocal(square(x) + square(y)), -g * y * reciprocal(square(x) + square(y))),
    "The angle in [-pi, pi] of the point with ordinate x1 and abscissa x2.",
    cost=24,
    arity=2,
    methods=("atan2", "arctan2"),
    low=0.3,
)

# -- hyperbolic ------------------------------------------------------------------------------------------------------
sinh: Callable[..., Tensor] = _float(
    "sinh", np.sinh, lambda b, x: b.sinh(x), lambda g, out, x: (g * cosh(x),), "The hyperbolic sine."
)
cosh: Callable[..., Tensor] = _float(
    "cosh", np.cosh, lambda b, x: b.cosh(x), lambda g, out, x: (g * sinh(x),), "The hyperbolic cosine."
)
tanh = _float(
    "tanh", np.tanh, lambda b, x: b.tanh(x), lambda g, out, x: (g * (1 - square(out)),), "The hyperbolic tangent."
)
asinh = _float(
    "asinh",
    np.arcsinh,
    lambda b, x: b.asinh(x),
    lambda g, out, x: (g * rsqrt(square(x) + 1),),
    "The inverse of sinh.",
    methods=("asinh", "arcsinh"),
)
acosh = _float(
    "acosh",
    np.arccosh,
    lambda b, x: b.acosh(x),
    lambda g, out, x: (g * rsqrt(square(x) - 1),),
    "The inverse of cosh, not negative.",
    methods=("acosh", "arccosh"),
    low=1.3,
    high=3.0,
)
atanh = _float(
    "atanh",
    np.arctanh,
    lambda b, x: b.atanh(x),
    lambda g, out, x: (g / (1 - square(x)),),
    "The inverse of tanh.",
    methods=("atanh", "arctanh"),
    low=-0.8,
    high=0.8,
)

# -- error and gamma functions ---------------------------------------------------------------------------------------
_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
erf = _float(
    "erf",
    special.erf,
    lambda b, x: b.erf(x),
    lambda g, out, x: (g * (exp(-square(x)) * _TWO_OVER_SQRT_PI),),
    "The error function.",
)
erfc = _float(
    "erfc",
    special.erfc,
    lambda b, x: b.erfc(x),
    lambda g, out, x: (g * (exp(-square(x)) * -_TWO_OVER_SQRT_PI),),
    "1 - erf(x), accurate for large x.",
    cost=24,
)

# -- floating-point numbers taken apart ------------------------------------------------------------------------------
hypot = _float(
    "hypot",
    np.hypot,
    lambda b, x, y: b.hypot(x, y),
    lambda g, out, x, y: (g * where(out == 0, 0.0, x / out), g * where(out == 0, 0.0, y / out)),
    "sqrt(x1**2 + x2**2) without overflow. Its gradient at (0, 0) is 0.",
    cost=8,
    arity=2,
    commutative=True,
)
copysign = _float(
    "copysign",
    np.copysign,
    lambda b, x, y: b.copysign(x, y),
    lambda g, out, x, y: (g * (sign(x) * sign(out)), zero_gradient(g, out, y)[0]),
    "The magnitude of x1 with the sign of x2.",
    cost=1,
    arity=2,
)
nextafter = _float(
    "nextafter",
    np.nextafter,
    lambda b, x, y: b.nextafter(x, y),
    None,
    "The next number after x1 towards x2.",
    cost=4,
    arity=2,
)
