"""Session behaviours 14 to 24: what can be fed, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.dtypes import REAL

FeedError = gf.errors.FeedError


@pytest.fixture
def graph() -> gf.Graph:
    with gf.Graph() as graph:
        x = gf.placeholder((None, 2), name="x")
        doubled = gf.identity(x * 2, name="doubled")
        gf.identity(doubled + gf.constant([1.0, 10.0], name="c"), name="y")
    return graph


def run(graph: gf.Graph, fetches: Any, feeds: Any) -> Any:
    return gf.Session(graph).run(fetches, feeds)


def test_14_by_tensor_or_name_and_lists_are_accepted(graph: gf.Graph) -> None:
    x = graph.get_tensor_by_name("x")
    for key in (x, "x", "x:0"):
        for value in (
            [[1, 2]],
            [[1.0, 2.0]],
            ((1.0, 2.0),),
            np.array([[1.0, 2.0]], np.float32),
            gf.tensor([[1.0, 2.0]]),
        ):
            np.testing.assert_array_equal(run(graph, "y", {key: value}), [[3.0, 14.0]])
    np.testing.assert_array_equal(run(graph, "y", {x: gf.Variable([[1.0, 2.0]])}), [[3.0, 14.0]])


def test_15_any_intermediate_or_constant(graph: gf.Graph) -> None:
    np.testing.assert_array_equal(run(graph, "y", {"doubled": [[5.0, 5.0]]}), [[6.0, 15.0]])  # and x is not needed
    np.testing.assert_array_equal(run(graph, "y", {"x": [[1.0, 1.0]], "c": [0.0, 1.0]}), [[2.0, 3.0]])
    v, eager = gf.Variable([1.0, 2.0]), gf.tensor([3.0, 4.0])
    with graph:
        total = v * eager
    np.testing.assert_array_equal(run(graph, total, {v: [10.0, 10.0]}), [30.0, 40.0])
    np.testing.assert_array_equal(run(graph, total, {eager: [0.0, 1.0]}), [0.0, 2.0])
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])
    with pytest.raises(FeedError, match="does not read it"):
        run(graph, total, {gf.Variable(1.0): 2.0})


def test_16_a_fed_tensor_can_be_fetched(graph: gf.Graph) -> None:
    value = np.array([[1.0, 2.0]], np.float32)
    x, doubled = run(graph, ["x", "doubled"], {"x": value, "doubled": [[7.0, 7.0]]})
    np.testing.assert_array_equal(x, value)
    np.testing.assert_array_equal(doubled, [[7.0, 7.0]])
    x[0, 0] = 5.0
    assert value[0, 0] == 1.0  # what comes out is not what went in


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (3, 2)], ids=str)
@pytest.mark.parametrize("dtype", [d.name for d in REAL])
def test_17_all_dtypes_and_empty_shapes(dtype: str, shape: tuple[int, ...]) -> None:
    with gf.Graph() as graph:
        x = gf.placeholder(shape, dtype=dtype)
    value = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2).astype(x.dtype.np)
    out = gf.Session(graph, optimize=False).run(x, {x: value})
    assert out.dtype == value.dtype and out.shape == shape
    np.testing.assert_array_equal(out, value)


def test_17_natively(graph: gf.Graph) -> None:
    assert run(graph, "y", {"x": np.zeros((0, 2), np.float32)}).shape == (0, 2)
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(run(graph, "doubled", {"x": transposed}), transposed * 2)
    np.testing.assert_array_equal(run(graph, "doubled", {"x": transposed.astype(">f4")}), transposed * 2)


@pytest.mark.parametrize("value", [np.ones((3, 3)), np.ones(2), np.ones(()), np.ones((1, 1, 2)), [[1.0]]], ids=np.shape)
@pytest.mark.parametrize("key", ["x", "doubled"])
def test_18_a_wrong_shape_names_both_shapes_the_tensor_and_its_line(graph: gf.Graph, key: str, value: Any) -> None:
    shape = str(np.shape(value)).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(
        FeedError, match=rf"(?s)feeding '{key}': expected float32 of shape .*2\), got shape {shape}.*{__file__}"
    ):
        run(graph, "y", {key: np.asarray(value, np.float32)})


def test_18_sizes_that_must_agree() -> None:
    with gf.Graph() as graph:
        x, y = gf.placeholder((None, 3), name="x"), gf.placeholder((None,), name="y")
        total = x.sum(axis=1) + y
    session = gf.Session(graph)
    for _ in range(2):
        assert session.run(total, {x: np.ones((4, 3)), y: np.ones(4)}).shape == (4,)
        with pytest.raises(FeedError, match=r"x\.0 is 4, y\.0 is 5; fed were 'x': \(4, 3\), 'y': \(5,\)"):
            session.run(total, {x: np.ones((4, 3)), y: np.ones(5)})
    batch = gf.Dim("batch")
    with gf.Graph() as graph:
        x, y = gf.placeholder((batch,), name="x"), gf.placeholder((batch,), name="y")
        both = [x * 2, y * 2]
    with pytest.raises(FeedError, match="'y'.*got shape \\(3,\\) while batch is 2"):
        gf.Session(graph).run(both, {x: [1.0, 2.0], y: [1.0, 2.0, 3.0]})
    with pytest.raises(FeedError, match="ragged|inhomogeneous|no array"):
        gf.Session(graph).run(both, {x: [[1.0], [2.0, 3.0]], y: [1.0]})


def test_19_floats_are_cast_ints_become_floats_and_floats_no_ints() -> None:
    with gf.Graph() as graph:
        x, n = gf.placeholder((None,), name="x"), gf.placeholder((None,), dtype=gf.int64, name="n")
        b = gf.placeholder((), dtype=gf.bool, name="b")
    session = gf.Session(graph)
    for value in (np.array([1.5]), np.array([1], np.int8), [True], [1], np.array([1.5], np.float16)):
        out = session.run(x, {x: value})
        assert out.dtype == np.float32 and out[0] == np.asarray(value)[0]
    assert session.run(n, {n: np.array([3], np.uint8)})[0] == 3
    for key, value in ((n, [1.5]), (n, np.array([1.0])), (n, np.array([], np.float64)), (b, 1), (b, 1.0)):
        with pytest.raises(
            FeedError, match="(?s)does not fit without loss; cast it with .astype.*test_feeding.py"
        ) as caught:
            session.run(key, {key: value})
        assert isinstance(caught.value, TypeError)
    assert session.run(n, {n: []}).shape == (0,)  # an empty list has no dtype


@pytest.mark.parametrize("value", [2**40, [1, -(2**33)], np.array([300]), -1, 2**70], ids=str)
def test_20_an_integer_too_large_is_a_type_error(value: Any) -> None:
    with gf.Graph() as graph:
        n = gf.placeholder(np.shape(value), dtype=gf.uint8 if np.max(value) < 1000 else gf.int32, name="n")
    with pytest.raises(TypeError, match=r"feeding 'n' .*(does not fit|too large)"):
        gf.Session(graph).run(n, {n: value})


def test_21_a_symbolic_tensor_is_a_type_error(graph: gf.Graph) -> None:
    with pytest.raises(TypeError, match="symbolic tensor 'doubled:0': run it first"):
        run(graph, "y", {"x": graph.get_tensor_by_name("doubled")})


@pytest.mark.parametrize("key", [3, 2.5, None, gf.tensor([1.0])], ids=["int", "float", "None", "eager"])
def test_22_a_key_that_is_no_tensor_is_a_type_error(graph: gf.Graph, key: Any) -> None:
    with pytest.raises(TypeError, match="keys of feed_dict|eager tensor"):
        run(graph, "y", {key: [[1.0, 2.0]]})
    with pytest.raises(TypeError, match="feed_dict is a dict"):
        run(graph, "y", [("x", [[1.0, 2.0]])])


@pytest.mark.parametrize("value", [None, "text", ["a"], slice(3), [[None, 1.0]], np.array(["2020"], "M8[Y]")], ids=repr)
def test_22_nor_is_a_value_that_is_no_array(graph: gf.Graph, value: Any) -> None:
    with pytest.raises(TypeError, match="feeding 'x'"):
        run(graph, "y", {"x": value})


def test_22_nor_what_has_no_value(graph: gf.Graph) -> None:
    with graph:
        operation = gf.no_op(name="nothing")
    for key in (operation, "nothing"):
        with pytest.raises(TypeError, match="'nothing'.*no value"):
            run(graph, "c", {key: 1.0})
    with pytest.raises(FeedError, match="cannot feed 'z'.*nothing named"):
        run(graph, "c", {"z": 1.0})
    with pytest.raises(FeedError, match="'x' is fed twice"):
        run(graph, "y", {"x": [[1.0, 2.0]], graph.get_tensor_by_name("x"): [[1.0, 2.0]]})


def test_23_an_unfed_placeholder_is_named_with_dtype_shape_and_line(graph: gf.Graph) -> None:
    with pytest.raises(
        FeedError, match=rf"(?s)placeholder 'x' \(float32 of shape \(x\.0, 2\)\).*not fed.*{__file__}:\d+ in graph"
    ):
        run(graph, "y", {})
    with pytest.raises(FeedError, match="placeholder 'x'"):
        run(graph, ["c", "y"], {"c": [1.0, 2.0]})


def test_24_only_what_is_needed_runs() -> None:
    with gf.Graph() as graph:
        x, unused = gf.placeholder((2,), name="x"), gf.placeholder((2,), name="unused")
        y = x * 2
        _ = unused + 1
        failing = gf.check_numerics(gf.log(x - 10), "never")
        printed = gf.print(x, "never")
    session = gf.Session(graph)
    np.testing.assert_array_equal(session.run(y, {x: [1.0, 2.0]}), [2.0, 4.0])
    with pytest.raises(FloatingPointError):
        session.run(failing, {x: [1.0, 2.0]})
    assert printed.name.startswith("print")


def test_24_prints_only_when_needed(capfd: pytest.CaptureFixture[str]) -> None:
    with gf.Graph() as graph:
        x = gf.constant([1.0], name="x")
        printed, other = gf.print(x, "label") * 2, x + 1
    session = gf.Session(graph)
    session.run(other)
    assert capfd.readouterr().out == ""
    session.run(printed)
    assert capfd.readouterr().out.startswith("label: [1.")


def test_several_placeholders_can_be_fed_as_one(graph: gf.Graph) -> None:
    key = (graph.get_tensor_by_name("x"), "c")
    np.testing.assert_array_equal(run(graph, "y", {key: ([[1.0, 1.0]], [0.0, 0.0])}), [[2.0, 2.0]])
    with pytest.raises(FeedError, match="need 2 values"):
        run(graph, "y", {key: [[1.0, 1.0]]})


def test_an_intermediate_tells_the_batch_size_and_its_absence_is_an_error() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((None, 2), name="x")
        flat = gf.reshape(x, (-1,))
        mean = flat.mean() + x.sum() * 0
        only = flat.sum()
    session = gf.Session(graph)
    assert session.run(only, {flat: [1.0, 2.0, 3.0, 4.0]}) == 10.0
    with pytest.raises(FeedError, match="feeding 'reshape'"):
        session.run(only, {flat: [1.0, 2.0, 3.0]})  # no multiple of 2
    assert session.run(mean, {x: [[1.0, 2.0]]}) == 1.5
