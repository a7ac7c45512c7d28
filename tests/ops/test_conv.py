"""Convolution against its definition, written out; its gradients to second order; sizes known only at run time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow.ops.conv import convolution, spread
from graphflow.tensor import Tensor
from graphflow.testing import check_grad, check_parity
from tests.native.common import kinds, native

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape)


def definition(x: Any, w: Any, strides: Any, low: Any, dilations: Any, sizes: Any) -> Any:
    """out[n, g, o, p] = sum of x[n, g, c, p * stride + k * dilation - low] * w[g, o, c, k], what is outside being 0."""
    out = np.zeros((x.shape[0], *w.shape[:2], *sizes))
    for place in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, w.shape[3:])):
            at = [p * s + k * d - lo for p, s, k, d, lo in zip(place, strides, tap, dilations, low)]
            if all(0 <= i < n for i, n in zip(at, x.shape[3:])):
                out[(..., *place)] += np.einsum("ngc,goc->ngo", x[(..., *at)], w[(..., *tap)])
    return out.reshape(x.shape[0], -1, *sizes)


# x, w (channels, outputs of a group, ...), strides, low, dilations, sizes
CASES: dict[str, tuple[Any, ...]] = {
    "plain": ((2, 1, 3, 6, 5), (1, 4, 3, 3, 2), (1, 1), (0, 0), (1, 1), (4, 4)),
    "padded": ((2, 1, 3, 6, 5), (1, 4, 3, 3, 3), (1, 1), (2, 1), (1, 1), (8, 5)),
    "only padding": ((1, 1, 2, 3), (1, 2, 2, 2), (1,), (7,), (1,), (3,)),
    "cropped": ((2, 1, 2, 9), (1, 3, 2, 2), (2,), (-2,), (1,), (3,)),
    "strides": ((2, 1, 3, 9, 8), (1, 2, 3, 3, 2), (2, 3), (1, 0), (1, 1), (5, 3)),
    "dilations": ((1, 1, 2, 9, 10), (1, 2, 2, 3, 2), (1, 1), (0, 2), (2, 4), (5, 9)),
    "strides and dilations": ((1, 1, 2, 11, 12), (1, 2, 2, 3, 2), (2, 3), (1, 1), (3, 2), (4, 3)),
    "groups": ((2, 3, 2, 5, 6), (3, 2, 2, 3, 3), (1, 2), (1, 1), (1, 1), (5, 3)),
    "depthwise": ((2, 4, 1, 6, 7), (4, 1, 1, 3, 3), (1, 1), (1, 1), (1, 1), (6, 7)),
    "one by one": ((2, 1, 5, 4, 4), (1, 3, 5, 1, 1), (2, 2), (0, 0), (1, 1), (2, 2)),
    "one axis": ((3, 1, 2, 20), (1, 3, 2, 5), (2,), (2,), (1,), (10,)),
    "three axes": ((1, 1, 2, 4, 5, 6), (1, 3, 2, 2, 3, 2), (1, 2, 1), (0, 1, 1), (1, 1, 2), (3, 3, 6)),
    "many outputs": ((1, 1, 2, 3, 4), (1, 37, 2, 2, 2), (1, 1), (0, 0), (1, 1), (2, 3)),
}


FEW = ("padded", "strides and dilations", "depthwise")
SOME = [pytest.param(n, marks=() if n in FEW else pytest.mark.slow) for n in CASES]


def operands(name: str) -> tuple[Any, Any, tuple[Any, ...]]:
    x, w, *settings = CASES[name]
    return normal(*x), normal(*w), tuple(settings)


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_the_definition(name: str) -> None:
    x, w, settings = operands(name)
    want = definition(x, w, *settings)
    np.testing.assert_allclose(convolution(Tensor(x), Tensor(w), *settings).numpy(), want, atol=1e-12)
    turned = convolution(Tensor(x), Tensor(w), *settings, outputs_first=True)
    np.testing.assert_allclose(turned.numpy(), want.swapaxes(0, 1), atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_spread_is_the_transpose(name: str) -> None:
    """<conv(x), g> = <x, spread(g)> for all x and g."""
    x, w, (strides, low, dilations, sizes) = operands(name)
    g = normal(x.shape[0], w.shape[0], w.shape[1], *sizes)
    back = spread(Tensor(g), Tensor(w), strides, low, dilations, x.shape[3:]).numpy()
    forward = definition(x, w, strides, low, dilations, sizes)
    assert np.isclose((forward * g.reshape(forward.shape)).sum(), (x * back.reshape(x.shape)).sum())


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("name", SOME)
def test_gradients_to_second_order(name: str, mode: str) -> None:
    x, w, settings = operands(name)
    check_grad(lambda a, b: convolution(a, b, *settings), x, w, mode=mode, directions=1)


@pytest.mark.parametrize("name", SOME)
def test_every_mode_agrees(name: str) -> None:
    x, w, settings = operands(name)
    check_parity(lambda a, b: gf.tanh(convolution(a, b, *settings)), *(a.astype(np.float32) for a in (x, w)))


@pytest.mark.slow
def test_third_order() -> None:
    check_grad(lambda x, w: F.conv1d(x, w, stride=2, padding=1) ** 3, normal(2, 1, 5), normal(2, 1, 3), order=3)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [(5, 4), (17, 1)])
def test_large_strides_of_transposed_convolutions(stride: tuple[int, int]) -> None:
    """Many remainders: zeros are put between the elements instead."""
    x, w = normal(2, 3, 2, 3), normal(3, 2, 6, 4)
    assert np.prod(stride) > 16
    check_grad(lambda a, b: F.conv_transpose2d(a, b, stride=stride), x, w, directions=1)
    check_parity(lambda a, b: F.conv_transpose2d(a, b, stride=stride), x, w)


def test_elementwise_consumers_join_the_kernel() -> None:
    x, w, b, residual = (normal(*s).astype(np.float32) for s in ((4, 3, 8, 9), (20, 3, 3, 3), (20,), (4, 20, 8, 9)))
    made = native(lambda x, w, b, r: gf.relu(F.conv2d(x, w, b, padding=1) + r), x, w, b, residual)
    assert kinds(made) == ["Conv"]
    made = native(lambda x, w, b: F.conv1d(x[:, :, 0], w[:, :, 0], b) * gf.arange(7.0), x, w, b)
    assert kinds(made) == ["Conv"]


def test_gradients_of_weights_are_partial_sums() -> None:
    """Few results of many terms: threads share the channels."""

    def gradient(x: gf.Tensor, w: gf.Tensor, g: gf.Tensor) -> gf.Tensor:
        return gf.gradients([F.conv2d(x, w, padding=1)], [w], [g])[0]

    x, w, g = (normal(*s).astype(np.float32) for s in ((24, 3, 20, 20), (5, 3, 3, 3), (24, 5, 20, 20)))
    made = native(gradient, x, w, g, tolerance=1e-4)
    assert kinds(made) == ["Conv", "Reduce"]
    alone = made.run([x, w, g])
    for threads in (2, 3):
        made.num_threads = threads
        assert np.array_equal(made.run([x, w, g])[0], alone[0])


def test_one_program_serves_every_batch() -> None:
    w, b = normal(7, 3, 3, 3).astype(np.float32), normal(7).astype(np.float32)

    @gf.compile
    def step(x: gf.Tensor) -> Any:
        y = gf.sigmoid(F.conv2d(x, gf.tensor(w), gf.tensor(b), padding=1, stride=2))
        return y, gf.gradients(y.sum(), [x])[0]

    for batch in (5, 0, 1, 7, 40):
        x = gf.tensor(normal(batch, 3, 9, 9).astype(np.float32), requires_grad=True)
        have, slope = step(x)
        want = gf.sigmoid(F.conv2d(x, gf.tensor(w), gf.tensor(b), padding=1, stride=2))
        np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(slope.numpy(), gf.gradients(want.sum(), [x])[0].numpy(), rtol=1e-5, atol=1e-5)
    assert step.cache_info().compiles <= 2


def test_symbolic_places() -> None:
    """Height and width may be known at run time only, for the gradients too."""
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 2, gf.Dim("height"), gf.Dim("width")), name="x")
        w = gf.placeholder((3, 2, 3, 3), name="w")
        y = gf.tanh(F.conv2d(x, w, stride=2, padding=1))
        results = [y, *gf.gradients(y, [x, w])]
    with gf.Session(graph) as session:
        for shape in ((1, 2, 6, 7), (3, 2, 9, 4)):
            a, b = normal(*shape).astype(np.float32), normal(3, 2, 3, 3).astype(np.float32)
            have = session.run(results, {x: a, w: b})
            p, q = gf.tensor(a, requires_grad=True), gf.tensor(b, requires_grad=True)
            z = gf.tanh(F.conv2d(p, q, stride=2, padding=1))
            for got, want in zip(have, [z, *gf.gradients(z, [p, q])]):
                np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)


def test_16_bit_floats_are_added_up_in_float32() -> None:
    x, w = normal(2, 40, 6, 6).astype(np.float16), normal(8, 40, 3, 3).astype(np.float16)
    want = F.conv2d(gf.tensor(x.astype(np.float32)), gf.tensor(w.astype(np.float32)))
    eager = F.conv2d(gf.tensor(x), gf.tensor(w))
    compiled = gf.compile(F.conv2d)(gf.tensor(x), gf.tensor(w))
    for have in (eager, compiled):
        assert have.dtype is gf.float16
        np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-3, atol=1e-2)


def test_integers_become_floats() -> None:
    assert F.conv1d(gf.ones((1, 1, 4), dtype=gf.int64), gf.ones((1, 1, 2), dtype=gf.int64)).dtype is gf.float32


@pytest.mark.parametrize(
    "x, w, options, message",
    [
        ((1, 3, 4, 4), (2, 4, 3, 3), {}, "is for 4 channels, the input has 3"),
        ((1, 3, 4, 4), (2, 3, 3), {}, "weight of rank 4"),
        ((3, 4), (2, 3, 3, 3), {}, "or 3 without batch"),
        ((1, 3, 2, 2), (2, 3, 3, 3), {}, "does not fit into the input"),
        ((1, 4, 4, 4), (3, 2, 3, 3), {"groups": 2}, "not 2 equal groups"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"stride": (1, 2, 3)}, "stride is one number or 2"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"padding": "same", "stride": 2}, "strides of 1"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"padding": "full"}, "'same' or 'valid'"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"bias": gf.ones(3)}, "bias should have 2"),
    ],
)
def test_errors(x: Any, w: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        F.conv2d(gf.ones(x), gf.ones(w), **options)
    assert "test_conv.py" in str(caught.value)
