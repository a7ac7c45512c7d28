"""Session behaviours 1 to 13: what can be fetched, and in what form it comes back."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphflow as gf

Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Results:
    total: Any
    parts: Any


@pytest.fixture
def graph() -> gf.Graph:
    graph = gf.Graph()
    with graph:
        a = gf.constant([1.0, 2.0], name="a")
        gf.constant(5.0, name="c")
        gf.identity(a * 2, name="b")
    return graph


@pytest.fixture
def tensors(graph: gf.Graph) -> tuple[Any, Any, Any]:
    return tuple(graph.get_tensor_by_name(n) for n in "abc")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int8", "uint32", "bool"])
def test_01_a_tensor_gives_an_array_and_a_scalar_a_numpy_scalar_of_its_dtype(dtype: str) -> None:
    with gf.Graph() as graph:
        vector, scalar = gf.constant([1, 0], dtype=dtype), gf.constant(1, dtype=dtype)
    array, number = gf.Session(graph).run([vector, scalar])
    assert type(array) is np.ndarray and array.dtype == gf.asarray(0, dtype=dtype).dtype and array.shape == (2,)
    assert isinstance(number, np.generic) and number.dtype == array.dtype and number == 1


def test_02_an_operation_gives_none(graph: gf.Graph, tensors: Any) -> None:
    with graph:
        nothing, both = gf.no_op(), gf.group(*tensors)
    assert gf.Session(graph).run([nothing, both, tensors[2]]) == [None, None, 5.0]
    assert gf.Session(graph).run(both) is None


def test_03_by_name(graph: gf.Graph) -> None:
    session = gf.Session(graph)
    assert session.run("c:0") == session.run("c") == 5.0
    np.testing.assert_array_equal(session.run(["b"])[0], [2.0, 4.0])


def test_04_a_list_gives_a_list_and_a_tuple_a_tuple(graph: gf.Graph, tensors: Any) -> None:
    a, _, c = tensors
    session = gf.Session(graph)
    for fetches in ([c, a], (c, a), [c], (c,)):
        out = session.run(fetches)
        assert type(out) is type(fetches) and len(out) == len(fetches) and out[0] == 5.0


def test_05_named_tuples_dicts_and_dataclasses(graph: gf.Graph, tensors: Any) -> None:
    a, b, c = tensors
    session = gf.Session(graph)
    for _ in range(2):  # planned, then remembered
        pair = session.run(Pair(c, a))
        assert type(pair) is Pair and pair.first == 5.0
        plain = session.run((c, a))
        assert type(plain) is tuple and plain[0] == 5.0
        out = session.run({"z": c, "y": a})
        assert type(out) is dict and list(out) == ["z", "y"] and out["z"] == 5.0
        ordered = session.run(OrderedDict(k=c))
        assert type(ordered) is OrderedDict and ordered["k"] == 5.0
        results = session.run(Results(c, [a, b]))
        assert type(results) is Results and results.total == 5.0
        np.testing.assert_array_equal(results.parts[1], [2.0, 4.0])


def test_06_any_nesting_and_empty_containers_are_kept(graph: gf.Graph, tensors: Any) -> None:
    a, _, c = tensors
    out = gf.Session(graph).run([[], (), {}, [c, {"k": (c, [a])}], [[[]]]])
    assert out[:3] == [[], (), {}] and out[3][0] == 5.0 and out[4] == [[[]]]
    np.testing.assert_array_equal(out[3][1]["k"][1][0], [1.0, 2.0])


def test_07_duplicates(graph: gf.Graph, tensors: Any) -> None:
    _, _, c = tensors
    assert gf.Session(graph).run([c, c, "c", {"x": c}]) == [5.0, 5.0, 5.0, {"x": 5.0}]


@pytest.mark.parametrize("fetches", [None, [None], {"k": None}], ids=str)
def test_08_none_is_a_type_error(graph: gf.Graph, fetches: Any) -> None:
    with pytest.raises(TypeError, match="fetches are tensors.*got None"):
        gf.Session(graph).run(fetches)


@pytest.mark.parametrize("fetches", [3, [2.5], object(), np.ones(2)], ids=["int", "float", "object", "array"])
def test_09_a_number_is_a_type_error(graph: gf.Graph, fetches: Any) -> None:
    with pytest.raises(TypeError, match="fetches are tensors"):
        gf.Session(graph).run(fetches)


def test_10_an_unknown_name_or_output_is_a_value_error_with_close_names(graph: gf.Graph) -> None:
    with graph:
        gf.identity(graph.get_tensor_by_name("a"), name="logits")
    session = gf.Session(graph)
    with pytest.raises(ValueError, match=r"nothing named 'logit'; did you mean 'logits'\?"):
        session.run("logit")
    with pytest.raises(ValueError, match=r"no 'c:1'; 'c' has 1 output: c:0"):
        session.run("c:1")
    with pytest.raises(gf.errors.FetchError):
        session.run(["c", "a:b:c"])


def test_11_a_variable_gives_its_value(graph: gf.Graph, tensors: Any) -> None:
    v = gf.Variable([1.0, 2.0])
    number = gf.Variable(7, trainable=False)
    session = gf.Session(graph)
    value = session.run(v)
    v.assign([5.0, 6.0])
    np.testing.assert_array_equal(value, [1.0, 2.0])  # what it was, not a view
    value[0] = 9.0
    np.testing.assert_array_equal(v.numpy(), [5.0, 6.0])
    out = session.run([number, tensors[2]])
    assert out == [7, 5.0] and out[0].dtype == np.int64
    with graph:
        doubled = v * 2
    np.testing.assert_array_equal(session.run({"v": v, "doubled": doubled})["v"], [5.0, 6.0])


def test_12_an_empty_list_gives_an_empty_list(graph: gf.Graph) -> None:
    assert gf.Session(graph).run([]) == []
    assert gf.Session(graph).run({}) == {}


@pytest.mark.parametrize("fetches", [[], {}, ()], ids=str)
def test_13_an_empty_graph_is_a_runtime_error(fetches: Any) -> None:
    session = gf.Session(gf.Graph())
    with pytest.raises(RuntimeError, match="graph 'graph' is empty"):
        session.run(fetches)
    assert session.run(gf.Variable(2.0)) == 2.0  # a variable is there without any graph


def test_a_fetch_does_not_share_memory_with_a_constant(graph: gf.Graph, tensors: Any) -> None:
    session = gf.Session(graph)
    session.run(tensors[0])[0] = 100.0
    np.testing.assert_array_equal(session.run(tensors[0]), [1.0, 2.0])


def test_an_eager_tensor_is_no_fetch_unless_the_graph_uses_it(graph: gf.Graph) -> None:
    eager = gf.tensor([1.0, 2.0])
    with pytest.raises(gf.errors.FetchError, match="eager tensor.*never used.*numpy"):
        gf.Session(graph).run(eager)
    with graph:
        _ = eager + 1
    np.testing.assert_array_equal(gf.Session(graph).run(eager), [1.0, 2.0])


def test_several_results_of_one_op_have_a_name_each() -> None:
    with gf.Graph() as graph:
        x = gf.placeholder((4,), name="x")
        parts = gf.split(x, 2) if hasattr(gf, "split") else gf.unstack(x)
    out = gf.Session(graph).run(parts, {x: [1.0, 2.0, 3.0, 4.0]})
    np.testing.assert_array_equal(np.concatenate([np.atleast_1d(o) for o in out]), [1, 2, 3, 4])
