"""The gamma function's logarithm and its derivatives of every order.

The derivatives are computed by one recipe, written once for NumPy arrays and for kernel values: reflect arguments below
1/2, climb to 10 by the recurrence, and take the asymptotic series there (Abramowitz and Stegun, 6.3 and 6.4).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dispatch import apply
from graphflow.core.errors import DTypeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops._numpy_special import in_float64
from graphflow.ops.define import coerce, elementwise, primitive, public
from graphflow.tensor import Tensor, as_tensor

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)  # B2, B4, ...
_CLIMB = 10  # from here on the series is exact to rounding


class _NumPy:
    """The kernel vocabulary's names for what the recipe needs, on arrays."""

    select = staticmethod(np.where)
    log, tan, round = np.log, np.tan, np.rint


def _polygamma(b: Any, x: Any, n: int) -> Any:
    """The n-th derivative of digamma."""
    low = x < 0.5
    y = b.select(low, 1.0 - x, x)
    total: Any = 0.0
    for _ in range(_CLIMB):
        below = y < float(_CLIMB)
        total = total + b.select(below, 1.0 / _power(y, n + 1), 0.0)
        y = b.select(below, y + 1.0, y)
    positive = (
        _series(b, y, n) - total if n == 0 else (-1.0) ** (n + 1) * (math.factorial(n) * total + _series(b, y, n))
    )
    # psi_n(x) = (-1)^n psi_n(1 - x) - pi d^n cot(pi x); cot has period 1, which keeps the argument of tan small
    safe = b.select(low, x - b.round(x), 0.25)
    mirrored = (-1.0) ** n * positive - math.pi ** (n + 1) * _horner(_cot_derivative(n), 1.0 / b.tan(safe * math.pi))
    return b.select(low, mirrored, positive)


def _series(b: Any, y: Any, n: int) -> Any:
    """The asymptotic series of |psi_n(y)| (of psi(y) itself for n = 0)."""
    inverse = 1.0 / y
    square = inverse * inverse
    if n == 0:
        terms = [c / (2 * k) for k, c in enumerate(_BERNOULLI, 1)]
        return b.log(y) - 0.5 * inverse - square * _horner(terms, square)
    terms = [c * math.factorial(2 * k + n - 1) / math.factorial(2 * k) for k, c in enumerate(_BERNOULLI, 1)]
    head = math.factorial(n - 1) + inverse * (0.5 * math.factorial(n)) + square * _horner(terms, square)
    return head * _power(inverse, n)


def _power(x: Any, n: int) -> Any:
    out = x
    for _ in range(n - 1):
        out = out * x
    return out


def _horner(coefficients: list[float], x: Any) -> Any:
    """A polynomial whose constant term comes first."""
    out: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        out = x * out + c
    return out


def _cot_derivative(n: int) -> list[float]:
    """The n-th derivative of cot as a polynomial in cot: the derivative of cot is -(1 + cot^2)."""
    p = [0.0, 1.0]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [-(a + b) for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope])]
    return p


@in_float64
def _lgamma_ref(x: Any) -> Any:
    low = x < 0.5
    y = np.where(low, 1.0 - x, x)
    product = np.ones_like(y)
    for _ in range(_CLIMB):
        below = y < _CLIMB
        product = np.where(below, product * y, product)
        y = np.where(below, y + 1.0, y)
    terms = [c / (2 * k * (2 * k - 1)) for k, c in enumerate(_BERNOULLI, 1)]
    stirling = (y - 0.5) * np.log(y) - y + 0.5 * math.log(2 * math.pi) + _horner(terms, 1.0 / (y * y)) / y
    positive = np.where(np.isinf(y), np.inf, stirling - np.log(product))
    sine = np.abs(np.sin(math.pi * (x - np.rint(np.where(np.isinf(x), 0.0, x)))))
    return np.where(np.isinf(x), np.inf, np.where(low, math.log(math.pi) - np.log(sine) - positive, positive))


lgamma = elementwise(
    "lgamma",
    _lgamma_ref,
    lambda b, x: b.lgamma(x),
    lambda g, out, x: (g * digamma(x),),
    dtypes="float",
    methods=("lgamma",),
    samples=lambda: [Sample(((3, 4),), low=0.3, high=12.0), Sample(((5,),), low=-3.9, high=-3.1), Sample(((0,),))],
    cost=48,
    doc="The logarithm of the absolute value of the gamma function.",
)


def _polygamma_infer(x: AVal, n: int) -> AVal:
    if not x.dtype.is_float:
        raise DTypeError(f"polygamma takes float tensors, got {x.dtype}")
    return x


def _polygamma_ref(x: Any, n: int) -> Any:
    with np.errstate(all="ignore"):
        return in_float64(lambda wide: _polygamma(_NumPy, wide, n))(x)


POLYGAMMA = primitive(
    "polygamma",
    "map",
    _polygamma_infer,
    _polygamma_ref,
    lambda g, out, x, n: (g * polygamma(n + 1, x),),
    lambda b, x, n: _polygamma(b, x, n),
    samples=lambda: [
        *(Sample(((3, 4),), {"n": n}, low=0.4, high=15.0) for n in (0, 1, 2)),
        *(Sample(((5,),), {"n": n}, low=-1.9, high=-1.1) for n in (0, 1, 3)),
    ],
    dtypes="float",
    cost=128,
    doc="The n-th derivative of digamma.",
)


@public
def polygamma(n: int, x: Any, /) -> Tensor:
    """The n-th derivative of digamma, the derivative of ``lgamma``.

    >>> import graphflow as gf
    >>> round(gf.polygamma(1, gf.tensor(1.0)).item(), 5)  # pi**2 / 6
    1.64493
    """
    if not isinstance(n, int) or n < 0:
        raise ValueError(at_line(f"polygamma needs an order of 0 or more, got {n!r}", user_origin()))
    return apply(POLYGAMMA, (coerce(POLYGAMMA, as_tensor(x)),), {"n": n})  # type: ignore[no-any-return]


@public(methods=("digamma",))
def digamma(x: Any, /) -> Tensor:
    """The derivative of ``lgamma``.

    >>> import graphflow as gf
    >>> round(gf.digamma(gf.tensor(1.0)).item(), 5)  # minus Euler's constant
    -0.57722
    """
    return polygamma(0, x)
