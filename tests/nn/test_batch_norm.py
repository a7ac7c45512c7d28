"""Batch normalisation: its gradient rule against the plain formula and PyTorch, to second order; how it is walked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow import nn
from graphflow.testing import check_grad, check_parity
from tests.native.common import kinds, native

rng = np.random.default_rng(0)
SHAPES = [(5, 3), (4, 3, 6), (3, 2, 4, 5)]


def plain(x: gf.Tensor, w: Any = None, b: Any = None, eps: float = 1e-5) -> gf.Tensor:
    """The formula, whose gradient is what the chain rule makes of it."""
    axes = (0, *range(2, x.ndim))
    channels = (-1, *(1,) * (x.ndim - 2))
    center = gf.mean(x, axes, keepdims=True)
    out = (x - center) / gf.sqrt(gf.mean((x - center) ** 2, axes, keepdims=True) + eps)
    out = out if w is None else out * gf.reshape(w, channels)
    return out if b is None else out + gf.reshape(b, channels)


def norm(x: gf.Tensor, w: Any = None, b: Any = None) -> gf.Tensor:
    return F.batch_norm(x, None, None, w, b, training=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [0, 1, 2])
def test_the_rule_is_the_formulas_gradient(shape: tuple[int, ...], affine: int) -> None:
    x = gf.tensor(rng.normal(size=shape), requires_grad=True)
    more = [gf.tensor(rng.normal(size=shape[1]), requires_grad=True) for _ in range(affine)]
    weights = gf.tensor(rng.normal(size=shape))
    for y in (norm(x, *more), gf.tanh(norm(x, *more))):
        assert y.shape == shape
    have = gf.gradients([(norm(x, *more) * weights).sum()], [x, *more])
    want = gf.gradients([(plain(x, *more) * weights).sum()], [x, *more])
    for a, b in zip(have, want):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_gradients_to_second_order(mode: Any) -> None:
    operands = [rng.normal(size=s) for s in ((4, 3, 5), (3,), (3,))]
    check_grad(lambda x, w, b: norm(x, w, b) ** 2, *operands, mode=mode, directions=1)


def test_every_mode_agrees() -> None:
    operands = [rng.normal(size=s).astype(np.float32) for s in ((4, 3, 5, 2), (3,), (3,))]
    check_parity(lambda x, w, b: gf.tanh(norm(x, w, b)), *operands)


def test_two_walks_back_over_the_batch() -> None:
    """Both sums in one walk, the slopes in the next: one kernel, and nothing of the batch's size between."""

    def back(x: gf.Tensor, g: gf.Tensor, w: gf.Tensor) -> Any:
        return tuple(gf.gradients([norm(x, w)], [x, w], [g]))

    made = native(back, *(rng.normal(size=s).astype(np.float32) for s in ((8, 3, 4, 4), (8, 3, 4, 4), (3,))))
    assert len(kinds(made)) <= 2
    assert not any(b.kind == "temp" and b.shape == (8, 3, 4, 4) for b in made.program.buffers)


def test_any_batch_in_one_program() -> None:
    layer = nn.BatchNorm1d(3)
    step = gf.compile(lambda x: layer(x))
    other = nn.BatchNorm1d(3)
    for batch in (4, 7, 2, 30):
        x = rng.normal(size=(batch, 3)).astype(np.float32)
        np.testing.assert_allclose(step(gf.tensor(x)).numpy(), other(gf.tensor(x)).numpy(), rtol=1e-5, atol=1e-5)
    assert step.cache_info().compiles <= 2
    np.testing.assert_allclose(layer.running_var.numpy(), other.running_var.numpy(), rtol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_pytorchs_numbers_and_statistics(mode: str) -> None:
    import torch

    theirs, ours = torch.nn.BatchNorm2d(4, momentum=0.3), nn.BatchNorm2d(4, momentum=0.3)

    def step(x: gf.Tensor) -> list[gf.Tensor]:
        y = ours(x)
        return [y, *gf.gradients([(y**3).sum()], [x, *ours.parameters()])]

    run = gf.compile(step) if mode == "compiled" else step
    for _ in range(3):
        x = rng.normal(size=(5, 4, 3, 2)).astype(np.float32)
        t = torch.tensor(x, requires_grad=True)
        z = theirs(t)
        slopes = torch.autograd.grad((z**3).sum(), [t, *theirs.parameters()])
        for a, b in zip(run(gf.tensor(x, requires_grad=True)), [z, *slopes]):
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.running_mean.numpy(), theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-5)
    theirs.eval(), ours.eval()
    x = rng.normal(size=(5, 4, 3, 2)).astype(np.float32)
    np.testing.assert_allclose(ours(gf.tensor(x)).numpy(), theirs(torch.tensor(x)).detach().numpy(), atol=1e-5)
