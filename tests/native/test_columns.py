"""Sums of columns, with several vectors of them side by side: all columns, in the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime import gang
from tests.native.common import native

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def threads():
    yield
    gang.set_num_threads(None)


@pytest.mark.parametrize("symbolic", [False, True], ids=["fixed", "open"])
@pytest.mark.parametrize("columns", [48, 64, 96, 512, 515])
def test_several_sums_and_what_follows(columns: int, symbolic: bool) -> None:
    x, y = (rng.normal(size=(70, columns)).astype(np.float32) for _ in range(2))
    weight = rng.normal(size=columns).astype(np.float32)

    def run(x, y):
        total, greatest = gf.sum(x * y - 1, axis=0), gf.max(x + y, axis=0)
        return total * weight + greatest, gf.any(x > 3, axis=0)

    native(run, x, y, symbolic=symbolic, tolerance=1e-4)


def test_float64_and_an_outer_axis() -> None:
    x = rng.normal(size=(5, 40, 64))
    native(lambda x: (gf.sum(x, axis=1) / 40, gf.mean(gf.square(x), axis=(0, 1))), x, tolerance=1e-12)


def test_the_same_bits_on_any_number_of_threads() -> None:
    x = rng.normal(size=(2000, 512)).astype(np.float32)
    step = gf.compile(lambda x: gf.sum(x * x, axis=0))
    results = []
    for count in (1, 2, 3, 4):
        gang.set_num_threads(count)
        results.append(step(x).numpy())
    np.testing.assert_allclose(results[0], np.square(x.astype(np.float64)).sum(0), rtol=1e-5)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
