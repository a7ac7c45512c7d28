"""When are two arrays equal enough?"""

from __future__ import annotations

from typing import Any

import numpy as np

# How far results of one dtype may lie apart when sums are taken in another order and functions are approximated
# otherwise: relative to the element, plus as much of the tensor's largest element (held between 0.1 and 1, so that what
# is left of terms that cancel does not count). Integers and bools must be equal.
TOLERANCE = {"float64": 1e-11, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


def difference(actual: Any, expected: Any, tolerance: float | None = None) -> str | None:
    """What is different between two arrays, in words; None if nothing is.

    Shapes and dtypes must be the same, and NaN and infinities in the same places.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    if actual.dtype != expected.dtype:
        return f"dtype {actual.dtype}, expected {expected.dtype}"
    if expected.dtype.name not in TOLERANCE:
        wrong = actual != expected
        return _first(wrong, actual, expected) if wrong.any() else None
    tolerance = TOLERANCE[expected.dtype.name] if tolerance is None else tolerance
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    special = ~np.isfinite(e) | ~np.isfinite(a)
    scale = np.clip(np.abs(e[~special]).max(initial=0.0), 0.1, 1.0)
    with np.errstate(invalid="ignore"):
        far = np.abs(a - e) > tolerance * (np.abs(e) + scale)
    wrong = np.where(special, ~((a == e) | (np.isnan(a) & np.isnan(e))), far)
    return _first(wrong, actual, expected) if wrong.any() else None


def _first(wrong: Any, actual: Any, expected: Any) -> str:
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = f"{int(wrong.sum())} of {wrong.size} elements differ, the first at {place}: "
    return f"{count}{actual[place]!s}, expected {expected[place]!s}"


def assert_close(actual: Any, expected: Any, tolerance: float | None = None) -> None:
    """Raise AssertionError, saying where, if two tensors or arrays differ by more than their dtype explains.

    >>> import graphflow as gf
    >>> gf.testing.assert_close(gf.tensor([0.1]) * 3, gf.tensor([0.3]))
    """
    found = difference(actual, expected, tolerance)
    if found is not None:
        raise AssertionError(found)
