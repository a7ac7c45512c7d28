"""Random graphs: what the NumPy interpreter gives before and after each pass, bit for bit where the pass is exact."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

import graphflow as gf
from graphflow.ir.graph import Graph
from graphflow.ir.text import from_text, to_text
from graphflow.passes import names, optimize
from tests.passes.tools import assert_same_values, record

UNARY = {
    "neg": lambda x: -x,
    "abs": gf.abs,
    "square": gf.square,
    "relu": gf.relu,
    "floor": gf.floor,
    "sign": gf.sign,
    "cut": lambda x: x[1:] if x.shape[:1] == (4,) else x,
    "turn": lambda x: gf.permute_dims(x, tuple(reversed(range(x.ndim)))),
    "flatten": lambda x: gf.reshape(x, (-1,)),
    "new axis": lambda x: gf.expand_dims(x, 0) if x.ndim < 3 else x,
    "drop axis": lambda x: gf.max(x, axis=0) if x.ndim and x.size else x,
    "keep axis": lambda x: gf.max(x, axis=-1, keepdims=True) if x.ndim and x.size else x,
    "sum": lambda x: gf.sum(x, axis=-1) if x.ndim else x,
    "spread": lambda x: gf.broadcast_to(x, (2, *x.shape)) if x.ndim < 3 else x,
    "wide": lambda x: gf.astype(gf.astype(x, gf.float64), gf.float32),
    "stop": gf.stop_gradient,
    "flip": lambda x: gf.flip(x),
}
BINARY = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "max": gf.maximum,
    "where": lambda x, y: gf.where(gf.logical_not(x > y), x, y),
}
CONSTANTS = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, float("nan"), float("inf")]
OPERANDS = ("float32[4, 3]", "float32[3]", "float32[4, 1]", "float32[]")
step = st.one_of(
    st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 9)),
    st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("constant"), st.sampled_from(CONSTANTS), st.booleans()),
)


def build(steps: list[Any]) -> Graph:
    """A graph from a list of steps; each uses results of steps before it."""

    def function(*xs: Any) -> Any:
        values = list(xs)
        for name, *arguments in steps:
            if name == "constant":
                number, wide = arguments
                values.append(gf.tensor(np.full((4, 3) if wide else (), number, np.float32)))
                continue
            operands = [values[-1 - i % len(values)] for i in arguments]
            if name in UNARY:
                values.append(UNARY[name](*operands))
            elif _fit(*(o.shape for o in operands)):
                values.append(BINARY[name](*operands))
        return tuple(values[-2:])

    return record(function, *OPERANDS)


def _fit(x: Any, y: Any) -> bool:
    try:
        return len(np.broadcast_shapes(x, y)) <= 3
    except ValueError:
        return False


@settings(max_examples=150)
@given(st.lists(step, min_size=1, max_size=14))
def test_random_graphs_keep_their_values(steps: list[Any]) -> None:
    graph = build(steps)
    for name in names():
        if name != "stabilize":
            assert_same_values(graph, optimize(graph, (name,)))
    assert_same_values(graph, optimize(graph, [n for n in names() if n != "stabilize"]))
    everything = optimize(graph)
    assert len(everything.nodes) <= len(optimize(graph, ("dce",)).nodes) + 3


@settings(max_examples=60)
@given(st.lists(step, min_size=1, max_size=14))
def test_random_graphs_survive_their_text(steps: list[Any]) -> None:
    graph = build(steps)
    again = from_text(to_text(graph))
    assert to_text(again) == to_text(graph)
    assert_same_values(graph, again)
    optimized = optimize(graph)
    assert to_text(optimize(again)) == to_text(optimized) == to_text(from_text(to_text(optimized)))
