"""Layers that draw random numbers or change their own state: the same in every mode, and as PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow import nn

rng = np.random.default_rng(0)

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "dropout 3d": (lambda: nn.Dropout3d(0.4), (3, 4, 2, 3, 2)),
    "alpha dropout": (lambda: nn.AlphaDropout(0.3), (6, 5)),
    "feature alpha dropout": (lambda: nn.FeatureAlphaDropout(0.3), (3, 4, 2, 3)),
    "rrelu": (lambda: nn.RReLU(0.1, 0.4), (6, 5)),
    "gumbel softmax": (lambda: nn.Lambda(lambda x: F.gumbel_softmax(x, 0.7)), (6, 5)),
    "hard gumbel softmax": (lambda: nn.Lambda(lambda x: F.gumbel_softmax(x, hard=True, dim=0)), (6, 5)),
    "instance norm": (lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (2, 3, 4, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_same_numbers_compiled_and_in_a_session(name: str) -> None:
    build, shape = LAYERS[name]
    x = rng.standard_normal(shape).astype("float32")
    layers = [build() for _ in range(3)]

    def results(layer: Any, x: Any) -> Any:
        y = layer(x)
        return y, gf.gradients((y * y).sum(), x)

    compiled = gf.compile(lambda x: results(layers[1], x))
    with gf.Graph() as graph:
        fed = gf.placeholder(shape)
        fetches = results(layers[2], fed)
    session = gf.Session(graph)
    ways = [
        lambda: results(layers[0], gf.tensor(x, requires_grad=True)),
        lambda: compiled(x),
        lambda: session.run(fetches, {fed: x}),
    ]
    for seed in (1, 2):
        found = []
        for way in ways:
            gf.random.seed(seed)
            found.append([np.asarray(a) for a in way()])
        for other in found[1:]:
            for have, want in zip(other, found[0]):
                np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)
    for layer in layers[1:]:
        for key, value in layers[0].state_dict().items():
            np.testing.assert_allclose(layer.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = gf.random.normal((200, 500))
    for layer in (nn.AlphaDropout(0.2), nn.FeatureAlphaDropout(0.2)):
        out = layer(x).numpy()
        assert abs(out.mean()) < 0.02 and abs(out.std() - 1) < 0.02
        assert layer.eval()(x) is x
    channels = nn.FeatureAlphaDropout(0.5)(gf.zeros((4, 8, 3, 3))).numpy().reshape(32, 9)
    assert (channels == channels[:, :1]).all() and len(np.unique(channels)) == 2


def test_rrelu_draws_slopes_between_its_bounds() -> None:
    layer = nn.RReLU(0.1, 0.3)
    out = layer(gf.full((1000,), -1.0)).numpy()
    assert -0.3 <= out.min() < -0.29 and -0.11 < out.max() <= -0.1
    assert layer(gf.tensor([2.0])).item() == 2.0
    np.testing.assert_allclose(layer.eval()(gf.tensor([-1.0])).numpy(), [-0.2], rtol=1e-6)


def test_gumbel_softmax_follows_its_logits() -> None:
    chances = np.array([0.1, 0.2, 0.7], "float32")
    drawn = F.gumbel_softmax(gf.tensor(np.log(chances)).expand(4000, 3), hard=True).numpy()
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0), chances, atol=0.03)


@pytest.mark.torch
def test_statistics_of_instance_norm_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = (lib.InstanceNorm1d(3, affine=True, track_running_stats=True) for lib in (nn, torch.nn))
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        x = rng.standard_normal((4, 3, 6)).astype("float32")
        np.testing.assert_allclose(ours(gf.tensor(x)).numpy(), theirs(torch.tensor(x)).detach().numpy(), atol=1e-5)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["embedding", "bag"])
def test_rows_that_are_too_long_are_shortened_in_every_mode(kind: str) -> None:
    rows = rng.standard_normal((5, 3)).astype("float32") * 2
    indices = np.array([[0, 2, 2], [4, 0, 2]])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    short = np.where((norms > 1.5) & np.isin(np.arange(5), indices)[:, None], rows * (1.5 / (norms + 1e-7)), rows)
    found = []
    for wrap in (lambda f: f, gf.compile):
        if kind == "embedding":
            layer: Any = nn.Embedding.from_pretrained(rows, freeze=False, max_norm=1.5)
        else:
            layer = nn.EmbeddingBag.from_pretrained(rows, freeze=False, max_norm=1.5, mode="sum")

        def step(x: Any, layer: Any = layer) -> Any:
            y = layer(x)
            layer.zero_grad()
            (y * y).sum().backward()
            return y, layer.weight.grad

        found.append([a.numpy() for a in wrap(step)(gf.tensor(indices))])
        np.testing.assert_allclose(layer.weight.numpy(), short, rtol=1e-5)
    for have, want in zip(found[1], found[0]):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)
    picked = short[indices]
    np.testing.assert_allclose(found[0][0], picked if kind == "embedding" else picked.sum(1), rtol=1e-5, atol=1e-5)


def test_gradients_of_bags_are_divided_by_how_often_rows_are_there() -> None:
    """(PyTorch's own figures on the CPU divide by another row's count.)"""
    layer = nn.EmbeddingBag(4, 1, mode="sum", scale_grad_by_freq=True)
    layer(gf.tensor([[0, 0], [0, 1], [2, 2]])).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy().ravel(), [1.0, 1.0, 1.0, 0.0], rtol=1e-6)


def test_symbolic_sizes() -> None:
    """A batch of any size: programs are made once."""
    layers: list[tuple[Any, tuple[int, ...]]] = [
        (nn.Upsample(scale_factor=2), (3, 4, 5)),
        (nn.PixelShuffle(2), (4, 3, 3)),
        (nn.ReflectionPad2d(1), (3, 4, 5)),
        (nn.Unfold(2), (3, 4, 5)),
        (nn.InstanceNorm2d(3), (3, 4, 5)),
        (nn.LocalResponseNorm(3), (4, 3)),
    ]
    for layer, shape in layers:
        run = gf.compile(lambda x, layer=layer: layer(x))
        for count in (2, 5, 3):
            x = gf.tensor(rng.standard_normal((count, *shape)).astype("float32"))
            np.testing.assert_allclose(run(x).numpy(), layer(x).numpy(), rtol=1e-5, atol=1e-5)
        assert run.cache_info().traces == 1, layer
