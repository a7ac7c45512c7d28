"""What the elementary functions should give, and how far off a result is: shared by tests and the accuracy table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from graphflow_kernels.tools.native import Rule

Array = np.ndarray
SPECIAL: tuple[float, ...] = (
    0.0,
    0.5,
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    math.pi / 2,
    math.pi,
    11.5,
    22.0,
    88.72283,
    88.8,
    103.9,
    104.5,
    126.0,
)
SPECIAL += (128.0, 149.0, 150.5, 355.0, 709.78, 710.4, 740.0, 745.2, 1023.9999, 1024.0, 1074.0, 1e22, math.inf)


class Case(NamedTuple):
    """A function, its reference in higher precision, and the greatest error allowed in float32 and float64, in ulp."""

    name: str
    reference: Callable[..., Any]
    float32: float = 2.0
    float64: float = 4.0
    operands: int = 1
    floor: float = 0.0
    """Results smaller than this are held to its ulp: they come from cancellation."""


def _each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    def guarded(x: float) -> float:
        try:
            return function(float(x))
        except OverflowError:
            return math.inf

    return np.vectorize(guarded, otypes=[np.float64])


def _lgamma(x: float) -> float:
    pole = math.isinf(x) or (x <= 0 and x == math.floor(x))
    return math.inf if pole else math.lgamma(x)


def _sigmoid(x: Array) -> Array:
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


CASES = (
    *(Case(name, getattr(np, name)) for name in ("exp", "exp2", "expm1", "log", "log1p", "log2", "log10")),
    *(Case(name, getattr(np, name)) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt")),
    *(Case(name, getattr(np, name.replace("a", "arc", 1))) for name in ("asin", "acos", "atan")),
    *(Case(name, getattr(np, name.replace("a", "arc", 1))) for name in ("asinh", "acosh", "atanh")),
    Case("erf", _each(math.erf), float32=4.0),
    Case("erfc", _each(math.erfc), float64=5.0),
    Case("ndtr", _each(lambda x: 0.5 * math.erfc(-x * math.sqrt(0.5))), floor=1.0),
    Case("lgamma", _each(_lgamma), float64=8.0, floor=4.0),
    Case("sigmoid", _sigmoid),
    Case("softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    Case("rsqrt", lambda x: 1 / np.sqrt(x)),
    Case("pow", np.power, float32=4.0, operands=2),
    Case("atan2", np.arctan2, operands=2),
    Case("hypot", np.hypot, operands=2),
    Case("logaddexp", np.logaddexp, operands=2, floor=1.0),
)


def rules(dtype: str) -> dict[str, Rule]:
    """Every case as a rule on `dtype`."""
    emit = lambda name: lambda b, *values: getattr(b, name)(*values)
    return {case.name: Rule(emit(case.name), (dtype,) * case.operands, dtype) for case in CASES}


def arguments(case: Case, dtype: str, count: int = 4000) -> tuple[Array, ...]:
    """Arguments over all magnitudes, the usual ranges and the special values."""
    kind, info = np.dtype(dtype), np.finfo(dtype)
    rng = np.random.default_rng(7)
    edges: list[Any] = [*SPECIAL, info.tiny, info.smallest_subnormal, info.max, info.eps, 1 + info.eps, 1 - info.epsneg]
    special = np.array([*edges, *(-x for x in edges), math.nan]).astype(kind)
    if case.operands == 2:
        x = [np.repeat(special, special.size), np.exp(rng.uniform(-80, 80, count)), rng.uniform(-20, 20, count)]
        y = [np.tile(special, special.size), rng.uniform(-5, 5, count), np.round(rng.uniform(-20, 20, count))]
        x, y = [*x, rng.uniform(0, 3, count)], [*y, rng.uniform(-30, 30, count)]
        return np.concatenate(x).astype(kind), np.concatenate(y).astype(kind)
    bits = np.dtype(f"uint{8 * kind.itemsize}")
    anywhere = rng.integers(0, np.iinfo(bits).max, count, dtype=bits, endpoint=True).view(kind)
    ranges = [rng.uniform(-s, s, count) for s in (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 1e5, 1e7)]
    near = [1 + rng.normal(0, 0.1, count), rng.normal(0, 1e-3, count)]
    rest = np.concatenate([special, *ranges, *near]).astype(kind)
    return (np.concatenate([anywhere, rest]),)


def expected(case: Case, values: tuple[Array, ...]) -> Array:
    """The reference in a wider format (float64 for float32, long double for float64)."""
    wide = np.float64 if values[0].dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        return case.reference(*(v.astype(wide) for v in values))


def errors(case: Case, got: Array, want: Array) -> tuple[Array, Array]:
    """The error of each result in ulp, and whether it is wrong where it should be NaN, infinite or zero."""
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        wrong = (np.isnan(want) != np.isnan(got)) | (np.isinf(rounded) & (got != rounded))
        wrong |= np.isinf(got) & ~np.isinf(rounded)
        wrong |= (want == 0) & ((got != 0) | (np.signbit(got) != np.signbit(want)))
        unit = np.spacing(np.maximum(np.abs(rounded), got.dtype.type(case.floor))).astype(want.dtype)
        distance = np.abs(got.astype(want.dtype) - want) / np.maximum(unit, info.smallest_subnormal)
    counted = np.isfinite(rounded) & np.isfinite(got)
    return np.where(counted, distance, 0).astype(np.float64), wrong
