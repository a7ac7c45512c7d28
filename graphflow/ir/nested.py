"""Cutting a graph out of another: the bodies of loops are taken apart and put together again this way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.core.op import get_op
from graphflow.ir.graph import Graph, Node, copy_node


def cut_out(
    source: Graph, inputs: Sequence[Node], outputs: Sequence[Node], constants: Mapping[Node, Any] | None = None
) -> Graph:
    """A graph that computes ``outputs`` from ``inputs``, any nodes of ``source``, in this order.

    ``constants`` gives the values of nodes that are constants in there.
    """
    out = Graph(source.name)
    out.assumptions = list(source.assumptions)
    mapping: dict[Node, Node] = {}
    for node in inputs:
        attrs = {"shape": node.aval.shape, "dtype": node.aval.dtype}
        mapping[node] = out.add(get_op("placeholder"), (), attrs, name=node.name, origin=node.origin)
    for node, value in (constants or {}).items():
        mapping[node] = out.add(get_op("constant"), (), {"value": value}, origin=node.origin)
    needed: set[Node] = set()
    stack = [n for n in outputs if n not in mapping]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack.extend(i for i in (*node.inputs, *node.control) if i not in mapping)
    for node in source.nodes:
        if node in needed:
            mapping[node] = copy_node(out, node, tuple(mapping[i] for i in node.inputs), mapping)
    out.outputs = [mapping[n] for n in outputs]
    return out
