"""Session behaviours 41 to 45: threads, callables, profiles, conversions, partial runs."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime import feeds, fetches


def test_41_the_default_graph_is_per_thread() -> None:
    mine = gf.get_default_graph()
    x = gf.placeholder((), name="x")
    assert x.graph is mine and gf.get_default_graph() is mine
    theirs: list[Any] = []

    def work() -> None:
        theirs.append(gf.get_default_graph())
        theirs.append(gf.placeholder((), name="x"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert theirs[0] is not mine and theirs[1].graph is theirs[0] and theirs[1].name == "x:0"
    with gf.Graph() as other:
        assert gf.get_default_graph() is other
    gf.reset_default_graph()
    assert gf.get_default_graph() is not mine


def test_41_a_hundred_threads_run_one_session() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((None,), name="x")
        counter = gf.Variable(0, trainable=False)
        y, count = (x * x).sum(), counter.assign_add(1)
    session = gf.Session(graph)
    wrong: list[Any] = []

    def work(number: int) -> None:
        for i in range(10):
            data = np.full(number % 7 + 1, number + i, np.float32)
            if session.run(y, {x: data}) != np.square(data).sum():
                wrong.append((number, i))
            session.run(count)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == [] and counter.value == 1000


def test_42_make_callable_equals_run() -> None:
    with gf.Graph() as graph:
        x, y = gf.placeholder((None, 2), name="x"), gf.placeholder((), name="y")
        z = x * y
        v = gf.Variable(1.0)
        add = v.assign_add(y)
    session = gf.Session(graph)
    data = np.arange(4, dtype=np.float32).reshape(2, 2)
    nested = {"z": z, "all": [x, (y,)], "name": "x:0"}
    call = session.make_callable(nested, [x, "y"])
    want = session.run(nested, {x: data, y: 3.0})
    got = call(data, 3.0)
    np.testing.assert_array_equal(got["z"], want["z"])
    assert got["all"][1] == want["all"][1] == (3.0,)
    assert call([[1, 2]], 2)["z"].tolist() == [[2.0, 4.0]]  # converts as run does
    bump = session.make_callable([add, v], [y])
    assert bump(2.0) == [3.0, 1.0] and bump(2.0) == [5.0, 3.0]
    assert session.make_callable(v)() == 5.0
    with pytest.raises(TypeError, match="takes 2 values, got 1"):
        call(data)
    with pytest.raises(gf.errors.FeedError, match="placeholder 'y'"):
        session.make_callable(z, [x])
    with pytest.raises(gf.errors.FeedError, match="got shape"):
        call(np.zeros((2, 3)), 1.0)


@pytest.mark.parametrize("optimize", [True, False])
def test_43_profile(tmp_path: Any, optimize: bool) -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((None, 8), name="x")
        w = gf.Variable(np.ones((8, 4), np.float32))
        y = gf.exp(x @ w)  # what is measured
        total = y.sum()
        bump = w.assign(w * 2)
    session = gf.Session(graph, optimize=optimize)
    data = np.zeros((3, 8), np.float32)
    profile = session.profile([total, bump, w], {x: data})
    assert profile.values[0] == 12.0 and profile.values[2][0, 0] == 1.0 and w.numpy()[0, 0] == 2.0
    assert len(profile) >= 1 and profile.seconds > 0
    names = {op for entry in profile for op in entry.ops}
    assert {"matmul", "exp", "sum"} <= names
    measured = next(e for e in profile if "matmul" in e.ops)
    assert "test_extras.py:" in measured.lines and measured.seconds > 0
    assert "matmul" in str(profile) and "test_extras.py" in str(profile)
    path = tmp_path / "trace.json"
    profile.to_chrome_trace(path)
    events = json.loads(path.read_text())["traceEvents"]
    assert len(events) == len(profile) and all(e["ph"] == "X" and e["dur"] >= 0 for e in events)
    assert any(__file__ in line for e in events for line in e["args"]["lines"])


def test_43_profiling_costs_nothing_unless_asked_for() -> None:
    """The run that is not profiled goes the same way before and after a profile: no hook is left behind."""
    with gf.Graph() as graph:
        x = gf.placeholder((), name="x")
        y = x + 1
    session = gf.Session(graph)
    session.run(y, {x: 1.0})
    plan = next(iter(session._quick.values()))
    before = (plan.executable, dict(vars(plan)))
    session.profile(y, {x: 1.0})
    assert next(iter(session._quick.values())) is plan and (plan.executable, dict(vars(plan))) == before


class Point:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y


@pytest.fixture
def converted() -> Any:
    gf.register_session_run_conversion_functions(
        Point,
        fetch_function=lambda p: ([p.x, p.y], lambda values: Point(*values)),
        feed_function=lambda p, value: [(p.x, value[0]), (p.y, value[1])],
    )
    yield
    del fetches.CONVERSIONS[Point], feeds.CONVERSIONS[Point]


def test_44_conversion_functions(converted: None) -> None:
    with gf.Graph() as graph:
        point = Point(gf.placeholder((), name="x"), gf.placeholder((), name="y"))
        total = point.x + point.y * 10
    session = gf.Session(graph)
    for _ in range(2):
        out = session.run({"p": point, "t": [total]}, {point: (1.0, 2.0)})
        assert (out["p"].x, out["p"].y, out["t"]) == (1.0, 2.0, [21.0])
    assert session.run(Point(total, point.x), {point: (3.0, 4.0)}).x == 43.0
    with pytest.raises(ValueError, match="Point has a conversion function already"):
        gf.register_session_run_conversion_functions(Point, fetch_function=lambda p: ([], list))
    with pytest.raises(TypeError):
        session.run(Point(None, total), {point: (1.0, 2.0)})


def test_45_partial_runs() -> None:
    with gf.Graph() as graph:
        a, b, c = (gf.placeholder((), name=n) for n in "abc")
        r1, r2 = a + b, (a + b) * c
        r3 = r2 + gf.random.uniform(())
    session = gf.Session(graph)
    handle = session.partial_run_setup([r1, r2, r3], [a, b, c])
    assert session.partial_run(handle, r1, {a: 1.0, b: 2.0}) == 3.0
    assert session.partial_run(handle, r2, {c: 17.0}) == 51.0
    assert 51.0 <= session.partial_run(handle, [r3])[0] < 52.0
    other = session.partial_run_setup([r1, r2], [a, b, c])
    with pytest.raises(gf.errors.FeedError, match="needs 'c', which is to be fed"):
        session.partial_run(other, r2, {a: 1.0, b: 2.0})
    assert session.partial_run(other, r2, {c: 2.0}) == 6.0  # a and b count as fed
    for fetch, feed, message in (
        (r2, {}, "fetched by an earlier step"),
        (r3, {}, "not among the fetches"),
        (r1, {a: 2.0}, "fed by an earlier step"),
        (r1, {r2: 2.0}, "not among the feeds"),
    ):
        with pytest.raises(ValueError, match=message):
            session.partial_run(other, fetch, feed)
    with pytest.raises(ValueError, match="another graph"):
        gf.Session(gf.Graph()).partial_run(other, r1)


def test_45_intermediates_and_state_in_partial_runs() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((None,), name="x")
        v = gf.Variable(1.0)
        h = x * 2
        y = h.sum() + v
        add, read = v.assign_add(1.0), gf.identity(v.value)
    session = gf.Session(graph)
    handle = session.partial_run_setup({"y": y, "add": add, "read": read, "v": v}, [x, h])
    assert session.partial_run(handle, add) == 2.0 and v.value == 2.0
    v.assign(50.0)
    assert session.partial_run(handle, [read, v]) == [1.0, 1.0]  # the run began with 1
    assert session.partial_run(handle, y, {h: [1.0, 2.0]}) == 4.0
    assert v.value == 50.0
    handle = session.partial_run_setup([h, y], [x, h])
    assert session.partial_run(handle, h, {x: [1.0]}).tolist() == [2.0]
    with pytest.raises(gf.errors.FeedError, match="computed by an earlier step"):
        session.partial_run(handle, y, {h: [1.0]})
    handle = session.partial_run_setup([y], [])
    with pytest.raises(gf.errors.FeedError, match="placeholder 'x'"):
        session.partial_run(handle, y)
    handle = session.partial_run_setup([y], [x])
    with pytest.raises(gf.errors.FeedError, match="feeding 'x'.*shape"):
        session.partial_run(handle, y, {x: [[1.0]]})


def test_the_hot_path_is_one_lookup() -> None:
    """A run that was made before does not plan again, whatever the order of other runs."""
    with gf.Graph() as graph:
        x = gf.placeholder((None,), name="x")
        y, z = x + 1, x * 2
    session = gf.Session(graph)
    data = np.zeros(2, np.float32)
    for call in ((y, {x: data}), ([y, z], {x: data}), ("add:0", {"x": data}), ({"k": [y]}, {x: data})):
        session.run(*call)
    plans = []
    original = session._plan
    session._plan = lambda *a: plans.append(a) or original(*a)  # type: ignore[method-assign]
    for call in ((y, {x: data}), ([y, z], {x: data}), ("add:0", {"x": data}), ({"k": [y]}, {x: data})):
        session.run(*call)
    assert plans == []


def test_an_interactive_session_is_the_default_until_it_is_closed() -> None:
    with gf.Graph().as_default() as graph:
        x = gf.placeholder(gf.float32, [None])
        v = gf.Variable(1.0)
        add = gf.assign_add(v, gf.reduce_sum(x))
        outer = gf.InteractiveSession(graph)
        inner = gf.InteractiveSession(graph)
        gf.global_variables_initializer().run()
        assert (x * 2).eval({x: [1.0]}).tolist() == [2.0]
        outer.close()  # in any order: nothing has to be nested
        assert gf.get_default_session() is inner
        add.eval({x: [2.0, 3.0]})
        inner.close()
        with pytest.raises(ValueError, match="no default Session"):
            x.eval({x: [1.0]})
    assert gf.get_default_session() is None and v.item() == 6.0
