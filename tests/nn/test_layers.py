"""Layers without PyTorch at hand: frozen values, state in every mode, and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow import nn

X = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 1.5, -1.0, 2.0], [2.0, 0.25, 1.0, -1.0]], "float32")


def filled(layer: nn.Module) -> Any:
    """The layer with the parameters 0.1, 0.2, ..."""
    for p in layer.parameters():
        p.assign((np.arange(1, p.numpy().size + 1, dtype="float32") / 10).reshape(p.shape))
    return layer


def test_linear() -> None:
    out = filled(nn.Linear(4, 2))(gf.tensor(X))
    np.testing.assert_allclose(out.numpy(), [[1.15, 2.25], [0.9, 2.0], [0.25, 1.25]], atol=1e-6)


def test_bilinear() -> None:
    layer = filled(nn.Bilinear(2, 2, 1))
    out = layer(gf.tensor(X[:, :2]), gf.tensor(X[:, 2:]))
    a, b = X[:, :2], X[:, 2:]
    weight, bias = layer.weight.numpy()[0], layer.bias.numpy()
    np.testing.assert_allclose(out.numpy()[:, 0], np.einsum("bi,ij,bj->b", a, weight, b) + bias, atol=1e-6)


def test_normalisation() -> None:
    x = X.astype("float64")
    out = filled(nn.LayerNorm(4, dtype="float64"))(gf.tensor(x))
    scale = np.arange(1, 5) / 10
    standard = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(out.numpy(), standard * scale + scale, rtol=1e-7)
    root = np.sqrt((x * x).mean(1, keepdims=True) + np.finfo("float64").eps)
    np.testing.assert_allclose(
        filled(nn.RMSNorm(4, dtype="float64"))(gf.tensor(x)).numpy(), x / root * scale, rtol=1e-7
    )
    groups = x.reshape(3, 2, 2)
    standard = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    out = nn.GroupNorm(2, 4, dtype="float64")(gf.tensor(x))
    np.testing.assert_allclose(out.numpy(), standard.reshape(3, 4), rtol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_normalisation_of_short_floats_keeps_digits(dtype: str) -> None:
    x = gf.tensor(np.full((1, 4096), 300.0, "float32") + np.arange(4096, dtype="float32") % 2 * 4).astype(dtype)
    out = F.layer_norm(x, 4096)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.astype("float32").numpy()[0, :2], [-1.0, 1.0], atol=0.01)
    assert F.rms_norm(x, 4096).dtype == dtype and nn.BatchNorm1d(1)(x.T).dtype == dtype


def test_batch_norm_in_training_and_evaluation() -> None:
    layer = nn.BatchNorm1d(4, momentum=0.5)
    out = layer(gf.tensor(X))
    np.testing.assert_allclose(out.numpy(), (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5), atol=1e-5)
    np.testing.assert_allclose(layer.running_mean.numpy(), X.mean(0) / 2, atol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.5 + X.var(0, ddof=1) / 2, rtol=1e-6)
    assert layer.num_batches_tracked.item() == 1
    frozen = layer.state_dict()
    layer.eval()
    expected = (X - frozen["running_mean"].numpy()) / np.sqrt(frozen["running_var"].numpy() + 1e-5)
    np.testing.assert_allclose(layer(gf.tensor(X)).numpy(), expected, atol=1e-5)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.running_var.numpy().tolist() == [1.0] * 4 and layer.num_batches_tracked.item() == 0
    assert list(nn.BatchNorm2d(3, affine=False, track_running_stats=False).state_dict()) == []


def test_batch_norm_statistics_do_not_carry_gradients() -> None:
    layer = nn.BatchNorm1d(4)
    x = gf.tensor(X, requires_grad=True)
    layer(x).sum().backward()
    assert not layer.running_mean.value.requires_grad and layer.running_mean.grad is None
    assert np.abs(x.grad.numpy()).max() < 1e-5


def test_dropout() -> None:
    x = gf.ones((100, 100))
    for p in (0.1, 0.5, 0.9):
        out = nn.Dropout(p)(x).numpy()
        assert (out == 0).mean() == pytest.approx(p, abs=0.03)
        np.testing.assert_allclose(out[out != 0], 1 / (1 - p), rtol=1e-6)
    assert nn.Dropout(0.5).eval()(x) is x and nn.Dropout(0.0)(x) is x
    assert (nn.Dropout(1.0)(x) == 0).all().item()
    layer = nn.Dropout(0.5)
    gf.random.seed(4)
    first = layer(x)
    assert (layer(x) != first).any().item()
    gf.random.seed(4)
    assert (layer(x) == first).all().item()


@pytest.mark.parametrize("layer, shape", [(nn.Dropout1d(0.5), (8, 16, 5)), (nn.Dropout2d(0.5), (8, 16, 3, 4))])
def test_dropout_of_channels(layer: nn.Module, shape: tuple[int, ...]) -> None:
    for size in (shape, shape[1:]):
        out = layer(gf.ones(size)).numpy().reshape(-1, np.prod(shape[2:]))
        assert (out == out[:, :1]).all() and set(np.unique(out)) == {0.0, 2.0}
    x = gf.ones(shape)
    assert layer.eval()(x) is x
    layer.train()
    with pytest.raises(gf.errors.ShapeError, match="rank"):
        layer(gf.ones(3))


def test_embedding_from_pretrained() -> None:
    table = nn.Embedding.from_pretrained(X, padding_idx=0)
    np.testing.assert_array_equal(table.weight.numpy(), X)
    assert not table.weight.requires_grad and table.weight.dtype == "float32"
    assert nn.Embedding.from_pretrained(X, freeze=False).weight.requires_grad


def test_layers_in_other_dtypes() -> None:
    for dtype in ("float64", "float16", "bfloat16"):
        layer = nn.Sequential(nn.Linear(4, 3, dtype=dtype), nn.LayerNorm(3, dtype=dtype), nn.PReLU(dtype=dtype))
        assert layer(gf.tensor(X).astype(dtype)).dtype == dtype
        assert all(p.dtype == dtype for p in layer.parameters())
    assert nn.BatchNorm1d(2, dtype="float64").running_mean.dtype == "float64"


def test_activations_take_settings_like_pytorch() -> None:
    assert nn.LeakyReLU(0.3, True).negative_slope == 0.3
    assert repr(nn.ELU(0.5, inplace=True)) == "ELU(alpha=0.5, inplace=True)"
    assert nn.Threshold(1.0, 5.0)(gf.tensor([0.0, 2.0])).tolist() == [5.0, 2.0]
    with pytest.raises(TypeError, match="LeakyReLU: no setting 'slope'; there are: negative_slope, inplace"):
        nn.LeakyReLU(slope=0.3)
    with pytest.raises(TypeError, match="Threshold: the setting 'value' is missing"):
        nn.Threshold(1.0)
    with pytest.raises(TypeError, match="takes at most 1 arguments"):
        nn.ReLU(True, 3)


def test_functional_distances() -> None:
    x = F.normalize(gf.tensor(X), dim=1)
    np.testing.assert_allclose((x * x).sum(1).numpy(), 1.0, rtol=1e-6)
    assert F.normalize(gf.zeros((1, 3))).tolist() == [[0.0, 0.0, 0.0]]


def test_mistakes() -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: nn.LayerNorm(3)(gf.tensor(X)), r"layer_norm: the last axes should be \(3,\), the shape is \(3, 4\)"),
        (lambda: nn.GroupNorm(3, 6)(gf.tensor(X)), r"axis 1 of shape \(3, 4\) is not 3 equal groups"),
        (lambda: nn.GroupNorm(4, 6), "6 channels are not 4 equal groups"),
        (lambda: nn.BatchNorm1d(4)(gf.ones((2, 4, 3, 3))), r"BatchNorm1d takes rank 2 or 3, got shape \(2, 4, 3, 3\)"),
        (lambda: nn.BatchNorm1d(4)(gf.ones((1, 4))), "more than one value per channel"),
        (lambda: nn.Dropout(1.5), "from 0 to 1, got 1.5"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "one of the 3 rows, got 3"),
        (lambda: nn.Linear(2, 2, device="cuda"), "no device 'cuda'"),
        (lambda: nn.MSELoss(reduction="average"), "got 'average'"),
        (lambda: nn.Embedding.from_pretrained(X[0]), "needs a table"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="integer indices, got float32"):
        nn.Embedding(3, 2)(gf.tensor([0.5]))
    with pytest.raises(TypeError, match="must be gf.Variable"):
        F.batch_norm(gf.tensor(X), gf.zeros(4), gf.ones(4), training=True)
    with pytest.raises(gf.errors.ShapeError, match="test_layers.py"):
        nn.Linear(3, 2)(gf.tensor(X))


def test_adaptive_softmax() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0)
    x = gf.tensor(np.random.default_rng(0).standard_normal((5, 8)).astype("float32"))
    scores = layer.log_prob(x).numpy()
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0, rtol=1e-5)
    assert layer.predict(x).tolist() == scores.argmax(1).tolist()
    target = np.array([0, 11, 3, 6, 2])
    found = gf.compile(layer)(x, gf.tensor(target))
    np.testing.assert_allclose(found.output.numpy(), scores[np.arange(5), target], rtol=1e-5)
    assert found.loss.item() == pytest.approx(-found.output.numpy().mean())
    with pytest.raises(IndexError, match="target 12 is none of 12 classes"):
        layer(x, gf.tensor([0, 1, 2, 3, 12]))
    with pytest.raises(ValueError, match="increasing numbers from 1 to 11"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 12, [7, 3])
    with pytest.raises(ValueError, match="cluster 2 would have no features"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7])
    with pytest.raises(gf.errors.ShapeError, match="and target .batch,., got"):
        layer(x, gf.tensor([1]))


def test_mistakes_name_what_does_not_fit_and_where() -> None:
    x = gf.tensor(X)
    with pytest.raises(
        gf.errors.ShapeError, match=r"(?s)linear: the weight \(2, 5\) is for 5 features.*\(3, 4\).*test_lay"
    ):
        nn.Linear(5, 2)(x)
    with pytest.raises(IndexError, match=r"(?s)index 7 is out of range for axis 0 of size 5.*test_layers"):
        nn.Embedding(5, 2)(gf.tensor([7]))
    with pytest.raises(TypeError, match=r"takes a dict \(gf.load\(path\) gives it\), got a str"):
        nn.Linear(5, 2).load_state_dict("model.pt")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty parameter list .*nn.ModuleList"):
        gf.optim.SGD(nn.Identity().parameters())
