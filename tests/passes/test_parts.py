"""Gradients of a tensor that was taken apart are put together without copies."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

import graphflow as gf
from graphflow.testing import check_parity


@pytest.mark.parametrize("axis", [0, 1])
def test_parts_that_are_all_there(axis: int) -> None:
    def f(x: gf.Tensor) -> gf.Tensor:
        y = gf.tanh(x)
        moved = gf.permute_dims(y, (axis, 1 - axis, 2))
        parts = gf.stack([gf.exp(moved[i]) for i in range(3)])
        return (parts * gf.sin(parts)).sum()

    x = np.random.default_rng(0).normal(size=(3, 4, 5) if axis == 0 else (4, 3, 5))
    check_parity(f, x)
    assert gf.compile(f)(gf.tensor(x)).shape == ()


def test_what_is_cut_out_and_laid_back() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))

    def sums(*cuts: tuple[int, int, int]) -> object:
        def f(t: gf.Tensor) -> gf.Tensor:
            y = -gf.exp(t)
            parts = [gf.pad(y[start:stop], [(at, 6 - at - (stop - start)), (0, 0)]) for start, stop, at in cuts]
            return reduce(gf.add, parts)

        return f

    whole = sums((0, 2, 0), (2, 3, 2), (3, 6, 3))
    text = gf.trace(whole, gf.TensorSpec((6, 4), gf.float64, name="x")).optimize().to_text()
    assert " pad(" not in text and " slice(" not in text
    for cuts in (((0, 2, 0), (3, 6, 3)), ((0, 3, 0), (2, 6, 2)), ((0, 3, 3), (3, 6, 0)), ((0, 6, 0), (0, 6, 0))):
        check_parity(sums(*cuts), x)
    check_parity(whole, x)
    zeros = np.full((6, 4), -np.inf)  # which makes every y -0.0
    assert not np.signbit(gf.compile(whole)(gf.tensor(zeros)).numpy()).any()


def test_a_slice_among_them_is_no_part() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    check_parity(lambda t: gf.pad(t[:2], [(0, 1), (0, 0)]) + gf.pad(t, [(1, 1), (0, 0)])[1:-1], x)
