"""Graphs as files: the graph's text and its variables' values in one safetensors file. Data only, no code."""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import FileFormatError
from graphflow.io.files import load, save
from graphflow.ir.graph import Graph
from graphflow.ir.text import from_text, mentioned_variables, nested_graphs, to_text

_KIND = "graph"


def save_graph(graph: Graph, path: Any) -> None:
    """Write a graph with the values of its variables (``graph.save``).

    Raises GraphError if an attribute is of a kind that text cannot hold.
    """
    values = [v.value for v in mentioned_variables(nested_graphs(graph))]
    save({"kind": _KIND, "text": to_text(graph), "variables": values}, path)


def load_graph(path: Any) -> Graph:
    """The graph that ``graph.save`` wrote, with variables of its own that hold the saved values.

    Raises FileNotFoundError, or FileFormatError (a ValueError) for a file that is damaged or holds no graph.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "line.safetensors")
    >>> with gf.Graph() as graph:
    ...     y = gf.identity(gf.placeholder((None,), name="x") * gf.Variable(3.0, name="slope"), name="y")
    >>> graph.save(path)
    >>> gf.Session(gf.load_graph(path)).run("y", {"x": [1.0, 2.0]})
    array([3., 6.], dtype=float32)
    """
    state = load(path)
    if not isinstance(state, dict) or state.get("kind") != _KIND:
        raise FileFormatError(f"{path} holds no graph; it was not written by graph.save")
    graph = from_text(state["text"])
    variables = mentioned_variables(nested_graphs(graph))
    if len(variables) != len(state["variables"]):
        raise FileFormatError(f"{path}: {len(variables)} variables, but {len(state['variables'])} values")
    for variable, value in zip(variables, state["variables"]):
        variable.set_initial(value)
        variable.initialize()
    return graph
