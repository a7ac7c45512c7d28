"""Pooling: PyTorch's numbers, places and gradients over a grid of settings, in every mode."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow import nn
from graphflow.testing import check_grad, check_parity
from tests.native.common import kinds, native

rng = np.random.default_rng(0)

# kind, arguments, settings, shape of the input
POOLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "max 1d": ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (2, 3, 11)),
    "max 1d without batch": ("MaxPool1d", (2,), {}, (3, 11)),
    "max 2d": ("MaxPool2d", (2,), {}, (2, 3, 8, 8)),
    "max 2d with a rest": ("MaxPool2d", (2,), {}, (2, 3, 9, 7)),
    "max 2d overlapping": ("MaxPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 9, 8)),
    "max 2d by one": ("MaxPool2d", ((3, 2),), {"stride": 1}, (2, 3, 6, 7)),
    "max 2d with gaps": ("MaxPool2d", (2,), {"stride": 3}, (2, 3, 9, 8)),
    "max 2d dilated": ("MaxPool2d", ((2, 3),), {"dilation": (3, 2), "stride": (2, 1)}, (2, 3, 9, 8)),
    "max 2d ceil": ("MaxPool2d", (3,), {"stride": 2, "ceil_mode": True}, (2, 3, 8, 8)),
    "max 2d ceil and padding": ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (2, 3, 6, 8)),
    "max 2d without batch": ("MaxPool2d", (2,), {}, (3, 8, 8)),
    "max 3d": ("MaxPool3d", (2,), {"stride": (2, 1, 2)}, (2, 2, 4, 5, 6)),
    "avg 1d": ("AvgPool1d", (3,), {"stride": 2, "padding": 1}, (2, 3, 11)),
    "avg 2d": ("AvgPool2d", (2,), {}, (2, 3, 8, 9)),
    "avg 2d overlapping": ("AvgPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 9, 8)),
    "avg 2d of elements": ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False}, (2, 3, 9, 8)),
    "avg 2d ceil": ("AvgPool2d", (3,), {"stride": 2, "ceil_mode": True}, (2, 3, 8, 8)),
    "avg 2d ceil and padding": ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (2, 3, 6, 8)),
    "avg 2d divisor": ("AvgPool2d", ((2, 3),), {"divisor_override": 5}, (2, 3, 6, 8)),
    "avg 3d": ("AvgPool3d", (2,), {"stride": (2, 1, 2)}, (2, 2, 4, 5, 6)),
    "adaptive avg 1d": ("AdaptiveAvgPool1d", (4,), {}, (2, 3, 11)),
    "adaptive avg 2d to one": ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 8, 9)),
    "adaptive avg 2d even": ("AdaptiveAvgPool2d", ((4, 3),), {}, (2, 3, 8, 9)),
    "adaptive avg 2d uneven": ("AdaptiveAvgPool2d", ((3, 7),), {}, (2, 3, 8, 9)),
    "adaptive avg 2d one axis": ("AdaptiveAvgPool2d", ((None, 5),), {}, (2, 3, 8, 9)),
    "adaptive avg 2d to more": ("AdaptiveAvgPool2d", (11,), {}, (2, 3, 8, 9)),
    "adaptive avg 3d": ("AdaptiveAvgPool3d", ((2, 3, 2),), {}, (2, 2, 4, 5, 6)),
    "adaptive max 1d": ("AdaptiveMaxPool1d", (4,), {}, (2, 3, 11)),
    "adaptive max 2d even": ("AdaptiveMaxPool2d", ((4, 3),), {}, (2, 3, 8, 9)),
    "adaptive max 2d uneven": ("AdaptiveMaxPool2d", ((3, 7),), {}, (2, 3, 8, 9)),
    "adaptive max 3d": ("AdaptiveMaxPool3d", ((2, 3, 2),), {}, (2, 2, 4, 5, 6)),
}
OTHERS = [("float32", "eager"), ("float32", "compiled"), ("float64", "compiled")]
GRID = [("float64", "eager"), *(pytest.param(d, m, marks=pytest.mark.slow) for d, m in OTHERS)]
FEW = ("max 2d", "max 2d overlapping", "avg 2d ceil and padding", "adaptive max 2d uneven")
SOME = [pytest.param(n, marks=() if n in FEW else pytest.mark.slow) for n in POOLS]
MAXIMA = [name for name in POOLS if "max" in name]


def data(name: str, dtype: str = "float64", ties: bool = False) -> np.ndarray:
    shape = POOLS[name][3]
    return (rng.integers(0, 3, shape) if ties else rng.normal(size=shape)).astype(dtype)


def layer(name: str, **more: Any) -> Any:
    kind, args, settings, _ = POOLS[name]
    return getattr(nn, kind)(*args, **settings, **more)


def results(pool: Any, x: gf.Tensor, weights: gf.Tensor) -> list[gf.Tensor]:
    y = pool(x)
    return [y, *gf.gradients([(y * weights).sum()], [x])]


@pytest.mark.torch
@pytest.mark.parametrize("dtype, mode", GRID)
@pytest.mark.parametrize("name", POOLS)
def test_pytorchs_numbers(name: str, dtype: str, mode: str) -> None:
    """With equal elements in a window too: the first one gets the gradient."""
    import torch

    kind, args, settings, _ = POOLS[name]
    theirs, ours = getattr(torch.nn, kind)(*args, **settings), layer(name)
    for ties in (False, True):
        x = data(name, dtype, ties)
        t = torch.tensor(x, requires_grad=True)
        z = theirs(t)
        weights = rng.normal(size=z.shape).astype(dtype)
        (slope,) = torch.autograd.grad((z * torch.tensor(weights)).sum(), [t])
        run = gf.compile(results) if mode == "compiled" else results
        have, own = run(ours, gf.tensor(x, requires_grad=True), gf.tensor(weights))
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(have.numpy(), z.detach().numpy(), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(own.numpy(), slope.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.torch
@pytest.mark.parametrize("name", MAXIMA)
def test_pytorchs_places(name: str) -> None:
    import torch

    kind, args, settings, _ = POOLS[name]
    x = data(name, ties=True)
    value, places = getattr(torch.nn, kind)(*args, **settings, return_indices=True)(torch.tensor(x))
    for run in (layer(name, return_indices=True), gf.compile(layer(name, return_indices=True))):
        have, own = run(gf.tensor(x))
        assert own.dtype is gf.int64
        np.testing.assert_array_equal(have.numpy(), value.numpy())
        np.testing.assert_array_equal(own.numpy(), places.numpy())


def definition(x: Any, taps: int, stride: int, pad: int, combine: Any) -> Any:
    """Windows over the last two axes, cut off at the border."""
    height, width = x.shape[2:]
    out = np.zeros((*x.shape[:2], *((n + 2 * pad - taps) // stride + 1 for n in (height, width))))
    for i, j in itertools.product(*map(range, out.shape[2:])):
        top, left = i * stride - pad, j * stride - pad
        window = x[:, :, max(top, 0) : top + taps, max(left, 0) : left + taps]
        out[:, :, i, j] = combine(window, axis=(2, 3))
    return out


@pytest.mark.parametrize("taps, stride, pad", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)])
def test_the_definition(taps: int, stride: int, pad: int) -> None:
    x = rng.normal(size=(2, 3, 7, 8))
    have = F.max_pool2d(gf.tensor(x), taps, stride, pad).numpy()
    np.testing.assert_array_equal(have, definition(x, taps, stride, pad, np.max))
    mean = F.avg_pool2d(gf.tensor(x), taps, stride, pad, count_include_pad=False).numpy()
    np.testing.assert_allclose(mean, definition(x, taps, stride, pad, np.mean))
    total = F.avg_pool2d(gf.tensor(x), taps, stride, pad, divisor_override=1).numpy()
    np.testing.assert_allclose(total, definition(x, taps, stride, pad, np.sum), atol=1e-12)


@pytest.mark.parametrize("name", SOME)
def test_every_mode_agrees(name: str) -> None:
    check_parity(lambda x: gf.tanh(layer(name)(x)), data(name, "float32"))


@pytest.mark.parametrize("name", SOME)
def test_gradients_to_second_order(name: str) -> None:
    check_grad(lambda x: layer(name)(x) ** 2, data(name), directions=1)


def test_one_program_serves_every_batch() -> None:
    @gf.compile
    def step(x: gf.Tensor) -> Any:
        y = F.max_pool2d(x, 3, 2, 1)
        return y, gf.gradients([(y * y).sum()], [x])[0]

    for batch in (3, 5, 1, 0):
        x = gf.tensor(rng.normal(size=(batch, 2, 7, 6)).astype(np.float32), requires_grad=True)
        y, slope = step(x)
        want = F.max_pool2d(x, 3, 2, 1)
        np.testing.assert_array_equal(y.numpy(), want.numpy())
        np.testing.assert_allclose(slope.numpy(), gf.gradients([(want * want).sum()], [x])[0].numpy(), rtol=1e-6)
    assert step.cache_info().compiles <= 2


def test_symbolic_places() -> None:
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 2, gf.Dim("height"), gf.Dim("width")), name="x")
        results = [
            F.max_pool2d(x, 2),
            F.avg_pool2d(x, 3, 2, 1),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.adaptive_avg_pool2d(x, 1),
        ]
        slopes = gf.gradients(results, [x] * 1)
    with gf.Session(graph) as session:
        for shape in ((1, 2, 6, 7), (3, 2, 9, 4)):
            a = rng.normal(size=shape).astype(np.float32)
            p = gf.tensor(a, requires_grad=True)
            want = [
                F.max_pool2d(p, 2),
                F.avg_pool2d(p, 3, 2, 1),
                F.avg_pool2d(p, 3, 2, 1, count_include_pad=False),
                F.adaptive_avg_pool2d(p, 1),
            ]
            want += gf.gradients(want, [p])
            for have, other in zip(session.run([*results, *slopes], {x: a}), want):
                np.testing.assert_allclose(have, other.numpy(), rtol=1e-4, atol=1e-5)


def test_pooling_is_one_kernel_each_way() -> None:
    x = rng.normal(size=(4, 3, 8, 8)).astype(np.float32)
    assert kinds(native(lambda x: F.max_pool2d(x, 2), x)) == ["Reduce"]
    assert kinds(native(lambda x: F.avg_pool2d(x, 2) + 1.0, x)) == ["Reduce"]


def test_nan_and_integers() -> None:
    x = np.arange(16.0, dtype=np.float32).reshape(1, 1, 4, 4)
    x[0, 0, 1, 0] = np.nan
    for run in (F.max_pool2d, gf.compile(F.max_pool2d)):
        np.testing.assert_array_equal(run(gf.tensor(x), 2).numpy(), [[[[np.nan, 7], [13, 15]]]])
    whole = gf.tensor(np.arange(-8, 8).reshape(1, 1, 4, 4))
    assert F.max_pool2d(whole, 3, 1, 1).tolist()[0][0][0] == [-3, -2, -1, -1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: F.max_pool2d(gf.ones((1, 1, 2, 2)), 3), "do not fit into shape"),
        (lambda: F.max_pool2d(gf.ones((1, 1, 4, 4)), 2, padding=2), "at most half of kernel_size"),
        (lambda: F.max_pool2d(gf.ones((4, 4)), 2), "takes rank 4, or 3 without batch"),
        (lambda: F.max_pool2d(gf.ones((1, 1, 4, 4)), (2, 2, 2)), "kernel_size is one number or 2"),
        (lambda: F.avg_pool2d(gf.ones((1, 1, 4, 4)), 2, divisor_override=0), "must not be 0"),
        (lambda: F.adaptive_avg_pool2d(gf.ones((1, 1, 4, 4)), 0), "output_size is a positive number"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("call", [F.avg_pool1d, F.adaptive_avg_pool1d])
def test_means_are_of_floating_point_numbers(call: Any) -> None:
    with pytest.raises(TypeError, match="floating-point"):
        call(gf.ones((1, 1, 4), dtype=gf.int64), 2)
