"""erf, erfc, ndtr, lgamma, pow and hypot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphflow_kernels.cpu import types
from graphflow_kernels.cpu.value import Operand, Value
from graphflow_kernels.cpu.vecmath import coefficients as c
from graphflow_kernels.cpu.vecmath.exponential import exp, exp_parts, scale
from graphflow_kernels.cpu.vecmath.logarithm import log
from graphflow_kernels.cpu.vecmath.polynomial import horner, through_float64, two_product
from graphflow_kernels.cpu.vecmath.power import float_power
from graphflow_kernels.cpu.vecmath.trigonometric import cosine_near_zero, sine_near_zero

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

HALF_LOG_TWO_PI = 0.9189385332046728
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
"""Stirling's series for lgamma in 1 / x**2 (Abramowitz and Stegun 6.1.41)."""


def _erfc_parts(b: ScalarBuilder, a: Value, single: bool) -> tuple[Value, Value]:
    """p and n of erfc(a) = p * 2**n for a >= 0."""
    a = b.minimum(a, 28.0)
    square, rest = (a * a, None) if single else two_product(b, a, a)
    p, n = exp_parts(b, -square)
    t = (a - 4.0) / (a + 4.0)
    scaled = horner(b, t, c.ERFC_F32 if single else c.ERFC_F64) / b.fma(a, 2.0, 1.0)
    if rest is not None:
        p = b.fma(-rest, p, p)
    return p * scaled, n


def erf(b: ScalarBuilder, x: Value) -> Value:
    """The error function."""
    (x,) = b.floats(x)
    a = b.abs(x)
    z = x * x
    if x.dtype == "float32":
        t = b.minimum(a, 4.0)
        large = 1.0 - exp(b, t * horner(b, t, c.ERF_LOG_F32))
        return b.select(a < 0.92, x * horner(b, z, c.ERF_F32), b.copysign(large, x))
    large = 1.0 - scale(b, *_erfc_parts(b, a, single=False))
    return b.select(a < 1.0, x * horner(b, z, c.ERF_F64), b.copysign(large, x))


@through_float64
def erfc(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """1 - erf(x), exact to the last places where erf(x) is close to 1."""
    a = b.abs(x)
    above = scale(b, *_erfc_parts(b, a, single))
    result = b.select(x < 0.0, 2.0 - above, above)
    if single:
        return result
    return b.select(a < 0.5, 1.0 - x * horner(b, x * x, c.ERF_F64), result)


NDTR_TOP = 5.5
"""Beyond this, what the normal distribution has left is less than float32 tells from 0 beside 1."""


def ndtr(b: ScalarBuilder, x: Value) -> Value:
    """The normal distribution function, (1 + erf(x / sqrt(2))) / 2. float32 is exact to half the last place of 1.

    Its exp is that of the density: where both are wanted, the two are one.
    """
    (x,) = b.floats(x)
    if x.dtype == "float64":
        return (erf(b, x * math.sqrt(0.5)) + 1.0) * 0.5
    power = exp(b, (x * x) * -0.5)
    a = b.minimum(b.abs(x), NDTR_TOP)
    ratio = b.fma(a, horner(b, a, c.NDTR_F32), 0.5)
    return b.select(x < 0.0, power * ratio, b.fma(-power, ratio, 1.0))


@through_float64
def lgamma(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The logarithm of the absolute value of the gamma function; infinity at 0, -1, -2, ..."""
    a = b.abs(x)
    positive = _lgamma_positive(b, a)
    # Reflection: lgamma(-a) = log(pi / (a |sin(pi a)|)) - lgamma(a).
    fraction = b.abs(a - b.round(a))
    inner = b.select(fraction > 0.25, 0.5 - fraction, fraction) * math.pi
    sine, cosine = sine_near_zero(b, inner, None, single=False), cosine_near_zero(b, inner, None, single=False)
    sine = b.select(fraction > 0.25, cosine, sine)
    reflected = -log(b, a * sine * (1 / math.pi)) - positive
    # For the smallest a, where the product above underflows, both sides are -log(a).
    result = b.select((x < 0.0) & (a > 2.0**-60), reflected, positive)
    pole = (x < 0.0) & (fraction == 0.0)
    return b.select(pole | (a == math.inf), math.inf, result)


def _lgamma_positive(b: ScalarBuilder, a: Value) -> Value:
    """lgamma for a >= 0: a polynomial around 2, reached by the recurrence from below 8, and Stirling's series above."""
    small, large = a < 1.0, a >= 8.0
    shifts = b.select(large, 0.0, b.maximum(b.floor(a) - 2.0, 0.0))
    product = b.like(1.0, a)
    for i in range(1, 6):
        product = b.select(shifts >= float(i), product * (a - float(i)), product)
    logarithm = log(b, b.select(small | large, a, product))
    t = b.select(small, a - 1.0, a - shifts - 2.0)
    t = b.select(large, 0.0, t)
    near = t * (b.select(small, a, t + 1.0) * horner(b, t, c.LGAMMA_F64))
    near = b.select(small, near - logarithm, near + logarithm)
    inverse = 1.0 / a
    series = inverse * horner(b, inverse * inverse, STIRLING)
    far = (a - 0.5) * (logarithm - 1.0) + ((HALF_LOG_TWO_PI - 0.5) + series)
    return b.select(large, far, near)


def pow(b: ScalarBuilder, x: Operand, y: Operand) -> Value:
    """x to the power of y, with C's special cases for floats; integers wrap."""
    x, y = b.together(x, y)
    return float_power(b, x, y) if types.is_float(x.dtype) else b.integer_power(x, y)


@through_float64
def hypot(b: ScalarBuilder, x: Operand, y: Operand, single: bool = False) -> Value:
    """sqrt(x**2 + y**2), without overflow on the way."""
    x, y = b.abs(x), b.abs(y)
    high, low = b.maximum(x, y), b.minimum(x, y)
    if single:
        root = b.sqrt(b.fma(x, x, y * y))
    else:
        unit = b.select(high < 2.0**-500, b.like(2.0**600, high), 1.0)
        unit = b.select(high > 2.0**500, 2.0**-600, unit)
        u, v = high * unit, low * unit
        root = b.sqrt(b.fma(u, u, v * v)) / unit
    return b.select(b.isinf(x) | b.isinf(y), math.inf, root)
