"""Layers that learn the number of their input features from the first call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn
from graphflow.core.errors import ShapeError

# the lazy layer, its usual kind and arguments, and an input
LAYERS: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "LazyLinear": ((3,), {"bias": False}, (2, 5, 4)),
    "LazyConv1d": ((6, 3), {"groups": 2}, (2, 4, 7)),
    "LazyConv2d": ((6, 3), {"stride": 2, "padding": 1}, (4, 7, 6)),
    "LazyConv3d": ((2, 2), {}, (1, 3, 4, 4, 4)),
    "LazyConvTranspose1d": ((6, 3), {}, (2, 4, 7)),
    "LazyConvTranspose2d": ((6, 3), {"groups": 2, "stride": 2}, (2, 4, 3, 3)),
    "LazyConvTranspose3d": ((2, 2), {}, (1, 3, 2, 2, 2)),
    "LazyBatchNorm1d": ((), {"momentum": 0.3}, (5, 4)),
    "LazyBatchNorm2d": ((1e-3,), {}, (2, 3, 4, 4)),
    "LazyBatchNorm3d": ((), {"affine": False}, (2, 3, 2, 2, 2)),
    "LazyInstanceNorm1d": ((), {"affine": True}, (2, 3, 5)),
    "LazyInstanceNorm2d": ((), {"affine": True, "track_running_stats": True}, (2, 3, 4, 4)),
    "LazyInstanceNorm3d": ((), {}, (2, 3, 2, 2, 2)),
}


def usual(name: str) -> Any:
    """The usual layer for the input that is there."""
    args, settings, shape = LAYERS[name]
    features = shape[-1] if name == "LazyLinear" else shape[0] if len(shape) == 3 and "2d" in name else shape[1]
    if "InstanceNorm" in name:
        settings = {"affine": True, "track_running_stats": True, **settings}  # the defaults differ, as in PyTorch
    return getattr(nn, name.removeprefix("Lazy"))(features, *args, **settings)


@pytest.mark.parametrize("name", LAYERS)
def test_after_the_first_call_it_is_the_usual_layer(name: str) -> None:
    args, settings, shape = LAYERS[name]
    gf.random.seed(5)
    want = usual(name)
    gf.random.seed(5)
    layer = getattr(nn, name)(*args, **settings)
    before = list(layer.parameters())
    x = gf.tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))
    out = layer(x)
    np.testing.assert_array_equal(out.numpy(), want(x).numpy())
    assert type(layer) is type(want) and repr(layer) == repr(want)
    assert all(a is b for a, b in zip(before, layer.parameters(), strict=True))  # an optimizer may have them already
    assert {k: v.shape for k, v in layer.state_dict().items()} == {k: v.shape for k, v in want.state_dict().items()}
    np.testing.assert_array_equal(layer(x).numpy(), want(x).numpy())


@pytest.mark.parametrize("mode", ["eager", "compiled", "session"])
def test_training_from_the_first_call_on(mode: str) -> None:
    gf.random.seed(0)
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    x = np.random.default_rng(0).standard_normal((8, 2, 5, 5)).astype("float32")
    y = x.mean((1, 2, 3), keepdims=True).reshape(8, 1)
    losses = []
    if mode == "session":
        with gf.Graph() as graph:
            place = gf.placeholder((8, 2, 5, 5), name="x")
            loss = nn.functional.mse_loss(model(place), gf.tensor(y))
            train = gf.optim.Adam(lr=0.02).minimize(loss)
        with gf.Session(graph) as session:
            losses = [session.run([loss, train], {place: x})[0].item() for _ in range(30)]
    else:
        optimizer = gf.optim.Adam(model.parameters(), lr=0.02)  # before the first call

        def step(x: Any, y: Any) -> Any:
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = gf.compile(step) if mode == "compiled" else step
        losses = [run(gf.tensor(x), gf.tensor(y)).item() for _ in range(30)]
    assert losses[-1] < 0.2 * losses[0]
    assert type(model[0]) is nn.Conv2d and model[4].in_features == 36


def test_other_dtypes_and_hooks() -> None:
    model = nn.Sequential(nn.LazyLinear(2)).double()
    seen: list[Any] = []
    model[0].register_forward_hook(lambda module, args, out: seen.append(out.shape))
    assert model(gf.ones((3, 4), dtype=gf.float64)).dtype is gf.float64 and seen == [(3, 2)]
    norm = nn.LazyInstanceNorm1d()
    assert norm(gf.ones((3, 5))).shape == (3, 5) and norm.num_features == 3  # one sample


def test_mistakes() -> None:
    with pytest.raises(ShapeError, match=r"LazyLinear takes its in_features from the first input, but shape \(\)"):
        nn.LazyLinear(3)(gf.tensor(1.0))
    with pytest.raises(ShapeError, match="or use Conv2d"):
        nn.LazyConv2d(3, 3)(gf.ones((2, 2)))
    with pytest.raises(ShapeError, match="3 channels are not 2 equal groups"):
        nn.LazyConv2d(4, 3, groups=2)(gf.ones((1, 3, 5, 5)))
    with gf.Graph(), pytest.raises(ShapeError, match="does not tell it"):
        nn.LazyLinear(3)(gf.placeholder((2, None), name="x"))


@pytest.mark.torch
@pytest.mark.parametrize("name", LAYERS)
def test_pytorchs_arguments(name: str) -> None:
    torch = pytest.importorskip("torch")
    args, settings, shape = LAYERS[name]
    ours, theirs = getattr(nn, name)(*args, **settings), getattr(torch.nn, name)(*args, **settings)
    ours(gf.ones(shape)), theirs(torch.ones(shape))
    assert repr(ours) == repr(theirs)
    assert {k: tuple(v.shape) for k, v in theirs.state_dict().items()} == {
        k: v.shape for k, v in ours.state_dict().items()
    }
