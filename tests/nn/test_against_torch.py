"""Layers, activations and losses give PyTorch's numbers: outputs, gradients, names and shapes of their state."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn

pytestmark = pytest.mark.torch

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def torch() -> Any:
    import torch

    return torch


# name: arguments, settings, shapes of the inputs
LAYERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], list[tuple[int, ...]]]] = {
    "linear": ("Linear", (4, 3), {}, [(5, 4)]),
    "linear of one sample": ("Linear", (4, 3), {}, [(4,)]),
    "linear of a sequence": ("Linear", (4, 3), {}, [(2, 5, 4)]),
    "linear without bias": ("Linear", (4, 3), {"bias": False}, [(5, 4)]),
    "bilinear": ("Bilinear", (4, 3, 2), {}, [(5, 4), (5, 3)]),
    "bilinear without bias": ("Bilinear", (4, 3, 2), {"bias": False}, [(2, 5, 4), (2, 5, 3)]),
    "layer norm": ("LayerNorm", (4,), {}, [(5, 4)]),
    "layer norm of two axes": ("LayerNorm", ((3, 4),), {"eps": 1e-3}, [(5, 3, 4)]),
    "layer norm without bias": ("LayerNorm", (4,), {"bias": False}, [(5, 4)]),
    "plain layer norm": ("LayerNorm", (4,), {"elementwise_affine": False}, [(5, 4)]),
    "rms norm": ("RMSNorm", (4,), {}, [(5, 4)]),
    "rms norm with eps": ("RMSNorm", ((3, 4),), {"eps": 0.1}, [(5, 3, 4)]),
    "group norm": ("GroupNorm", (2, 6), {}, [(5, 6)]),
    "group norm of images": ("GroupNorm", (3, 6), {"eps": 0.1}, [(2, 6, 4, 5)]),
    "plain group norm": ("GroupNorm", (2, 6), {"affine": False}, [(5, 6, 3)]),
    "batch norm": ("BatchNorm1d", (3,), {}, [(8, 3)]),
    "batch norm of sequences": ("BatchNorm1d", (3,), {"momentum": 0.3}, [(8, 3, 4)]),
    "batch norm by averages": ("BatchNorm1d", (3,), {"momentum": None}, [(8, 3)]),
    "batch norm without statistics": ("BatchNorm1d", (3,), {"track_running_stats": False}, [(8, 3)]),
    "plain batch norm": ("BatchNorm1d", (3,), {"affine": False}, [(8, 3)]),
    "batch norm of images": ("BatchNorm2d", (3,), {"eps": 0.1}, [(4, 3, 5, 6)]),
    "batch norm of volumes": ("BatchNorm3d", (2,), {}, [(3, 2, 2, 3, 2)]),
    "prelu": ("PReLU", (), {}, [(5, 4)]),
    "prelu of channels": ("PReLU", (3,), {}, [(5, 3, 4)]),
    "flatten": ("Flatten", (), {}, [(5, 3, 4)]),
    "unflatten": ("Unflatten", (1, (2, 3)), {}, [(5, 6)]),
    "identity": ("Identity", (), {}, [(5, 3)]),
    "cosine similarity": ("CosineSimilarity", (), {}, [(5, 3), (5, 3)]),
    "pairwise distance": ("PairwiseDistance", (), {"p": 1.0}, [(5, 3), (5, 3)]),
}

ACTIVATIONS: dict[str, dict[str, Any]] = {
    "ReLU": {},
    "ReLU6": {},
    "LeakyReLU": {"negative_slope": 0.2},
    "ELU": {"alpha": 0.7},
    "CELU": {"alpha": 0.7},
    "SELU": {},
    "GELU": {},
    "SiLU": {},
    "Mish": {},
    "Sigmoid": {},
    "LogSigmoid": {},
    "Hardsigmoid": {},
    "Hardswish": {},
    "Tanh": {},
    "Hardtanh": {"min_val": -0.5, "max_val": 0.7},
    "Softplus": {"beta": 2.0},
    "Softsign": {},
    "Tanhshrink": {},
    "Hardshrink": {},
    "Softshrink": {"lambd": 0.3},
    "Threshold": {"threshold": 0.1, "value": 0.2},
    "GLU": {},
    "Softmax": {"dim": 1},
    "LogSoftmax": {"dim": 1},
    "Softmin": {"dim": 1},
}


def same_run(torch: Any, ours: Any, theirs: Any, arrays: list[Any], dtype: str) -> None:
    """Outputs and the gradients of inputs and parameters, for a random weighing of the output."""
    tolerance = 1e-5 if dtype == "float32" else 1e-10
    x = [gf.tensor(a, requires_grad=True) for a in arrays]
    t = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*x), theirs(*t)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=tolerance, atol=tolerance)
    weights = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    ours.zero_grad()
    theirs.zero_grad()
    (y * weights).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    own = dict(ours.named_parameters())
    pairs = [(a.grad, b.grad) for a, b in zip(x, t)] + [(own[n].grad, p.grad) for n, p in theirs.named_parameters()]
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(torch: Any, name: str, dtype: str) -> None:
    kind, args, settings, shapes = LAYERS[name]
    theirs = getattr(torch.nn, kind)(*args, **settings).to(getattr(torch, dtype))
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.3 * torch.randn_like(p))
    ours = getattr(nn, kind)(*args, **settings).to(dtype)
    state = theirs.state_dict()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    for _ in range(2):  # the second run starts from moved statistics
        same_run(torch, ours, theirs, [rng.standard_normal(s).astype(dtype) for s in shapes], dtype)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)
    same_run(torch, ours.eval(), theirs.eval(), [rng.standard_normal(s).astype(dtype) for s in shapes], dtype)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(torch: Any, name: str) -> None:
    settings = ACTIVATIONS[name]
    ours, theirs = getattr(nn, name)(**settings), getattr(torch.nn, name)(**settings)
    same_run(torch, ours, theirs, [3 * rng.standard_normal((5, 6)).astype("float32")], "float32")
    known = inspect.signature(getattr(torch.nn, name)).parameters
    for key in ours.defaults:
        assert key in known
        if key not in settings and known[key].default is not None:  # Softmax's dim=None is deprecated there
            assert getattr(getattr(nn, name)(), key) == known[key].default


def test_embedding(torch: Any) -> None:
    theirs = torch.nn.Embedding(7, 3, padding_idx=-2)
    ours = nn.Embedding(7, 3, padding_idx=-2)
    assert repr(ours) == repr(theirs)
    assert (ours.weight.numpy()[5] == 0).all()
    ours.load_state_dict(theirs.state_dict())
    indices = np.array([[1, 5, 1], [0, 6, 5]])
    y, z = ours(gf.tensor(indices)), theirs(torch.tensor(indices))
    np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
    (y * y).sum().backward()
    (z * z).sum().backward()
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-6)


x3 = rng.standard_normal((6, 4)).astype("float32")
p3 = (1 / (1 + np.exp(-x3))).astype("float32")
labels = np.array([0, 3, 1, -100, 2, 2])
signs = np.where(rng.random((6, 4)) < 0.5, -1.0, 1.0).astype("float32")
bits = (signs + 1) / 2
y3 = rng.standard_normal((6, 4)).astype("float32")
w4 = np.array([0.5, 1.0, 2.0, 0.1], "float32")
logp = np.log(p3)

LOSSES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("MSELoss", {}, [x3, y3]),
    ("L1Loss", {}, [x3, y3]),
    ("SmoothL1Loss", {"beta": 0.5}, [x3, y3]),
    ("HuberLoss", {"delta": 0.5}, [x3, y3]),
    ("CrossEntropyLoss", {}, [x3, labels]),
    ("CrossEntropyLoss", {"weight": w4, "label_smoothing": 0.1}, [x3, labels]),
    ("CrossEntropyLoss", {"ignore_index": 2}, [x3, np.abs(labels) % 4]),
    ("CrossEntropyLoss", {"weight": w4}, [x3, p3 / p3.sum(1, keepdims=True)]),
    ("NLLLoss", {"weight": w4}, [logp, labels]),
    ("BCELoss", {}, [p3, bits]),
    ("BCEWithLogitsLoss", {}, [x3, bits]),
    ("BCEWithLogitsLoss", {"pos_weight": w4, "weight": w4}, [x3, bits]),
    ("KLDivLoss", {}, [logp, p3]),
    ("KLDivLoss", {"log_target": True}, [logp, logp - 0.1]),
    ("PoissonNLLLoss", {"full": True}, [x3, np.round(np.abs(3 * y3))]),
    ("PoissonNLLLoss", {"log_input": False}, [p3, np.round(np.abs(3 * y3))]),
    ("GaussianNLLLoss", {"full": True}, [x3, y3, p3]),
    ("HingeEmbeddingLoss", {"margin": 0.5}, [x3, signs]),
    ("SoftMarginLoss", {}, [x3, signs]),
    ("MultiLabelSoftMarginLoss", {"weight": w4}, [x3, bits]),
    ("MarginRankingLoss", {"margin": 0.2}, [x3, y3, signs]),
    ("CosineEmbeddingLoss", {"margin": 0.2}, [x3, y3, signs[:, 0]]),
    ("TripletMarginLoss", {}, [x3, y3, p3]),
    ("TripletMarginLoss", {"swap": True, "p": 1.0}, [x3, y3, p3]),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, settings, arrays", LOSSES, ids=lambda v: v if isinstance(v, str) else "")
def test_loss(torch: Any, name: str, settings: dict[str, Any], arrays: list[Any], reduction: str) -> None:
    if name == "KLDivLoss" and reduction == "mean":
        reduction = "batchmean"  # PyTorch warns about "mean"
    converted = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    ours = getattr(nn, name)(**settings, reduction=reduction)
    theirs = getattr(torch.nn, name)(**converted, reduction=reduction)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, t = gf.tensor(arrays[0], requires_grad=True), torch.tensor(arrays[0], requires_grad=True)
    y = ours(x, *[gf.tensor(a) for a in arrays[1:]])
    z = theirs(t, *[torch.tensor(a) for a in arrays[1:]])
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-5, atol=1e-5)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_a_whole_model(torch: Any) -> None:
    def build(nn: Any) -> Any:
        head = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.5))
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), head, nn.Linear(8, 3))

    ours, theirs = build(nn), build(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert repr(ours[1]) == repr(theirs[1])
    ours.load_state_dict(theirs.state_dict())
    same_run(torch, ours.eval(), theirs.eval(), [rng.standard_normal((5, 3, 4)).astype("float32")], "float32")


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_a_state_dict_goes_back(torch: Any, dtype: str) -> None:
    ours, theirs = nn.Linear(3, 2).to(dtype), torch.nn.Linear(3, 2).to(getattr(torch, dtype))
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    np.testing.assert_array_equal(theirs.weight.detach().numpy(), ours.weight.numpy())


def test_clipping(torch: Any) -> None:
    gradients = [rng.standard_normal(s).astype("float32") for s in ((3, 4), (5,), ())]
    for norm_type in (2.0, 1.0, np.inf, 3.0):
        for limit in (0.5, 100.0):
            ours = [nn.Parameter(np.zeros_like(g)) for g in gradients]
            theirs = [torch.nn.Parameter(torch.zeros(g.shape)) for g in gradients]
            for p, q, g in zip(ours, theirs, gradients):
                p.grad, q.grad = gf.tensor(g), torch.tensor(g)
            norm = nn.utils.clip_grad_norm_(ours, limit, norm_type)
            other = torch.nn.utils.clip_grad_norm_(theirs, limit, norm_type)
            np.testing.assert_allclose(norm.item(), other.item(), rtol=1e-5)
            for p, q in zip(ours, theirs):
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5)
