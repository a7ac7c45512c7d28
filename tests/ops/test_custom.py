"""gf.custom_gradient: a rule of the user's own, in every mode."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf


@gf.custom_gradient
def clipped_square(x: gf.Tensor) -> tuple[gf.Tensor, object]:
    """x * x, with its slope held to [-1, 1]."""
    return x * x, lambda g: g * gf.clip(2.0 * x, -1.0, 1.0)


def test_eager_gradient_is_the_users() -> None:
    x = gf.tensor([-3.0, 0.25, 3.0], requires_grad=True)
    clipped_square(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [-1.0, 0.5, 1.0]


def test_compiled_and_session_agree_with_eager() -> None:
    data = np.array([-3.0, 0.25, 3.0], np.float32)
    slope = gf.compile(lambda t: gf.grad(lambda q: clipped_square(q).sum())(t))
    assert slope(data).tolist() == [-1.0, 0.5, 1.0]
    with gf.Graph() as graph:
        x = gf.placeholder((None,), name="x")
        y = clipped_square(x)
        dx = gf.gradients(y, x)
    value, gradient = gf.Session(graph).run([y, dx], {x: data})
    assert value.tolist() == [9.0, 0.0625, 9.0] and gradient.tolist() == [-1.0, 0.5, 1.0]


def test_second_derivative_is_of_the_users_rule() -> None:
    slope = gf.grad(lambda t: clipped_square(t))
    assert gf.grad(lambda t: slope(t))(gf.tensor(0.25)).item() == 2.0


def test_a_wrong_number_of_gradients_is_an_error() -> None:
    @gf.custom_gradient
    def two(x: gf.Tensor, y: gf.Tensor) -> tuple[gf.Tensor, object]:
        return x + y, lambda g: g

    with pytest.raises(gf.errors.GradientError, match="2 arguments, got 1"):
        two(gf.tensor(1.0, requires_grad=True), gf.tensor(1.0)).backward()
