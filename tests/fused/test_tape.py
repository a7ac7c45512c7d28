"""Backward passes that repeat: one native program gives what sweeping the tape gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow.core.errors import GradientError
from graphflow.runtime import tape

RNG = np.random.default_rng(0)
LABELS = gf.tensor([0, 2, 1, 1, 2])
X, W, V = RNG.normal(size=(5, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=(1, 4))


def programs() -> list[Any]:
    return [p for p in tape._programs.values() if isinstance(p, tape.TapeProgram)]


def slopes(function: Callable[..., Any], arrays: tuple[Any, ...], after: int, seed: Any = None) -> list[Any]:
    """The gradients that backward leaves in the arguments."""
    xs = [gf.tensor(a, requires_grad=True) for a in arrays]
    with gf.config(native_after=after):
        function(*xs).backward(seed)
    return [None if x.grad is None else x.grad.numpy() for x in xs]


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "product": (lambda x, w: gf.tanh(x @ w).sum(), (X, W)),
    "broadcasting": (lambda x, v: (x * v + v - x / 2.0).mean(), (X, V)),
    "one leaf used twice": (lambda x: (x * x + gf.sin(x) * x).sum(), (X,)),
    "gradients that are operands": (lambda x, y: (x * y).sum(), (X, X + 1.0)),
    "gradients that are equal": (lambda x, y: (x + y).sum(), (X, X + 1.0)),
    "a gradient that is the seed": (lambda x: x + 0.0, (np.array(2.0),)),
    "a leaf that does not matter": (lambda x, y: (x + gf.stop_gradient(y)).sum(), (X, X)),
    "views": (lambda x: (x.T[1:, ::2].reshape(-1) ** 2).sum() + gf.concat([x, x * 2.0])[3:8].sum(), (X,)),
    "reductions": (lambda x: x.max(axis=1).sum() + x.std() + x.prod(axis=0).sum(), (X,)),
    "running sums": (lambda x: (gf.cumulative_sum(x, axis=0) * x).sum(), (X,)),
    "composites": (lambda x, w: F.cross_entropy(F.gelu(F.layer_norm(F.linear(x, w.T), 3)), LABELS), (X, W)),
    "picking": (lambda x: (x[gf.tensor([0, 2, 2])] * x[:3]).sum() + gf.where(x > 0, x, x * 0.1).sum(), (X,)),
    "several results": (lambda x: gf.sort(x, axis=1).sum() + x.max(), (X,)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_agrees_with_the_sweep(name: str, dtype: Any) -> None:
    function, arrays = FUNCTIONS[name]
    arrays = tuple(a.astype(dtype) for a in arrays)
    expected, found = slopes(function, arrays, -1), slopes(function, arrays, 0)
    assert len(programs()) == 1 and not tape.failures
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, 3e-5 if dtype is np.float32 else 1e-12, 1e-6)


def test_a_seed_weighs_the_elements() -> None:
    def function(x: Any) -> Any:
        return gf.exp(x) * 2.0

    seed = np.arange(20.0).reshape(5, 4)
    np.testing.assert_allclose(slopes(function, (X,), 0, seed)[0], seed * 2.0 * np.exp(X), 1e-12)
    with gf.config(native_after=0), pytest.raises(GradientError, match="needs gradient="):
        function(gf.tensor(X, requires_grad=True)).backward()


def test_the_first_sweeps_go_operation_by_operation() -> None:
    for count in range(4):
        found = slopes(lambda x: (x * x).sum(), (X,), 3)
        assert len(programs()) == (count == 3)
        np.testing.assert_array_equal(found[0], 2.0 * X)


def test_gradients_add_up_until_they_are_cleared() -> None:
    v = gf.Variable(X)
    with gf.config(native_after=1):
        for _ in range(4):
            (v * v).sum().backward()
    assert len(programs()) == 1
    np.testing.assert_allclose(v.grad.numpy(), 8.0 * X, 1e-6)


def test_a_variable_that_changes_midway_gets_both_gradients() -> None:
    v = gf.Variable(np.array([1.0, 2.0]))
    with gf.config(native_after=0):
        first = (v * v).sum()
        v.assign(v * 10.0)
        (first + (v * v).sum()).backward()
    np.testing.assert_allclose(v.grad.numpy(), [22.0, 44.0])


def test_backward_again() -> None:
    x = gf.tensor(X, requires_grad=True)
    with gf.config(native_after=0):
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        np.testing.assert_allclose(x.grad.numpy(), 4.0 * X)
        with pytest.raises(GradientError, match="retain_graph"):
            y.backward()
        with pytest.raises(GradientError, match="retain_graph"):
            (y * 2.0).backward()


def test_parts_of_an_operand_are_read_where_they_lie() -> None:
    def heads(x: gf.Tensor) -> gf.Tensor:
        q, k, v = gf.permute_dims(gf.reshape(x, (2, 5, 3, 2, 4)), (2, 0, 3, 1, 4))
        return (F.scaled_dot_product_attention(q, k, v, is_causal=True) * k[:, :, ::2].sum()).sum()

    x = RNG.normal(size=(2, 5, 24))
    (want,), (got,) = slopes(heads, (x,), -1), slopes(heads, (x,), 0)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    program = programs()[-1]
    shapes = [n.aval.shape for n in program.executable.inputs]
    assert shapes.count((2, 2, 5, 4)) == 1, "the result is fed; queries, keys and values are seen in x"


def test_gradients_of_gradients_are_left_to_the_sweep() -> None:
    x = gf.tensor(X, requires_grad=True)
    with gf.config(native_after=0):
        (x * x * x).sum().backward(create_graph=True)
        slope = x.grad
        x.grad = None
        slope.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6.0 * X)


def test_numbers_are_not_part_of_the_program() -> None:
    x = gf.tensor(X, requires_grad=True)
    with gf.config(native_after=0):
        for factor in (1.0, 2.0, 3.5):
            x.grad = None
            (x * factor).sum().backward()
            np.testing.assert_allclose(x.grad.numpy(), np.full_like(X, factor))
    assert len(programs()) == 1


def test_sizes_that_change_all_the_time_are_not_compiled_for_ever() -> None:
    for rows in range(1, 10):
        x = RNG.normal(size=(rows, 3))
        np.testing.assert_allclose(slopes(lambda x: (x * x).sum(), (x,), 0)[0], 2.0 * x)
    assert len(programs()) == tape.VARIANTS


def test_rules_of_the_users_own_are_called_each_time() -> None:
    calls = []

    @pytest.importorskip("graphflow.ops.custom").custom_gradient
    def double(x: Any) -> Any:
        def rule(g: Any) -> Any:
            calls.append(1)
            return g * 2.0

        return x * 2.0, rule

    for _ in range(3):
        assert slopes(lambda x: double(x).sum(), (X,), 0)[0].sum() == 2.0 * X.size
    assert len(calls) == 3 and not programs()


def test_compiled_functions_on_the_tape() -> None:
    compiled = gf.compile(lambda x: gf.tanh(x) * 2.0)
    for _ in range(2):
        found = slopes(lambda x: (compiled(x) * x).sum(), (X,), 0)[0]
        np.testing.assert_allclose(found, 2.0 * np.tanh(X) + 2.0 * X * (1.0 - np.tanh(X) ** 2), 1e-10)


def test_long_tapes() -> None:
    def function(x: Any) -> Any:
        for _ in range(tape.LONGEST):
            x = x * 1.0
        return x.sum()

    assert slopes(function, (X,), 0)[0].sum() == X.size
    assert not programs()
