"""sinh, cosh, tanh and their inverses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphflow_kernels.cpu.value import Value
from graphflow_kernels.cpu.vecmath.exponential import exp_of_negative, exp_parts, expm1, scale
from graphflow_kernels.cpu.vecmath.logarithm import log, log1p
from graphflow_kernels.cpu.vecmath.polynomial import through_float64

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

LN2 = math.log(2.0)
LARGE = 2.0**28
"""Above this, sqrt(x**2 + 1) is x in float64."""


def tanh(b: ScalarBuilder, x: Value) -> Value:
    """The hyperbolic tangent."""
    (x,) = b.floats(x)
    a = b.minimum(b.abs(x), 20.0)
    s, q = exp_of_negative(b, a + a)
    return b.copysign(b.fma(-s, q, 1.0 - s) / b.fma(s, q, s + 1.0), x)


def half_exp(b: ScalarBuilder, x: Value) -> Value:
    """exp(x) / 2, which overflows later than exp(x)."""
    p, n = exp_parts(b, x)
    return scale(b, p, n - 1)


@through_float64
def sinh(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The hyperbolic sine."""
    a = b.abs(x)
    t = expm1(b, b.minimum(a, 30.0))
    return b.copysign(b.select(a < 22.0, (t + t / (t + 1.0)) * 0.5, half_exp(b, a)), x)


@through_float64
def cosh(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The hyperbolic cosine."""
    e = half_exp(b, b.abs(x))
    return e + 0.25 / e


@through_float64
def asinh(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The inverse hyperbolic sine."""
    a = b.abs(x)
    square = a * a
    near = a + square / (b.sqrt(square + 1.0) + 1.0)
    result = b.select(a > LARGE, log(b, a) + LN2, log1p(b, near))
    return b.copysign(result, x)


@through_float64
def acosh(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The inverse hyperbolic cosine; NaN for x < 1."""
    t = x - 1.0
    result = b.select(x > LARGE, log(b, x) + LN2, log1p(b, t + b.sqrt(b.fma(t, t, 2.0 * t))))
    return b.select(x < 1.0, math.nan, result)


@through_float64
def atanh(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The inverse hyperbolic tangent; NaN for |x| > 1."""
    a = b.abs(x)
    return b.copysign(log1p(b, 2.0 * a / (1.0 - a)) * 0.5, x)
