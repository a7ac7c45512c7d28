"""sin, cos, tan and their inverses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from graphflow_kernels.cpu.value import Operand, Value
from graphflow_kernels.cpu.vecmath import coefficients as c
from graphflow_kernels.cpu.vecmath.angle import quadrant
from graphflow_kernels.cpu.vecmath.polynomial import horner, through_float64

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

HALF_PI, HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17


def sine_near_zero(b: ScalarBuilder, r: Value, low: Value | None, single: bool) -> Value:
    """sin(r + low) for |r| <= pi / 4."""
    z = r * r
    rest = r * z * horner(b, z, c.SIN_F32 if single else c.SIN_F64)
    return r + (rest if low is None else b.fma(b.fma(z, -0.5, 1.0), low, rest))


def cosine_near_zero(b: ScalarBuilder, r: Value, low: Value | None, single: bool) -> Value:
    """cos(r + low) for |r| <= pi / 4."""
    z = r * r
    half = z * 0.5
    rest = z * z * horner(b, z, c.COS_F32 if single else c.COS_F64)
    if low is None:
        return (1.0 - half) + rest
    leading = 1.0 - half
    return leading + (((1.0 - leading) - half) + (rest - r * low))


def _sine_and_cosine(b: ScalarBuilder, x: Value, single: bool) -> tuple[Value, Value]:
    n, r, low = quadrant(b, x)
    rest = None if single else low
    sine, cosine = sine_near_zero(b, r, rest, single), cosine_near_zero(b, r, rest, single)
    odd = (n & 1) != 0
    s, co = b.select(odd, cosine, sine), b.select(odd, sine, cosine)
    s = b.select((n & 2) != 0, -s, s)
    co = b.select(((n + 1) & 2) != 0, -co, co)
    return s, co


def _finite(b: ScalarBuilder, x: Value, result: Value) -> Value:
    return b.select(b.abs(x) < math.inf, result, math.nan)


@through_float64
def sin(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The sine of an angle in radians, however large."""
    sine = _sine_and_cosine(b, x, single)[0]
    return b.select(x == 0.0, x, _finite(b, x, sine))


@through_float64
def cos(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The cosine of an angle in radians, however large."""
    return _finite(b, x, _sine_and_cosine(b, x, single)[1])


@through_float64
def tan(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The tangent of an angle in radians, however large."""
    sine, cosine = _sine_and_cosine(b, x, single)
    return b.select(x == 0.0, x, _finite(b, x, sine / cosine))


def _arcsine_parts(b: ScalarBuilder, x: Value, single: bool) -> tuple[Value, Value, Value]:
    """Whether |x| > 1/2; then asin(sqrt((1 - |x|) / 2)), else asin(|x|); and |x|."""
    a = b.abs(x)
    large = a > 0.5
    z = b.select(large, (1.0 - a) * 0.5, a * a)
    root = b.select(large, b.sqrt(z), a)
    return large, b.fma(root * z, horner(b, z, c.ASIN_F32 if single else c.ASIN_F64), root), a


@through_float64
def asin(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The angle whose sine is x; NaN for |x| > 1."""
    large, angle, _ = _arcsine_parts(b, x, single)
    return b.copysign(b.select(large, HALF_PI - (2.0 * angle - HALF_PI_LOW), angle), x)


@through_float64
def acos(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The angle whose cosine is x; NaN for |x| > 1."""
    large, angle, _ = _arcsine_parts(b, x, single)
    twice = 2.0 * angle
    outer = b.select(x < 0.0, 2 * HALF_PI - (twice - 2 * HALF_PI_LOW), twice)
    return b.select(large, outer, HALF_PI - (b.copysign(angle, x) - HALF_PI_LOW))


def _angle(b: ScalarBuilder, y: Value, x: Value, single: bool) -> Value:
    """The angle of the point (x, y) of the first quadrant."""
    steep, middle = y > x * 2.414213562373095, y > x * 0.41421356237309503
    numerator = b.select(steep, -x, b.select(middle, y - x, y))
    denominator = b.select(steep, y, b.select(middle, y + x, x))
    t = numerator / denominator
    z = t * t
    small = b.fma(t * z, horner(b, z, c.ATAN_F32 if single else c.ATAN_F64), t)
    high: Callable[[float], Value] = lambda unit: b.select(
        steep, b.like(unit, t), b.select(middle, b.like(unit / 2, t), 0.0)
    )
    return high(HALF_PI) + (small + high(HALF_PI_LOW))


@through_float64
def atan(b: ScalarBuilder, x: Value, single: bool = False) -> Value:
    """The angle whose tangent is x."""
    return b.copysign(_angle(b, b.abs(x), b.like(1.0, x), single), x)


@through_float64
def atan2(b: ScalarBuilder, y: Operand, x: Operand, single: bool = False) -> Value:
    """The angle of the point (x, y), from -pi to pi, with C's rules for zeros and infinities."""
    up, along = b.abs(y), b.abs(x)
    shrink = b.select(b.maximum(up, along) > 2.0**1000, b.like(2.0**-60, up), 1.0)
    infinite = b.isinf(up) & b.isinf(along)
    up, along = b.select(infinite, 1.0, up * shrink), b.select(infinite, 1.0, along * shrink)
    along = b.select((up == 0.0) & (along == 0.0), 1.0, along)
    angle = _angle(b, up, along, single)
    turned = b.select(b.signbit(x), 2 * HALF_PI - (angle - 2 * HALF_PI_LOW), angle)
    return b.copysign(turned, y)
