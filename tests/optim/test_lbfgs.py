"""L-BFGS: it reaches minima, keeps its state, and says where it cannot work."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import StateError, TraceError
from graphflow.optim.lbfgs import _Point, strong_wolfe

X = np.random.default_rng(0).standard_normal((50, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]], "float32") + 0.3).astype("float32")


def closure_of(model: Any, optimizer: Any, forward: Any = None) -> Any:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = gf.nn.functional.mse_loss((forward or model)(gf.tensor(X)), gf.tensor(Y))
        loss.backward()
        return loss

    return closure


def test_a_regression_is_solved_in_a_step() -> None:
    for compiled in (False, True):
        model = gf.nn.Linear(3, 1)
        optimizer = gf.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
        forward = gf.compile(model) if compiled else model
        before = optimizer.step(closure_of(model, optimizer, forward)).item()
        after = closure_of(model, optimizer)().item()
        assert after < 1e-10 < before
        np.testing.assert_allclose(model.weight.numpy(), [[1.0, -2.0, 0.5]], atol=1e-4)


def test_the_state_continues_the_same_run() -> None:
    starts = gf.nn.Linear(3, 1).state_dict()
    results = []
    for interrupted in (False, True):
        model = gf.nn.Linear(3, 1)
        model.load_state_dict(starts)
        optimizer = gf.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        for number in range(4):
            optimizer.step(closure_of(model, optimizer))
            if interrupted and number == 1:
                saved, optimizer = optimizer.state_dict(), gf.optim.LBFGS(model.parameters())
                optimizer.load_state_dict(saved)
        results.append(model.weight.numpy())
    np.testing.assert_array_equal(*results)
    with pytest.raises(StateError, match="2 parameters, the saved state 1"):
        optimizer.load_state_dict(gf.optim.LBFGS([gf.Variable([1.0])]).state_dict())


def test_the_line_search_survives_infinite_losses() -> None:
    def at(t: float) -> _Point:  # log(t) is no number below 0
        x = 1.0 - t
        loss, slope = (x - math.log(x), -(1 - 1 / x)) if x > 0 else (math.inf, math.nan)
        return _Point(t, loss, np.array([1.0]), slope)

    start = _Point(0.0, 5.0 - math.log(5.0), np.array([0.8]), -4.0)

    def shifted(t: float) -> _Point:
        return at(t - 4.0)._replace(t=t)

    found = strong_wolfe(shifted, start, 100.0, 30, 1e-9)
    assert found.loss < start.loss - 1.0 and abs(found.slope) <= 0.9 * 4.0


def test_mistakes() -> None:
    w = gf.Variable([1.0])
    optimizer = gf.optim.LBFGS([w])
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()
    with pytest.raises(TypeError, match="use step.closure."):
        optimizer.minimize(lambda: (w * w).sum())
    with pytest.raises(ValueError, match="one group of parameters, got 2"):
        gf.optim.LBFGS([{"params": [w]}, {"params": [gf.Variable([2.0])]}])
    with pytest.raises(ValueError, match="'strong_wolfe' or None"):
        gf.optim.LBFGS([w], line_search_fn="armijo")

    @gf.compile
    def step(x: Any) -> Any:
        return optimizer.step(lambda: (w * x).sum())

    with pytest.raises(TraceError, match="call its step outside gf.compile"):
        step(gf.ones(1))
