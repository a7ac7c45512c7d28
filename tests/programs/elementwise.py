"""Steps of one element each: arithmetic, comparisons, casts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphflow as gf
from tests.programs.builder import BITS, EPSILON, Builder, Facts, Skip, fits_together
from tests.programs.step import like, rough, step

# -- elementwise -----------------------------------------------------------------------------------------------------
SMOOTH: dict[str, Callable[[Any], Any]] = {
    "sin": gf.sin,
    "cos": gf.cos,
    "tanh": gf.tanh,
    "sigmoid": gf.sigmoid,
    "erf": gf.erf,
    "atan": gf.atan,
    "asinh": gf.asinh,
    "bell": lambda x: gf.exp(-x * x),
    "growth": lambda x: gf.exp(gf.tanh(x)),
    "log": lambda x: gf.log(x * x + 0.5),
    "log1p": lambda x: gf.log1p(gf.square(x)),
    "root": lambda x: gf.sqrt(x * x + 1.0),
    "rsqrt": lambda x: gf.rsqrt(x * x + 1.0),
    "cauchy": lambda x: 1.0 / (1.0 + x**2),
    "reciprocal": lambda x: gf.reciprocal(gf.square(x) + 0.5),
    "gelu": gf.gelu,
    "silu": gf.silu,
    "softplus": gf.softplus,
    "expm1": lambda x: gf.expm1(gf.sin(x)),
    "cube": lambda x: gf.tanh(x) ** 3 * 0.7,
    "thirds": lambda x: x / 3.0 + 0.1,
}
KINKED: dict[str, Callable[[Any], Any]] = {
    "negative": lambda x: -x,
    "abs": abs,
    "relu": gf.relu,
    "floor": gf.floor,
    "ceil": gf.ceil,
    "trunc": gf.trunc,
    "round": gf.round,
    "shift": lambda x: x + 1.0,
    "positive part": lambda x: gf.where(x > 0, x, 0.0),
    "clip": lambda x: gf.clip(x, -1.0, 1.5),
    "stop": gf.stop_gradient,
    "copysign": lambda x: gf.copysign(x, 1.0 - x),
    "remainder": lambda x: gf.remainder(x, 2.0),
}
COMBINE_ROUGH: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (1.0 + y * y),
    "logaddexp": gf.logaddexp,
    "hypot": lambda x, y: gf.hypot(x, y * y + 0.5),
    "atan2": lambda x, y: gf.atan2(x, y * y + 0.5),
    "lerp": lambda x, y: gf.lerp(x, y, 0.3),
}


@step
def smooth(p: Builder) -> None:
    v, f = p.smooth(), p.one_of(list(SMOOTH.values()))
    p.call(f, v, facts=rough(v, high=max(v.facts.high, 2)))


@step
def kinked(p: Builder) -> None:
    v, name = p.exact(), p.one_of(list(KINKED))
    p.call(KINKED[name], v, facts=like(v, high=v.facts.high + 1))


@step
def half(p: Builder) -> None:
    v = p.exact()
    p.call(lambda x: x * 0.5, v, facts=like(v, low=v.facts.low + 1))


@step
def square(p: Builder) -> None:
    v = p.exact()
    if 2 * (v.facts.high + v.facts.low) > BITS[v.tensor.dtype.name]:
        v = p.cut(v)
    p.call(p.one_of([gf.square, lambda x: x * x, lambda x: x**2]), v, facts=Facts(2 * v.facts.high, 2 * v.facts.low))


@step
def binary(p: Builder) -> None:
    v = p.smooth()
    w = p.partner(v, lambda w: True)
    f = p.one_of(list(COMBINE_ROUGH.values()))
    p.call(f, v, w, facts=rough(v, w, high=max(v.facts.high + w.facts.high, 2)))


@step
def add(p: Builder) -> None:
    v = p.exact()
    w = p.partner(v, lambda w: w.facts.exact)
    f = p.one_of([lambda x, y: x + y, lambda x, y: x - y, gf.maximum, gf.minimum])
    p.call(f, v, w, facts=like(v, w, high=max(v.facts.high, w.facts.high) + 1))


@step
def multiply(p: Builder) -> None:
    v = p.exact()
    w = p.partner(v, lambda w: w.facts.exact)
    facts = Facts(v.facts.high + w.facts.high, v.facts.low + w.facts.low)
    if facts.high + facts.low > BITS[v.tensor.dtype.name] - 2:
        v, w = p.cut(v), p.cut(w)
        facts = Facts(4, 4)
    if facts.high + facts.low <= BITS[v.tensor.dtype.name]:
        p.call(lambda x, y: x * y, v, w, facts=facts)


@step
def compare(p: Builder) -> None:
    v = p.value(lambda v: v.facts.exact and v.tensor.dtype.kind != "bool")
    w = p.partner(v, lambda w: w.facts.exact)
    f = p.one_of([gf.less, gf.greater_equal, gf.equal, gf.not_equal, lambda x, y: x > y])
    p.call(f, v, w, facts=Facts(0, 0))


@step
def logic(p: Builder) -> None:
    v = p.truth()
    w = p.partner(v, lambda w: True)
    f = p.one_of([gf.logical_and, gf.logical_or, gf.logical_xor, lambda x, y: x & ~y])
    p.call(f, v, w, facts=Facts(0, 0))


@step
def choose(p: Builder) -> None:
    v = p.value()
    w = p.partner(v, lambda w: True)
    shape = fits_together(v.shape, w.shape)
    c = p.value(lambda c: c.tensor.dtype.kind == "bool" and shape and fits_together(shape, c.shape) is not None)
    p.call(gf.where, c, v, w, facts=like(v, w))


@step
def arithmetic(p: Builder) -> None:
    v = p.integer()
    w = p.partner(v, lambda w: True)
    f = p.one_of([gf.add, gf.subtract, gf.multiply, gf.maximum, gf.bitwise_xor, lambda x, y: x // (y * 0 + 3)])
    p.call(f, v, w, facts=Facts(0, 0))


# -- casts -----------------------------------------------------------------------------------------------------------
@step
def widen(p: Builder) -> None:
    v = p.smooth()
    target = p.one_of([gf.float64, gf.float32])
    if v.tensor.dtype.bits >= target.bits:
        raise Skip
    p.call(lambda x: x.astype(target), v, facts=v.facts)


@step
def narrow(p: Builder) -> None:
    v = p.smooth()
    target = p.one_of([gf.float32, gf.float16, gf.bfloat16])
    if v.tensor.dtype.bits <= target.bits:
        raise Skip
    if v.facts.exact:
        v = p.cut(v)
    p.call(
        lambda x: x.astype(target),
        v,
        facts=v.facts if v.facts.exact else rough(v, high=v.facts.high)._replace(error=EPSILON[target.name]),
    )


@step
def to_integer(p: Builder) -> None:
    v, target = p.exact(), p.one_of([gf.int32, gf.int64, gf.int16, gf.int8])
    p.call(lambda x: gf.floor(gf.remainder(x, 8.0)).astype(target), v, facts=Facts(0, 0))


@step
def to_float(p: Builder) -> None:
    v = p.value(lambda v: not v.is_float)
    target = p.one_of([gf.float32, gf.float64])
    if v.tensor.dtype.kind == "bool":
        p.call(lambda x: x.astype(target), v, facts=Facts(1, 0))
    else:
        p.call(lambda x: gf.remainder(x, 8).astype(target), v, facts=Facts(3, 0))
