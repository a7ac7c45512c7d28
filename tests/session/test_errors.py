"""Session behaviours 31 to 40: mistakes, and what is said about them."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

import graphflow as gf


def line_of(text: str) -> int:
    """The line of this file that contains ``text``."""
    with open(__file__, encoding="utf-8") as file:
        return next(i for i, line in enumerate(file, 1) if text in line and "line_of" not in line)


@pytest.mark.parametrize("optimize", [True, False])
def test_31_a_run_time_error_names_the_op_and_the_line(optimize: bool) -> None:
    with gf.Graph() as graph:
        x, i = gf.placeholder((None,), name="x"), gf.placeholder((None,), dtype=gf.int64, name="i")
        picked = gf.take(x, i)  # this line fails
    with pytest.raises(IndexError, match=rf"(?s)take.*out of range.*{__file__}:{line_of('# this line fails')}"):
        gf.Session(graph, optimize=optimize).run(picked, {x: [1.0, 2.0], i: [5]})


def test_31_numerics() -> None:
    with gf.Graph() as graph, gf.config(check_numerics=True):
        x = gf.placeholder((2,), name="x")
        y = gf.log(x)  # the first NaN
        z = y * 2
    with pytest.raises(FloatingPointError, match=rf"(?s)log has 1 NaN.*{__file__}:{line_of('# the first NaN')}"):
        gf.Session(graph).run(z, {x: [1.0, -1.0]})


def test_32_a_static_mismatch_raises_when_the_graph_is_built() -> None:
    with gf.Graph():
        x, n = gf.placeholder((None, 3), name="x"), gf.placeholder((3,), dtype=gf.int64)
        with pytest.raises(ValueError, match=rf"(?s)matmul.*{__file__}:{line_of('# wrong matmul')}"):
            _ = x @ gf.Variable(gf.zeros((4, 2)))  # wrong matmul
        with pytest.raises(ValueError, match="do not broadcast"):
            _ = x + gf.zeros((4,))
        with pytest.raises(TypeError, match=rf"(?s)takes .*{__file__}"):
            _ = ~x
        with pytest.raises(gf.errors.GradientError, match=rf"(?s)gradient.*int64.*{__file__}"):
            gf.gradients(x.sum(), n)


def test_33_tensors_of_another_graph() -> None:
    with gf.Graph("one") as one:
        a = gf.placeholder((2,), name="a")
    with gf.Graph("two") as two:
        b = gf.placeholder((2,), name="b")
    with pytest.raises(ValueError, match="'a' belongs to graph 'one'.*another graph, 'two'"):
        gf.Session(two).run(a)
    with pytest.raises(ValueError, match="cannot feed 'a'.*graph 'one', not to 'two'"):
        gf.Session(two).run(b, {a: [1.0, 2.0]})
    with pytest.raises(ValueError, match=f"(?s)'b' belongs to graph 'two', not to 'one'.*{__file__}"):
        _ = a + b
    with two, pytest.raises(ValueError, match="'a' belongs to graph 'one', not to 'two'"):
        _ = a + 1
    with pytest.raises(ValueError, match="belongs to graph"):
        gf.group(a, b)
    with one, pytest.raises(ValueError, match="not in graph|belongs to"), gf.control_dependencies([b]):
        pass


def test_34_a_closed_session_is_a_runtime_error_and_closing_twice_is_fine() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((), name="x")
        y = x + 1
    session = gf.Session(graph)
    add = session.make_callable(y, [x])
    assert session.run(y, {x: 1.0}) == add(1.0) == 2.0
    session.close()
    session.close()
    assert session.closed and "closed" in repr(session)
    for use in (
        lambda: session.run(y, {x: 1.0}),
        lambda: session.run([]),
        lambda: add(1.0),
        lambda: session.make_callable(y, [x]),
        lambda: session.partial_run_setup(y, [x]),
        lambda: session.profile(y, {x: 1.0}),
        lambda: session.__enter__(),
    ):
        with pytest.raises(RuntimeError, match="Session is closed"):
            use()
    with gf.Session(graph) as session:
        pass
    assert session.closed


def test_34_closing_while_another_thread_runs() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((None,), name="x")
        y = gf.exp(x).sum()
    session = gf.Session(graph)
    data, want = np.zeros(1000, np.float32), np.float32(1000.0)
    outcomes: list[Any] = []

    def work() -> None:
        try:
            while True:
                outcomes.append(session.run(y, {x: data}) == want)
        except RuntimeError as error:
            outcomes.append("closed" in str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    while len(outcomes) < 20:
        time.sleep(0.001)
    session.close()
    for t in threads:
        t.join(timeout=60)
        assert not t.is_alive()
    assert all(outcomes)


def test_35_eval_without_a_default_session_is_a_value_error() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((), name="x")
        y, operation = x + 1, gf.no_op()
    for use in (lambda: y.eval({x: 1.0}), operation.run):
        with pytest.raises(ValueError, match="no default Session"):
            use()
    with gf.Session(graph):
        assert y.eval({x: 1.0}) == 2.0
        operation.run()
    session = gf.Session(graph)
    assert y.eval({x: 2.0}, session) == 3.0
    operation.run(session=session)
    with session.as_default() as same:
        assert same is session is gf.get_default_session() and y.eval({x: 1.0}) == 2.0
    assert gf.get_default_session() is None and not session.closed


def test_36_contexts_left_in_the_wrong_order() -> None:
    one, two = gf.Graph(), gf.Graph()
    one.__enter__()
    two.__enter__()
    with pytest.raises(gf.errors.GraphError, match="reverse order"):
        one.__exit__(None, None, None)
    two.__exit__(None, None, None)
    one.__exit__(None, None, None)
    with pytest.raises(gf.errors.GraphError, match="reverse order"):
        one.__exit__(None, None, None)
    with one:
        gf.placeholder(())
        with pytest.raises(gf.errors.GraphError, match="inside `with graph:`"):
            gf.reset_default_graph()
    a, b = gf.Session(one), gf.Session(one)
    a.__enter__()
    b.__enter__()
    with pytest.raises(RuntimeError, match="reverse order"):
        a.__exit__(None, None, None)
    b.__exit__(None, None, None)
    a.__exit__(None, None, None)
    assert gf.get_default_session() is None


@pytest.mark.parametrize("graph", [3, "graph", object()], ids=["int", "str", "object"])
def test_37_a_session_of_something_else_is_a_type_error(graph: Any) -> None:
    with pytest.raises(TypeError, match="needs a gf.Graph"):
        gf.Session(graph)


def test_37_other_arguments() -> None:
    with pytest.raises(ValueError, match="no device 'tpu'"):
        gf.Session(gf.Graph(), device="tpu")
    for wrong in (0, "2", 1.5):
        with pytest.raises(ValueError, match="num_threads"):
            gf.Session(gf.Graph(), num_threads=wrong)  # type: ignore[arg-type]


def test_38_bool_or_iteration_of_a_symbolic_tensor_raises() -> None:
    with gf.Graph():
        x = gf.placeholder((None,), name="x")
    for use in (
        lambda: bool(x > 0),
        lambda: list(x),
        lambda: float(x),
        lambda: int(x),
        lambda: np.asarray(x),
        x.numpy,
        x.item,
    ):
        with pytest.raises(gf.errors.TraceError, match=f"(?s)symbolic tensor.*{__file__}") as caught:
            use()
        assert isinstance(caught.value, TypeError)


def test_39_a_finalized_graph_refuses_new_ops_and_still_runs() -> None:
    with gf.Graph() as graph:
        x, v = gf.placeholder((), name="x"), gf.Variable(2.0)
        y = x * v
    graph.finalize()
    with pytest.raises(gf.errors.GraphError, match=f"(?s)finalized; constant cannot be added.*{__file__}"):
        _ = y + 1
    with graph, pytest.raises(ValueError, match="finalized"):
        gf.placeholder(())
    assert graph.finalized
    assert gf.Session(graph).run([y, v, gf.Variable(3.0)], {x: 2.0}) == [4.0, 2.0, 3.0]


def test_40_duplicate_names() -> None:
    with gf.Graph() as graph:
        names = [gf.constant(float(i), name="k").name for i in range(3)]
        assert names == ["k:0", "k_1:0", "k_2:0"]
        assert gf.constant(9.0, name="k_1").name == "k_1_1:0"
        gf.placeholder((None,), name="k")
        gf.identity(gf.constant(5.0), name="k")
    assert gf.Session(graph).run(["k", "k_1", "k_2", "k_1_1", "k_4"]) == [0.0, 1.0, 2.0, 9.0, 5.0]
    assert graph.get_tensor_by_name("k_3").shape == (gf.Dim("k_3.0"),)
    assert [n.name for n in graph.nodes][:3] == ["k", "k_1", "k_2"]


@pytest.mark.parametrize("shape", [None, "ab", (2.5,), (-1, 2), (True,)], ids=str)
def test_placeholders_of_no_shape(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="rank|sizes"):
        gf.placeholder(shape)
