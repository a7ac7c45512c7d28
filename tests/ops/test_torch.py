"""A gradient checker written by others: PyTorch's gradcheck over every differentiable op and many functions.

Also values against PyTorch's functions of the same name. Skipped where PyTorch is not installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.autograd import gradients
from graphflow.core.dtypes import float64
from graphflow.core.op import OPS
from graphflow.tensor import Tensor
from tests.ops.cases import DIFFERENTIABLE, call, operands

pytestmark = pytest.mark.torch


def _as_torch_function(function: Any, count: int, differentiable: list[int]) -> Any:
    """A torch.autograd.Function whose forward and backward are GraphFlow's; so is its backward, for order two."""
    import torch

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.save_for_backward(*xs)
            with gf.no_grad():
                out = function(*(Tensor(x.detach().numpy()) for x in xs))
            return torch.from_numpy(np.array(out.numpy()))

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return _as_torch_gradient(function, count, differentiable)(*ctx.saved_tensors, g)

    return Wrapped.apply


def _as_torch_gradient(function: Any, count: int, differentiable: list[int]) -> Any:
    """(xs..., g) -> the gradients, one tensor or None for each x; differentiable through GraphFlow's second order."""
    import torch

    def first_order(*xs: Tensor) -> list[Tensor]:
        *inputs, g = xs
        out = function(*inputs)
        targets = [inputs[i] for i in differentiable]
        found = gradients(out, targets, g) if out.requires_grad else [None] * len(targets)
        return [gf.zeros_like(t) if s is None else s for t, s in zip(targets, found)]

    class Slopes(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.save_for_backward(*xs)
            tensors = [Tensor(x.detach().numpy(), requires_grad=x.is_floating_point()) for x in xs]
            return tuple(torch.from_numpy(np.array(s.numpy())) for s in first_order(*tensors))

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            tensors = [Tensor(x.detach().numpy(), requires_grad=x.is_floating_point()) for x in ctx.saved_tensors]
            slopes = first_order(*tensors)
            targets = [*(tensors[i] for i in differentiable), tensors[-1]]
            known = [(s, Tensor(g.numpy())) for s, g in zip(slopes, gs) if s.requires_grad]
            found = gradients([s for s, _ in known], targets, [g for _, g in known]) if known else [None] * len(targets)
            out: list[Any] = [None] * len(tensors)
            for i, s in zip([*differentiable, len(tensors) - 1], found):
                out[i] = None if s is None else torch.from_numpy(np.array(s.numpy()))
            return tuple(out)

    def apply(*xs: Any) -> Any:
        slopes = Slopes.apply(*xs)
        out: list[Any] = [None] * count
        for i, s in zip(differentiable, slopes):
            out[i] = s
        return tuple(out)

    return apply


def torch_gradcheck(function: Any, *arrays: Any) -> None:
    """torch.autograd.gradcheck and gradgradcheck on a GraphFlow function."""
    import torch

    differentiable = [i for i, a in enumerate(arrays) if a.dtype == np.float64]
    xs = [torch.from_numpy(np.array(a)).requires_grad_(i in differentiable) for i, a in enumerate(arrays)]
    wrapped = _as_torch_function(function, len(arrays), differentiable)
    assert torch.autograd.gradcheck(wrapped, xs, atol=1e-5, rtol=1e-3, nondet_tol=1e-12)
    assert torch.autograd.gradgradcheck(wrapped, xs, atol=1e-4, rtol=1e-3, nondet_tol=1e-12)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_torchs_gradcheck_agrees(name: str) -> None:
    op = OPS[name]
    for sample in op.samples():  # type: ignore[misc]
        arrays = operands(sample, float64, name)
        rounds = sample.attrs.get("dtype", float64) is not float64
        if sample.grad and not rounds and all(a.size for a in arrays) and any(a.dtype.kind == "f" for a in arrays):
            torch_gradcheck(call(op, sample), *arrays)


X = np.random.default_rng(0).normal(size=(5, 4)) * 2
POSITIVE = np.abs(X) + 0.1
SPECIAL = np.array([-np.inf, -1e4, -88.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 88.0, 1e4, np.inf, np.nan])
ACTIVATIONS: dict[str, Any] = {
    **{n: {} for n in ("relu", "sigmoid", "tanh", "silu", "mish", "elu", "selu", "celu", "relu6", "softsign")},
    **{n: {} for n in ("hardtanh", "logsigmoid", "tanhshrink", "hardshrink", "softshrink", "softplus", "gelu")},
    "leaky_relu": {"negative_slope": 0.2},
    "gelu ": {"approximate": "tanh"},
    "softplus ": {"beta": 2.0},
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_subgradients_are_torchs(name: str) -> None:
    import torch

    options = ACTIVATIONS[name]
    x = torch.tensor(SPECIAL[1:-2], requires_grad=True)
    want = getattr(torch.nn.functional, name.strip())(x, **options)
    want.sum().backward()
    ours = gf.tensor(SPECIAL[1:-2], requires_grad=True)
    got = getattr(gf, name.strip())(ours, **options)
    got.sum().backward()
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours.grad.numpy(), x.grad.numpy(), rtol=1e-7, atol=1e-7)


LABELS = np.array([0, 3, -100, 2, 1])
SOFT = np.abs(X) / np.abs(X).sum(1, keepdims=True)
SIGNS = np.where(X > 0, 1.0, -1.0)
WEIGHT = np.array([0.2, 1.0, 3.0, 0.5])
LOSSES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "mse": ("mse_loss", (X, POSITIVE), {}),
    "l1": ("l1_loss", (X, POSITIVE), {}),
    "huber": ("huber_loss", (X, POSITIVE), {"delta": 0.7}),
    "smooth_l1": ("smooth_l1_loss", (X, POSITIVE), {"beta": 0.7}),
    "labels": ("cross_entropy", (X, LABELS), {}),
    "labels, weights, smoothing": ("cross_entropy", (X, LABELS), {"weight": WEIGHT, "label_smoothing": 0.1}),
    "labels of pixels": ("cross_entropy", (X.reshape(1, 5, 2, 2), np.array([[[0, 3], [1, 2]]])), {"ignore_index": 3}),
    "one label": ("cross_entropy", (X[0], np.array(2)), {}),
    "probabilities": ("cross_entropy", (X, SOFT), {"label_smoothing": 0.2, "weight": WEIGHT}),
    "nll": ("nll_loss", (X, LABELS), {"weight": WEIGHT}),
    "bce": ("binary_cross_entropy", (SOFT, SOFT[::-1]), {"weight": POSITIVE}),
    "bce at the limits": ("binary_cross_entropy", (np.array([0.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.0])), {}),
    "logits": ("binary_cross_entropy_with_logits", (X * 50, SOFT), {}),
    "logits, weights": ("binary_cross_entropy_with_logits", (X, SOFT), {"weight": POSITIVE, "pos_weight": WEIGHT}),
    "kl": ("kl_div", (np.log(SOFT), SOFT[::-1]), {}),
    "kl of logs": ("kl_div", (np.log(SOFT), np.log(SOFT[::-1])), {"log_target": True}),
    "poisson": ("poisson_nll_loss", (X, POSITIVE), {"full": True}),
    "gaussian": ("gaussian_nll_loss", (X, SOFT, POSITIVE), {"full": True}),
    "hinge": ("hinge_embedding_loss", (X, SIGNS), {}),
    "soft margin": ("soft_margin_loss", (X, SIGNS), {}),
    "ranking": ("margin_ranking_loss", (X, X[::-1].copy(), SIGNS), {"margin": 0.3}),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")  # PyTorch about kl_div
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_torchs(name: str, reduction: str) -> None:
    import torch

    function, args, options = LOSSES[name]
    theirs = [torch.from_numpy(np.array(a)) for a in args]
    theirs[0].requires_grad_()
    tensors = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    want = getattr(torch.nn.functional, function)(*theirs, reduction=reduction, **tensors)
    want.sum().backward()
    ours = [gf.tensor(a) for a in args]
    ours[0].requires_grad_()
    arrays = {k: gf.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    got = getattr(gf, function)(*ours, reduction=reduction, **arrays)
    got.sum().backward()
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-12)
    if name != "bce at the limits":  # log(0): PyTorch's gradient is 1e12 there, ours 0
        np.testing.assert_allclose(ours[0].grad.numpy(), theirs[0].grad.numpy(), rtol=1e-8, atol=1e-10)
