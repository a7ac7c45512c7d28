"""Parameters computed from others: PyTorch's numbers and names, in every mode, and back again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn
from graphflow.nn.utils import parametrizations, parametrize

rng = np.random.default_rng(0)
WAYS = ["parametrizations.weight_norm", "weight_norm", "parametrizations.spectral_norm", "spectral_norm"]
LAYERS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "linear": ("Linear", (4, 3), (5, 4)),
    "conv": ("Conv1d", (2, 3, 3), (2, 2, 6)),
    "transposed": ("ConvTranspose1d", (2, 3, 3), (2, 2, 6)),
}


def way(utils: Any, name: str) -> Any:
    for part in name.split("."):
        utils = getattr(utils, part)
    return utils


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", WAYS)
def test_pytorchs_numbers(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    layer, args, shape = LAYERS[kind]
    theirs = way(torch.nn.utils, name)(getattr(torch.nn, layer)(*args).double())
    ours = way(nn.utils, name)(getattr(nn, layer)(*args, dtype="float64"))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal(shape)
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        ours.zero_grad(), theirs.zero_grad()
        y, z = ours(gf.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
        (y * y).sum().backward()
        (z * z).sum().backward()
        slopes = dict(ours.named_parameters())
        for key, p in theirs.named_parameters():
            np.testing.assert_allclose(slopes[key].grad.numpy(), p.grad.numpy(), rtol=1e-8, atol=1e-10)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", WAYS)
def test_the_layer_is_the_same_and_comes_back(name: str) -> None:
    x = gf.tensor(rng.standard_normal((5, 4)))
    layer = nn.Linear(4, 3, dtype="float64")
    weight, plain = layer.weight.numpy().copy(), layer(x).numpy()
    layer = way(nn.utils, name)(layer).eval()
    norm = np.linalg.norm(weight, 2) if "spectral" in name else 1.0
    np.testing.assert_allclose(layer.weight.numpy(), weight / norm, rtol=1e-2)
    if "spectral" not in name:
        np.testing.assert_allclose(layer(x).numpy(), plain, rtol=1e-10)
    value = layer.weight.numpy().copy()
    if name == "weight_norm":
        nn.utils.remove_weight_norm(layer)
    elif name == "spectral_norm":
        nn.utils.remove_spectral_norm(layer)
    else:
        parametrize.remove_parametrizations(layer, "weight")
    assert sorted(layer.state_dict()) == ["bias", "weight"] and type(layer) is nn.Linear
    np.testing.assert_allclose(layer.weight.numpy(), value, rtol=1e-12)


@pytest.mark.parametrize("name", ["parametrizations.weight_norm", "spectral_norm"])
def test_compiled_training_is_eager_training(name: str) -> None:
    x = gf.tensor(rng.standard_normal((6, 4)).astype("float32"))

    def trained(compiled: bool) -> dict[str, Any]:
        gf.random.seed(1)
        model = nn.Sequential(way(nn.utils, name)(nn.Linear(4, 3)), nn.Tanh(), nn.Linear(3, 1))
        optimizer = gf.optim.SGD(model.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            loss = (model(x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = gf.compile(step) if compiled else step
        for _ in range(5):
            run(x)
        return {key: value.numpy() for key, value in model.state_dict().items()}

    eager, compiled = trained(False), trained(True)
    for key, value in eager.items():
        np.testing.assert_allclose(compiled[key], value, rtol=1e-4, atol=1e-6, err_msg=key)


class Doubled(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2

    def right_inverse(self, x: Any) -> Any:
        return x / 2


class Squared(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * x


def test_several_parametrizations_of_one_parameter() -> None:
    layer = nn.Linear(2, 2)
    weight = layer.weight.numpy().copy()
    assert not parametrize.is_parametrized(layer)
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(layer.weight.numpy(), weight, rtol=1e-6)
    layer.weight = gf.ones((2, 2))
    assert layer.weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert layer.parametrizations.weight.original.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    parametrize.register_parametrization(layer, "weight", Squared())
    layer.parametrizations.weight.original.assign(gf.full((2, 2), 1.5))
    assert layer.weight.tolist() == [[9.0, 9.0], [9.0, 9.0]]
    with pytest.raises(TypeError, match="Squared has no right_inverse"):
        layer.weight = gf.ones((2, 2))
    assert parametrize.is_parametrized(layer, "weight") and not parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert layer.weight.tolist() == [[1.5, 1.5], [1.5, 1.5]]


def test_mistakes() -> None:
    class Sum(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.sum()

    layer = nn.Linear(2, 2)
    cases: list[tuple[Any, str]] = [
        (lambda: parametrize.register_parametrization(layer, "scale", Doubled()), "no parameter 'scale'"),
        (lambda: parametrize.register_parametrization(layer, "weight", Sum()), r"Sum makes shape \(\)"),
        (lambda: parametrize.remove_parametrizations(layer, "weight"), "no parametrization of 'weight'"),
        (lambda: nn.utils.remove_weight_norm(layer), "'weight' of Linear is not normalised"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert parametrizations.weight_norm(layer) is layer
