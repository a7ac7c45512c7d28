"""log, log1p, log2 and log10."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphflow_kernels.cpu.value import Value
from graphflow_kernels.cpu.vecmath import coefficients as c
from graphflow_kernels.cpu.vecmath.polynomial import FORMATS, horner

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

# 1 / ln 2 and log10(e) and log10(2), each as a leading part and the rest.
LOG2_E = {
    "float32": (1.4426950216293335, 1.9259629911266175e-08),
    "float64": (1.4426950408889634, 2.0355273740931033e-17),
}
LOG10_E = {
    "float32": (0.4342944920063019, -1.0103050052231683e-08),
    "float64": (0.4342944819032518, 1.098319650216765e-17),
}
LOG10_2 = {"float32": (0.301025390625, 4.605038981195214e-06), "float64": (0.3010299955494702, 1.1451100898021838e-10)}


def split(b: ScalarBuilder, x: Value) -> tuple[Value, Value]:
    """m and k of x = m * 2**k, m between sqrt(1/2) and sqrt(2), both floats, for positive and finite x."""
    form = FORMATS[x.dtype]
    denormal = x < form.smallest_normal
    bits = b.bitcast(b.select(denormal, x * 2.0**form.mantissa, x), form.unsigned)
    root = b.bitcast(b.like(math.sqrt(0.5), x), form.unsigned)
    # Counting exponents from sqrt(1/2) instead of 1: the field of the difference is the biased exponent plus 1.
    biased = (bits - root + (form.bias << form.mantissa)) >> form.mantissa
    m = b.bitcast(bits - (biased << form.mantissa) + (form.bias << form.mantissa), x.dtype)
    # An integer below 2**mantissa becomes a float by putting it into the low bits of 2**mantissa.
    shift = 2.0**form.mantissa
    whole = b.bitcast(biased | b.bitcast(b.like(shift, x), form.unsigned), x.dtype)
    return m, whole - b.select(denormal, b.like(shift + form.bias + form.mantissa, x), shift + form.bias)


def log1p_rest(b: ScalarBuilder, f: Value) -> Value:
    """log(1 + f) - f for 1 + f between sqrt(1/2) and sqrt(2)."""
    half_square = f * f * 0.5
    if f.dtype == "float32":
        return b.fma(f * f * f, horner(b, f, c.LOG_F32), -half_square)
    s = f / (f + 2.0)
    z = s * s
    return b.fma(s, b.fma(z, horner(b, z, c.ATANH_F64) * 2.0, half_square), -half_square)


def natural(b: ScalarBuilder, f: Value, k: Value) -> Value:
    """log((1 + f) * 2**k)."""
    form = FORMATS[f.dtype]
    return b.fma(k, form.ln2_high, f + b.fma(k, form.ln2_low, log1p_rest(b, f)))


def special(b: ScalarBuilder, x: Value, result: Value) -> Value:
    """The logarithm of x where it is zero, negative, infinite or NaN."""
    result = b.select(x < math.inf, result, x)
    result = b.select(x < 0.0, math.nan, result)
    return b.select(x == 0.0, -math.inf, result)


def log(b: ScalarBuilder, x: Value) -> Value:
    """The natural logarithm."""
    (x,) = b.floats(x)
    m, k = split(b, x)
    return special(b, x, natural(b, m - 1.0, k))


def log1p(b: ScalarBuilder, x: Value) -> Value:
    """log(1 + x), exact to the last places near zero."""
    (x,) = b.floats(x)
    form = FORMATS[x.dtype]
    above = x + 1.0
    m, k = split(b, above)
    # (1 + x) / 2**k - 1 = x / 2**k + (1 / 2**k - 1), where only the sum rounds. Large x do not see the 1.
    _, whole = _unsigned(b, k)
    inverse = b.bitcast((form.bias - whole) << form.mantissa, x.dtype)
    f = b.select(x > 2.0 ** (form.mantissa + 2), m - 1.0, b.fma(x, inverse, inverse - 1.0))
    result = special(b, above, natural(b, f, k))
    return b.select(b.abs(x) < 2.0 ** -(form.mantissa + 2), x, result)


def _unsigned(b: ScalarBuilder, whole: Value) -> tuple[Value, Value]:
    """A small whole float, and as an unsigned integer (mod its width)."""
    form = FORMATS[whole.dtype]
    bits = b.bitcast(whole + form.to_whole, form.unsigned)
    return whole, bits - b.bitcast(b.like(form.to_whole, whole), form.unsigned)


def log2(b: ScalarBuilder, x: Value) -> Value:
    """The logarithm to base 2."""
    (x,) = b.floats(x)
    m, k = split(b, x)
    return special(b, x, k + _scaled(b, m - 1.0, LOG2_E[x.dtype]))


def log10(b: ScalarBuilder, x: Value) -> Value:
    """The logarithm to base 10."""
    (x,) = b.floats(x)
    m, k = split(b, x)
    high, low = LOG10_2[x.dtype]
    return special(b, x, b.fma(k, high, b.fma(k, low, _scaled(b, m - 1.0, LOG10_E[x.dtype]))))


def _scaled(b: ScalarBuilder, f: Value, factor: tuple[float, float]) -> Value:
    """log(1 + f) * factor; f itself is exact, so its product dominates."""
    high, low = factor
    return b.fma(f, high, b.fma(log1p_rest(b, f), high, f * low))
