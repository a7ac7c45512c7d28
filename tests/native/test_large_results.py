"""Results too large for the cache are written past it: nothing may be lost at their ends, or between threads."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.codegen.loops import STREAMED_BYTES
from graphflow.runtime import gang

N = STREAMED_BYTES // 4 + 37


@pytest.fixture(autouse=True)
def threads():
    yield
    gang.set_num_threads(None)


@pytest.fixture(scope="module")
def step():
    return gf.compile(lambda x: (x * 2 + 1, x > 0, gf.sum(x * x - x)))


@pytest.mark.parametrize("size", [N, N - 37, N - 38], ids=["large", "just large", "not large"])
def test_every_element_is_written(step, size):
    x = np.linspace(-1, 1, size, dtype=np.float32)
    results = []
    for count in (1, 2, 3):
        gang.set_num_threads(count)
        results.append([r.numpy() for r in step(x)])
    np.testing.assert_allclose(results[0][0], x * 2 + 1, rtol=1e-6)
    np.testing.assert_array_equal(results[0][1], x > 0)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_what_is_read_again_at_once_is_there():
    """A large value that the next kernel of the program reads in another order."""
    rows = N // 1024
    f = gf.compile(lambda x: gf.sum(gf.flip(gf.reshape(gf.cumsum(x + 1, axis=0), (-1,))), axis=0), dynamic=False)
    x = np.zeros((rows, 1024), np.float32)
    assert f(x).item() == pytest.approx(1024 * rows * (rows + 1) / 2, rel=1e-3)
