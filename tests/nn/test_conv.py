"""Convolutional layers: PyTorch's numbers, names and initial values over a grid of settings, in every mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow import nn

rng = np.random.default_rng(0)
OTHERS = [("float32", "eager"), ("float32", "compiled"), ("float64", "compiled")]

# kind, arguments, settings, shape of the input
CONVOLUTIONS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "1d": ("Conv1d", (3, 5, 3), {}, (2, 3, 11)),
    "1d without batch": ("Conv1d", (3, 5, 3), {"stride": 2}, (3, 11)),
    "1d same": ("Conv1d", (3, 5, 4), {"padding": "same", "dilation": 2}, (2, 3, 11)),
    "1d groups": ("Conv1d", (4, 6, 3), {"groups": 2, "padding": 1}, (2, 4, 11)),
    "2d": ("Conv2d", (3, 5, 3), {}, (2, 3, 8, 9)),
    "2d without bias": ("Conv2d", (3, 5, (3, 2)), {"bias": False}, (2, 3, 8, 9)),
    "2d without batch": ("Conv2d", (3, 5, 3), {"padding": 1}, (3, 8, 9)),
    "2d of one image": ("Conv2d", (3, 17, 3), {"padding": 1}, (1, 3, 8, 9)),
    "2d padding": ("Conv2d", (3, 5, 3), {"padding": (2, 1)}, (2, 3, 8, 9)),
    "2d valid": ("Conv2d", (3, 5, 3), {"padding": "valid", "stride": (2, 1)}, (2, 3, 8, 9)),
    "2d same": ("Conv2d", (3, 5, (3, 4)), {"padding": "same"}, (2, 3, 8, 9)),
    "2d stride": ("Conv2d", (3, 5, 3), {"stride": 2, "padding": 1}, (2, 3, 8, 9)),
    "2d stride of one by one": ("Conv2d", (3, 5, 1), {"stride": 2}, (2, 3, 8, 9)),
    "2d strides and dilations": (
        "Conv2d",
        (3, 5, 3),
        {"stride": (3, 2), "padding": 2, "dilation": (1, 2)},
        (2, 3, 8, 9),
    ),
    "2d groups": ("Conv2d", (4, 6, 3), {"groups": 2, "stride": 2}, (2, 4, 8, 9)),
    "2d depthwise": ("Conv2d", (4, 4, 3), {"groups": 4, "padding": 1}, (2, 4, 8, 9)),
    "2d depthwise with strides": ("Conv2d", (4, 8, 3), {"groups": 4, "stride": 2, "padding": 1}, (2, 4, 8, 9)),
    "2d reflect": ("Conv2d", (3, 5, 3), {"padding": (1, 2), "padding_mode": "reflect"}, (2, 3, 8, 9)),
    "2d replicate": ("Conv2d", (3, 5, 4), {"padding": "same", "padding_mode": "replicate"}, (2, 3, 8, 9)),
    "2d circular": ("Conv2d", (3, 5, 3), {"padding": 1, "padding_mode": "circular"}, (2, 3, 8, 9)),
    "3d": ("Conv3d", (2, 3, 3), {"padding": 1}, (2, 2, 4, 5, 6)),
    "3d strides": ("Conv3d", (2, 3, (1, 3, 2)), {"stride": (1, 2, 3)}, (2, 2, 4, 5, 6)),
    "transposed 1d": ("ConvTranspose1d", (3, 5, 3), {"stride": 2}, (2, 3, 7)),
    "transposed 2d": ("ConvTranspose2d", (3, 5, 3), {}, (2, 3, 4, 5)),
    "transposed 2d without batch": ("ConvTranspose2d", (3, 5, 3), {"stride": 2}, (3, 4, 5)),
    "transposed 2d without bias": (
        "ConvTranspose2d",
        (3, 5, 4),
        {"stride": 2, "padding": 1, "bias": False},
        (2, 3, 4, 5),
    ),
    "transposed 2d output padding": (
        "ConvTranspose2d",
        (3, 5, 3),
        {"stride": (2, 3), "padding": 1, "output_padding": (1, 2)},
        (2, 3, 4, 5),
    ),
    "transposed 2d dilation": ("ConvTranspose2d", (3, 5, 3), {"stride": 2, "dilation": (2, 3)}, (2, 3, 4, 5)),
    "transposed 2d groups": ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "groups": 2}, (2, 4, 4, 5)),
    "transposed 2d with few taps": ("ConvTranspose2d", (3, 5, 2), {"stride": 3}, (2, 3, 4, 5)),
    "transposed 3d": ("ConvTranspose3d", (2, 3, 3), {"stride": 2, "padding": 1}, (2, 2, 3, 2, 3)),
}


GRID = [("float64", "eager"), *(pytest.param(d, m, marks=pytest.mark.slow) for d, m in OTHERS)]


def results(layer: Any, x: gf.Tensor, weights: gf.Tensor) -> list[gf.Tensor]:
    """Output, and the gradients of input and parameters for a weighing of the output."""
    y = layer(x)
    return [y, *gf.gradients([(y * weights).sum()], [x, *layer.parameters()])]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("dtype, mode", GRID)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_pytorchs_numbers(name: str, dtype: str, mode: str) -> None:
    import torch

    kind, args, settings, shape = CONVOLUTIONS[name]
    theirs = getattr(torch.nn, kind)(*args, **settings).to(getattr(torch, dtype))
    ours = getattr(nn, kind)(*args, **settings, dtype=dtype)
    ours.load_state_dict({n: p.detach().numpy() for n, p in theirs.state_dict().items()})
    assert str(ours) == str(theirs)
    data = rng.normal(size=shape).astype(dtype)
    t = torch.tensor(data, requires_grad=True)
    z = theirs(t)
    weights = rng.normal(size=z.shape).astype(dtype)
    slopes = torch.autograd.grad((z * torch.tensor(weights)).sum(), [t, *theirs.parameters()])
    run = gf.compile(results) if mode == "compiled" else results
    found = run(ours, gf.tensor(data, requires_grad=True), gf.tensor(weights))
    tolerance = 1e-5 if dtype == "float32" else 1e-10
    for have, want, times in zip(found, [z, *slopes], [1, 10, 10, 10]):
        assert have.dtype == dtype
        want = want.detach().numpy()
        np.testing.assert_allclose(have.numpy(), want, rtol=times * tolerance, atol=times * tolerance)


@pytest.mark.torch
def test_initial_values_spread_like_pytorchs() -> None:
    import torch

    for kind, args, settings in [
        ("Conv2d", (8, 32, 3), {}),
        ("Conv1d", (8, 32, 5), {"groups": 4}),
        ("ConvTranspose2d", (8, 32, 3), {}),
    ]:
        theirs, ours = getattr(torch.nn, kind)(*args, **settings), getattr(nn, kind)(*args, **settings)
        for (name, want), (own, have) in zip(theirs.named_parameters(), ours.named_parameters()):
            assert name == own and tuple(want.shape) == have.shape
            bound = abs(want.detach().numpy()).max()
            assert 0.8 * bound < abs(have.numpy()).max() < 1.25 * bound, name


# Numbers of PyTorch 2.13 for inputs and weights of small whole numbers.
def counting(*shape: int) -> gf.Tensor:
    return gf.tensor((np.arange(np.prod(shape)) % 7 - 3).reshape(shape).astype(np.float32))


def test_known_numbers() -> None:
    x, w = counting(1, 2, 4, 4), counting(2, 2, 3, 3)
    assert F.conv2d(x, w, padding=1, stride=2).tolist() == KNOWN["conv"]
    assert F.conv2d(x, counting(2, 1, 3, 3), gf.tensor([0.5, -1.0]), groups=2).tolist() == KNOWN["groups"]
    assert F.conv_transpose2d(x[:, :, :2, :2], w, stride=2, output_padding=1).tolist() == KNOWN["transposed"]


KNOWN: dict[str, Any] = {
    "conv": [[[[-20.0, 7.0], [-23.0, 21.0]], [[31.0, -2.0], [16.0, -12.0]]]],
    "groups": [[[[19.5, 0.5], [-7.5, 15.5]], [[3.0, -12.0], [-1.0, 5.0]]]],
    "transposed": [
        [
            [
                [8.0, 4.0, 6.0, 4.0, 2.0, 0.0],
                [3.0, -1.0, -5.0, -2.0, -4.0, 0.0],
                [-9.0, 12.0, -3.0, -4.0, -7.0, 0.0],
                [-9.0, -5.0, 8.0, 8.0, 7.0, 0.0],
                [3.0, 0.0, 10.0, -9.0, -10.0, 0.0],
                [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            ],
            [
                [0.0, 3.0, 1.0, 0.0, -2.0, 0.0],
                [-5.0, -9.0, 4.0, -6.0, 6.0, 0.0],
                [12.0, -9.0, -9.0, 11.0, 8.0, 0.0],
                [-1.0, 3.0, 7.0, 6.0, -9.0, 0.0],
                [4.0, 8.0, -19.0, -11.0, 9.0, 0.0],
                [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            ],
        ]
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_all_modes_and_second_derivatives(name: str) -> None:
    kind, args, settings, shape = CONVOLUTIONS[name]
    layer = getattr(nn, kind)(*args, **settings, dtype="float64")
    gf.testing.check_grad(lambda x: gf.sigmoid(layer(x)), rng.normal(size=shape), directions=1)
    gf.testing.check_parity(lambda x: gf.sigmoid(layer(x)), rng.normal(size=shape))


def test_a_small_network_learns_in_every_mode() -> None:
    """The same steps eagerly, compiled and with a batch that changes its size."""
    x, y = rng.normal(size=(12, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 12)

    def trained(compiled: bool) -> tuple[list[float], list[Any]]:
        gf.random.seed(1)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten()
        )
        model.append(nn.Linear(24, 3))
        optimizer = gf.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(a: gf.Tensor, b: gf.Tensor) -> gf.Tensor:
            loss = F.cross_entropy(model(a), b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = gf.compile(step) if compiled else step
        losses = []
        for number in range(20):
            size = 12 if number % 2 else 7
            losses.append(run(gf.tensor(x[:size]), gf.tensor(y[:size])).item())
        return losses, [p.numpy().copy() for p in model.parameters()]

    (eager, values), (compiled, others) = trained(False), trained(True)
    np.testing.assert_allclose(compiled, eager, rtol=1e-3, atol=1e-4)
    for a, b in zip(others, values):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)
    assert eager[-1] < 0.7 * eager[0]


def test_output_size_of_transposed_convolutions() -> None:
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = gf.ones((1, 2, 4, 4))
    assert layer(x).shape == (1, 3, 7, 7)
    assert layer(x, output_size=(8, 7)).shape == (1, 3, 8, 7)
    with pytest.raises(ValueError, match="not among those possible"):
        layer(x, output_size=(9, 7))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "not 2 equal groups"),
        (lambda: nn.Conv2d(3, 4, (1, 2, 3)), "kernel_size is one number or 2"),
        (lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2), "strides of 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "padding_mode"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=1)(gf.ones((1, 3, 2, 2))), "output_padding"),
        (lambda: nn.Conv2d(3, 4, 3)(gf.ones((1, 2, 5, 5))), "is for 3 channels, the input has 2"),
        (lambda: nn.Conv2d(3, 4, 3, device="gpu"), "no device"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
