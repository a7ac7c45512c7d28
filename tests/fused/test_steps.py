"""Optimizer steps in eager mode: one native program updates all parameters as the rules would one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import optim
from graphflow.optim.native import NativeStep

RNG = np.random.default_rng(0)
START = [RNG.normal(size=(3, 4)), RNG.normal(size=4)]
SLOPES = RNG.normal(size=(12, 16))

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.1),
    "SGD with momentum": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "SGD with Nesterov's": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "Adam": lambda ps: optim.Adam(ps, lr=0.1),
    "AMSGrad": lambda ps: optim.Adam(ps, lr=0.1, amsgrad=True, weight_decay=0.01),
    "AdamW": lambda ps: optim.AdamW(ps, lr=0.1),
    "RMSprop": lambda ps: optim.RMSprop(ps, lr=0.1, momentum=0.5, centered=True),
    "Adagrad": lambda ps: optim.Adagrad(ps, lr=0.1, lr_decay=0.1),
    "Adadelta": lambda ps: optim.Adadelta(ps),
    "Adamax": lambda ps: optim.Adamax(ps),
    "NAdam": lambda ps: optim.NAdam(ps, lr=0.1),
    "RAdam": lambda ps: optim.RAdam(ps, lr=0.1),
    "Lion": lambda ps: optim.Lion(ps, lr=0.1, weight_decay=0.1),
}


def programs(optimizer: Any) -> list[NativeStep]:
    return [s for s in optimizer._native_steps._steps.values() if isinstance(s, NativeStep)]


def parameters(dtype: Any = np.float64) -> list[Any]:
    return [gf.Variable(a.astype(dtype)) for a in START]


def give_gradients(params: list[Any], number: int) -> None:
    flat = SLOPES[number]
    params[0].grad = gf.tensor(flat[:12].reshape(3, 4).astype(params[0].dtype.np))
    params[1].grad = gf.tensor(flat[12:].astype(params[1].dtype.np))


def train(make: Callable[[Any], Any], after: int, dtype: Any, steps: int = 7) -> tuple[list[Any], Any]:
    params = parameters(dtype)
    optimizer = make(params)
    with gf.config(native_after=after):
        for number in range(steps):
            give_gradients(params, number)
            optimizer.step()
    return [p.numpy() for p in params], optimizer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_agrees_with_the_rules_on_arrays(name: str, dtype: Any) -> None:
    expected, _ = train(OPTIMIZERS[name], -1, dtype)
    found, optimizer = train(OPTIMIZERS[name], 2, dtype)
    assert len(programs(optimizer)) == 1, optimizer._native_steps.failure
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, 1e-5 if dtype is np.float32 else 1e-12)


def test_settings_are_read_at_each_step() -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=1.0)
    with gf.config(native_after=0):
        for number, lr in enumerate([1.0, 0.5, 0.0, 0.25]):
            before = params[1].numpy()
            optimizer.param_groups[0]["lr"] = lr
            give_gradients(params, number)
            optimizer.step()
            np.testing.assert_allclose(params[1].numpy(), before - lr * SLOPES[number, 12:], 1e-12)
        assert len(programs(optimizer)) == 1
        optimizer.param_groups[0]["momentum"] = 0.5  # a setting that was not in use: another program
        for number in range(2):
            before = params[1].numpy()
            give_gradients(params, number)
            optimizer.step()
        np.testing.assert_allclose(params[1].numpy(), before - 0.25 * (0.5 * SLOPES[0, 12:] + SLOPES[1, 12:]), 1e-12)


def test_parameters_without_a_gradient_stay() -> None:
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    with gf.config(native_after=0):
        for number in range(2):
            give_gradients(params, number)
            optimizer.step()
        before = [p.numpy() for p in params]
        params[0].grad = None
        optimizer.step()
        np.testing.assert_array_equal(params[0].numpy(), before[0])
        assert (params[1].numpy() != before[1]).all()
    assert len(programs(optimizer)) == 2


def test_parameters_that_join_later() -> None:
    params = parameters()
    optimizer = optim.SGD(params[:1], lr=1.0)
    with gf.config(native_after=0):
        give_gradients(params, 0)
        optimizer.step()
        np.testing.assert_array_equal(params[1].numpy(), START[1])
        optimizer.add_param_group({"params": params[1:], "lr": 2.0})
        optimizer.step()
    np.testing.assert_allclose(params[1].numpy(), START[1] - 2.0 * SLOPES[0, 12:], 1e-12)


def test_values_that_were_read_do_not_change() -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=1.0)
    with gf.config(native_after=0):
        give_gradients(params, 0)
        optimizer.step()
        tensor, array, kept = params[1].value, params[1].numpy(), params[1].numpy().copy()
        optimizer.step()
    np.testing.assert_array_equal(tensor.numpy(), kept)
    np.testing.assert_array_equal(array, kept)
    assert (params[1].numpy() != kept).all()


def test_states_can_be_saved_and_loaded() -> None:
    make = OPTIMIZERS["Adam"]
    expected, _ = train(make, -1, np.float64, steps=6)
    params = parameters()
    optimizer = make(params)
    with gf.config(native_after=0):
        for number in range(3):
            give_gradients(params, number)
            optimizer.step()
        state, others = optimizer.state_dict(), [gf.Variable(p.numpy()) for p in params]
        for number in range(3):  # leads the optimizer astray, until it gets its state back
            give_gradients(params, number)
            optimizer.step()
        optimizer.load_state_dict(state)
        fresh = make(others)
        fresh.load_state_dict(state)
        for p, q in zip(params, others):
            p.assign(q)
        for each, own in ((optimizer, params), (fresh, others)):
            for number in range(3, 6):
                give_gradients(own, number)
                each.step()
            for p, want in zip(own, expected):
                np.testing.assert_allclose(p.numpy(), want, 1e-12)


def test_gradients_of_another_shape_are_the_same_error() -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=1.0)
    with gf.config(native_after=0):
        give_gradients(params, 0)
        optimizer.step()
        params[1].grad = gf.ones(5, dtype=gf.float64)
        with pytest.raises(ValueError, match="has shape"):
            optimizer.step()


def test_rules_of_the_users_own_are_called_at_each_step() -> None:
    calls = []

    class Noted(optim.SGD):
        def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
            calls.append(1)
            return super().update(xp, p, g, slots, s)

    params = parameters()
    optimizer = Noted(params, lr=1.0)
    with gf.config(native_after=0):
        for _ in range(3):
            give_gradients(params, 0)
            optimizer.step()
    assert len(calls) == 6 and not programs(optimizer)


def test_optimizers_can_be_copied() -> None:
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    with gf.config(native_after=0):
        give_gradients(params, 0)
        optimizer.step()
        other = copy.deepcopy(optimizer)
        own = other.param_groups[0]["params"]
        before = params[1].numpy()
        give_gradients(own, 1)
        other.step()
    np.testing.assert_array_equal(params[1].numpy(), before)
    assert (own[1].numpy() != before).all()


def test_a_training_loop_gets_the_same_model() -> None:
    x, y = RNG.normal(size=(8, 4)).astype(np.float32), RNG.integers(0, 3, 8)

    def train_model(after: int) -> list[Any]:
        gf.random.seed(1)
        model = gf.nn.Sequential(gf.nn.Linear(4, 16), gf.nn.ReLU(), gf.nn.Linear(16, 3))
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        losses = []
        with gf.config(native_after=after):
            for step in range(12):
                out = model(gf.tensor(x[: 8 - step % 2]))
                loss = gf.nn.functional.cross_entropy(out, gf.tensor(y[: 8 - step % 2]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses

    np.testing.assert_allclose(train_model(3), train_model(-1), 1e-5)
