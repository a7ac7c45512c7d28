"""gf.compile: which calls share a trace: symbolic sizes, signatures, guards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from tests.trace.regression import data, make_step


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
