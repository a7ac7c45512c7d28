"""gf.compile: the same function, compiled; its state; its signatures and the ledger."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphflow as gf


def make_step(compiled: bool = True) -> tuple[Any, gf.Variable, gf.Variable]:
    """One step of linear regression, written by hand."""
    w, b = gf.Variable(np.zeros((3, 1), np.float32), name="w"), gf.Variable(np.zeros(1, np.float32), name="b")

    def step(x: Any, y: Any) -> Any:
        w.grad = b.grad = None
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with gf.no_grad():
            for v in (w, b):
                v.assign_sub(v.grad * 0.1)
        return loss

    return (gf.compile(step) if compiled else step), w, b


def data(n: int, seed: int = 0) -> tuple[Any, Any]:
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return x, x @ np.array([[1.0], [2.0], [-1.0]], np.float32) + 0.5


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


# -- symbolic sizes ----------------------------------------------------------------------------------------------------
def test_a_hundred_batch_sizes_take_one_trace_and_one_compile() -> None:
    step, w, b = make_step()
    eager, ew, eb = make_step(compiled=False)
    for n in range(1, 101):
        step(*data(n, n))
        eager(*map(gf.tensor, data(n, n)))
    info = step.cache_info()
    assert (info.traces, info.compiles, info.hits, info.misses) == (1, 1, 99, 1)
    assert info.reasons == ["the first call"] and "float32(x.0, 3)" in info.events[0].signature
    np.testing.assert_allclose(w.numpy(), ew.numpy(), rtol=1e-4, atol=1e-6)


def test_sizes_that_were_equal_by_chance_get_a_trace_of_their_own() -> None:
    @gf.compile
    def f(x: Any, y: Any) -> Any:
        return x.sum() + y.sum()

    ones = lambda n: np.ones(n, np.float32)
    assert f(ones(3), ones(3)).item() == 6.0
    assert f(ones(3), ones(4)).item() == 7.0
    assert f(ones(5), ones(9)).item() == 14.0
    assert f(ones(7), ones(7)).item() == 14.0
    info = f.cache_info()
    assert info.traces == 2 and "y has shape (4,) instead of (x.0,)" in info.reasons[1]


def test_where_the_number_is_needed_it_is_taken() -> None:
    @gf.compile
    def f(x: Any) -> Any:
        total = x[0] * 0
        for i in range(x.shape[0]):  # needs the number
            total = total + x[i] * i
        return total

    for n in (2, 5, 2):
        assert f(np.ones(n, np.float32)).item() == sum(range(n))
    info = f.cache_info()
    assert len(info.events) == info.compiles == 2
    assert all("taken as numbers: int(), range() or an index needs the number" in r for r in info.reasons)
    assert info.traces == 3  # the second size does not try again


def test_comparing_a_size_is_a_decision() -> None:
    @gf.compile
    def f(x: Any) -> Any:
        return x * 2 if x.shape[0] == 1 else x

    assert f(np.ones(1, np.float32)).item() == 2.0
    assert f(np.ones(3, np.float32)).tolist() == [1.0, 1.0, 1.0]
    assert f(np.ones(1, np.float32)).item() == 2.0
    assert "comparison with 1" in f.cache_info().reasons[0]


def test_a_size_that_must_equal_a_number() -> None:
    w = gf.Variable([1.0, 2.0, 3.0])

    @gf.compile
    def f(x: Any) -> Any:
        return x + w

    assert f(np.zeros(3, np.float32)).tolist() == [1.0, 2.0, 3.0]
    assert f(np.zeros(1, np.float32)).tolist() == [1.0, 2.0, 3.0]  # broadcasts, as eagerly
    with pytest.raises(ValueError, match="do not broadcast"):
        f(np.zeros(2, np.float32))
    assert "taken as numbers: the trace takes the sizes" in f.cache_info().reasons[1]


def test_dynamic_false_and_other_axes() -> None:
    def f(x: Any) -> Any:
        return x * x.shape[-1] if isinstance(x.shape[-1], int) else x

    static = gf.compile(f, dynamic=False)
    both = gf.compile(f, dynamic=(0, 1))
    for n in (2, 3):
        for k in (4, 5):
            x = np.ones((n, k), np.float32)
            assert static(x).numpy()[0, 0] == k and both(x).numpy()[0, 0] == 1.0
    assert static.cache_info().traces == 4 and both.cache_info().traces == 1


def test_numbers_of_rows_enter_as_values() -> None:
    mean = gf.compile(lambda x: x.mean())
    assert mean(np.array([1.0, 3.0], np.float32)).item() == 2.0
    assert mean(np.array([1.0, 3.0, 5.0], np.float32)).item() == 3.0
    assert mean.cache_info().traces == 1
    assert np.isnan(mean(np.zeros(0, np.float32)).item())


# -- signatures --------------------------------------------------------------------------------------------------------
def test_static_arguments_are_part_of_the_signature() -> None:
    @gf.compile
    def f(x: Any, power: Any, flag: Any = False, name: Any = None) -> Any:
        return x**power if flag else x * power

    x = np.array([2.0], np.float32)
    assert f(x, 3).item() == 6.0
    assert f(x, 3, True).item() == f(x, power=3, flag=True).item() == 8.0
    assert f(x, 3.0).item() == 6.0 and f(x, 3, name="n").item() == 6.0
    reasons = f.cache_info().reasons
    assert f.cache_info().traces == len(reasons) == 5
    assert any("power is 3.0 instead of 3" in r for r in reasons)
    f(x, 4.0)
    assert "power is 4.0 instead of 3" in f.cache_info().reasons[-1]
    assert f(x, -0.0).numpy()[0].tobytes() != f(x, 0.0).numpy()[0].tobytes()


def test_dtypes_ranks_and_nesting() -> None:
    @gf.compile
    def f(batch: Any) -> Any:
        return {"sum": batch["x"] + batch["y"][0]}

    one = f({"x": np.ones(2, np.float32), "y": [gf.ones(2)]})
    assert type(one) is dict and one["sum"].tolist() == [2.0, 2.0]
    f({"x": np.ones(2, np.float64), "y": [gf.ones(2)]})
    assert f.cache_info().reasons[-1] == "batch.0 is float64 instead of float32"
    f({"x": np.ones((1, 2), np.float32), "y": [gf.ones(2)]})
    assert "batch.0 has shape (1, 2) instead of (batch.0.0,)" in f.cache_info().reasons[-1]
    f({"x": np.ones(2, np.float32), "y": (gf.ones(2),)})
    assert f.cache_info().reasons[-1] == "the arguments nest differently"
    traces = f.cache_info().traces
    f({"x": gf.ones(9), "y": [np.ones(9, np.float32)]})  # tensor or array makes no difference
    assert f.cache_info().traces == traces


@dataclass
class Out:
    value: Any
    note: str


def test_results_nest_as_the_function_returns_them() -> None:
    v, constant = gf.Variable(1.0), gf.tensor([7.0])

    @gf.compile
    def f(x: Any) -> Any:
        return Out(x + 1, "note"), [x, (x * 2, None)], {"k": 3}, v, constant, np.float32(2.0)

    out, listed, mapping, variable, kept, number = f(gf.tensor([1.0]))
    assert type(out) is Out and out.value.tolist() == [2.0] and out.note == "note"
    assert listed[0].tolist() == [1.0] and listed[1][0].tolist() == [2.0] and listed[1][1] is None
    assert mapping == {"k": 3} and variable is v and kept is constant and number == 2.0


def test_numpy_scalars_and_non_contiguous_arrays() -> None:
    f = gf.compile(lambda x, s: x * s)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(f(x.T, np.float32(2.0)).numpy(), x.T * 2)
    np.testing.assert_array_equal(f(x.T[::-1], np.float32(3.0)).numpy(), x.T[::-1] * 3)
    np.testing.assert_array_equal(f(gf.tensor(x).T, np.array(3.0, np.float32)).numpy(), x.T * 3)
    assert f.cache_info().traces == 1


def test_state_of_modules_and_settings_are_guards() -> None:
    model = gf.nn.Sequential(gf.nn.Linear(3, 3), gf.nn.Dropout(0.5))
    compiled = gf.compile(model)
    x = np.ones((2, 3), np.float32)
    compiled(x)
    compiled.eval()  # attributes are the module's
    np.testing.assert_allclose(compiled(x).numpy(), model(gf.tensor(x)).numpy(), rtol=1e-6)
    assert "training of Dropout is False instead of True" in compiled.cache_info().reasons[1]
    model.train()
    compiled(x)
    assert compiled.cache_info().traces == 2
    with gf.no_grad():
        compiled(x)
    assert compiled.cache_info().reasons[2] == "gradients are switched off"
    model[0].weight.requires_grad_(False)
    compiled(x)
    assert "does not require a gradient" in compiled.cache_info().reasons[3]
    model.double()
    assert compiled(np.ones((2, 3))).dtype is gf.float64
    with gf.config(check_numerics=True), pytest.raises(FloatingPointError):
        compiled(np.full((2, 3), np.nan))


def test_a_learning_rate_may_change_without_another_trace() -> None:
    w = gf.nn.Parameter([1.0])
    opt = gf.optim.SGD([w], lr=1.0)

    @gf.compile
    def step() -> None:
        opt.zero_grad()
        w.value.sum().backward()
        opt.step()

    step()
    opt.param_groups[0]["lr"] = 0.25
    step()
    assert w.numpy().tolist() == [-0.25] and step.cache_info().traces == 1


def test_optimizer_state_is_made_at_the_first_call() -> None:
    model = gf.nn.Linear(2, 1)
    opt = gf.optim.Adam(model.parameters(), lr=0.1)

    @gf.compile
    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    losses = [step(np.ones((4, 2), np.float32)).item() for _ in range(30)]
    assert losses[-1] < losses[0] and step.cache_info().traces <= 2


def test_many_traces_are_worth_a_warning() -> None:
    f = gf.compile(lambda x, n: x * n, optimize=False)
    with pytest.warns(UserWarning, match="traced 64 times, the last time because n is 63.0 instead of"):
        for n in range(64):
            f(np.ones(1, np.float32), float(n))


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
