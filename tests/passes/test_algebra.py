"""Algebra: each rule's structure, and that no bit changes; and the rules that must not exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from tests.passes.tools import assert_kept, assert_rewrite

F, I, U, B = "float32[n, 3]", "int32[n, 3]", "uint8[n, 3]", "bool[n, 3]"
Rewrite = tuple[Callable[..., Any], Callable[..., Any], tuple[str, ...]]


def full(value: float, dtype: Any = gf.float32) -> Any:
    return gf.tensor(np.asarray(value, dtype.np))


NEGATIVE_ZERO = -0.0
REWRITES: dict[str, Rewrite] = {
    "x + -0.0": (lambda x: x + NEGATIVE_ZERO, lambda x: x, (F,)),
    "x + 0 of integers": (lambda x: x + 0, lambda x: x, (I,)),
    "x - 0.0": (lambda x: x - 0.0, lambda x: x, (F,)),
    "-0.0 - x": (lambda x: NEGATIVE_ZERO - x, lambda x: -x, (F,)),
    "0 - x of integers": (lambda x: 0 - x, lambda x: -x, (I,)),
    "x * 1": (lambda x: 1.0 * x, lambda x: x, (F,)),
    "x * -1": (lambda x: x * -1.0, lambda x: -x, (F,)),
    "x and True": (lambda x: x * True, lambda x: x, (B,)),
    "x / 1": (lambda x: x / 1.0, lambda x: x, (F,)),
    "x / -1": (lambda x: x / -1.0, lambda x: -x, (F,)),
    "x / 4": (lambda x: x / 4.0, lambda x: x * 0.25, (F,)),
    "x / -2 in float16": (lambda x: x / -2.0, lambda x: x * -0.5, ("float16[5]",)),
    "reciprocal(x)": (gf.reciprocal, lambda x: 1.0 / x, (F,)),
    "x * x": (lambda x: x * x, gf.square, (F,)),
    "--x": (lambda x: gf.negative(-x), lambda x: x, (F,)),
    "--x of unsigned": (lambda x: gf.negative(-x), lambda x: x, (U,)),
    "x - -y": (lambda x, y: x - (-y), lambda x, y: x + y, (F, F)),
    "x + -y": (lambda x, y: x + (-y), lambda x, y: x - y, (F, F)),
    "-y + x": (lambda x, y: (-y) + x, lambda x, y: x - y, (F, F)),
    "-x * -y": (lambda x, y: (-x) * (-y), lambda x, y: x * y, (F, F)),
    "-x / -y": (lambda x, y: (-x) / (-y), lambda x, y: x / y, (F, F)),
    "-x * c": (lambda x: (-x) * 3.0, lambda x: x * -3.0, (F,)),
    "-(x * c)": (lambda x: -(x * 3.0), lambda x: x * -3.0, (F,)),
    "-(x * c) of unsigned": (lambda x: -(x * 3), lambda x: x * full(253, gf.uint8), (U,)),
    "square(-x)": (lambda x: gf.square(-x), gf.square, (F,)),
    "square(|x|)": (lambda x: gf.square(gf.abs(x)), gf.square, (I,)),
    "x**1": (lambda x: gf.pow(x, 1.0), lambda x: x, (F,)),
    "x**2": (lambda x: gf.pow(x, full(2.0)), gf.square, (F,)),
    "x**0 of integers": (lambda x: gf.pow(x, 0), lambda x: gf.ones_like(x), ("int32[4, 3]",)),
    "x**3 of integers": (lambda x: gf.pow(x, 3), lambda x: gf.square(x) * x, (I,)),
    "(x + 1) + 2 of integers": (lambda x: (x + 1) + 2, lambda x: x + 3, (I,)),
    "(x * 100) * 3 of bytes": (lambda x: (x * 100) * 3, lambda x: x * full(300 - 256, gf.uint8), (U,)),
    "||x||": (lambda x: gf.abs(gf.abs(x)), gf.abs, (F,)),
    "|-x|": (lambda x: gf.abs(-x), gf.abs, (F,)),
    "relu(relu(x))": (lambda x: gf.relu(gf.relu(x)), gf.relu, (F,)),
    "floor(floor(x))": (lambda x: gf.floor(gf.floor(x)), gf.floor, (F,)),
    "max(x, x)": (lambda x: gf.maximum(x, x), lambda x: x, (F,)),
    "not not x": (lambda x: gf.logical_not(gf.logical_not(x)), lambda x: x, (B,)),
    "x and x": (lambda x: gf.logical_and(x, x), lambda x: x, (B,)),
    "where(True, x, y)": (lambda x, y: gf.where(full(True, gf.bool_), x, y), lambda x, y: x, (F, F)),
    "where(c, x, x)": (lambda c, x: gf.where(c, x, x), lambda c, x: x, (B, F)),
    "where(not c, x, y)": (
        lambda c, x, y: gf.where(gf.logical_not(c), x, y),
        lambda c, x, y: gf.where(c, y, x),
        (B, F, F),
    ),
    "max of max": (
        lambda x: gf.max(gf.max(x, axis=2), axis=0),
        lambda x: gf.max(x, axis=(0, 2)),
        ("float32[4, 2, 3]",),
    ),
    "sum of sum of integers": (lambda x: gf.sum(gf.sum(x, axis=1)), gf.sum, ("int64[4, 2]",)),
    "max of one": (lambda x: gf.max(x, axis=1), lambda x: gf.reshape(x, (4,)), ("float32[4, 1]",)),
    "sum of one": (lambda x: gf.sum(x, axis=1), lambda x: gf.reshape(x, (4,)) + 0.0, ("float32[4, 1]",)),
}


@pytest.mark.parametrize("name", REWRITES)
def test_rewrites_that_change_no_bit(name: str) -> None:
    before, after, operands = REWRITES[name]
    assert_rewrite(before, after, *operands, passes=("algebra",))


def test_whole_powers_become_multiplications() -> None:
    for power, after in {
        3: lambda x: gf.square(x) * x,
        4: lambda x: gf.square(gf.square(x)),
        -1: lambda x: 1.0 / x,
    }.items():
        before = lambda x, p=power: gf.pow(x, float(p))
        assert_rewrite(before, after, F, passes=("algebra",), exact=False)


KEPT: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "x + 0.0 turns -0.0 into 0.0": (lambda x: x + 0.0, (F,)),
    "x - -0.0 too": (lambda x: x - NEGATIVE_ZERO, (F,)),
    "0.0 - x is 0.0 for 0.0": (lambda x: 0.0 - x, (F,)),
    "x * 0 is NaN for NaN": (lambda x: x * 0.0, (F,)),
    "x - x is NaN for infinity": (lambda x: x - x, (F,)),
    "x / x is NaN for 0": (lambda x: x / x, (F,)),
    "x / 3 rounds otherwise than x * (1 / 3)": (lambda x: x / 3.0, (F,)),
    "x / 2**-127: the reciprocal overflows": (lambda x: x / 2.0**-128, (F,)),
    "(x + 1.0) + 2.0 rounds twice": (lambda x: (x + 1.0) + 2.0, (F,)),
    "(x * 3.0) * 5.0 rounds twice": (lambda x: (x * 3.0) * 5.0, (F,)),
    "-(x - y) is -0.0 where y - x is 0.0": (lambda x, y: -(x - y), (F, F)),
    "sqrt(x**2) overflows": (lambda x: gf.sqrt(gf.square(x)), (F,)),
    "x**0.5 is inf for -inf": (lambda x: gf.pow(x, 0.5), (F,)),
    "|-x| of unsigned wraps": (lambda x: gf.abs(-x), (U,)),
    "sum of sum of floats rounds otherwise": (lambda x: gf.sum(gf.sum(x, axis=1)), (F,)),
    "logical_and(x, x) of numbers is bool": (lambda x: gf.logical_and(x, x), (F,)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_a_user_could_observe_is_left_alone(name: str) -> None:
    function, operands = KEPT[name]
    assert_kept(function, *operands, passes=("algebra",))


def test_the_shape_is_kept_by_a_broadcast() -> None:
    ones = np.ones((2, 1, 3), np.float32)
    before = lambda x: x * gf.tensor(ones)
    assert_rewrite(before, lambda x: gf.broadcast_to(x, (2, 4, 3)), "float32[4, 3]", passes=("broadcast", "algebra"))
