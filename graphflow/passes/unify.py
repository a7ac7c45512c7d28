"""Symbolic sizes that the graph assumes to be equal get one name, so that equal shapes look equal."""

from __future__ import annotations

from typing import Any

from graphflow.ir.graph import Graph, Node
from graphflow.ir.sizes import EqualSizes, substitute
from graphflow.passes.edit import Edit


def run(graph: Graph, seen: set[Node]) -> bool:
    """Write one name (or the number) for each class of equal sizes.

    Placeholders are renamed with the rest, so that binding their shapes to data checks the equality. Assumptions about
    other expressions stay, for the check when data comes.
    """
    if not graph.assumptions:
        return False
    names = EqualSizes(graph.assumptions).names
    names = {k: v for k, v in names.items() if k not in _nested_names(graph)}
    pairs = [(substitute(a, names), substitute(b, names)) for a, b in graph.assumptions]
    assumptions = list(dict.fromkeys((a, b) for a, b in pairs if a != b))
    changed = assumptions != graph.assumptions
    graph.assumptions = assumptions
    if not names:
        return changed
    edit = Edit(graph)
    for node in edit.walk():
        aval = substitute(node.aval, names)
        attrs = {k: substitute(v, names) for k, v in node.attrs.items()} if node.attrs else node.attrs
        if aval is not node.aval or any(attrs[k] is not v for k, v in node.attrs.items()):
            node = edit.clone(node, node.inputs)
            node.aval, node.attrs = aval, attrs
            edit.nodes.append(node)
            edit.replace(node)
    return edit.commit() or changed


def _nested_names(graph: Graph) -> set[str]:
    """The sizes that nested graphs mention: they keep their names, in there and out here."""
    found: set[str] = set()
    graphs: list[Any] = [v for n in graph.nodes for v in n.attrs.values() if isinstance(v, Graph)]
    while graphs:
        for node in graphs.pop().nodes:
            avals = node.aval if isinstance(node.aval, tuple) else (node.aval,) if node.aval is not None else ()
            found = found.union(*(a.dim_names() for a in avals))
            graphs.extend(v for v in node.attrs.values() if isinstance(v, Graph))
    return found
