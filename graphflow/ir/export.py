"""A graph for other tools: as a networkx graph, in Graphviz's DOT language, as an SVG picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphflow.core.aval import AVal
from graphflow.ir.graph import Graph, Node
from graphflow.ir.text import avals_text

_SHAPES = {"source": "ellipse", "effect": "octagon", "control": "doubleoctagon"}


def to_networkx(graph: Graph) -> Any:
    """The graph as a ``networkx.MultiDiGraph``.

    Nodes go by their names and have ``op``, ``kind``, ``shape``, ``dtype``, ``origin`` (or None), ``output`` (its
    position or None) and ``node`` itself. Edges go from operand to user and have ``operand`` (its position) and
    ``control`` (True for a dependency without a value).

    >>> graph = gf.Graph()
    >>> with graph:
    ...     y = gf.tensor([1.0, 2.0]) * 3.0
    >>> [(a, b, d["operand"]) for a, b, d in graph.to_networkx().edges(data=True)]
    [('constant', 'multiply', 0), ('constant_1', 'multiply', 1)]
    """
    import networkx as nx

    out = nx.MultiDiGraph(name=graph.name)
    position = {n: i for i, n in enumerate(graph.outputs)}
    for node in graph.nodes:
        one = isinstance(node.aval, AVal)
        out.add_node(
            node.name,
            op=node.op.name,
            kind=node.op.kind,
            shape=node.aval.shape if one else None,
            dtype=node.aval.dtype if one else None,
            origin=str(node.origin) if node.origin else None,
            output=position.get(node),
            node=node,
        )
        for i, used in enumerate(node.inputs):
            out.add_edge(used.name, node.name, operand=i, control=False)
        for used in node.control:
            out.add_edge(used.name, node.name, operand=None, control=True)
    return out


def to_dot(graph: Graph) -> str:
    """The graph in Graphviz's DOT language.

    >>> print(gf.Graph("empty").to_dot())
    digraph "empty" {
      node [shape=box, style=rounded, fontname="Helvetica"];
    }
    <BLANKLINE>
    """
    lines = [f"digraph {_quoted(graph.name)} {{", '  node [shape=box, style=rounded, fontname="Helvetica"];']
    outputs = set(graph.outputs)
    for node in graph.nodes:
        label = "\n".join([node.op.name, node.name, avals_text(node.aval)])
        style = {"label": label, "tooltip": str(node.origin or ""), "shape": _SHAPES.get(node.op.kind, "")}
        if node in outputs:
            style["penwidth"] = "2"
        listed = ", ".join(f"{k}={_quoted(v)}" for k, v in style.items() if v)
        lines.append(f"  {_quoted(node.name)} [{listed}];")
        lines += [f"  {_quoted(i.name)} -> {_quoted(node.name)};" for i in node.inputs]
        lines += [f"  {_quoted(c.name)} -> {_quoted(node.name)} [style=dashed];" for c in node.control]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def draw(graph: Graph, path: str | Path, groups: Mapping[Node, str] | None = None) -> None:
    """Write the graph as an SVG picture; ``groups`` gives the name of the kernel that a node is part of.

    A path that ends in ``.html`` gets an interactive page, ``.dot`` Graphviz's language. Raises ValueError for another
    ending, GraphError if the graph is too large to be looked at.
    """
    from graphflow.ir.draw import svg

    kind = Path(path).suffix
    if kind not in (".svg", ".html", ".dot"):
        raise ValueError(f"graphs are drawn as .svg, .html or .dot files, not as {str(path)!r}")
    if kind == ".dot":
        text = to_dot(graph)
    elif kind == ".html":
        from graphflow.viz.page import page
        from graphflow.viz.programs import Shown

        text = page(Shown(graph, dict(groups or {}), {}, {}))
    else:
        text = svg(graph, groups)
    Path(path).write_text(text, encoding="utf-8")
