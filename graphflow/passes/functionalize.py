"""Functionalisation: variables' reads and assignments in program order become plain values and a list of updates.

The first step of every run: from the fetches it takes what they need, follows each variable's value through the
assignments among it, and gives a pure graph (``outputs``, ``updates``) that the other passes may rewrite freely.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from graphflow.ir.graph import Graph, Node, copy_node, has_effect
from graphflow.ir.interpreter import needed_nodes
from graphflow.ops import special
from graphflow.ops.custom import GIVES_FIRST


def functionalize(
    fetches: Sequence[Node], feeds: Collection[Node] = (), effects: Sequence[Node] = ()
) -> tuple[Graph, list[Node]]:
    """A pure graph for ``fetches`` and ``effects`` in which ``feeds`` are placeholders.

    Gives the graph and its placeholders in the order of ``feeds`` (those that are not needed included). Its ``outputs``
    are the fetches that have a value, in order (``effects`` are only done); ``updates`` the variables' new values.
    Ordered effects that remain (prints, checks) keep their order by control dependencies. A graph that is pure already
    keeps its updates if one of its outputs is fetched.
    """
    source = next((n.graph for n in (*fetches, *effects)), None)
    out = Graph(source.name if source is not None else "graph")
    out.assumptions = list(source.assumptions) if source is not None else []
    feed_set = set(feeds)
    mapping: dict[Node, Node] = {}
    for node in feeds:
        attrs = {"shape": node.aval.shape, "dtype": node.aval.dtype}
        mapping[node] = out.add(special.PLACEHOLDER, (), attrs, name=node.name, origin=node.origin)
    state: dict[Any, Node] = {}
    reads: dict[Any, Node] = {}
    last_effect: Node | None = None

    def read(node: Node) -> Node:
        variable = node.attrs["variable"]
        if variable not in reads:
            attrs = {"variable": variable, "when": "start"}
            reads[variable] = out.add(special.VARIABLE_READ, (), attrs, name=node.name, origin=node.origin)
        return reads[variable]

    kept = source.updates if source is not None and not set(fetches).isdisjoint(source.outputs) else []
    roots = [*fetches, *effects, *(n for _, n in kept)]
    for node in needed_nodes(roots, dict.fromkeys(feed_set)):
        if node in feed_set:
            continue
        name = node.op.name
        if name == "variable_read":
            current = state.get(node.attrs["variable"]) if node.attrs["when"] == "now" else None
            mapping[node] = current if current is not None else read(node)
        elif name == "variable_assign":
            mapping[node] = state[node.attrs["variable"]] = mapping[node.inputs[0]]
        elif name == "initialize":
            for variable in node.graph.variables():
                if variable.resettable:
                    attrs = {"value": variable.initial_value()}
                    state[variable] = out.add(special.CONSTANT, (), attrs, origin=node.origin)
        elif name == "identity" or name in GIVES_FIRST:
            mapping[node] = mapping[node.inputs[0]]
        elif name != "group":
            inputs = tuple(mapping[i] for i in node.inputs)
            if has_effect(node):
                control = (last_effect,) if last_effect is not None else ()
                last_effect = mapping[node] = out.add(
                    node.op, inputs, node.attrs, name=node.name, origin=node.origin, control=control, stop=node.stop
                )
            else:
                mapping[node] = copy_node(out, node, inputs, {})
    state.update((v, mapping[n]) for v, n in kept)
    out.outputs = [mapping[f] for f in fetches if f.aval is not None]
    out.updates = [(v, n) for v, n in state.items() if n is not reads.get(v)]
    return out, [mapping[f] for f in feeds]
