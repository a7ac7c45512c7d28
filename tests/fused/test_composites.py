"""Composites in eager mode: native programs agree with the functions as they are written, to any order."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow.ops.fused import COMPOSITES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))
T = RNG.normal(size=(5, 4))
P = np.abs(T) / np.abs(T).sum(1, keepdims=True)
LABELS = np.array([0, 3, 1, 1, 2])
W, B = RNG.normal(size=(3, 4)), RNG.normal(size=3)

CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "linear": (F.linear, (X, W, B)),
    "linear of rank 3": (F.linear, (X.reshape(5, 1, 4), W, B)),
    "linear of a vector": (F.linear, (X[0], W)),
    "softmax": (F.softmax, (X,)),
    "softmax along another axis": (lambda x: F.softmax(x, 0), (X,)),
    "softmax of rank 3": (lambda x: F.softmax(x, dim=-1), (X.reshape(5, 2, 2),)),
    "softmin": (F.softmin, (X,)),
    "log_softmax": (lambda x: F.log_softmax(x, dim=1), (X,)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, 4, w, b), (X, T[0], T[1])),
    "layer_norm of two axes": (lambda x: F.layer_norm(x, (2, 2)), (X.reshape(5, 2, 2),)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), (X, T[0])),
    "group_norm": (lambda x: F.group_norm(x, 2), (X,)),
    "prelu": (F.prelu, (X, T[0])),
    "glu": (F.glu, (X,)),
    "gelu": (F.gelu, (X,)),
    "gelu by tanh": (lambda x: F.gelu(x, "tanh"), (X,)),
    "threshold": (lambda x: F.threshold(x, 0.1, -1.0), (X,)),
    "cross_entropy": (lambda x: F.cross_entropy(x, LABELS), (X,)),
    "cross_entropy, smoothed": (lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), (X,)),
    "cross_entropy, weighted": (lambda x, w: F.cross_entropy(x, LABELS, w, 1), (X, P[0])),
    "cross_entropy of probabilities": (F.cross_entropy, (X, P)),
    "cross_entropy of each": (lambda x: F.cross_entropy(x, LABELS, reduction="none"), (X,)),
    "nll_loss": (lambda x: F.nll_loss(x, LABELS), (X,)),
    "kl_div": (lambda x, t: F.kl_div(x, t, "batchmean"), (X, P)),
    "gaussian_nll_loss": (F.gaussian_nll_loss, (X, T, P)),
    "binary_cross_entropy": (F.binary_cross_entropy, (P, P[::-1].copy())),
    "margin_ranking_loss": (F.margin_ranking_loss, (X, T, np.sign(T))),
    "mse_loss that broadcasts": (F.mse_loss, (X, T[0])),
}
ACTIVATIONS = [F.leaky_relu, F.elu, F.celu, F.selu, F.silu, F.softplus, F.logsigmoid, F.mish, F.hardtanh, F.relu6]
ACTIVATIONS += [F.hardsigmoid, F.hardswish, F.softsign, F.tanhshrink, F.hardshrink, F.softshrink]
LOSSES = [F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.poisson_nll_loss, F.soft_margin_loss]
LOSSES += [F.binary_cross_entropy_with_logits, F.hinge_loss, F.hinge_embedding_loss]
CASES.update({f.__name__: (f, (X,)) for f in ACTIVATIONS})
CASES.update({f.__name__: (f, (X, np.sign(T) if "hinge" in f.__name__ else P)) for f in LOSSES})


def _everything(function: Callable[..., Any], arrays: tuple[Any, ...], dtype: Any) -> list[Any]:
    """The value, its gradients, and the gradients of a function of these."""
    xs = [gf.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    y = function(*xs)
    weights = gf.tensor(np.linspace(0.5, 1.5, max(y.size, 1)).reshape(y.shape).astype(dtype))
    first = [g for g in gf.gradients((y * weights).sum(), xs) if g is not None]
    squares = sum(((g * g).sum() for g in first), start=gf.tensor(0.0, dtype=y.dtype))
    second = gf.gradients(squares, xs) if squares.requires_grad else []
    return [y, *first, *(g for g in second if g is not None)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_function_as_it_is_written(name: str, dtype: Any) -> None:
    function, arrays = CASES[name]
    with gf.config(native_after=-1):
        expected = _everything(function, arrays, dtype)
    with gf.config(native_after=0):
        found = _everything(function, arrays, dtype)
    assert [c.failures for c in COMPOSITES if c.failures] == []
    assert any(call is not None for c in COMPOSITES for call in c.calls.values())
    assert [(t.shape, t.dtype) for t in found] == [(t.shape, t.dtype) for t in expected]
    tolerance = 3e-5 if dtype is np.float32 else 1e-12
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a.numpy(), b.numpy(), tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_floats(dtype: str) -> None:
    x, w, b = (gf.tensor(a.astype(np.float32)).astype(dtype) for a in (X, W, B))
    for function in (lambda: F.linear(x, w, b), lambda: F.softmax(x), lambda: F.gelu(x), lambda: F.layer_norm(x, 4)):
        with gf.config(native_after=-1):
            expected = function().astype("float32").numpy()
        with gf.config(native_after=0):
            found = function()
        assert found.dtype == dtype
        np.testing.assert_allclose(found.astype("float32").numpy(), expected, 0.02, 0.02)


def test_nan_and_infinity_stay() -> None:
    x = gf.tensor([[np.nan, 1.0, 2.0], [np.inf, 1.0, -np.inf], [-np.inf, 0.0, 1.0]])
    for function in (F.softmax, F.log_softmax, F.gelu, F.silu, F.softplus, F.leaky_relu):
        with gf.config(native_after=-1):
            expected = function(x).numpy()
        with gf.config(native_after=0):
            np.testing.assert_allclose(function(x).numpy(), expected, 1e-5)


def test_the_first_calls_run_as_they_are_written() -> None:
    x = gf.tensor(X)
    composite = F.silu.composite
    with gf.config(native_after=3):
        for _ in range(3):
            F.silu(x)
        assert not composite.calls
        F.silu(x)
        assert len(composite.calls) == 1
    with gf.config(native_after=-1):
        F.gelu(x)
        assert not F.gelu.composite.families


def test_batch_sizes_share_a_program() -> None:
    w, b = gf.tensor(W), gf.tensor(B)
    with gf.config(native_after=0):
        for batch in (2, 3, 7, 64):
            x = RNG.normal(size=(batch, 4))
            np.testing.assert_allclose(F.linear(gf.tensor(x), w, b).numpy(), x @ W.T + B, 1e-12)
            F.gelu(gf.tensor(x.reshape(2, -1)) if batch % 2 == 0 else gf.tensor(x))
            F.cross_entropy(gf.tensor(x), gf.tensor(np.arange(batch) % 4))
    for function in (F.linear, F.gelu, F.cross_entropy):
        assert len(function.composite.calls) == 4 and len(function.composite.families) == 1


def test_sizes_that_change_all_the_time_get_one_program_for_all() -> None:
    with gf.config(native_after=0):
        for length in range(2, 12):
            x = RNG.normal(size=(3, length))
            found = F.softmax(gf.tensor(x)).numpy()
            np.testing.assert_allclose(found, np.exp(x) / np.exp(x).sum(1, keepdims=True), 1e-12)
    assert len(F.softmax.composite.families) == 4


def test_labels_out_of_range_are_the_same_error() -> None:
    x, labels = gf.tensor(X), gf.tensor([0, 3, 4, 1, 2])
    for after in (-1, 0):
        with gf.config(native_after=after), pytest.raises(IndexError, match="label 4 is out of range for 4 classes"):
            F.cross_entropy(x, labels)
    with gf.config(native_after=0), pytest.raises(IndexError, match="label 4 is out of range for 4 classes"):
        F.nll_loss(x, labels, reduction="none")


def test_mistakes_are_the_same_errors() -> None:
    with gf.config(native_after=0):
        for _ in range(2):
            with pytest.raises(ValueError, match="test_mistakes_are_the_same_errors"):
                F.linear(gf.ones((2, 3)), gf.ones((2, 4)))


def test_other_arguments_than_tensors() -> None:
    labels = [0, 3, 1, 1, 2]
    with gf.config(native_after=0):
        a = F.cross_entropy(gf.tensor(X), np.array(labels))
        b = F.cross_entropy(gf.tensor(X), labels)
        c = F.cross_entropy(X, target=gf.tensor(labels))
        assert a.item() == pytest.approx(b.item()) == pytest.approx(c.item())
        assert F.silu(1.0).item() == pytest.approx(0.7310586)
        assert F.leaky_relu(gf.tensor([-1.0]), 0).item() == 0.0
        assert F.leaky_relu(gf.tensor([-1.0]), 0.5).item() == F.leaky_relu(gf.tensor([-1.0]), negative_slope=0.5).item()
        assert F.softmax(gf.ones((0, 3))).shape == (0, 3)
        assert F.softmax(gf.tensor(X)[:, ::2]).numpy().sum() == pytest.approx(5.0)


def test_no_tape_without_gradients() -> None:
    x = gf.tensor(X, requires_grad=True)
    with gf.config(native_after=0):
        assert F.silu(x).requires_grad
        assert not F.silu(x.detach()).requires_grad
        with gf.no_grad():
            assert not F.silu(x).requires_grad


def test_an_eager_result_can_be_used_in_a_graph() -> None:
    v = gf.Variable([1.0, -2.0])
    with gf.config(native_after=0):
        y = F.silu(v)
    graph = gf.Graph()
    with graph:
        p = gf.placeholder((2,), name="p")
    z = y * p
    with gf.Session(graph) as session:
        first = session.run(z, {p: [1.0, 1.0]})
        v.assign([3.0, 4.0])
        second = session.run(z, {p: [1.0, 1.0]})
    np.testing.assert_allclose(first, y.numpy(), 1e-6)
    np.testing.assert_allclose(second, F.silu(gf.tensor([3.0, 4.0])).numpy(), 1e-6)


def test_threads_may_share_programs() -> None:
    x = gf.tensor(X)
    expected = F.gelu(x).numpy()
    wrong: list[Any] = []

    def work() -> None:
        with gf.config(native_after=2):
            for _ in range(50):
                if not np.allclose(F.gelu(x).numpy(), expected, 1e-6):
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_models_can_be_copied_afterwards() -> None:
    model = gf.nn.Sequential(gf.nn.Linear(4, 3), gf.nn.GELU())
    with gf.config(native_after=0):
        first = model(gf.tensor(X.astype(np.float32)))
        second = copy.deepcopy(model)(gf.tensor(X.astype(np.float32)))
    np.testing.assert_array_equal(first.numpy(), second.numpy())
