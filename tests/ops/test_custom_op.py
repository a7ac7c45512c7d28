"""gf.custom_op: the user's NumPy function as an op of every mode, with a gradient, and with a Numba kernel."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf


def fill_cube(out, x, factor):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = factor * x[i, j] ** 3


def make(kernel=None, name="scaled_cube"):
    return gf.custom_op(
        lambda x, factor: x**3 * x.dtype.type(factor),
        name=name,
        vjp=lambda g, out, x, factor: g * (3.0 * factor) * x * x,
        kernel=kernel,
    )


@pytest.fixture(scope="module", params=["python", "numba"])
def cube(request):
    return make(fill_cube if request.param == "numba" else None, f"cube_{request.param}")


X = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)


def test_every_mode_gives_the_same(cube):
    f = lambda x: gf.sin(cube(x * 2.0, factor=0.5)) + 1.0
    want = np.sin(0.5 * (2 * X) ** 3) + 1
    compiled = gf.compile(f)
    np.testing.assert_allclose(f(gf.asarray(X)).numpy(), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled(X).numpy(), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled(X[:1]).numpy(), want[:1], rtol=1e-5, atol=1e-6)  # another size
    assert compiled.cache_info().traces == 1
    graph = gf.trace(f, gf.TensorSpec((None, 3), name="x"))
    with gf.Session(graph) as session:
        np.testing.assert_allclose(session.run(graph.outputs[0], {"x": X}), want, rtol=1e-5, atol=1e-6)


def test_gradients_to_second_order(cube):
    gf.testing.check_grad(lambda x: cube(x, factor=0.5), X.astype(np.float64), order=2)


def test_training_through_it(cube):
    w = gf.Variable(np.ones((2, 3), np.float32), name="w")
    optimizer = gf.optim.SGD([w], lr=0.1)

    def step(x):
        loss = gf.sum(cube(w * x, factor=1.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = gf.compile(step)
    losses = [compiled(X).item() for _ in range(2)]
    first, second = np.sum(X**3), np.sum(((1 - 0.3 * X**3) * X) ** 3)
    np.testing.assert_allclose(losses, [first, second], rtol=1e-4)


def test_inside_a_branch_and_a_loop(cube):
    x = gf.asarray(np.full((1, 2), 0.5, np.float32))
    f = gf.compile(lambda x: gf.cond(gf.sum(x) > 0, lambda v: cube(v, factor=2.0), lambda v: v, x))
    np.testing.assert_allclose(f(x).numpy(), [[0.25, 0.25]], rtol=1e-6)
    g = gf.compile(lambda x: gf.while_loop(lambda i, v: i < 2, lambda i, v: (i + 1, cube(v, factor=2.0)), (0, x))[1])
    np.testing.assert_allclose(g(x).numpy(), np.full((1, 2), 2 * 0.25**3), rtol=1e-6)


def test_another_shape_and_dtype():
    count = gf.custom_op(
        lambda x, y: np.array([np.sum(x > y), np.sum(x <= y)]),
        name="count_above",
        output=lambda x, y: ((2,), "int64"),
        kernel=_count,
    )
    y = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(count(X, y).numpy(), [3, 3])
    np.testing.assert_array_equal(gf.compile(lambda x, y: count(x, y) * 2)(X, y).numpy(), [6, 6])


def _count(out, x, y):
    out[:] = 0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[0 if x[i, j] > y[i, j] else 1] += 1


def test_the_reference_interpreter_agrees(cube):
    f = lambda x: cube(x, factor=2.0)
    gf.testing.check_parity(f, X)


@pytest.mark.parametrize(
    ("mistake", "error", "words"),
    [
        (lambda: gf.custom_op(lambda x: x, name="add"), ValueError, "built-in op"),
        (lambda: gf.custom_op(3), TypeError, "must be a function, got a int"),
        (lambda: gf.custom_op(lambda x: x[:1], name="short")(X), ValueError, r"gave shape \(1, 3\)"),
        (lambda: gf.custom_op(lambda x: x.astype("f8"), name="wide")(X), TypeError, "gave float64"),
        (lambda: gf.custom_op(lambda x: x, name="alone")(), TypeError, "at least one tensor"),
        (lambda: gf.grad(lambda x: gf.sum(gf.custom_op(lambda x: x + 0, name="flat")(x)))(X), RuntimeError, "flat"),
        (lambda: gf.custom_op(_in_place, name="in_place")(X), ValueError, "read-only"),
        (
            lambda: gf.compile(gf.custom_op(lambda x: x, name="bad", kernel=lambda out, x: out.nonsense()))(X),
            RuntimeError,
            "the kernel of bad: Numba cannot compile it",
        ),
    ],
)
def test_mistakes(mistake, error, words):
    with pytest.raises(error, match=words):
        mistake()


def _in_place(x):
    x[0] = 0
    return x


def test_an_error_in_the_function_changes_no_variable():
    def refuse(x):
        raise ArithmeticError("not today")

    broken = gf.custom_op(refuse, name="refuse")
    v = gf.Variable(np.zeros(3, np.float32), name="v")

    def step(x):
        v.assign_add(x)
        return broken(x)

    with pytest.raises(ArithmeticError, match="not today"):
        gf.compile(step)(np.ones(3, np.float32))
    np.testing.assert_array_equal(v.numpy(), np.zeros(3))
