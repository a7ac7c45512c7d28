"""Averages, mixed precision, gradient accumulation and early stopping: eagerly and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 6)).astype(np.float32), RNG.integers(0, 3, 24)
MODES: list[Callable[[Any], Any]] = [lambda f: f, gf.compile]
modes = pytest.mark.parametrize("way", MODES, ids=["eager", "compiled"])


def model() -> nn.Sequential:
    gf.random.seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def weights(m: nn.Module) -> np.ndarray:
    return np.concatenate([p.numpy().ravel() for p in m.parameters()])


# -- averages ---------------------------------------------------------------------------------------------------------
@modes
def test_ema(way: Any) -> None:
    w = gf.Variable([1.0, 2.0])
    optimizer = gf.optim.SGD([w], lr=0.1)
    ema = gf.train.EMA([w], decay=0.8, warmup=True)

    def step() -> Any:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        optimizer.step()
        ema.update()
        return loss

    step = way(step)
    value = average = np.array([1.0, 2.0])
    for n in range(6):
        step()
        value = value * 0.8
        keep = min(0.8, (1 + n) / (10 + n))
        average = keep * average + (1 - keep) * value
    assert np.allclose(ema.average(w).numpy(), average, rtol=1e-5)
    with ema.applied():
        assert np.allclose(w.numpy(), average, rtol=1e-5)
    assert np.allclose(w.numpy(), value, rtol=1e-5)
    other = gf.train.EMA([gf.Variable([0.0, 0.0])])
    other.load_state_dict(ema.state_dict())
    other.copy_to()
    assert np.allclose(other.parameters[0].numpy(), average, rtol=1e-5) and other.state_dict()["updates"] == 6
    with gf.Graph() as graph:
        following = ema.update()
    gf.Session(graph).run(following)
    keep = min(0.8, 7 / 16)
    assert np.allclose(ema.average(w).numpy(), keep * average + (1 - keep) * value, rtol=1e-5)
    with pytest.raises(KeyError):
        ema.average(gf.Variable(1.0))
    with pytest.raises(gf.errors.StateError, match="shapes"):
        gf.train.EMA([gf.Variable(1.0)]).load_state_dict(ema.state_dict())
    with pytest.raises(ValueError, match="between 0 and 1"):
        gf.train.EMA([w], decay=1.5)


def test_early_stopping() -> None:
    m = model()
    early = gf.train.EarlyStopping(patience=2, min_delta=0.1, mode="max", module=m)
    best = None
    stops = []
    for accuracy in (0.5, 0.7, 0.75, float("nan")):
        stops.append(early(gf.tensor(accuracy)))
        if early.improved:
            best = weights(m)
        m[0].weight.assign(m[0].weight * 2)
    assert stops == [False, False, False, True] and early.best == pytest.approx(0.7) and early.best_epoch == 1
    again = gf.train.EarlyStopping(module=m)
    again.load_state_dict(early.state_dict())
    again.restore()
    assert (weights(m) == best).all()
    with pytest.raises(gf.errors.StateError, match="no weights"):
        gf.train.EarlyStopping().restore()
    with pytest.raises(ValueError, match="'min' or 'max'"):
        gf.train.EarlyStopping(mode="auto")


# -- accumulation -----------------------------------------------------------------------------------------------------
@modes
def test_accumulated_gradients_are_those_of_a_large_batch(way: Any) -> None:
    large, small = model(), model()
    expected, optimizer = (gf.optim.Adam(m.parameters(), lr=0.01) for m in (large, small))
    accumulation = gf.train.GradientAccumulation(optimizer, steps=3)

    def step(x: Any, y: Any) -> Any:
        loss = nn.functional.cross_entropy(small(x), y)
        loss.backward()
        accumulation.step()
        return loss

    step = way(step)
    for _ in range(3):
        expected.zero_grad()
        nn.functional.cross_entropy(large(gf.tensor(X)), gf.tensor(Y)).backward()
        expected.step()
        before = weights(small)
        for part in range(3):
            rows = slice(8 * part, 8 * part + 8)
            assert (weights(small) == before).all() and accumulation.pending == part
            step(gf.tensor(X[rows]), gf.tensor(Y[rows]))
        np.testing.assert_allclose(weights(small), weights(large), rtol=2e-5, atol=1e-6)
    step(gf.tensor(X[:8]), gf.tensor(Y[:8]))
    saved = accumulation.state_dict()
    fresh = gf.train.GradientAccumulation(optimizer, steps=3)
    fresh.load_state_dict(saved)
    assert fresh.pending == 1 and (fresh.state_dict()["sums"][0].numpy() == saved["sums"][0].numpy()).all()


@modes
def test_pytorchs_way_of_accumulating(way: Any) -> None:
    w = gf.Variable([1.0])
    optimizer = gf.optim.SGD([w], lr=0.1)
    backward = way(lambda x: (w * x).sum().backward())
    for x in (1.0, 2.0):
        backward(gf.tensor([x]))
    optimizer.step()
    assert w.item() == pytest.approx(0.7)


# -- mixed precision --------------------------------------------------------------------------------------------------
def test_autocast_dtypes() -> None:
    a, b = gf.ones((2, 3)), gf.ones((3, 4))
    with gf.autocast():
        product = a @ b
        assert product.dtype == gf.bfloat16 and (a + a).dtype == gf.float32
        assert product.exp().dtype == gf.float32 and product.sum().dtype == gf.float32
        assert (product * 2).dtype == gf.bfloat16
        assert gf.nn.functional.conv2d(gf.ones((1, 1, 4, 4)), gf.ones((1, 1, 3, 3))).dtype == gf.bfloat16
        assert (gf.ones((2, 3), dtype="float64") @ gf.ones((3, 4), dtype="float64")).dtype == gf.float64
        with gf.autocast(enabled=False):
            assert (a @ b).dtype == gf.float32
        with gf.autocast(dtype=gf.float16):
            assert (a @ b).dtype == gf.float16
        assert (a @ b).dtype == gf.bfloat16
    assert (a @ b).dtype == gf.float32
    assert gf.autocast("cpu", gf.float16)(lambda: a @ b)().dtype == gf.float16
    with pytest.raises(ValueError, match="bfloat16 or float16"):
        gf.autocast(dtype=gf.int8)
    with pytest.raises(ValueError, match="device_type"):
        gf.autocast("cuda")
    with pytest.raises(RuntimeError), gf.autocast():
        raise RuntimeError
    assert (a @ b).dtype == gf.float32  # also after an exception


def test_compiled_functions_inside_the_block() -> None:
    product = gf.compile(lambda a, b: a @ b)
    a, b = gf.ones((2, 3)), gf.ones((3, 4))
    for _ in range(2):
        assert product(a, b).dtype == gf.float32
        with gf.autocast():
            assert product(a, b).dtype == gf.bfloat16
            with gf.config(check_numerics=False):
                assert product(a, b).dtype == gf.bfloat16
            with gf.autocast(enabled=False):
                assert product(a, b).dtype == gf.float32
    assert product.cache_info().traces == 2


@modes
def test_training_in_bfloat16(way: Any) -> None:
    policy = gf.train.Policy("mixed_bfloat16")
    m, full = model(), model()
    optimizer = gf.optim.Adam(m.parameters(), lr=0.02)
    seen = []

    def step(x: Any, y: Any) -> Any:
        with policy.autocast():
            logits = m(x)
            loss = nn.functional.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        seen.append((m[0].weight.grad.dtype, loss.dtype))
        optimizer.step()
        return loss

    step = way(step)
    losses = [step(gf.tensor(X), gf.tensor(Y)).item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0] and set(seen) == {(gf.float32, gf.float32)}
    assert all(p.dtype == gf.float32 for p in m.parameters())
    exact = nn.functional.cross_entropy(full(gf.tensor(X)), gf.tensor(Y)).item()
    assert 0 < abs(losses[0] - exact) < 0.01 * exact  # near, but not the same
    assert not policy.scaler().is_enabled() and repr(policy) == "Policy('mixed_bfloat16')"
    with pytest.raises(ValueError, match="mixed_float16"):
        gf.train.Policy("int8")


@modes
def test_loss_scaling(way: Any) -> None:
    w = gf.Variable([1.0, 1.0])
    optimizer = gf.optim.Adam([w], lr=0.1)
    scaler = gf.train.GradScaler(init_scale=2.0**10, growth_interval=2)

    def step(x: Any) -> Any:
        loss = (w * x).sum()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_([w], 100.0)
        scaler.step(optimizer)
        scaler.update()
        return norm

    step = way(step)
    assert step(gf.tensor([3.0, 4.0])).item() == pytest.approx(5.0)
    assert np.allclose(w.numpy(), 0.9, atol=1e-5) and scaler.get_scale() == 2.0**10
    step(gf.tensor([np.inf, 1.0]))  # left out, with Adam's counter and moments
    assert np.allclose(w.numpy(), 0.9, atol=1e-5) and scaler.get_scale() == 2.0**9
    assert optimizer.state_dict()["state"][0]["step"].item() == 1
    step(gf.tensor([3.0, 4.0]))
    step(gf.tensor([3.0, 4.0]))  # two good ones in a row
    assert np.allclose(w.numpy(), 0.7, atol=1e-4) and scaler.get_scale() == 2.0**10
    other = gf.train.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()


def test_scaler_misuse() -> None:
    w = gf.Variable([1.0])
    optimizer, scaler = gf.optim.SGD([w], lr=0.1), gf.train.GradScaler()
    with pytest.raises(gf.errors.StateError, match="after step"):
        scaler.update()
    scaler.scale((w * w).sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(gf.errors.StateError, match="already"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update(new_scale=4.0)
    assert scaler.get_scale() == 4.0 and w.item() == pytest.approx(0.8)
    off = gf.train.GradScaler(enabled=False)
    assert off.scale(w) is w and off.get_scale() == 1.0
    with pytest.raises(ValueError, match="above 1"):
        gf.train.GradScaler(growth_factor=0.5)


def test_half_precision_gradients_need_the_scaler() -> None:
    w = gf.Variable([[1.0]])
    scaler = gf.train.GradScaler(init_scale=2.0**15)

    def gradient(scale: Any) -> float:
        w.grad = None
        with gf.autocast(dtype=gf.float16):
            loss = (gf.tensor([[1.0]]) @ w).sum() * 1e-8  # below float16's smallest number
        scale(loss).backward()
        return w.grad.item()

    assert gradient(lambda loss: loss) == 0.0
    assert gradient(scaler.scale) / 2.0**15 == pytest.approx(1e-8, rel=1e-2)
