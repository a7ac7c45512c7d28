"""TensorFlow 1's names and arguments, where they differ from GraphFlow's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf

X = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], np.float32)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
def test_reductions_take_their_arguments(name: str) -> None:
    mine, numpy = getattr(gf, f"reduce_{name}"), getattr(np, name)
    np.testing.assert_allclose(mine(X).numpy(), numpy(X), rtol=1e-6)
    np.testing.assert_allclose(mine(X, [1]).numpy(), numpy(X, 1), rtol=1e-6)
    np.testing.assert_allclose(mine(X, reduction_indices=[0]).numpy(), numpy(X, 0), rtol=1e-6)
    assert mine(X, 1, keep_dims=True).shape == mine(X, 1, keepdims=True).shape == (2, 1)
    assert mine.__name__ == f"reduce_{name}"


def test_clipping() -> None:
    assert gf.clip_by_norm(gf.tensor([3.0, 4.0]), 1.0).tolist() == pytest.approx([0.6, 0.8])
    assert gf.clip_by_norm(gf.tensor([0.0, 0.0]), 1.0).tolist() == [0.0, 0.0]
    small, norm = gf.clip_by_global_norm([gf.tensor([0.3]), None, gf.tensor([0.4])], 1.0)
    assert norm.item() == pytest.approx(0.5) and small[1] is None and small[0].item() == pytest.approx(0.3)
    with pytest.raises(gf.errors.ShapeError, match=r"\(2,\), \(3,\)"):
        gf.add_n([gf.zeros(2), gf.zeros(3)])
    assert gf.add_n([X, X, X]).numpy()[1, 1] == 15.0


def test_truncated_normals_are_normal_and_truncated() -> None:
    drawn = gf.truncated_normal((100_000,), mean=1.0, stddev=2.0).numpy()
    assert drawn.min() >= -3.0 and drawn.max() <= 5.0 and drawn.dtype == np.float32
    # The standard deviation of a normal distribution cut off at two of its own.
    density, share = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(math.sqrt(2))
    assert drawn.std() == pytest.approx(2 * math.sqrt(1 - 4 * density / share), rel=0.01)
    assert drawn.mean() == pytest.approx(1.0, abs=0.03)


def test_placeholders_take_the_dtype_first_and_assignments_are_operations() -> None:
    with gf.Graph().as_default() as graph:
        x = gf.placeholder(gf.float32, [None, 3])
        y = gf.placeholder(gf.int64, name="y")
        assert x.dtype is gf.float32 and x.shape[1] == 3 and (y.dtype, y.shape) == (gf.int64, ())
        z = gf.placeholder("float", shape=[2], name="z")
        assert (z.dtype, z.shape, z.name) == (gf.float32, (2,), "z:0")
        with pytest.raises(TypeError, match="two values for shape"):
            gf.placeholder((2,), shape=(3,))
        with pytest.raises(TypeError, match="1 to 3 arguments"):
            gf.placeholder()
        v = gf.Variable(1.0)
        more = gf.assign_add(v, gf.reduce_sum(x))
        back = gf.assign(v, 0.0)
    with gf.Session(graph) as sess:
        sess.run(more, {x: X})
        assert v.item() == 1.0 + X.sum()
        sess.run(back)
        assert v.item() == 0.0


def test_losses_of_each_row() -> None:
    labels, logits = np.eye(3, dtype=np.float32)[[2, 0]], gf.tensor(X)
    expected = np.log(np.exp(X).sum(axis=1)) - X[[0, 1], [2, 0]]
    dense = gf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    sparse = gf.nn.sparse_softmax_cross_entropy_with_logits(labels=[2, 0], logits=logits)
    np.testing.assert_allclose(dense.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(sparse.numpy(), expected, rtol=1e-5)
    pixels = gf.nn.sparse_softmax_cross_entropy_with_logits(labels=[[2, 0]], logits=logits.reshape((1, 2, 3)))
    np.testing.assert_allclose(pixels.numpy(), [expected], rtol=1e-5)
    sigmoid = gf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits).numpy()
    np.testing.assert_allclose(sigmoid, np.log1p(np.exp(X)) - X * labels, rtol=1e-5)
    with pytest.raises(TypeError, match="by name"):
        gf.nn.softmax_cross_entropy_with_logits(labels, logits)  # type: ignore[arg-type]


def test_the_rest_of_nn() -> None:
    mean, variance = gf.nn.moments(X, [0])
    np.testing.assert_allclose([mean.numpy(), variance.numpy()], [X.mean(0), X.var(0)], rtol=1e-6)
    assert gf.nn.l2_loss([3.0, 4.0]).item() == 12.5
    np.testing.assert_allclose(
        gf.nn.l2_normalize(X, 1).numpy(), X / np.linalg.norm(X, axis=1, keepdims=True), rtol=1e-6
    )
    assert gf.nn.embedding_lookup(X, [1, 0, 1]).numpy()[:, 0].tolist() == [4.0, 1.0, 4.0]
    assert gf.nn.in_top_k(X, [0, 2], 2).tolist() == [True, False]
    assert gf.nn.bias_add(X, [1.0, 0.0, 0.0]).numpy()[0, 0] == 2.0


def test_they_compile() -> None:
    @gf.compile
    def f(x: Any) -> Any:
        clipped, norm = gf.clip_by_global_norm([x, 2.0 * x], 1.0)
        return gf.reduce_sum(clipped[1], [0]), norm

    clipped, norm = f(X)
    assert norm.item() == pytest.approx(np.sqrt(5 * (X * X).sum()), rel=1e-6)
    np.testing.assert_allclose(clipped.numpy(), (2 * X).sum(0) / norm.item(), rtol=1e-5)


def test_optimizers_are_those_of_gf_with_their_defaults() -> None:
    train = gf.train
    momentum = train.MomentumOptimizer(0.1, 0.9, use_nesterov=True).defaults
    assert (momentum["lr"], momentum["momentum"], momentum["nesterov"]) == (0.1, 0.9, True)
    adam = train.AdamOptimizer(beta2=0.99).defaults
    assert (adam["lr"], adam["betas"], adam["eps"]) == (0.001, (0.9, 0.99), 1e-8)
    assert train.RMSPropOptimizer(0.1).defaults["alpha"] == 0.9
    assert train.AdagradOptimizer(0.1).defaults["initial_accumulator_value"] == 0.1
    assert train.AdadeltaOptimizer().defaults["rho"] == 0.95
    with pytest.raises(TypeError, match=r"lr=0\.5"):
        gf.optim.SGD(0.5)


def test_names_that_are_called_otherwise_here_say_so() -> None:
    import re

    from graphflow.core.elsewhere import ELSEWHERE, KERAS, hint

    with pytest.raises(AttributeError, match=r"gf\.Variable"):
        gf.get_variable  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean.*placeholder"):
        gf.placehoder  # noqa: B018
    assert hint("__path_to_nowhere__", ["a"]) == ""
    for name, here in [*ELSEWHERE.items(), *KERAS.items()]:
        place: Any = gf if ELSEWHERE.get(name) == here else gf.keras
        assert not hasattr(place, name), f"{place.__name__}.{name} is there: it needs no hint"
        for dotted in re.findall(r"gf((?:\.\w+)+)", here):
            value: Any = gf
            for part in dotted[1:].split("."):
                value = getattr(value, part)
