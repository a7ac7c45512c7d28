"""The verifier: what it refuses, and that it accepts what recording makes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.errors import VerifyError
from graphflow.core.op import OPS
from graphflow.ir.graph import Graph, Node
from graphflow.ir.sizes import EqualSizes, substitute
from graphflow.ir.verify import Verified, verify
from graphflow.ops import special

N, M, K = Dim("n"), Dim("m"), Dim("k")
F32 = AVal((N, 3), gf.float32)


def sample_graph() -> Graph:
    graph = Graph("main")
    x = graph.add(special.PLACEHOLDER, (), {"shape": (N, 3), "dtype": gf.float32}, name="x")
    y = graph.add(special.PLACEHOLDER, (), {"shape": (M, 3), "dtype": gf.float32}, name="y")
    total = graph.add(OPS["add"], (x, y), name="total")
    graph.outputs = [graph.add(OPS["exp"], (total,), control=(x,))]
    return graph


def test_recorded_graphs_are_accepted() -> None:
    graph = sample_graph()
    verify(graph)
    graph.verify()
    with gf.Graph() as raw:
        variable = gf.Variable([1.0, 2.0])
        loss = gf.mean(gf.log_softmax(variable.value * gf.random.uniform((2,))))
        variable.assign(variable.value - gf.gradients(loss, [variable.value])[0])
    raw.verify()


def stray() -> Node:
    return Graph("another").add(special.PLACEHOLDER, (), {"shape": (N, 3), "dtype": gf.float32}, name="stray")


def swap(graph: Graph) -> None:
    graph.nodes[0], graph.nodes[2] = graph.nodes[2], graph.nodes[0]
    for i, node in enumerate(graph.nodes):
        node.id = i


def set_node(called: str, /, **values: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        for key, value in values.items():
            setattr(graph.find(called), key, value)

    return change


def update_twice(graph: Graph) -> None:
    variable = gf.Variable(np.zeros((3,), np.float32), name="w")
    node = graph.add(special.CONSTANT, (), {"value": np.zeros((3,), np.float32)})
    graph.updates = [(variable, node), (variable, node)]


def update_with_another_dtype(graph: Graph) -> None:
    node = graph.add(special.CONSTANT, (), {"value": np.zeros((3,))})
    graph.updates = [(gf.Variable(np.zeros((3,), np.float32), name="w"), node)]


BROKEN: dict[str, tuple[Callable[[Graph], object], str]] = {
    "order": (swap, r"%total = add\(%x, %y\): operand 'x' does not come before it"),
    "foreign operand": (set_node("exp", inputs=(stray(),)), "operand 'stray' does not come before"),
    "foreign control": (set_node("exp", control=(stray(),)), "control dependency 'stray' does not come before"),
    "foreign output": (lambda g: g.outputs.append(stray()), "is an output of graph 'main', but not in it"),
    "position": (set_node("exp", id=7), "is node 3 of 'main', but says 7 of 'main'"),
    "name": (set_node("exp", name="x"), "its name stands for another node"),
    "names": (lambda g: g._by_name.pop("exp"), "4 nodes under 3 names"),
    "shape": (set_node("exp", aval=AVal((N, 4), gf.float32)), r"is recorded as .*\[n, 4\], but .* gives .*\[n, 3\]"),
    "dtype": (set_node("exp", aval=AVal((N, 3), gf.float64)), "recorded as .*float64.*gives .*float32"),
    "no value": (set_node("exp", aval=None), "is recorded as None"),
    "dtypes of operands": (
        set_node("y", attrs={"shape": (M, 3), "dtype": gf.int32}, aval=AVal((M, 3), gf.int32)),
        "refuses",
    ),
    "assumption": (lambda g: g.assumptions.clear(), "needs sizes n and m to be equal, which the graph does not assume"),
    "attribute": (set_node("exp", attrs={"axes": [1]}), "attribute 'axes' is not hashable"),
    "unknown attribute": (set_node("exp", attrs={"axes": (1,)}), "the op refuses its operands"),
    "updates": (update_twice, "variable 'w' is updated twice"),
    "dtype of an update": (update_with_another_dtype, "updates 'w': .*float32"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_graphs_are_refused(name: str) -> None:
    damage, message = BROKEN[name]
    graph = sample_graph()
    damage(graph)
    with pytest.raises(VerifyError, match=message):
        verify(graph)


def test_the_error_names_the_users_line() -> None:
    with gf.Graph() as graph:
        y = gf.exp(gf.tensor([1.0]) * gf.random.uniform((1,)))
    y._node.aval = F32
    with pytest.raises(VerifyError, match=__file__):
        verify(graph)


def test_nested_graphs_are_verified() -> None:
    inner = sample_graph()
    inner.find("exp").aval = None
    outer = Graph("outer")
    outer.add(special.TUPLE_GET, (), {"body": inner}, aval=F32)
    with pytest.raises(VerifyError, match="%exp"):
        verify(outer)


def test_what_was_verified_is_not_inferred_again() -> None:
    graph, verified = sample_graph(), Verified()
    verify(graph, verified)
    calls = []
    exp = graph.find("exp")
    graph.add(exp.op, exp.inputs, exp.attrs, aval=exp.aval)  # the very same use of the op
    verify(graph, verified)
    assert not calls
    exp.aval = AVal((N, 4), gf.float32)
    verify(graph, verified)  # trusted: it was fine before
    graph.add(exp.op, exp.inputs, exp.attrs, aval=exp.aval)
    with pytest.raises(VerifyError, match="exp_2"):
        verify(graph, verified)


# -- sizes -------------------------------------------------------------------------------------------------------------
def test_equal_sizes() -> None:
    sizes = EqualSizes([(M, N), (4 * K, 4 * M), (N * 6, 3 * Dim("j") + 3), (Dim("four"), 4)])
    assert sizes.names == {"n": M, "k": M, "four": 4}
    assert sizes.same(K * K + 1, N * M + 1)
    assert sizes.same(2 * K, Dim("j") + 1)
    assert sizes.same(3 * Dim("four"), 12)
    assert not sizes.same(2 * K, Dim("j"))
    assert not sizes.same(3, 4)


def test_a_number_speaks_for_all_that_equal_it() -> None:
    assert EqualSizes([(N, M), (M, K), (K, 5)]).names == {"n": 5, "m": 5, "k": 5}


def test_a_name_that_equals_a_multiple_of_another_is_written_so() -> None:
    sizes = EqualSizes([(64 * N, M), (K, 2 * M + 1)])
    assert sizes.names == {"m": 64 * N, "k": 128 * N + 1} and sizes.same(2 * M, 128 * N) and not sizes.same(M, N)
    # Neither may stand in its own place, and where two names make a size, that tells neither.
    assert EqualSizes([(2 * N, N), (M, N * K)]).names == {}


def test_substitution_goes_everywhere() -> None:
    names = {"n": M, "k": 4}
    assert substitute((N, (2 * N + K, "n", 3)), names) == (M, (2 * M + 4, "n", 3))
    assert substitute((N + 1) // K, names) == (M + 1) // 4
    assert substitute(F32, names) == AVal((M, 3), gf.float32)
    same = (1, 2, "x", Dim("other"))
    assert substitute(same, names) is same
