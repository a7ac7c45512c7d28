"""Metrics of one batch, eagerly and in graphs."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow import metrics


def test_values() -> None:
    scores = gf.tensor([[0.1, 0.7, 0.2], [0.9, 0.0, 0.1], [0.3, 0.3, 0.4], [0.2, 0.5, 0.3]])
    assert metrics.accuracy(scores, gf.tensor([1, 0, 0, 1])).item() == 0.75
    assert metrics.accuracy(np.array([True, False]), np.array([True, True])).item() == 0.5
    p, t = gf.tensor([1.0, 2.0, 3.0]), gf.tensor([1.0, 0.0, 0.0])
    assert metrics.mae(p, t).item() == pytest.approx(5 / 3)
    assert metrics.mse(p, t).item() == pytest.approx(13 / 3)
    assert metrics.rmse(p, t).item() == pytest.approx((13 / 3) ** 0.5)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(gf.errors.ShapeError, match=r"accuracy: predictions of shape \(2, 3, 4\)"):
        metrics.accuracy(gf.ones((2, 3, 4)), gf.ones(2))
