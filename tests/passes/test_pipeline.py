"""The pipeline: its list, its switches, what it keeps, its verifier, its time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import GraphError, VerifyError
from graphflow.ir.graph import Graph, Node
from graphflow.passes import PIPELINE, Pass, names, optimize, pipeline
from graphflow.passes.engine import Rules
from graphflow.passes.functionalize import functionalize
from tests.passes.tools import assert_same_values, record, values

F = "float32[n, 3]"


def wasteful(x: Any) -> Any:
    return gf.log(gf.softmax(x * 1.0)) + gf.exp(gf.tensor(0.0)) + gf.log(gf.softmax(x * 1.0))


def test_each_pass_has_a_name_and_a_reason() -> None:
    assert names() == gf.passes.names() == tuple(p.name for p in PIPELINE)
    assert len(set(names())) == len(PIPELINE)
    assert all(p.reason for p in PIPELINE)


def test_the_given_graph_stays_as_it_is() -> None:
    graph = record(wasteful, F)
    text = graph.to_text()
    optimized = graph.optimize()
    assert graph.to_text() == text
    assert len(optimized.nodes) < len(graph.nodes)
    assert_same_values(graph, optimized, exact=False, special=False)


@pytest.mark.parametrize("name", names())
def test_each_pass_can_run_alone_and_be_switched_off(name: str) -> None:
    graph = record(wasteful, F)
    assert_same_values(graph, optimize(graph, (name,)), exact=name != "stabilize", special=name != "stabilize")
    with gf.config(disabled_passes=(name,)):
        seen: list[str] = []
        optimized = optimize(graph, observe=lambda pass_name, _: seen.append(pass_name))
    assert seen and name not in seen
    assert_same_values(graph, optimized, exact=name == "stabilize", special=name == "stabilize")


def test_optimize_false_runs_none() -> None:
    graph = record(wasteful, F)
    with gf.config(optimize=False):
        assert graph.optimize().to_text() == graph.to_text()


def test_unknown_passes_are_named() -> None:
    with pytest.raises(ValueError, match="no pass 'inline'; there are: unify, "):
        record(wasteful, F).optimize(["inline"])
    with gf.config(disabled_passes=("cs",)), pytest.raises(ValueError, match="no pass 'cs'"):
        record(wasteful, F).optimize()


def test_the_result_is_final_as_gradients_were_taken_before() -> None:
    optimized = record(wasteful, F).optimize()
    with pytest.raises(GraphError, match="finalized"), optimized:
        gf.exp(gf.Tensor(None, optimized.outputs[0]))


def test_a_graph_without_outputs_is_for_what_nothing_uses() -> None:
    graph = record(wasteful, F)
    graph.outputs = []
    optimized = graph.optimize()
    assert [n.op.name for n in optimized.outputs] == [record(wasteful, F).optimize().outputs[0].op.name]


def test_updates_follow_their_nodes() -> None:
    variable = gf.Variable(np.zeros((2, 3), np.float32), name="v")
    graph = Graph()
    with graph:
        assign = variable.assign(variable.value * 1.0 + gf.exp(gf.tensor(0.0)))
    pure, _ = functionalize([assign._node])
    optimized = optimize(pure)
    ((updated, node),) = optimized.updates
    assert updated is variable and node is optimized.outputs[0] and node.op.name == "add"
    assert_same_values(pure, optimized)


def test_names_and_lines_of_what_was_replaced_are_kept() -> None:
    graph = record(lambda x: gf.log(x + 1.0), F)
    (log,) = graph.outputs
    log.name = "loss"
    graph._by_name = {n.name: n for n in graph.nodes}
    (new,) = graph.optimize().outputs
    assert new.op.name == "log1p" and new.name == "loss" and new.origin == log.origin
    assert log.origin is not None and log.origin.file == __file__


def test_branches_are_optimized_too() -> None:
    true = lambda v: gf.log(v * 1.0 + 1.0)
    graph = record(lambda x: gf.cond(gf.sum(x) > 0.0, true, lambda v: gf.negative(-v), x), "float32[n, 3]")
    optimized = graph.optimize()
    (cond,) = (n for n in optimized.nodes if n.op.name == "cond")
    assert [n.op.name for n in cond.attrs["true"].nodes] == ["placeholder", "log1p"]
    assert [n.op.name for n in cond.attrs["false"].nodes] == ["placeholder"]
    assert_same_values(graph, optimized, exact=False, special=False)
    assert Graph.from_text(optimized.to_text()).to_text() == optimized.to_text()


def broken(kind: str) -> Pass:
    """A pass with a mistake, which only the verifier can catch."""

    def run(graph: Graph, seen: set[Node]) -> bool:
        node = graph.nodes[-1]
        if kind == "shape":
            node.aval = gf.core.aval.AVal((7,), node.aval.dtype)  # type: ignore[attr-defined]
        elif kind == "order":
            graph.nodes.reverse()
        elif kind == "name":
            node.name = graph.nodes[0].name
        return True

    return Pass("broken", "to be caught", run)


@pytest.mark.parametrize("kind", ["shape", "order", "name"])
def test_the_verifier_names_the_pass_that_broke_the_graph(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PIPELINE", [broken(kind)])
    with pytest.raises(VerifyError, match="after pass 'broken'"):
        record(wasteful, F).optimize()


def test_a_rewrite_to_another_dtype_or_shape_is_rejected() -> None:
    graph = record(lambda x: gf.exp(x), F)
    for replacement in (
        lambda m: m.make("sum", m.x, axes=(1,)),
        lambda m: m.make("isnan", m.x),
        lambda m: m.make("concat", m.x, m.x, axis=0),
        lambda m: m.make("reshape", m.x, shape=(7,)),
        lambda m: m.make("bitwise_and", m.x, m.x),
    ):
        assert not Rules(("exp(x)", replacement)).apply(graph)
        assert [n.op.name for n in graph.nodes] == ["placeholder", "exp"]


def test_rules_that_undo_each_other_come_to_an_end() -> None:
    graph = record(lambda x: gf.exp(x), F)
    forth, back = ("exp(x)", "exp2(x)"), ("exp2(x)", "exp(x)")
    assert Rules(forth, back).apply(graph)


def test_patterns_are_checked() -> None:
    for wrong in ("expp(x)", "exp(x", "exp(x))", "exp(x$)"):
        with pytest.raises(ValueError, match="pattern"):
            _ = Rules((wrong, "x")).table
    with pytest.raises(ValueError, match="expp"):
        _ = Rules(("exp(x)", "expp(x)")).table


def chain(length: int) -> Graph:
    """Ops that give each pass something to do, again and again."""

    def function(x: Any, w: Any) -> Any:
        for _ in range(length // 8):
            x = gf.tanh(x @ w) * 1.0 + gf.reshape(gf.broadcast_to(gf.tensor(0.5), (3, 1)), (3,))
            x = x - (-x) + gf.log(1.0 + gf.exp(x))
        return x

    return record(function, F, "float32[3, 3]")


def test_time_is_linear_in_the_size_of_the_graph() -> None:
    def best(graph: Graph) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            graph.optimize()
            times.append(time.process_time() - start)
        return min(times)

    small, large = chain(500), chain(5000)
    ratio = len(large.nodes) / len(small.nodes)
    best(small)  # the rules' tables are made when first used
    assert best(large) < 2.0 * ratio * best(small)


def test_a_deep_graph_is_no_deep_recursion() -> None:
    def function(x: Any) -> Any:
        for _ in range(3000):
            x = gf.sin(x)
        return x

    graph = record(function, "float32[2]")
    optimized = graph.optimize()
    assert len(optimized.nodes) == 3001
    assert Graph.from_text(graph.to_text()).to_text() == graph.to_text()
    assert values(optimized, {"x0": np.float32([0.5, 1.0])})[0].shape == (2,)
