"""gf.cond: one of two functions, in every mode, with gradients and state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf


def piecewise(x: Any) -> Any:
    return gf.cond(x.sum() > 0, lambda v: (v * v).sum(), lambda v: (v * v * v).sum(), x)


CASES = [np.array([1.0, 2.0], np.float32), np.array([-1.0, -2.0], np.float32)]


@pytest.mark.parametrize("x", CASES, ids=["true", "false"])
def test_all_modes_agree_to_second_order(x: Any) -> None:
    t = gf.tensor(x)
    first, second = gf.grad(piecewise), gf.grad(lambda v: gf.grad(piecewise)(v).sum())
    want = (2 * x, np.full(2, 2.0)) if x.sum() > 0 else (3 * x * x, 6 * x)
    for f, value in ((first, want[0]), (second, want[1])):
        np.testing.assert_allclose(f(t).numpy(), value, rtol=1e-6)
        np.testing.assert_allclose(gf.compile(f)(x).numpy(), value, rtol=1e-6)
    assert gf.compile(piecewise)(x).item() == piecewise(t).item()
    leaf = gf.tensor(x, requires_grad=True)
    gf.compile(piecewise)(leaf).backward()
    np.testing.assert_allclose(leaf.grad.numpy(), want[0], rtol=1e-6)
    with gf.Graph() as graph:
        p = gf.placeholder((None,), name="p")
        y = piecewise(p)
        g = gf.gradients(y, p)
    for optimize in (True, False):
        out = gf.Session(graph, optimize=optimize).run([y, g], {p: x})
        assert out[0] == piecewise(t).item()
        np.testing.assert_allclose(out[1], want[0], rtol=1e-6)
    graph.verify()


def test_tensors_and_variables_from_outside_and_nested_results() -> None:
    w, count = gf.Variable([2.0, 3.0]), gf.Variable(0, trainable=False)

    def f(x: Any, limit: Any) -> Any:
        scaled = x * w

        def large() -> Any:
            count.assign_add(1)
            return {"value": scaled * 10, "pair": (x, w.value)}

        def small() -> Any:
            inner = gf.cond(x.sum() < 0, lambda: scaled * 0, lambda: scaled)
            return {"value": inner, "pair": (x + 1, w.value)}

        out = gf.cond(scaled.sum() > limit, large, small)
        return out, count.value

    compiled = gf.compile(f)
    for x in ([1.0, 1.0], [10.0, 0.0], [-1.0, 0.0], [5.0, 5.0]):
        t = gf.tensor(x)
        before = count.numpy().item()
        (want, _), eager_count = f(t, gf.tensor(10.0)), count.numpy().item()
        count.assign(before)
        got, counted = compiled(t, gf.tensor(10.0))
        np.testing.assert_array_equal(got["value"].numpy(), want["value"].numpy())
        np.testing.assert_array_equal(got["pair"][0].numpy(), want["pair"][0].numpy())
        assert counted.item() == count.numpy().item() == eager_count
    assert compiled.cache_info().traces == 1


def test_gradients_reach_variables_used_in_a_branch() -> None:
    w = gf.Variable([1.0, 2.0])

    def step(x: Any) -> Any:
        w.grad = None
        loss = gf.cond(x.sum() > 0, lambda: (w * x).sum(), lambda: (w * w).sum())
        loss.backward()
        return loss, w.grad

    compiled = gf.compile(step)
    for x in CASES:
        for f in (step, compiled):
            _, g = f(gf.tensor(x))
            np.testing.assert_allclose(g.numpy(), x if x.sum() > 0 else 2 * w.numpy())


def test_random_draws_in_a_branch_advance_the_generator_only_if_taken() -> None:
    f = gf.compile(lambda x: gf.cond(x > 0, lambda: gf.random.uniform(()), lambda: x * 0))
    gf.random.seed(0)
    before = gf.random.get_state()
    f(gf.tensor(-1.0))
    assert gf.random.get_state() == before
    drawn = f(gf.tensor(1.0)).item()
    gf.random.seed(0)
    assert gf.random.uniform(()).item() == drawn


def test_only_the_taken_branch_prints_checks_or_fails(capfd: pytest.CaptureFixture[str]) -> None:
    @gf.compile
    def f(x: Any) -> Any:
        return gf.cond(x > 0, lambda v: gf.print(v, "positive"), lambda v: gf.check_numerics(gf.log(v), "log"), x)

    assert f(gf.tensor(1.0)).item() == 1.0
    assert capfd.readouterr().out == "positive: 1.0\n"
    with pytest.raises(FloatingPointError, match="log has 1 NaN"):
        f(gf.tensor(-1.0))


def test_the_text_of_a_graph_with_branches() -> None:
    graph = gf.trace(piecewise, gf.TensorSpec((None,), name="x"))
    again = gf.Graph.from_text(graph.to_text())
    for x in CASES:
        assert gf.Session(again).run(again.outputs, {"x": x}) == gf.Session(graph).run(graph.outputs, {"x": x})
    assert 'graph &g1 "true"' in graph.to_text()


def test_mistakes() -> None:
    x = gf.tensor([1.0, 2.0])
    for f, kind, message in (
        (lambda v: gf.cond(v.sum(), lambda: 1, lambda: 2), TypeError, "needs a bool to decide, got float32"),
        (lambda v: gf.cond(v > 0, lambda: 1, lambda: 2), ValueError, "needs one bool"),
        (lambda v: gf.cond(v.sum() > 0, lambda: v, lambda: v.sum()), ValueError, "return shapes"),
        (lambda v: gf.cond(v.sum() > 0, lambda: v, lambda: v.astype(gf.int64)), TypeError, "float32 and int64"),
        (lambda v: gf.cond(v.sum() > 0, lambda: v, lambda: (v, v)), TypeError, "different things"),
        (lambda v: gf.cond(v.sum() > 0, lambda: 1, lambda: 2), TypeError, "return 1 and 2"),
    ):
        with pytest.raises(kind, match=f"(?s){message}.*{__file__}"):
            gf.compile(f)(x)
    assert gf.cond(x.sum() > 0, lambda: 1, lambda: 2) == 1 and gf.cond(False, lambda: 1, lambda: 2) == 2
