"""gf.compile: the same function, compiled: its state, and how it can be used."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from tests.trace.regression import data, make_step


# -- state -------------------------------------------------------------------------------------------------------------
def test_a_train_step_updates_variables_in_place_as_the_eager_one_does() -> None:
    step, w, b = make_step()
    eager, ew, eb = make_step(compiled=False)
    for i in range(20):
        loss, want = step(*data(8, i)), eager(*map(gf.tensor, data(8, i)))
        assert isinstance(loss, gf.Tensor) and loss.shape == ()
        np.testing.assert_allclose(loss.numpy(), want.numpy(), rtol=1e-5)
    np.testing.assert_allclose(w.numpy(), ew.numpy(), rtol=1e-5)
    np.testing.assert_allclose(b.numpy(), eb.numpy(), rtol=1e-5)
    assert step.cache_info().traces == 1


def test_eager_and_compiled_share_the_variables() -> None:
    step, w, _ = make_step()
    x, y = data(8)
    first = step(x, y).item()
    w.assign(gf.zeros((3, 1)))  # eagerly
    assert step(x, y).item() != first
    step(x, y)
    kept = w.value
    before = kept.numpy().copy()
    step(x, y)
    np.testing.assert_array_equal(kept.numpy(), before)  # a value once seen does not change
    assert not np.array_equal(w.numpy(), before)


def test_the_same_function_through_compile_session_and_eager_code() -> None:
    w = gf.Variable([2.0, 3.0])

    def f(x: Any) -> Any:
        return (x * w).sum()

    x = np.array([1.0, 10.0], np.float32)
    with gf.Graph() as graph:
        p = gf.placeholder((None,), name="p")
        y = f(p)
    traced = gf.trace(f, gf.TensorSpec((None,), name="p"))
    compiled = gf.compile(f)
    for _ in range(2):
        values = [f(gf.tensor(x)).item(), compiled(x).item(), gf.Session(graph).run(y, {p: x})]
        values.append(gf.Session(traced).run(traced.structure, {"p": x}))
        assert len(set(map(float, values))) == 1
        w.assign_add([1.0, 1.0])


def test_random_draws_advance_the_generator_as_eager_ones_do() -> None:
    def noise(x: Any) -> Any:
        return x + gf.random.uniform(x.shape)

    compiled = gf.compile(noise)
    x = np.zeros(5, np.float32)
    gf.random.seed(3)
    want = [noise(gf.tensor(x)).numpy() for _ in range(3)]
    state = gf.random.get_state()
    gf.random.seed(3)
    got = [compiled(x).numpy(), noise(gf.tensor(x)).numpy(), compiled(x).numpy()]  # mixed: one stream
    np.testing.assert_array_equal(got, want)
    assert gf.random.get_state() == state


def test_dropout_drops_the_same_elements() -> None:
    drop = gf.nn.Dropout(0.5)
    compiled = gf.compile(drop)
    x = np.ones((4, 7), np.float32)
    gf.random.seed(0)
    want = drop(gf.tensor(x)).numpy()
    gf.random.seed(0)
    np.testing.assert_array_equal(compiled(x).numpy(), want)
    assert 0 < (want == 0).sum() < want.size


def test_assignments_follow_program_order() -> None:
    v = gf.Variable(1.0)

    @gf.compile
    def f(x: Any) -> Any:
        before = v * 1.0
        v.assign(v + x)
        middle = v * 1.0
        v.assign(v * 10)
        return before, middle, v.value

    assert [t.item() for t in f(2.0)] == [1.0, 3.0, 30.0]
    assert v.value.item() == 30.0
    assert [t.item() for t in f(2.0)] == [30.0, 32.0, 320.0]


def test_a_function_with_effects_only(capfd: pytest.CaptureFixture[str]) -> None:
    v = gf.Variable(0.0)

    @gf.compile
    def bump(x: Any) -> None:
        v.assign_add(x)
        gf.print(x, "x")

    assert bump(gf.tensor(2.0)) is None and bump(gf.tensor(3.0)) is None
    assert v.value.item() == 5.0
    assert capfd.readouterr().out.splitlines() == ["x: 2.0", "x: 3.0"]


def test_a_failing_check_leaves_the_variables_alone() -> None:
    v = gf.Variable(1.0)

    @gf.compile
    def f(x: Any) -> Any:
        v.assign(v + x)
        return gf.check_numerics(v.value, "v")

    f(gf.tensor(1.0))
    with pytest.raises(FloatingPointError, match="v has 1 NaN"):
        f(gf.tensor(np.nan, dtype=gf.float32))
    assert v.value.item() == 2.0


# -- gradients as state ------------------------------------------------------------------------------------------------
def test_gradients_left_by_the_function_are_set() -> None:
    w = gf.Variable([1.0, 2.0])

    @gf.compile
    def loss_and_grad(x: Any) -> Any:
        loss = (w * x).sum()
        loss.backward()
        return loss

    x = np.array([3.0, 4.0], np.float32)
    assert loss_and_grad(x).item() == 11.0
    np.testing.assert_array_equal(w.grad.numpy(), [3.0, 4.0])
    loss_and_grad(x)  # accumulates, as eagerly
    np.testing.assert_array_equal(w.grad.numpy(), [6.0, 8.0])
    loss_and_grad(x)
    np.testing.assert_array_equal(w.grad.numpy(), [9.0, 12.0])
    info = loss_and_grad.cache_info()
    assert info.traces == 2 and "gradient from before" in info.reasons[1]
    w.grad = None
    loss_and_grad(x)
    np.testing.assert_array_equal(w.grad.numpy(), [3.0, 4.0])
    assert loss_and_grad.cache_info().traces == 2


def test_accumulating_in_one_function_and_stepping_in_another() -> None:
    w = gf.nn.Parameter([1.0, 2.0])
    opt = gf.optim.SGD([w], lr=0.5)

    @gf.compile
    def accumulate(x: Any) -> None:
        (w * x).sum().backward()

    @gf.compile
    def update() -> None:
        opt.step()
        opt.zero_grad()

    for _ in range(2):
        accumulate(np.array([1.0, 0.0], np.float32))
        accumulate(np.array([0.0, 2.0], np.float32))
        update()
        assert w.grad is None
    np.testing.assert_array_equal(w.numpy(), [0.0, 0.0])


def test_a_gradient_used_up_by_the_step_is_an_error_to_read_and_zero_grad_helps() -> None:
    w = gf.nn.Parameter([1.0, 2.0])
    opt = gf.optim.SGD([w], lr=0.1)

    @gf.compile
    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        opt.step()
        return loss

    x = np.ones(2, np.float32)
    step(x)
    assert w.grad is not None and "used up by the compiled step" in repr(w.grad)
    for use in (
        lambda: w.grad.numpy(),
        lambda: w.grad * 2,
        lambda: (w * 2).sum().backward(),
        lambda: np.asarray(w.grad),
    ):
        with pytest.raises(gf.errors.GradientError, match=f"(?s)return it from the function.*zero_grad.*{__file__}"):
            use()
    opt.zero_grad()
    (w * 2).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2.0, 2.0])
    step(x)  # sets it anew, whatever was there
    assert step.cache_info().traces == 1


def test_a_step_that_never_clears_gradients_accumulates_as_eagerly() -> None:
    def make(compiled: bool) -> tuple[Any, Any]:
        w = gf.nn.Parameter([1.0])
        opt = gf.optim.SGD([w], lr=0.1)

        def step() -> None:
            (w * w).sum().backward()
            opt.step()

        return (gf.compile(step) if compiled else step), w

    (eager, ew), (compiled, cw) = make(False), make(True)
    for _ in range(4):
        eager()
        compiled()
        np.testing.assert_allclose(cw.numpy(), ew.numpy(), rtol=1e-6)
        np.testing.assert_allclose(cw.grad.numpy(), ew.grad.numpy(), rtol=1e-6)


def test_gradients_can_be_returned_and_used() -> None:
    w = gf.Variable([1.0, 2.0])

    @gf.compile
    def f(x: Any) -> Any:
        w.grad = None
        ((w * x) ** 2).sum().backward()
        return w.grad, (w.grad * w.grad).sum()

    g, norm = f(np.array([1.0, 1.0], np.float32))
    np.testing.assert_array_equal(g.numpy(), [2.0, 4.0])
    assert norm.item() == 20.0


def test_gradients_of_arguments() -> None:
    @gf.compile
    def f(x: Any, scale: Any) -> Any:
        loss = (x * x * scale).sum()
        loss.backward()
        return loss, x.grad

    x = gf.tensor([1.0, 2.0], requires_grad=True)
    _, g = f(x, gf.tensor(3.0))
    np.testing.assert_array_equal(g.numpy(), [6.0, 12.0])
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 12.0])
    _, g = f(x, gf.tensor(1.0))  # there is a gradient already: it adds up
    np.testing.assert_array_equal(g.numpy(), [8.0, 16.0])
    np.testing.assert_array_equal(x.grad.numpy(), [8.0, 16.0])
    leaf = gf.tensor([1.0, 1.0], requires_grad=True)
    f(leaf * 2, gf.tensor(1.0))  # through an argument that was computed
    np.testing.assert_array_equal(leaf.grad.numpy(), [8.0, 8.0])


def test_backward_to_an_outside_leaf_is_an_error_that_names_the_fix() -> None:
    leaf = gf.tensor([1.0, 2.0], requires_grad=True)

    @gf.compile
    def f(x: Any) -> None:
        (x * leaf).sum().backward()

    with pytest.raises(gf.errors.GradientError, match=f"(?s)pass it as an argument, make it a gf.Variable.*{__file__}"):
        f(gf.tensor([1.0, 1.0], requires_grad=True))


# -- how it can be used ------------------------------------------------------------------------------------------------
class Model:
    def __init__(self, scale: float) -> None:
        self.w = gf.Variable(scale)

    @gf.compile
    def __call__(self, x: Any) -> Any:
        """Scales."""
        return x * self.w

    @gf.compile(dynamic=False)
    def shifted(self, x: Any, by: float = 1.0) -> Any:
        return self(x) + by


def test_methods_have_a_cache_for_each_object() -> None:
    a, b = Model(2.0), Model(3.0)
    x = np.ones(2, np.float32)
    assert a.shifted(x).tolist() == [3.0, 3.0] and b.shifted(x, by=2.0).tolist() == [5.0, 5.0]
    assert a(x).tolist() == [2.0, 2.0] and Model.shifted(a, x).tolist() == [3.0, 3.0]
    assert a.shifted.cache_info().traces == b.shifted.cache_info().traces == 1
    assert a.shifted is a.shifted and a.shifted is not b.shifted
    assert a.shifted.__name__ == "shifted" and Model.__call__.__doc__ == "Scales."
    c = copy.deepcopy(a)
    c.w.assign(10.0)
    assert c.shifted(x).tolist() == [11.0, 11.0] and a.shifted(x).tolist() == [3.0, 3.0]


def test_objects_with_compiled_methods_do_not_live_forever() -> None:
    import gc
    import weakref

    a = Model(2.0)
    a.shifted(np.ones(2, np.float32))
    alive = weakref.ref(a)
    del a
    gc.collect()
    assert alive() is None


def test_compiled_functions_inside_compiled_functions_are_inlined() -> None:
    inner = gf.compile(lambda x: x * 2)

    @gf.compile
    def outer(x: Any) -> Any:
        return inner(x) + inner(x + 1)

    assert outer(gf.tensor([1.0])).tolist() == [6.0]
    assert inner.cache_info().traces == 0 and outer.cache_info().traces == 1
    with gf.Graph() as graph:
        x = gf.placeholder((), name="x")
        y = inner(x)
    z = inner(x)  # symbolic: goes into its graph
    assert gf.Session(graph).run([y, z], {x: 2.0}) == [4.0, 4.0]
    assert gf.compile(inner)(gf.tensor(3.0)).item() == 6.0


def test_mode_eager_runs_the_function_itself() -> None:
    calls = []

    @gf.compile
    def f(x: Any) -> Any:
        calls.append(x)
        return x * 2 if x.sum() > 0 else x

    with gf.config(mode="eager"):
        assert f(gf.tensor([1.0])).tolist() == [2.0] and f(gf.tensor([-1.0])).tolist() == [-1.0]
    assert len(calls) == 2 and f.cache_info().traces == 0
    with pytest.raises(gf.errors.TraceError):
        f(gf.tensor([1.0]))


def test_optimize_false_runs_on_the_interpreter() -> None:
    f = gf.compile(lambda x: gf.exp(x), optimize=False)
    np.testing.assert_allclose(f(gf.tensor([1.0])).numpy(), [np.e], rtol=1e-6)
    assert "interpreter" in f.explain()


def test_the_ledger_and_explain() -> None:
    @gf.compile
    def f(x: Any) -> Any:
        return gf.exp(x) + 1  # a line to be named

    assert "not been called" in f.explain()
    f(gf.ones(2))
    f(gf.ones(3))
    info = f.cache_info()
    assert (info.traces, info.compiles, info.hits, info.misses) == (1, 1, 1, 1)
    assert info.seconds > 0 and info.events[0].trace_seconds > 0 and info.events[0].compile_seconds > 0
    assert "1 traces, 1 compiles" in str(info) and "first call" in str(info)
    text = f.explain()
    assert "exp" in text and "test_compile.py" in text and "kernel" in text and "first call" in text
    f.cache_clear()
    assert f.cache_info() == (0, 0, 0.0, 0, 0, [])
    assert f(gf.ones(2)).shape == (2,) and f.cache_info().traces == 1


def module_level(x: Any) -> Any:
    return x + 1


def test_copies_and_pickles() -> None:
    compiled = gf.compile(module_level, dynamic=False)
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert other(gf.tensor([1.0])).tolist() == [2.0] and other.cache_info().traces == 1
    assert compiled.cache_info().traces == 0
    assert repr(compiled) == "<compiled module_level: 0 traces>"


def test_threads_share_one_trace() -> None:
    step = gf.compile(lambda x: (x * 2).sum())
    results: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: results.append((n, step(gf.ones(n)).item()))) for n in range(1, 21)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(results) == [(n, 2.0 * n) for n in range(1, 21)] and step.cache_info().traces == 1


@pytest.mark.parametrize("wrong", [3, "f", None])
def test_what_cannot_be_compiled(wrong: Any) -> None:
    if wrong is None:

        def generator(x: Any) -> Any:
            yield x

        with pytest.raises(TypeError, match="generator is a generator"):
            gf.compile(generator)
    else:
        with pytest.raises(TypeError, match="needs a function"):
            gf.compile(wrong)


def test_a_symbolic_size_may_be_an_operand() -> None:
    def f(x: Any) -> Any:
        n = x.shape[0]
        return x.sum() / n, x - n, n * x, n / x, gf.maximum(x, n), gf.where(x > 2, x, n), (x.astype(gf.int64) + n) // n

    compiled = gf.compile(f, optimize=False)
    for n in (3, 5):
        x = np.arange(1, n + 1, dtype=np.float32)
        for got, want in zip(compiled(x), f(gf.tensor(x))):
            assert got.dtype is want.dtype
            np.testing.assert_array_equal(got.numpy(), want.numpy())
    assert compiled.cache_info().traces == 1
    p = gf.placeholder((None,), name="p")  # outside any `with graph:`, too
    assert gf.Session(optimize=False).run(p.sum() / p.shape[0], {p: [1.0, 2.0, 6.0]}) == 3.0


def test_the_mode_comes_from_the_environment() -> None:
    program = (
        "import graphflow as gf; f = gf.compile(lambda x: x if bool(x > 0) else -x); print(f(gf.tensor(-2.0)).item())"
    )
    env = {**os.environ, "GRAPHFLOW_MODE": "eager"}
    out = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert out.stdout == "2.0\n"
