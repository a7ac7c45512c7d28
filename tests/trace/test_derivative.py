"""Gradients through compiled functions: what they return can be differentiated as if it had been computed eagerly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf


def test_backward_through_a_compiled_model() -> None:
    model = gf.nn.Sequential(gf.nn.Linear(3, 4), gf.nn.Tanh(), gf.nn.Linear(4, 2))
    compiled = gf.compile(model)
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)[0], np.ones((5, 2), np.float32)

    def gradients(f: Any) -> list[Any]:
        for p in model.parameters():
            p.grad = None
        inputs = gf.tensor(x, requires_grad=True)
        ((f(inputs) - y) ** 2).mean().backward()
        return [inputs.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]

    for got, want in zip(gradients(compiled), gradients(model)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    x = x[:2]
    y = y[:2]
    for got, want in zip(gradients(compiled), gradients(model)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert compiled.cache_info().traces == 1


def test_gf_grad_to_second_order_and_several_results() -> None:
    f = gf.compile(lambda x: (x * x * x).sum())
    x = gf.tensor([1.0, 2.0])
    np.testing.assert_allclose(gf.grad(f)(x).numpy(), [3.0, 12.0], rtol=1e-6)
    second = gf.grad(lambda t: gf.grad(f)(t).sum())(x)
    np.testing.assert_allclose(second.numpy(), [6.0, 12.0], rtol=1e-6)
    both = gf.compile(lambda a, b: (a * b, gf.stop_gradient(a) * b, a.detach()))
    a, b = gf.tensor([2.0], requires_grad=True), gf.tensor([5.0], requires_grad=True)
    one, two, three = both(a, b)
    assert not three.requires_grad
    (one + two).sum().backward()
    assert a.grad.tolist() == [5.0] and b.grad.tolist() == [4.0]


def test_a_gradient_function_can_be_compiled() -> None:
    slope = gf.compile(gf.grad(lambda x: (x**3).sum()))
    np.testing.assert_allclose(slope(gf.tensor([2.0, 3.0])).numpy(), [12.0, 27.0], rtol=1e-6)
    curve = gf.compile(gf.grad(gf.grad(lambda x: x**4)))
    assert curve(gf.tensor(2.0)).item() == pytest.approx(48.0)


def test_the_gradient_uses_the_values_of_the_call() -> None:
    w = gf.Variable([1.0, 2.0])
    f = gf.compile(lambda x: (w * w * x).sum())
    x = np.ones(2, np.float32)
    loss = f(x)
    w.assign([10.0, 10.0])
    x[:] = 100.0
    loss.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2.0, 4.0])


def test_random_draws_are_the_same_in_the_backward_pass() -> None:
    drop = gf.compile(lambda x: gf.nn.functional.dropout(x, 0.5))
    x = gf.tensor(np.ones(64, np.float32), requires_grad=True)
    out = drop(x)
    state = gf.random.get_state()
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), out.numpy())  # 0 or 2 where the output is
    assert gf.random.get_state() == state


def test_no_gradient_where_none_is_wanted() -> None:
    w = gf.Variable([1.0])
    f = gf.compile(lambda x: x * w)
    with gf.no_grad():
        assert not f(gf.ones(1)).requires_grad
    assert f(gf.ones(1)).requires_grad
    assert not gf.compile(lambda x: x * 2)(gf.ones(1)).requires_grad
    assert not gf.compile(lambda x: (x * w).detach())(gf.ones(1)).requires_grad
    assert not gf.compile(lambda x: (x * w).argmax())(gf.ones(1)).requires_grad


def test_prints_are_not_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    w = gf.Variable([3.0])
    f = gf.compile(lambda x: gf.print(x * w, "y") * 2)
    f(gf.ones(1)).sum().backward()
    assert capfd.readouterr().out.splitlines() == ["y: [3.]"] and w.grad.tolist() == [2.0]


def test_a_step_that_has_done_its_backward_gives_a_plain_number() -> None:
    w = gf.Variable([1.0])

    @gf.compile
    def step(x: Any) -> Any:
        w.grad = None
        loss = (w * x).sum()
        loss.backward()
        return loss

    with pytest.raises(gf.errors.GradientError):
        step(gf.ones(1)).backward()
