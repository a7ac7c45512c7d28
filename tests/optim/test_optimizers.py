"""What all optimizers do, eagerly: groups, settings, state, mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import optim

ALL = [
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.RMSprop,
    optim.Adagrad,
    optim.Adadelta,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
    optim.Lion,
    optim.Rprop,
    optim.ASGD,
]
TARGET = np.array([1.0, -2.0, 0.5], "float32")


def quadratic(w: Any) -> Any:
    return ((w - gf.tensor(TARGET).astype(w.dtype)) ** 2).sum()


def steps(optimizer: Any, w: Any, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        quadratic(w).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", ALL)
def test_it_descends(kind: Any) -> None:
    w = gf.Variable(np.zeros(3, "float32"))
    rates = {optim.Adagrad: 0.5, optim.Adadelta: 10.0, optim.RAdam: 0.2, optim.Lion: 0.02}
    optimizer = kind([w], lr=rates.get(kind, 0.05))
    before = quadratic(w).item()
    steps(optimizer, w, 100)
    assert quadratic(w).item() < 0.1 * before


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_dtypes_stay(kind: Any, dtype: str) -> None:
    w = gf.Variable(np.zeros(3), dtype=dtype)
    optimizer = kind([w], eps=1e-4) if "eps" in kind([w]).defaults else kind([w])
    steps(optimizer, w, 2)
    assert w.dtype == dtype and w._data.dtype == w.dtype.np
    for slot in optimizer.state[w].values():
        assert slot.shape == () or slot.dtype == dtype
    assert np.isfinite(w.numpy().astype("float32")).all() and (w.numpy() != 0).any()


def test_lion_against_numpy() -> None:
    rng = np.random.default_rng(0)
    w = gf.Variable(rng.standard_normal(5), dtype="float64")
    optimizer = optim.Lion([w], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    p, m = w.numpy().copy(), np.zeros(5)
    for _ in range(20):
        g = rng.standard_normal(5)
        w.grad = gf.tensor(g)
        optimizer.step()
        p = p * (1 - 0.01 * 0.1) - 0.01 * np.sign(0.9 * m + 0.1 * g)
        m = 0.98 * m + 0.02 * g
        np.testing.assert_allclose(w.numpy(), p, rtol=1e-12)


@pytest.mark.parametrize("kind", ALL)
def test_state_dict_continues_the_same_run(kind: Any) -> None:
    w = gf.Variable(np.zeros(3, "float32"))
    one = kind([w], lr=0.1)
    steps(one, w, 3)
    v = gf.Variable(w.numpy())
    two = kind([v], lr=0.7)
    two.load_state_dict(one.state_dict())
    assert two.param_groups[0]["lr"] == 0.1
    with gf.config(native_after=-1):  # the same bits need the same code in both runs
        steps(one, w, 3)
        steps(two, v, 3)
    np.testing.assert_array_equal(w.numpy(), v.numpy())
    one.load_state_dict(two.state_dict())  # into slots that exist: their Variables stay
    slots = dict(one.state[w])
    assert all(one.state[w][name] is slot for name, slot in slots.items())


def test_loading_keeps_counters_apart_that_differ() -> None:
    a, b = gf.Variable([1.0]), gf.Variable([1.0])
    optimizer = optim.Adam([a, b])
    a.grad = gf.tensor([1.0])
    optimizer.step()
    b.grad = gf.tensor([1.0])
    optimizer.step()
    state = optimizer.state_dict()
    assert [state["state"][i]["step"].item() for i in (0, 1)] == [2, 1]
    other = optim.Adam([gf.Variable([1.0]), gf.Variable([1.0])])
    for p in other.param_groups[0]["params"]:
        p.grad = gf.tensor([1.0])
    other.step()
    layout = other.layout
    other.load_state_dict(state)
    assert [s["step"].item() for s in other.state.values()] == [2, 1]
    assert other.layout != layout


def test_converting_parameters_on_the_way() -> None:
    layer = gf.nn.Linear(3, 1)
    optimizer = optim.Adam(layer.parameters())
    for dtype in (gf.float32, gf.float64, gf.float32):
        layer.to(dtype)
        optimizer.zero_grad()
        layer(gf.ones((2, 3), dtype=dtype)).sum().backward()
        optimizer.step()
        assert layer.weight._data.dtype == dtype
    assert all(v._data.dtype == v.dtype for v in optimizer.state[layer.weight].values())


def test_loading_the_state_of_the_start() -> None:
    w = gf.Variable(np.zeros(3, "float32"))
    optimizer = optim.Adam([w], lr=0.1)
    start = optimizer.state_dict()
    steps(optimizer, w, 2)
    optimizer.load_state_dict(start)
    assert optimizer.state[w]["step"].item() == 0 and (optimizer.state[w]["exp_avg"].numpy() == 0).all()


def test_settings_are_read_at_each_step() -> None:
    w = gf.Variable([1.0])
    optimizer = optim.SGD([w], lr=1.0)
    for rate in (0.5, 0.25):
        optimizer.param_groups[0]["lr"] = rate
        w.assign([0.0])
        w.grad = gf.tensor([1.0])
        optimizer.step()
        assert w.item() == -rate
    optimizer.param_groups[0]["momentum"] = 0.5  # switched on later
    optimizer.step()
    optimizer.step()
    assert w.item() == pytest.approx(-0.25 - 0.25 - 0.25 * 1.5)
    rate = gf.Variable(2.0, trainable=False)
    w.assign([0.0])
    optim.SGD([w], lr=rate).step()
    assert w.item() == -2.0


def test_groups_have_their_own_settings() -> None:
    a, b = gf.Variable([0.0]), gf.Variable([0.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 10.0}], lr=1.0)
    c = gf.Variable([0.0])
    optimizer.add_param_group({"params": [("c", c)], "lr": 100.0})
    for p in (a, b, c):
        p.grad = gf.tensor([1.0])
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == [-1.0, -10.0, -100.0]
    assert "lr=1.0" in repr(optimizer) and "params" not in repr(optimizer)


def test_parameters_without_gradient_stay() -> None:
    a, b = gf.Variable([1.0]), gf.Variable([1.0])
    optimizer = optim.Adam([a, b])
    a.grad = gf.tensor([1.0])
    optimizer.step()
    assert b.item() == 1.0 and b not in optimizer.state and a.item() < 1.0
    optimizer.zero_grad()
    assert a.grad is None
    a.grad = gf.tensor([3.0])
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.item() == 0.0


def test_step_with_closure() -> None:
    w = gf.Variable([1.0, 1.0, 1.0])
    optimizer = optim.SGD([w], lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = quadratic(w)
        loss.backward()
        return loss

    with gf.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == pytest.approx(9.25)
    assert quadratic(w).item() < 9.25


def test_minimize_eagerly() -> None:
    w, frozen = gf.Variable(np.zeros(3, "float32")), gf.Variable(np.zeros(3, "float32"))
    optimizer = optim.SGD(lr=0.5)
    frozen.requires_grad_(False)
    assert optimizer.minimize(quadratic(w + frozen)) is None
    np.testing.assert_allclose(w.numpy(), TARGET)
    assert optimizer.param_groups[0]["params"] == [w] or optimizer.param_groups[0]["params"][0] is w
    w.assign(np.zeros(3))
    optimizer.minimize(lambda: quadratic(w))
    np.testing.assert_allclose(w.numpy(), TARGET)
    ((gradient, variable),) = optimizer.compute_gradients(quadratic(w), [w])
    assert variable is w and np.abs(gradient.numpy()).max() == 0
    optimizer.apply_gradients([(gf.ones(3), w), (None, frozen)])
    np.testing.assert_allclose(w.numpy(), TARGET - 0.5)


def test_mistakes() -> None:
    w = gf.Variable([1.0])
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: optim.SGD([]), ValueError, "empty parameter list"),
        (lambda: optim.SGD(w), TypeError, "as a list"),
        (lambda: optim.SGD([gf.ones(2)]), TypeError, "got a Tensor; tensors are immutable, keep it in a gf.Variable"),
        (lambda: optim.SGD([w, w]), ValueError, "parameter 'variable' is given twice"),
        (lambda: optim.SGD([w], lr=-1), ValueError, "SGD: lr must be at least 0, got -1"),
        (lambda: optim.Adam([w], betas=(0.9, 1.0)), ValueError, r"betas must be in \[0, 1\), got 1.0"),
        (lambda: optim.Adadelta([w], rho=2), ValueError, "rho must be between 0 and 1"),
        (lambda: optim.SGD([w], nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
        (lambda: optim.SGD([{"params": [w], "lr": -2.0}]), ValueError, "got -2.0"),
        (lambda: optim.SGD().step(), ValueError, "SGD has no parameters"),
        (lambda: optim.SGD().minimize(gf.tensor(1.0)), gf.errors.GradientError, "depends on no trainable variable"),
        (lambda: optim.SGD([w]).minimize(w * 2), gf.errors.GradientError, "needs a floating-point scalar"),
        (lambda: optim.SGD([w]).apply_gradients([(w.value, gf.Variable([1.0]))]), ValueError, "add_param_group"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message):
            call()
    w.grad = gf.ones(3)
    with pytest.raises(gf.errors.ShapeError, match=r"gradient of 'variable' has shape \(3,\), the variable \(1,\)"):
        optim.SGD([w]).step()


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    w = gf.Variable([1.0, 2.0])
    optimizer = optim.Adam([w])
    steps_of_one = {"step": gf.tensor(1), "exp_avg": gf.zeros(2), "exp_avg_sq": gf.zeros(2)}
    groups = [{"lr": 5.0, "params": [0]}]
    wrong: list[tuple[Any, str]] = [
        ({"state": {}, "param_groups": [{"params": [0, 1]}]}, r"groups of \[1\] parameters, the saved state of \[2\]"),
        ({"state": {0: {"step": 1}}, "param_groups": groups}, "has no 'exp_avg'; it has: step"),
        (
            {"state": {0: {**steps_of_one, "exp_avg_sq": gf.zeros(3)}}, "param_groups": groups},
            r"'exp_avg_sq' of 'variable' has shape \(3,\), \(2,\) is needed",
        ),
    ]
    for state, message in wrong:
        with pytest.raises(gf.errors.StateError, match=message):
            optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 1e-3 and not optimizer.state
    optimizer.load_state_dict({"state": {"0": steps_of_one}, "param_groups": groups})
    assert optimizer.param_groups[0]["lr"] == 5.0 and optimizer.state[w]["step"].item() == 1


def test_schedules_resume() -> None:
    def made() -> tuple[Any, Any]:
        optimizer = optim.SGD([gf.Variable([1.0])], lr=1.0)
        return optimizer, optim.lr_scheduler.StepLR(optimizer, 2)

    optimizer, schedule = made()
    for _ in range(3):
        schedule.step()
    other_optimizer, other = made()
    other_optimizer.load_state_dict(optimizer.state_dict())
    other.load_state_dict(schedule.state_dict())
    for _ in range(3):
        schedule.step()
        other.step()
    assert other.get_last_lr() == schedule.get_last_lr() == pytest.approx([1e-3])


def test_mistakes_with_schedules() -> None:
    optimizer = optim.Adagrad([gf.Variable([1.0])])
    s = optim.lr_scheduler
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: s.StepLR(3, 2), TypeError, "needs an Optimizer, got int"),  # type: ignore[arg-type]
        (lambda: s.LambdaLR(optimizer, [abs, abs]), ValueError, "1 functions are needed"),
        (lambda: s.OneCycleLR(optimizer, 1.0), ValueError, "give total_steps"),
        (lambda: s.OneCycleLR(optimizer, 1.0, 10), ValueError, "no momentum to cycle"),
        (lambda: s.ConstantLR(optimizer, 2.0), ValueError, "between 0 and 1, got 2.0"),
        (lambda: s.LinearLR(optimizer, 0.0), ValueError, "got 0.0"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 0), ValueError, "positive integer, got 0"),
        (lambda: s.ReduceLROnPlateau(optimizer, factor=1.0), ValueError, "below 1, got 1.0"),
        (lambda: s.SequentialLR(optimizer, [s.StepLR(optimizer, 1)], [1]), ValueError, "need 0 milestones, got 1"),
        (lambda: s.StepLR(optim.SGD([gf.Variable([1.0])]), 1, last_epoch=3), KeyError, "initial_lr"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message):
            call()
