"""Fits the polynomials of ``cpu/vecmath/coefficients.py`` and writes that file (needs mpmath; takes a minute or two).

Run ``python -m graphflow_kernels.tools.fit_polynomials > graphflow_kernels/cpu/vecmath/coefficients.py``. Each
polynomial minimises the greatest weighted error over an interval (Remez' exchange algorithm); the weight makes that the
relative error of the function's result.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import mpmath as mp  # type: ignore[import-not-found,import-untyped,unused-ignore]

Function = Callable[[Any], Any]


class Fit(NamedTuple):
    """One polynomial: what it approximates, over which interval, and how an error there counts."""

    name: str
    meaning: str
    function: Function
    weight: Function
    low: float
    high: float
    degree: int
    dtype: str


def remez(fit: Fit, rounds: int = 12) -> tuple[list[Any], Any]:
    """Coefficients, lowest power first, and the greatest weighted error."""
    n = fit.degree + 2
    grid = [fit.low + (fit.high - mp.mpf(fit.low)) * (1 - mp.cos(mp.pi * i / (40 * n))) / 2 for i in range(40 * n + 1)]
    grid = [x for x in grid if abs(x) > mp.mpf(10) ** -12]
    target = [fit.function(x) for x in grid]
    weight = [fit.weight(x) for x in grid]
    nodes = [round((len(grid) - 1) * (i + 0.5) / n) for i in range(n)]
    for _ in range(rounds):
        rows = [[grid[k] ** p for p in range(n - 1)] + [(-1) ** i / weight[k]] for i, k in enumerate(nodes)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([target[k] for k in nodes]))
        coefficients = list(solution[: n - 1])
        errors = [w * (mp.polyval(coefficients[::-1], x) - t) for x, t, w in zip(grid, target, weight)]
        nodes = _alternating(errors, n)
    return coefficients, max(abs(e) for e in errors)


def _alternating(errors: list[Any], n: int) -> list[int]:
    """The `n` places of greatest error whose signs alternate."""
    peaks: list[int] = []
    for k, error in enumerate(errors):
        if peaks and (errors[peaks[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = k
        else:
            peaks.append(k)
    while len(peaks) > n:
        weakest = min((0, len(peaks) - 1), key=lambda end: abs(errors[peaks[end]]))
        peaks.pop(weakest)
    if len(peaks) < n:
        raise ArithmeticError(f"only {len(peaks)} alternations of {n}: the degree is too high for the precision")
    return peaks


def _odd(function: Function, x: Any) -> Any:
    """(function(sqrt x) / sqrt x - 1) / x: the rest of an odd function after its first term."""
    root = mp.sqrt(x)
    return (function(root) / root - 1) / x


def _odd_weight(function: Function) -> Function:
    return lambda x: mp.sqrt(x) * x / function(mp.sqrt(x))


def fits() -> Iterator[Fit]:
    """All polynomials, in the order of the file."""
    half_ln2, root = mp.log(2) / 2 * mp.mpf("1.001"), mp.sqrt(2)
    exp_rest = lambda r: (mp.exp(r) - 1 - r) / r**2
    log_rest = lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3
    log_weight = lambda f: abs(f**3 / mp.log1p(f))
    meaning = "(exp(r) - 1 - r) / r**2"
    yield Fit("EXP_F32", meaning, exp_rest, lambda r: r**2 / mp.exp(r), -half_ln2, half_ln2, 4, "float32")
    yield Fit("EXP_F64", meaning, exp_rest, lambda r: r**2 / mp.exp(r), -half_ln2, half_ln2, 10, "float64")
    name, error = "EXP_POW_F32", lambda r: r**2 / mp.exp(r)
    yield Fit(name, meaning + ", for pow", exp_rest, error, -half_ln2, half_ln2, 5, "float64")
    weight = lambda r: abs(r**2 / mp.expm1(r))
    yield Fit("EXPM1_F32", meaning + ", for expm1", exp_rest, weight, -half_ln2, half_ln2, 5, "float32")
    yield Fit("EXPM1_F64", meaning + ", for expm1", exp_rest, weight, -half_ln2, half_ln2, 11, "float64")
    meaning = "(log(1 + f) - f + f**2 / 2) / f**3"
    yield Fit("LOG_F32", meaning, log_rest, log_weight, 1 / root - 1, root - 1, 8, "float32")
    top = mp.mpf("0.0295")
    atanh = lambda z: _odd(mp.atanh, z)
    meaning = "(atanh(s) / s - 1) / s**2 in s**2"
    yield Fit("ATANH_F64", meaning, atanh, _odd_weight(mp.atanh), 0, top, 7, "float64")
    yield Fit("ATANH_F32", meaning, atanh, _odd_weight(mp.atanh), 0, top, 4, "float64")
    rest = lambda z: (_odd(mp.atanh, z) - mp.mpf(1) / 3) / z
    yield Fit("ATANH_TAIL_F64", "its next terms: (that - 1/3) / s**2", rest, lambda z: z**2, 0, top, 7, "float64")
    quarter = (mp.pi / 4 * mp.mpf("1.001")) ** 2
    sine, cosine = lambda z: _odd(mp.sin, z), lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2
    cosine_weight = lambda z: z**2 / mp.cos(mp.sqrt(z))
    for dtype, degree in (("float32", 3), ("float64", 5)):
        name = f"F{dtype[5:]}"
        meaning = "(sin(x) / x - 1) / x**2 in x**2"
        yield Fit(f"SIN_{name}", meaning, sine, _odd_weight(mp.sin), 0, quarter, degree, "float64")
        meaning = "(cos(x) - 1 + x**2 / 2) / x**4 in x**2"
        yield Fit(f"COS_{name}", meaning, cosine, cosine_weight, 0, quarter, degree, "float64")
    for dtype, degree in (("float32", 5), ("float64", 12)):
        meaning = "(asin(x) / x - 1) / x**2 in x**2"
        asin = lambda z: _odd(mp.asin, z)
        yield Fit(f"ASIN_F{dtype[5:]}", meaning, asin, _odd_weight(mp.asin), 0, mp.mpf("0.2501"), degree, "float64")
    for dtype, degree in (("float32", 4), ("float64", 10)):
        meaning = "(atan(x) / x - 1) / x**2 in x**2"
        atan = lambda z: _odd(mp.atan, z)
        yield Fit(f"ATAN_F{dtype[5:]}", meaning, atan, _odd_weight(mp.atan), 0, mp.mpf("0.1717"), degree, "float64")
    yield from _error_functions()
    gamma = lambda t: mp.loggamma(t + 2) / (t * (t + 1)) if abs(t * (t + 1)) > mp.mpf(10) ** -9 else _gamma_limit(t)
    yield Fit("LGAMMA_F64", "lgamma(2 + t) / (t (t + 1))", gamma, lambda t: 1 / gamma(t), -1, 1, 27, "float64")


def _gamma_limit(t: Any) -> Any:
    return -mp.euler / t if abs(t + 1) < mp.mpf("0.5") else (1 - mp.euler) / (t + 1)


def _error_functions() -> Iterator[Fit]:
    erf = lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z)
    relative = lambda z: 1 / erf(z)
    yield Fit("ERF_F32", "erf(x) / x in x**2", erf, relative, 0, mp.mpf("0.85"), 6, "float32")
    yield Fit("ERF_F64", "erf(x) / x in x**2", erf, relative, 0, mp.mpf("1.001"), 12, "float64")
    slope = lambda t: mp.log(mp.erfc(t)) / t
    weight = lambda t: t * mp.erfc(t)
    yield Fit("ERF_LOG_F32", "log(erfc(x)) / x", slope, weight, mp.mpf("0.92"), mp.mpf("4.0"), 7, "float32")
    share = lambda a: (mp.exp(a**2 / 2) * mp.erfc(a / mp.sqrt(2)) - 1) / (2 * a)
    meaning = "(exp(x**2 / 2) ndtr(-x) - 0.5) / x"
    yield Fit("NDTR_F32", meaning, share, lambda a: a * mp.exp(-(a**2) / 2), 0, mp.mpf("5.5"), 10, "float32")
    x = lambda t: 4 * (1 + t) / (1 - t)
    scaled = lambda t: (1 + 2 * x(t)) * mp.exp(x(t) ** 2) * mp.erfc(x(t))
    for dtype, top, degree in (("float32", 10.5, 12), ("float64", 27.5, 22)):
        meaning = "(1 + 2 x) exp(x**2) erfc(x) in t = (x - 4) / (x + 4)"
        high = mp.mpf(top - 4) / (top + 4)
        yield Fit(f"ERFC_F{dtype[5:]}", meaning, scaled, lambda t: 1 / scaled(t), -1, high, degree, "float64")


def main() -> None:
    """Write the module of coefficients to standard output and the errors to standard error."""
    mp.mp.dps = 60
    print('"""Polynomials, lowest power first, made by ``graphflow_kernels.tools.fit_polynomials``."""\n')
    print("from __future__ import annotations")
    for fit in fits():
        coefficients, error = remez(fit)
        print(f"{fit.name}: error 2**{float(mp.log(error, 2)):.1f}", file=sys.stderr)
        print(f"\n{fit.name} = (  # {fit.meaning}")
        for c in coefficients:
            number = float(c) if fit.dtype == "float64" else struct.unpack("f", struct.pack("f", float(c)))[0]
            print(f"    {number!r},")
        print(")")


if __name__ == "__main__":
    main()
