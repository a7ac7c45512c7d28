"""Losses: values by hand, all modes, gradients, and the errors for labels and shapes that do not fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import DTypeError, ShapeError
from graphflow.ir.interpreter import evaluate
from graphflow.testing import check_grad, check_parity
from graphflow.testing.calls import record

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4)).astype(np.float32)
T = RNG.normal(size=(5, 4)).astype(np.float32)
P = (np.abs(T) / np.abs(T).sum(1, keepdims=True)).astype(np.float32)
LABELS = np.array([0, 3, 1, 1, 2])
CASES: dict[str, tuple[Any, ...]] = {
    "mse_loss": (X, T),
    "l1_loss": (X, T),
    "huber_loss": (X, T),
    "smooth_l1_loss": (X, T),
    "cross_entropy": (X, P),
    "kl_div": (X, P),
    "binary_cross_entropy": (P, P[::-1].copy()),
    "binary_cross_entropy_with_logits": (X, P),
    "poisson_nll_loss": (X, P),
    "gaussian_nll_loss": (X, T, P),
    "hinge_loss": (X, np.sign(T)),
    "hinge_embedding_loss": (X, np.sign(T)),
    "soft_margin_loss": (X, np.sign(T)),
    "margin_ranking_loss": (X, T, np.sign(T)),
}


@pytest.mark.parametrize("name", CASES)
def test_modes_and_gradients(name: str) -> None:
    loss = getattr(gf, name)
    check_parity(lambda *xs: [loss(*xs, reduction=r) for r in ("mean", "sum", "none")], *CASES[name], symbolic=True)
    x, *targets = CASES[name]
    check_grad(lambda x: loss(x, *targets), x, directions=1)
    with pytest.raises(ValueError, match="reduction"):
        loss(*CASES[name], reduction="average")


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1}, {"weight": np.float32([1, 2, 3, 4])}, {"ignore_index": 1}]
)
def test_cross_entropy_of_labels(dtype: Any, options: dict[str, Any]) -> None:
    labels = LABELS.astype(dtype)
    check_parity(lambda x, y: gf.cross_entropy(x, y, **options), X, labels, symbolic=True)
    check_grad(lambda x: gf.cross_entropy(x, labels, **options), X, directions=1)


def test_cross_entropy_by_hand() -> None:
    logs = X - np.log(np.exp(X).sum(1, keepdims=True))
    picked = -logs[np.arange(5), LABELS]
    assert gf.cross_entropy(X, LABELS).item() == pytest.approx(picked.mean(), rel=1e-6)
    assert gf.cross_entropy(X, LABELS, ignore_index=1).item() == pytest.approx(picked[LABELS != 1].mean(), rel=1e-6)
    np.testing.assert_allclose(gf.nll_loss(logs, LABELS, reduction="none"), picked, rtol=1e-6)
    images = np.moveaxis(np.stack([X, X]), 1, 2)  # (2, 4, 5): classes on axis 1
    want = np.stack([picked, picked])
    np.testing.assert_allclose(gf.cross_entropy(images, np.stack([LABELS] * 2), reduction="none"), want, rtol=1e-6)
    assert gf.cross_entropy(X[0], np.array(2)).item() == pytest.approx(-logs[0, 2], rel=1e-6)


def test_cross_entropy_with_more_classes_than_the_label_type_counts() -> None:
    """Class 256 must not be taken for class 0 of a uint8 label."""
    x = np.zeros((1, 300), np.float32)
    assert gf.cross_entropy(x, np.array([0], np.uint8)).item() == pytest.approx(math.log(300), rel=1e-6)


def test_labels_out_of_range() -> None:
    with pytest.raises(IndexError, match=r"(?s)label 4 is out of range for 4 classes \(0 to 3\).*test_losses.py"):
        gf.cross_entropy(X, np.array([0, 1, 2, 3, 4]))
    with pytest.raises(IndexError, match="label -1"):
        gf.one_hot(np.array([-1]), 3)
    _, (labels,), (loss,) = record(lambda tensors: [gf.cross_entropy(X, tensors[0])], [LABELS])
    assert np.isfinite(evaluate([loss], {labels: LABELS})[0])
    assert np.isnan(evaluate([loss], {labels: LABELS + 1})[0]), "a wrong label must not look right"


def test_wrong_operands() -> None:
    with pytest.raises(ShapeError, match=r"\(5,\) does not fit the input's \(5, 1\)"):
        gf.mse_loss(X[:, :1], T[:, 0])
    with pytest.raises(ShapeError, match=r"needs labels of shape \(5,\)"):
        gf.cross_entropy(X, LABELS[:, None])
    with pytest.raises(DTypeError, match="integer labels"):
        gf.nll_loss(X, T[:, 0])


def test_extreme_logits() -> None:
    x, t = gf.tensor([-1e4, 1e4, 0.0], requires_grad=True), gf.tensor([1.0, 1.0, 0.5])
    loss = gf.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert loss.tolist() == pytest.approx([1e4, 0.0, math.log(2)])
    loss.sum().backward()
    assert x.grad.tolist() == [-1.0, 0.0, 0.0]
    assert gf.cross_entropy(gf.tensor([[1e4, -1e4]]), gf.tensor([1])).item() == 2e4


def test_half_precision_losses_sum_in_float32() -> None:
    x = gf.zeros((3000, 2), dtype=gf.float16)
    loss = gf.cross_entropy(x, gf.zeros(3000, dtype=gf.int64))
    assert loss.dtype == gf.float16 and loss.item() == pytest.approx(math.log(2), rel=1e-3)


def test_one_hot() -> None:
    assert gf.one_hot(gf.tensor([1, 0])).tolist() == [[0, 1], [1, 0]]
    check_parity(lambda y: gf.one_hot(y, 4, dtype=gf.float32), LABELS.reshape(5, 1), symbolic=True)


@pytest.mark.parametrize("native_after", [-1, 0])
def test_what_is_no_probability(native_after: int) -> None:
    ones, wrong = gf.ones(2), gf.tensor([0.5, 1.5])
    with gf.config(native_after=native_after):
        assert gf.binary_cross_entropy(ones, ones).item() == 0.0
        with pytest.raises(ValueError, match="takes probabilities, got 1.5; logits are for"):
            gf.binary_cross_entropy(wrong, ones)
        assert np.isnan(gf.binary_cross_entropy(gf.tensor([np.nan, 0.5]), ones).item())
    assert np.isnan(gf.compile(lambda x: gf.binary_cross_entropy(x, ones))(wrong).item())
