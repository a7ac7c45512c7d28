"""gf.scan and gf.while_loop: every mode, gradients to second order, state, text, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import DTypeError, ShapeError, TraceError

RNG = np.random.default_rng(0)
H0, XS, W = RNG.normal(size=3), RNG.normal(size=(5, 3)), RNG.normal(size=(3, 3)) * 0.5


def recurrence(h0: Any, xs: Any, w: Any) -> Any:
    def body(h: Any, x: Any) -> Any:
        h = gf.tanh(h @ w + x)
        return h, {"double": h * 2, "sum": h.sum()}

    return gf.scan(body, h0, xs)


def powers(x: Any, a: Any) -> Any:
    """A loop whose number of steps depends on the data."""
    return gf.while_loop(lambda s: (s * s).sum() < 100, lambda s: s * a + gf.sin(s), x)


def test_scan_is_the_loop_it_stands_for() -> None:
    h, want = H0, []
    for x in XS:
        h = np.tanh(h @ W + x)
        want.append(h)
    last, ys = recurrence(gf.tensor(H0), gf.tensor(XS), gf.tensor(W))
    np.testing.assert_allclose(last.numpy(), h)
    np.testing.assert_allclose(ys["double"].numpy(), np.stack(want) * 2)
    assert ys["sum"].shape == (5,)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_gradients_of_scan(mode: str) -> None:
    gf.testing.check_grad(recurrence, gf.tensor(H0), gf.tensor(XS), gf.tensor(W), mode=mode)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_gradients_of_while_loop(mode: str) -> None:
    args = gf.tensor(H0[:2]), gf.tensor([1.5, 1.3])
    gf.testing.check_grad(powers, *args, mode=mode, directions=1)


def test_all_modes_agree() -> None:
    gf.testing.check_parity(recurrence, gf.tensor(H0), gf.tensor(XS), gf.tensor(W))
    gf.testing.check_parity(recurrence, gf.tensor(H0), gf.tensor(XS), gf.tensor(W), symbolic=True)
    gf.testing.check_parity(powers, gf.tensor([1.0, 2.0]), gf.tensor([1.5, 1.3]))


def test_second_order_compiled() -> None:
    def loss(h0: Any, xs: Any, w: Any) -> Any:
        last, ys = recurrence(h0, xs, w)
        return last.sum() + (ys["double"] * ys["double"]).sum()

    def twice(h0: Any, xs: Any, w: Any) -> Any:
        return gf.grad(lambda w: (gf.grad(loss, 2)(h0, xs, w) ** 2).sum())(w)

    args = [gf.tensor(a) for a in (H0, XS, W)]
    np.testing.assert_allclose(gf.compile(twice)(*args).numpy(), twice(*args).numpy(), rtol=1e-10)


def test_reverse_lengths_and_nothing() -> None:
    def running(s: Any, x: Any) -> Any:
        return s + x, s

    for f in (gf.scan, gf.compile(gf.scan)):
        last, before = f(running, gf.tensor(0.0), gf.tensor([1.0, 2.0, 3.0]), reverse=True)
        assert (last.item(), before.tolist()) == (6.0, [5.0, 3.0, 0.0])
        last, none = f(lambda s, x: (s * 2, None), gf.tensor(1), None, length=5)
        assert (last.item(), none) == (32, None)
        last, empty = f(running, gf.tensor(1.0), gf.zeros((0,)))
        assert (last.item(), empty.shape) == (1.0, (0,))


def test_other_lengths_do_not_compile_again() -> None:
    f = gf.compile(lambda xs: gf.scan(lambda s, x: (s * 0.5 + x, s.sum()), xs[0] * 0, xs))
    for n in (1, 3, 7, 2):
        last, sums = f(gf.ones((n, 2)))
        want = 2 - 0.5 ** (n - 1)
        np.testing.assert_allclose(last.numpy(), [want, want])
        assert sums.shape == (n,)
    assert f.cache_info().compiles == 1


def test_variables_and_random_draws_are_state() -> None:
    count, scale = gf.Variable(0), gf.Variable(2.0)

    def f(xs: Any) -> Any:
        def body(s: Any, x: Any) -> Any:
            count.assign_add(1)
            noise = gf.random.uniform(())
            return s + x * scale, (noise, count.value)

        return gf.scan(body, gf.tensor(0.0), xs), count.value

    def run(g: Any) -> Any:
        gf.random.seed(3)
        count.assign(0)
        (last, (noise, counted)), after = g(gf.tensor([1.0, 2.0, 3.0]))
        assert (last.item(), counted.tolist(), after.item(), count.numpy()) == (12.0, [1, 2, 3], 3, 3)
        assert len(set(noise.tolist())) == 3
        return [*noise.tolist(), gf.random.uniform(()).item()]

    assert run(f) == run(gf.compile(f))
    scale.grad = None
    gf.compile(lambda xs: f(xs)[0][0])(gf.tensor([1.0, 2.0, 3.0])).backward()
    assert scale.grad.item() == 6.0


def test_in_a_session() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((None, 2), name="x")
        total = gf.Variable(0.0, trainable=False)

        def body(s: Any, row: Any) -> Any:
            total.assign_add(row.sum())
            return s * 0.5 + row, s

        last, before = gf.scan(body, gf.zeros((2,)), x)
        slope = gf.gradients(last.sum(), x)
    for optimize in (True, False):
        with gf.Session(graph, optimize=optimize) as session:
            session.run(gf.global_variables_initializer() if False else last, {x: np.ones((3, 2))})
            got, g = session.run([last, slope], {"x": np.ones((3, 2), np.float32)})
            np.testing.assert_allclose(got, [1.75, 1.75])
            np.testing.assert_allclose(g, [[0.25] * 2, [0.5] * 2, [1.0] * 2])
    assert total.numpy() == 24.0  # four runs over six ones
    text = graph.to_text()
    again = gf.Graph.from_text(text)
    assert again.to_text() == text
    again.verify()


def test_nested_loops_and_branches() -> None:
    def f(xs: Any, n: Any) -> Any:
        def outer(s: Any, row: Any) -> Any:
            inner = gf.scan(lambda t, x: (t + x * s, None), s * 0, row)[0]
            halved = gf.while_loop(lambda v: v > n, lambda v: v * 0.5, inner)
            kept = gf.cond(halved > 1, lambda: halved, lambda: halved + 1)
            return kept, inner

        return gf.scan(outer, gf.ones((), dtype=xs.dtype), xs)

    xs = gf.tensor(np.arange(1.0, 7.0).reshape(3, 2))
    gf.testing.check_parity(f, xs, gf.tensor(2.5))
    gf.testing.check_grad(lambda x: f(x, 2.5)[0], xs)


def test_numbers_in_the_state_take_the_dtype_that_the_body_gives_them() -> None:
    for f in (gf.scan, gf.compile(gf.scan)):
        last, _ = f(lambda s, x: (s + x, s), 0, gf.tensor([1.5, 2.0]))
        assert (last.dtype, last.item()) == (gf.float32, 3.5)


def test_while_loop_in_tensorflows_spelling() -> None:
    def f(n: Any) -> Any:
        i, total = gf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + i), (0, 0))
        return total

    compiled = gf.compile(f)
    for n in (0, 1, 10):
        assert f(gf.tensor(n)).item() == compiled(gf.tensor(n)).item() == n * (n - 1) // 2


def test_long_while_loop_has_exact_gradients() -> None:
    """More steps than one block of the backward pass keeps."""

    def f(x: Any, n: Any) -> Any:
        return gf.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] * 1.01 + 0.01 * gf.sin(s[1])), (0, x))[1]

    slope = gf.compile(lambda x, n: gf.gradients(f(x, n), x))
    for n in (0, 3, 64, 65, 150):
        x = gf.tensor(np.float64(0.3), requires_grad=True)
        f(x, n).backward()
        np.testing.assert_allclose(slope(gf.tensor(np.float64(0.3)), gf.tensor(n)).item(), x.grad.item(), rtol=1e-12)


def errors() -> dict[str, Any]:
    xs = gf.ones((3, 2))
    return {
        "dtype": (DTypeError, "is int64.*float32", lambda: gf.scan(lambda s, x: (s + x.sum(), None), gf.tensor(0), xs)),
        "shape": (ShapeError, "shape", lambda: gf.scan(lambda s, x: (gf.concat([s, x]), None), gf.ones(2), xs)),
        "nesting": (TraceError, "tuple", lambda: gf.scan(lambda s, x: ((s, s), None), gf.tensor(0.0), xs)),
        "pair": (TraceError, r"\(state, y\)", lambda: gf.scan(lambda s, x: s, gf.tensor(0.0), xs)),
        "lengths": (ShapeError, "length", lambda: gf.scan(lambda s, x: (s, None), 0, (xs, gf.ones(4)))),
        "no length": (ShapeError, "length", lambda: gf.scan(lambda s, x: (s, None), 0)),
        "0-d": (ShapeError, "leading", lambda: gf.scan(lambda s, x: (s, None), 0, gf.tensor(1.0))),
        "condition": (DTypeError, "bool", lambda: gf.while_loop(lambda s: s, lambda s: s, gf.tensor(1.0))),
    }


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "recorded"])
@pytest.mark.parametrize("name", errors())
def test_errors_name_the_line(name: str, compiled: bool) -> None:
    kind, message, call = errors()[name]
    with pytest.raises(kind, match=message) as caught:
        (gf.compile(call) if compiled else call)()
    assert "test_loops.py" in str(caught.value)


def test_what_a_recorded_condition_may_not_do() -> None:
    with pytest.raises(TraceError, match="assigns"):
        gf.compile(lambda x: gf.while_loop(lambda s: gf.random.uniform(()) < s, lambda s: s, x))(gf.tensor(1.0))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loop_of_unknown_length_is_one_native_call(threads: int) -> None:
    """Products large enough for several chunks inside the loop, so that threads share them."""

    @gf.compile(num_threads=threads)
    def f(x: Any, a: Any) -> Any:
        steps, x = gf.while_loop(lambda s: gf.abs(s[1]).max() > 1e-3, lambda s: (s[0] + 1, s[1] @ a), (0, x))
        return steps, x

    rng = np.random.default_rng(1)
    a = (rng.normal(size=(256, 256)) / 40).astype(np.float32)
    for scale in (1.0, 100.0, 1e-6):
        x = (rng.normal(size=(64, 256)) * scale).astype(np.float32)
        want, count = x, 0
        while np.abs(want).max() > 1e-3:
            want, count = want @ a, count + 1
        steps, got = f(x, a)
        assert steps.item() == count
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-3, atol=1e-6)
    text = f.explain()
    assert "while_loop: begin" in text and "while_loop: test" in text
    assert f.cache_info().compiles == 1
