"""Sequential, ModuleList, ModuleDict, ParameterList."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn


def test_sequential() -> None:
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    model = nn.Sequential(a, b)
    model.append(c)
    assert len(model) == 3 and list(model) == [a, b, c]
    assert model[0] is a and model[-1] is c
    assert list(model[1:]) == [b, c] and type(model[1:]) is nn.Sequential
    x = gf.tensor([[1.0, -2.0]])
    np.testing.assert_array_equal(model(x).numpy(), c(b(a(x))).numpy())
    model[1] = nn.Tanh()
    assert "Tanh" in repr(model)
    del model[1]
    assert list(model) == [a, c] and list(model.state_dict())[2] == "1.weight"
    model.insert(1, b)
    assert list(model) == [a, b, c]
    named = nn.Sequential({"first": a, "second": c})
    assert named.first is a and list(named.state_dict())[-1] == "second.bias"
    with pytest.raises(IndexError, match="index 5 is out of range for Sequential of 3"):
        model[5]
    with pytest.raises(TypeError, match="must be a Module, got function"):
        nn.Sequential(lambda x: x)


def test_module_list() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)])
    layers.extend([nn.Linear(2, 3)])
    assert len(layers) == 3 and len(list(layers.parameters())) == 6
    assert type(layers[:2]) is nn.ModuleList and len(layers[:2]) == 2
    del layers[0]
    assert list(layers.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_module_dict() -> None:
    layers = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    layers["c"] = nn.Linear(2, 2, bias=False)
    assert list(layers) == list(layers.keys()) == ["a", "b", "c"] and "b" in layers and len(layers) == 3
    assert list(layers.state_dict()) == ["a.weight", "a.bias", "c.weight"]
    assert isinstance(layers.pop("b"), nn.ReLU) and "b" not in layers
    layers.update([("d", nn.Tanh())])
    assert [k for k, _ in layers.items()] == ["a", "c", "d"] and len(layers.values()) == 3
    with pytest.raises(KeyError):
        del layers["b"]
    layers.clear()
    assert len(layers) == 0


def test_parameter_list() -> None:
    weights = nn.ParameterList([gf.zeros(2), nn.Parameter(gf.ones(3))])
    weights.append(np.zeros(4, "float32"))
    weights[0] = gf.ones(5)
    assert [w.shape for w in weights] == [(5,), (3,), (4,)] and len(weights) == 3
    assert list(weights.state_dict()) == ["0", "1", "2"] and weights[-1].requires_grad


def test_lambda_flatten_unflatten_identity() -> None:
    x = gf.ones((2, 3, 4))
    assert nn.Lambda(lambda a, b: a + b)(x, x).sum().item() == 48
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert nn.Unflatten(2, (2, -1))(x).shape == (2, 3, 2, 2)
    assert nn.Identity(3, unused=True)(x) is x


def test_parameter_dict() -> None:
    table = nn.ParameterDict({"a": gf.ones(2), "b": nn.Parameter(gf.zeros(3))})
    assert list(table) == list(table.keys()) == ["a", "b"] and len(table) == 2 and "a" in table
    assert all(isinstance(p, nn.Parameter) for p in table.values())
    owner = nn.Module()
    owner.table = table
    assert list(owner.state_dict()) == ["table.a", "table.b"]
    table["c"] = np.ones(1, "float32")
    table.update({"d": gf.ones(1)})
    assert [name for name, _ in table.items()] == ["a", "b", "c", "d"]
    assert table.get("x") is None and table.setdefault("a", None) is table["a"]
    assert table.pop("c").shape == (1,) and "c" not in table
    with pytest.raises(KeyError):
        del table["c"]
    table.clear()
    assert not len(table)


def test_lists_of_modules_are_added() -> None:
    layers = nn.ModuleList([nn.ReLU()])
    layers += [nn.Tanh()]
    assert [type(m).__name__ for m in layers] == ["ReLU", "Tanh"]
    both = nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh())
    assert type(both) is nn.Sequential and both(gf.tensor([0.0])).item() == 0.0 and len(both) == 2
