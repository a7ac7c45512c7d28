"""The passes that are functions: broadcast, fold, cse, dce, unify."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.dispatch import apply
from graphflow.ir.graph import Graph
from graphflow.ops.movement import RESHAPE
from graphflow.ops.special import SIZE_OF, VARIABLE_READ
from graphflow.passes import optimize
from graphflow.passes.functionalize import functionalize
from tests.passes.tools import assert_kept, assert_rewrite, assert_same_values, record, values

F, ROW = "float32[n, 3]", "float32[3]"


def ops(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


# -- broadcast ---------------------------------------------------------------------------------------------------------
def test_elementwise_ops_broadcast_by_themselves() -> None:
    wide = lambda x, b: x + gf.broadcast_to(b, x.shape)
    assert_rewrite(wide, lambda x, b: x + b, F, ROW, passes=("broadcast",))


def test_axes_in_front_need_no_reshape() -> None:
    assert_rewrite(lambda x, b: x * gf.reshape(b, (1, 3)), lambda x, b: x * b, F, ROW, passes=("broadcast",))


def test_what_is_the_same_everywhere_is_computed_once() -> None:
    before = lambda b, c: gf.exp(gf.broadcast_to(b, (4, 3))) * gf.broadcast_to(c, (4, 3))
    after = lambda b, c: gf.broadcast_to(gf.exp(b) * c, (4, 3))
    assert_rewrite(before, after, ROW, "float32[]", passes=("broadcast", "views"))


def test_a_reshape_that_keeps_a_row_apart_stays() -> None:
    assert_kept(lambda x, b: x * gf.reshape(b, (4, 1)), "float32[4, 3]", "float32[4]", passes=("broadcast",))


def test_a_broadcast_that_is_returned_stays() -> None:
    assert_kept(lambda b: gf.broadcast_to(b, (4, 3)), ROW, passes=("broadcast",))


def test_constants_with_one_value_become_a_number() -> None:
    ones = np.full((4, 3), 2.5, np.float32)
    assert_rewrite(lambda x: x * gf.tensor(ones), lambda x: x * 2.5, "float32[4, 3]", passes=("broadcast",))


def test_zeros_of_both_signs_are_not_one_value() -> None:
    zeros = np.zeros((3,), np.float32) * np.float32([1, -1, 1])
    assert_kept(lambda x: x + gf.tensor(zeros), F, passes=("broadcast",))


# -- fold --------------------------------------------------------------------------------------------------------------
def test_constants_are_folded() -> None:
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    before = lambda x: x @ gf.permute_dims(gf.exp(gf.tensor(data)) + 1.0, (1, 0))
    after = lambda x: x @ gf.tensor(np.ascontiguousarray((np.exp(data) + 1).T))
    assert_rewrite(before, after, F, passes=("fold",))


def test_folding_keeps_the_origin() -> None:
    graph = record(lambda x: x + gf.exp(gf.tensor(2.0)), F)
    exp = next(n for n in graph.nodes if n.op.name == "exp")
    constant = next(n for n in optimize(graph, ("fold", "dce")).nodes if n.op.name == "constant")
    assert exp.origin is not None and constant.origin == exp.origin


def test_folding_does_not_make_large_constants() -> None:
    spread = lambda x: x + gf.sqrt(gf.broadcast_to(gf.tensor([4.0, 9.0, 16.0]), (4096, 3)))
    assert "sqrt" in ops(optimize(record(spread, "float32[4096, 3]"), ("fold", "dce")))
    assert "sqrt" not in ops(optimize(record(spread, "float32[4096, 3]")))  # broadcast pulls it inside first


def test_effects_and_sources_are_not_folded() -> None:
    variable = gf.Variable([1.0], name="v")
    graph = record(lambda: gf.check_numerics(gf.tensor([1.0])) + variable.value)
    assert ops(optimize(graph)).count("check_numerics") == 1
    assert ops(optimize(graph)).count("variable_read") == 1


def test_an_error_is_left_for_the_run() -> None:
    graph = record(lambda: gf.take(gf.tensor([1.0, 2.0]), gf.tensor([5])))
    assert "take" in ops(optimize(graph))


def test_sizes_that_are_known_are_numbers() -> None:
    mean = lambda x: x * apply(SIZE_OF, (), {"size": 3, "dtype": gf.float32})
    assert_rewrite(mean, lambda x: x * 3.0, F, passes=("fold",))


# -- cse ---------------------------------------------------------------------------------------------------------------
def test_equal_values_are_computed_once() -> None:
    def once(x: Any, y: Any) -> Any:
        power = gf.exp(x + y)
        return power * power

    assert_rewrite(lambda x, y: gf.exp(x + y) * gf.exp(y + x), once, F, F, passes=("cse",))


def test_order_counts_where_it_matters() -> None:
    assert_kept(lambda x, y: (x - y) * (y - x), F, F, passes=("cse",))


@pytest.mark.parametrize("pair", [(0.0, -0.0), (1, True), (1.0, 2.0)])
def test_attributes_that_compare_equal_but_are_not(pair: Any) -> None:
    padded = lambda x: tuple(apply(gf.ops.movement.PAD, (x,), _pad(v)) for v in pair)  # type: ignore[attr-defined]
    assert ops(optimize(record(padded, ROW), ("cse",))).count("pad") == 2


def _pad(value: Any) -> dict[str, Any]:
    return {"low": (1,), "high": (1,), "interior": (0,), "value": value}


def test_constants_are_compared_by_value_and_dtype() -> None:
    function = lambda x: x + 2.0 + gf.tensor(2.0) + gf.tensor(2.0, dtype=gf.float32)
    assert ops(optimize(record(function, F), ("cse", "dce"))).count("constant") == 1
    nan = lambda x: (x + float("nan")) * (x + float("nan"))
    assert ops(optimize(record(nan, F), ("cse", "dce"))).count("add") == 1


def test_effects_are_not_merged() -> None:
    graph = record(lambda x: gf.check_numerics(x) + gf.check_numerics(x), F)
    assert ops(optimize(graph)).count("check_numerics") == 2


def test_random_draws_differ_and_equal_bits_are_shared() -> None:
    graph = record(lambda: (gf.random.uniform((3,)), gf.random.uniform((3,))))
    pure, _ = functionalize(graph.outputs)
    first, second = values(optimize(pure), {})[:2]
    assert (first != second).any()
    assert ops(optimize(pure)).count("random_bits") == 2


def test_reads_with_an_assignment_between_are_not_merged() -> None:
    variable = gf.Variable([1.0], name="v", trainable=False)
    graph = Graph()
    read = lambda: graph.add(VARIABLE_READ, (), {"variable": variable, "when": "now"})
    with graph:
        first = read()
        assign = variable.assign([5.0])
        second = read()
        graph.outputs = [first, assign._node, second]
    assert ops(optimize(graph)).count("variable_read") == 2
    assert [v.tolist() for v in values(optimize(graph), {})] == [[1.0], [5.0], [5.0]]


# -- dce ---------------------------------------------------------------------------------------------------------------
def test_what_nothing_needs_goes_and_effects_and_parameters_stay() -> None:
    def function(x: Any, unused: Any) -> Any:
        gf.exp(x)
        gf.check_numerics(x)
        return x + 1.0

    graph = optimize(record(function, F, F), ("dce",))
    assert ops(graph) == ["placeholder", "placeholder", "check_numerics", "constant", "add"]


def test_control_dependencies_are_needs() -> None:
    graph = record(lambda x: x, F)
    with graph, graph.control_dependencies([graph.recorder.lift(gf.tensor(1.0))]):
        graph.outputs = [(gf.exp(gf.tensor(3.0)))._node]
    assert ops(optimize(graph, ("dce",))) == ["placeholder", "constant", "constant", "exp"]


# -- unify -------------------------------------------------------------------------------------------------------------
def test_sizes_assumed_equal_get_one_name() -> None:
    graph = record(lambda x, y: (x + y).sum(axis=0), "float32[n, 3]", "float32[m, 3]")
    assert graph.assumptions == [(Dim("n"), Dim("m"))]
    optimized = optimize(graph, ("unify",))
    assert {str(n.aval.shape) for n in optimized.inputs} == {"(n, 3)"}
    assert optimized.assumptions == []
    assert_same_values(graph, optimized)


def test_a_number_speaks_for_a_name() -> None:
    graph = record(lambda x, y: gf.reshape(x + y, (-1,)), "float32[n, 3]", "float32[4, 3]")
    optimized = optimize(graph, ("unify",))
    assert [n.aval for n in optimized.inputs] == [AVal((4, 3), gf.float32)] * 2
    assert optimized.outputs[0].attrs["shape"] == (12,)
    assert_same_values(graph, optimized)


def test_other_assumptions_stay() -> None:
    graph = record(lambda x: apply(RESHAPE, (x,), {"shape": (Dim("m"), 2)}), "float32[n, 3]")
    assert optimize(graph, ("unify",)).assumptions == [(3 * Dim("n"), 2 * Dim("m"))]


def test_unified_shapes_let_other_passes_work() -> None:
    before = lambda x, y: x + gf.reshape(gf.reshape(y, (3, -1)), x.shape)
    after = lambda x, y: x + y
    graph = record(before, "float32[n, 3]", "float32[m, 3]")
    optimized = optimize(graph)
    assert ops(optimized) == ops(record(after, F, F))
    assert_same_values(graph, optimized)
