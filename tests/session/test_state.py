"""Session behaviours 25 to 30: variables, order, and what a run sees."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf


def test_25_control_dependencies_run_first() -> None:
    with gf.Graph() as graph:
        v = gf.Variable(1.0, name="v")
        before = v * 10
        with gf.control_dependencies([v.assign_add(1.0)]):
            after = v * 10
            with gf.control_dependencies([v.assign(v * 2)]):
                later = gf.identity(v.value)
                done = gf.no_op()
    session = gf.Session(graph)
    assert session.run(before) == 10.0 and v.value == 1.0
    assert session.run(after) == 20.0 and v.value == 2.0
    assert session.run(later) == 6.0 and v.value == 6.0
    assert session.run([done, before]) == [None, 60.0] and v.value == 14.0
    assert session.run([before, after, later]) == [140.0, 150.0, 30.0]  # before: from the start of the run


def test_25_a_dependency_that_prints_or_checks(capfd: pytest.CaptureFixture[str]) -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((), name="x")
        with gf.control_dependencies([gf.print(x, "first"), gf.check_numerics(gf.log(x), "log of x")]):
            y = x * 2
    for optimize in (True, False):
        session = gf.Session(graph, optimize=optimize)
        assert session.run(y, {x: 3.0}) == 6.0
        assert capfd.readouterr().out.startswith("first: 3")
        with pytest.raises(FloatingPointError, match="log of x has 1 NaN"):
            session.run(y, {x: -1.0})
        capfd.readouterr()


def test_25_none_forgets_dependencies() -> None:
    with gf.Graph() as graph:
        v = gf.Variable(1.0)
        with gf.control_dependencies([v.assign_add(1.0)]), gf.control_dependencies(None):
            y = gf.identity(v.value)
    assert gf.Session(graph).run(y) == 1.0 and v.value == 1.0


def test_26_variables_are_initialised_where_they_are_made_and_can_be_reset() -> None:
    with gf.Graph() as graph:
        v = gf.Variable([1.0, 2.0], name="v")
        add = v.assign_add([1.0, 1.0])
        init = gf.global_variables_initializer()
        unused = gf.Variable(7, trainable=False)
    session = gf.Session(graph)
    np.testing.assert_array_equal(session.run(add), [2.0, 3.0])  # without any initialiser
    unused.assign(9)
    assert session.run(init) is None
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])
    assert unused.value == 7
    v.assign([0.0, 0.0])
    init()
    np.testing.assert_array_equal(session.run(v), [1.0, 2.0])


def test_26_initialisers_among_other_operations() -> None:
    with gf.Graph() as graph:
        v = gf.Variable(1.0)
        init = gf.global_variables_initializer()
        with gf.control_dependencies([init]):
            fresh = v + 0.5
            bumped = v.assign_add(1.0)
    session = gf.Session(graph)
    for optimize in (True, False):
        session = gf.Session(graph, optimize=optimize)
        v.assign(9.0)
        assert session.run([fresh, v]) == [1.5, 9.0] and v.value == 1.0
        v.assign(9.0)
        assert session.run(bumped) == 2.0 and v.value == 2.0
    with graph:
        w = gf.Variable(3.0)
    w.assign(4.0)
    session.run(fresh)
    assert w.value == 3.0  # the initialiser covers variables that came later


def test_26_random_states_are_not_reset() -> None:
    with gf.Graph() as graph:
        draw, init = gf.random.uniform((2,)), gf.global_variables_initializer()
    session = gf.Session(graph)
    first = session.run(draw)
    session.run(init)
    assert not np.array_equal(session.run(draw), first)


def test_27_variables_belong_to_the_objects() -> None:
    v = gf.Variable(1.0)
    with gf.Graph() as graph:
        double = v.assign(v * 2)
        plus = v + 1
    with gf.Graph() as other:
        add = v.assign_add(10.0)
    a, b, c = gf.Session(graph), gf.Session(graph), gf.Session(other)
    a.run(double)
    assert b.run(plus) == 3.0
    c.run(add)
    assert v.value == 12.0 and (v * 2).item() == 24.0
    v.assign(5.0)
    assert a.run(plus) == b.run(plus) == 6.0


def test_27_reads_see_the_start_of_the_run_and_updates_follow_program_order() -> None:
    with gf.Graph() as graph:
        v = gf.Variable(1.0)
        read = gf.identity(v.value)
        one, two = v.assign_add(1.0), v.assign(v._read_now() * 10)
    for optimize in (True, False):
        v.assign(1.0)
        session = gf.Session(graph, optimize=optimize)
        assert session.run([read, two, one, v]) == [1.0, 20.0, 2.0, 1.0]
        assert v.value == 20.0
        session.run(one)
        assert v.value == 21.0


def test_27_a_failing_run_changes_nothing() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((2,), name="x")
        v = gf.Variable([1.0, 1.0])
        add = v.assign_add(x)
        bad = gf.check_numerics(x, "x")
    for optimize in (True, False):
        with pytest.raises(FloatingPointError):
            gf.Session(graph, optimize=optimize).run([add, bad], {x: [1.0, np.nan]})
        np.testing.assert_array_equal(v.numpy(), [1.0, 1.0])


def test_28_the_graph_can_be_extended_between_runs() -> None:
    with gf.Graph() as graph:
        v = gf.Variable(1.0)
        add = v.assign_add(1.0)
    session = gf.Session(graph)
    assert session.run(add) == 2.0
    with graph:
        new = v * 100
    assert session.run(new) == 200.0
    assert session.run([add, new]) == [3.0, 200.0]


def test_29_a_random_op_has_one_value_in_a_run_and_another_in_the_next() -> None:
    with gf.Graph() as graph:
        r = gf.random.uniform((3,))
        twice = r * 2
        other = gf.random.normal((3,))
    session = gf.Session(graph)
    a, b, c = session.run([r, twice, other])
    np.testing.assert_array_equal(a * 2, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(a, session.run(r))
    gf.random.seed(0)
    np.testing.assert_array_equal(session.run([r, other])[0], a)
    gf.random.seed(0)
    np.testing.assert_array_equal(gf.random.uniform((3,)).numpy(), a)  # the same bits eagerly


def test_30_cond_runs_only_the_taken_branch(capfd: pytest.CaptureFixture[str]) -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((), name="x")
        y = gf.cond(x > 0, lambda v: gf.print(v, "positive") * 2, lambda v: gf.print(v, "negative") * 3, x)
    session = gf.Session(graph)
    assert session.run(y, {x: 2.0}) == 4.0
    assert capfd.readouterr().out.startswith("positive")
    assert session.run(y, {x: -2.0}) == -6.0
    assert capfd.readouterr().out.startswith("negative")


def test_training_in_a_session_trains_the_eager_model() -> None:
    gf.random.seed(1)
    model = gf.nn.Linear(3, 1)
    data = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    target = data @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.3
    with gf.Graph() as graph:
        x, y = gf.placeholder((None, 3), name="x"), gf.placeholder((None, 1), name="y")
        loss = gf.square(model(x) - y).mean()
        train = gf.optim.SGD(lr=0.1).minimize(loss)
    with gf.Session(graph) as session:
        losses = [session.run([train, loss], {x: data, y: target})[1] for _ in range(200)]
    assert losses[-1] < 1e-4 < losses[0]
    with gf.no_grad():
        np.testing.assert_allclose(model(gf.tensor(data)).numpy(), target, atol=0.05)
    with gf.init_scope():
        model.weight.assign(gf.zeros((1, 3)))
    prediction = gf.Session(graph).run(loss, {x: data, y: target})
    assert prediction == pytest.approx(float(np.mean((model.bias.numpy() - target) ** 2)), rel=1e-5)


def test_the_default_graph_follows_variables_without_with() -> None:
    """TensorFlow 1's style: no `with graph:` anywhere."""
    x = gf.placeholder((None, 2), name="x")
    w = gf.Variable([[1.0], [2.0]], name="w")
    penalty = (w * w).sum()  # runs eagerly, and is recorded when it meets the graph
    loss = (x @ w).sum() + 0.5 * penalty
    train = gf.optim.SGD(lr=0.1).minimize(loss)
    (slope,) = gf.gradients(loss, [w])
    session = gf.Session()
    assert session.run(loss, {x: [[1.0, 1.0]]}) == 5.5
    np.testing.assert_allclose(session.run(slope, {x: [[1.0, 1.0]]}), [[2.0], [3.0]])
    session.run(train, {x: [[1.0, 1.0]]})
    np.testing.assert_allclose(w.numpy(), [[0.8], [1.7]], rtol=1e-6)
    assert session.run(loss, {x: [[1.0, 1.0]]}) == pytest.approx(2.5 + 0.5 * (0.64 + 2.89))


def test_modules_read_their_buffers_in_the_default_graph() -> None:
    norm = gf.nn.BatchNorm1d(2)
    norm.eval()
    x = gf.placeholder((1, 2), name="x")
    y = norm(x)
    session = gf.Session()
    before = session.run(y, {x: [[1.0, 1.0]]})
    norm.running_mean.assign([1.0, 1.0])
    np.testing.assert_allclose(before, [[1.0, 1.0]], atol=1e-4)
    np.testing.assert_allclose(session.run(y, {x: [[1.0, 1.0]]}), [[0.0, 0.0]], atol=1e-4)
