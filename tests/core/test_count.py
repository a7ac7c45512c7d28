"""``x.size`` is a number, and a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf


def test_the_size_is_a_number_that_can_be_called() -> None:
    x = gf.zeros((2, 3, 4))
    assert x.size == 24 and isinstance(x.size, int) and x.size * 2 == 48 and repr(x.size) == "24"
    assert x.size() == (2, 3, 4) and x.size(1) == 3 and x.size(-1) == 4 and x.numel() == 24
    assert gf.zeros(()).size == 1 and gf.zeros((0, 3)).size == 0
    assert gf.Variable([1.0, 2.0]).size(0) == 2
    with pytest.raises(IndexError):
        x.size(3)


def test_in_compiled_code_the_batch_stays_open() -> None:
    @gf.compile
    def flat(x: Any) -> Any:
        return x.view(x.size(0), -1) / x.size

    for rows in (2, 5):
        x = np.ones((rows, 2, 3), np.float32)
        np.testing.assert_allclose(flat(x).numpy(), np.full((rows, 6), 1 / x.size), rtol=1e-6)
    assert flat.cache_info().traces == 1
    with gf.Graph():
        x = gf.placeholder((None, 4), name="x")
        assert str(x.size) == "4*x.0" and x.size == x.shape[0] * 4 and str(x.size(0)) == "x.0"
