"""networkx, DOT, and the SVG picture and its layout."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import networkx as nx
import numpy as np
import pytest
from hypothesis import given

import graphflow as gf
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.errors import GraphError
from graphflow.core.op import OPS
from graphflow.ir.draw import LONG, svg
from graphflow.ir.export import draw
from graphflow.ir.graph import Graph
from graphflow.ir.layout import Box, arrange, assign_layers
from graphflow.ops import special

SVG = "{http://www.w3.org/2000/svg}"


def sample_graph() -> Graph:
    graph = Graph("main")
    attrs = {"shape": (Dim("n"), 3), "dtype": gf.float32}
    x = graph.add(special.PLACEHOLDER, (), attrs, name='x<&>"')
    two = graph.add(special.CONSTANT, (), {"value": np.array(0.5, np.float32)})
    scaled = graph.add(OPS["multiply"], (x, two), name="scaled")
    total = graph.add(OPS["sum"], (scaled,), {"axes": (0,)}, control=(x,))
    graph.outputs = [total]
    variable = gf.Variable(np.zeros((3,), np.float32), name="w")
    graph.updates = [(variable, total)]
    return graph


def chain(length: int) -> Graph:
    graph = Graph("chain")
    node = graph.add(special.PLACEHOLDER, (), {"shape": (3,), "dtype": gf.float32}, name="x")
    for _ in range(length):
        node = graph.add(OPS["exp"], (node,))
    graph.outputs = [graph.add(OPS["add"], (node, graph.nodes[1]))]
    return graph


def test_networkx_has_everything() -> None:
    graph = sample_graph()
    found = graph.to_networkx()
    assert isinstance(found, nx.MultiDiGraph) and nx.is_directed_acyclic_graph(found)
    assert list(found) == [n.name for n in graph.nodes]
    scaled = found.nodes["scaled"]
    assert (scaled["op"], scaled["kind"], scaled["shape"], scaled["dtype"]) == (
        "multiply",
        "map",
        (Dim("n"), 3),
        gf.float32,
    )
    assert scaled["node"] is graph.find("scaled") and scaled["output"] is None and found.nodes["sum"]["output"] == 0
    edges = [(a, b, d["operand"], d["control"]) for a, b, d in found.edges(data=True)]
    assert ('x<&>"', "scaled", 0, False) in edges and ("constant", "scaled", 1, False) in edges
    assert ('x<&>"', "sum", None, True) in edges


def test_the_same_operand_twice_is_two_edges() -> None:
    graph = Graph()
    x = graph.add(special.PLACEHOLDER, (), {"shape": (3,), "dtype": gf.float32}, name="x")
    graph.add(OPS["add"], (x, x))
    assert graph.to_networkx().number_of_edges("x", "add") == 2


def test_dot_quotes_what_it_must() -> None:
    text = sample_graph().to_dot()
    assert text.startswith('digraph "main" {') and text.rstrip().endswith("}")
    assert '"x<&>\\"" -> "scaled";' in text and '"x<&>\\"" -> "sum" [style=dashed];' in text
    assert '"sum" [label="sum\\nsum\\nfloat32[3]"' in text and text.count("penwidth") == 1


# -- the picture -------------------------------------------------------------------------------------------------------
def texts(picture: str) -> list[str]:
    return [t.text or "" for t in ET.fromstring(picture).iter(f"{SVG}text")]


def test_the_picture_shows_ops_numbers_names_shapes_and_ends(tmp_path: Path) -> None:
    sample_graph().draw(tmp_path / "g.svg")
    picture = (tmp_path / "g.svg").read_text(encoding="utf-8")
    shown = texts(picture)
    for text in ("placeholder", 'x<&>"', "multiply(·, 0.5)", "scaled", "sum axes 0", "float32[n, 3]", "output", "→ w"):
        assert text in shown, text
    assert "main: 4 nodes" in shown and "contract" not in shown and "reduce" in shown  # the legend has what there is
    titles = [t.text or "" for t in ET.fromstring(picture).iter(f"{SVG}title")]
    assert any(t.startswith('%scaled = multiply(%x<&>", %constant)') for t in titles)


def test_tooltips_name_the_users_line() -> None:
    with gf.Graph() as graph:
        gf.exp(gf.random.uniform((3,)))
    assert f"{__file__}:" in svg(graph) or Path(__file__).name in svg(graph)


def test_kernels_are_one_box_each() -> None:
    graph = chain(6)
    kernel = {n: "kernel 0: n = 3" for n in graph.nodes[1:4]}
    picture = svg(graph, kernel)
    root = ET.fromstring(picture)
    assert len([r for r in root.iter(f"{SVG}rect") if r.get("class") == "kernel"]) == 1
    assert "kernel 0: n = 3" in texts(picture)
    edges = [p for p in root.iter(f"{SVG}path") if (p.get("class") or "").startswith("edge")]
    assert len(edges) == len([p for p in ET.fromstring(svg(graph)).iter(f"{SVG}path") if p.get("class")]) - 2


def test_kernels_that_would_make_a_cycle_are_taken_apart() -> None:
    graph = chain(6)
    kernel = {graph.nodes[1]: "k", graph.nodes[3]: "k"}
    assert 'class="kernel"' not in svg(graph, kernel)


def test_long_edges_become_references() -> None:
    assert not [t for t in texts(svg(chain(LONG - 2))) if t.startswith("↑")]
    shown = texts(svg(chain(LONG + 5)))
    assert [t for t in shown if t.startswith("↑")] == ["↑ exp"]


def test_the_empty_graph_and_one_too_large() -> None:
    assert ET.fromstring(svg(Graph("empty"))) is not None
    graph = chain(1)
    graph.nodes *= 2000
    with pytest.raises(GraphError, match="too many for a picture"):
        svg(graph)


# -- layout ------------------------------------------------------------------------------------------------------------
def laid_out(sizes: list[tuple[int, int]], pairs: list[tuple[int, int]]) -> tuple[list[Box], Any]:
    boxes = [Box(float(w), float(h)) for w, h in sizes]
    edges = [(boxes[a], boxes[b]) for a, b in pairs]
    assign_layers(boxes, edges)
    return boxes, arrange(boxes, edges)


@given(st.data())
def test_boxes_do_not_overlap_and_edges_go_down(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 25))
    sizes = data.draw(st.lists(st.tuples(st.integers(20, 200), st.integers(10, 90)), min_size=count, max_size=count))
    pair = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    pairs = data.draw(st.lists(pair, max_size=60, unique=True)) if count > 1 else []
    boxes, (width, height, routes) = laid_out(sizes, pairs)
    for i, a in enumerate(boxes):
        assert a.x - a.width / 2 >= -1e-6 and a.x + a.width / 2 <= width + 1e-6
        assert a.y >= -1e-6 and a.y + a.height <= height + 1e-6
        for b in boxes[:i]:
            apart_x = abs(a.x - b.x) >= (a.width + b.width) / 2 - 1e-6
            apart_y = a.y >= b.y + b.height - 1e-6 or b.y >= a.y + a.height - 1e-6
            assert apart_x or apart_y
    assert len(routes) == len(pairs)
    for (source, target), route in routes.items():
        assert route[0] is source and route[-1] is target
        assert [b.layer for b in route] == list(range(source.layer, target.layer + 1))
        assert all(b.is_point for b in route[1:-1])


def test_a_tree_is_drawn_without_crossings() -> None:
    pairs = [(0, 2), (1, 2), (3, 5), (4, 5), (2, 6), (5, 6)]
    boxes, (_, _, routes) = laid_out([(40, 20)] * 7, [pairs[i] for i in (3, 0, 5, 2, 1, 4)])
    ends = sorted((s.x, t.x) for s, t in routes if t.layer == 1)
    assert [t for _, t in ends] == sorted(t for _, t in ends)


def test_sources_stand_above_their_first_use() -> None:
    boxes, _ = laid_out([(40, 20)] * 5, [(0, 1), (1, 2), (2, 3), (4, 3)])
    assert [b.layer for b in boxes] == [0, 1, 2, 3, 2]


def test_aval_of_several_results_is_shown() -> None:
    graph = Graph()
    node = graph.add(special.GROUP, (), {}, aval=(AVal((2,), gf.float32), AVal((), gf.int64)))
    graph.add(special.TUPLE_GET, (node,), {"index": 1})
    assert "(float32[2], int64[])" in texts(svg(graph)) and "tuple_get index 1" in texts(svg(graph))


def test_draw_takes_groups(tmp_path: Path) -> None:
    graph = chain(3)
    draw(graph, tmp_path / "g.svg", {n: "all" for n in graph.nodes})
    assert "all" in texts((tmp_path / "g.svg").read_text(encoding="utf-8"))
