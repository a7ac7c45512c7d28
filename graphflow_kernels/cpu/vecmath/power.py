"""x ** y of floats: the logarithm in two parts, so that its multiples still have all their digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphflow_kernels.cpu.value import Value
from graphflow_kernels.cpu.vecmath import coefficients as c
from graphflow_kernels.cpu.vecmath.exponential import EXP_RANGE, exp_near_zero, reduced, scale
from graphflow_kernels.cpu.vecmath.logarithm import split
from graphflow_kernels.cpu.vecmath.polynomial import FORMATS, fast_two_sum, horner, two_product

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

THIRD, THIRD_LOW = 0.3333333333333333, 1.850371707708594e-17


def float_power(b: ScalarBuilder, x: Value, y: Value) -> Value:
    """C's pow."""
    if x.dtype == "float32":
        wide_x, wide_y = b.cast(x, "float64"), b.cast(y, "float64")
        magnitude = b.cast(_single(b, b.abs(wide_x), wide_y), "float32")
    else:
        magnitude = _double(b, b.abs(x), y)
    return _special(b, x, y, magnitude)


def _single(b: ScalarBuilder, a: Value, y: Value) -> Value:
    """a ** y to more than float32's digits, computed in float64."""
    m, k = split(b, a)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    twice = s + s
    logarithm = b.fma(k, math.log(2.0), b.fma(twice * z, horner(b, z, c.ATANH_F32), twice))
    r, n = reduced(b, b.clip(logarithm * y, -120.0, 120.0))
    return scale(b, b.fma(r * r, horner(b, r, c.EXP_POW_F32), r) + 1.0, n)


def _double(b: ScalarBuilder, a: Value, y: Value) -> Value:
    """a ** y to the last places of float64."""
    high, low = _log_in_two_parts(b, a)
    # Any larger exponent overflows as well, and its product would.
    y = b.clip(y, -1e20, 1e20)
    product, rest = two_product(b, high, y)
    rest = b.fma(low, y, rest)
    product = b.clip(product, *EXP_RANGE["float64"])
    r, n = reduced(b, product)
    p = exp_near_zero(b, r)
    return scale(b, b.fma(p, b.clip(rest, -1e-10, 1e-10), p), n)


def _log_in_two_parts(b: ScalarBuilder, a: Value) -> tuple[Value, Value]:
    """log(a) = high + low to about 64 bits: 2 atanh((m - 1) / (m + 1)) + k ln 2."""
    form = FORMATS["float64"]
    m, k = split(b, a)
    above, below = fast_two_sum(b.select(m > 1.0, m, 1.0), b.select(m > 1.0, b.like(1.0, m), m))
    f = m - 1.0
    s = f / above
    product, rest = two_product(b, s, above)
    s_low = ((f - product) - rest - s * below) / above
    # z = s**2 in two parts, then s (2 + 2 z / 3 + z**2 * tail) with the first two terms in two parts.
    z, z_rest = two_product(b, s, s)
    z_low = b.fma(s + s, s_low, z_rest)
    third, third_rest = two_product(b, THIRD, z)
    third_low = third_rest + b.fma(z, THIRD_LOW, z_low * THIRD)
    tail = b.fma(z * z, horner(b, z, c.ATANH_TAIL_F64), third_low)
    factor, factor_low = fast_two_sum(third, tail)
    bump, bump_rest = two_product(b, s, factor)
    bump_low = b.fma(s, factor_low, b.fma(s_low, factor, bump_rest))
    high, low = fast_two_sum(s, bump)
    low = low + (bump_low + s_low)
    high, low = high * 2.0, low * 2.0
    # k * ln2_high is exact and, unless it is zero, the greater.
    base = k * form.ln2_high
    total, error = fast_two_sum(base, high)
    total = b.select(k == 0.0, high, total)
    error = b.select(k == 0.0, 0.0, error)
    return fast_two_sum(total, error + b.fma(k, form.ln2_low, low))


def _special(b: ScalarBuilder, x: Value, y: Value, magnitude: Value) -> Value:
    """C's rules for zeros, infinities, negative bases and NaN."""
    a = b.abs(x)
    half = y * 0.5
    whole = b.trunc(y) == y
    odd = whole & (b.trunc(half) != half)
    rising = (y > 0.0) ^ (a < 1.0)
    extreme = (a == 0.0) | (a == math.inf) | (b.isinf(y) & (a != 1.0))
    magnitude = b.select(extreme, b.select(rising, b.like(math.inf, x), 0.0), magnitude)
    magnitude = b.select(a == 1.0, 1.0, magnitude)
    result = b.select(odd & b.signbit(x), -magnitude, magnitude)
    result = b.select((x < 0.0) & ~whole & (a != math.inf), math.nan, result)
    result = b.select(b.isnan(x) | b.isnan(y), math.nan, result)
    return b.select((y == 0.0) | (x == 1.0), 1.0, result)
