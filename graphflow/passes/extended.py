"""Scans that were extended: gradients run a scan again with further results; one scan does for all of them."""

from __future__ import annotations

from typing import Any

from graphflow.ir.graph import Graph, Node, has_effect
from graphflow.ir.nested import cut_out
from graphflow.passes.edit import Edit


def merge(graph: Graph) -> bool:
    """Scans that extend one another, or the same scan, become one with all their results.

    This must come before their bodies are optimised: the bodies are copies of one, with the same names.
    """
    families = {k: members for k, members in _families(graph).items() if len(members) > 1}
    if not families:
        return False
    family_of = {n: family for family in families.items() for n in family[1]}
    made: dict[Any, Node] = {}
    edit = Edit(graph)
    originals = iter(graph.nodes)
    for node in edit.walk():
        old = next(originals)
        if old in family_of:
            key, members = family_of[old]
            if key not in made:
                made[key] = _union(edit, node, key[1], members)
            edit.replace(made[key])
        elif old.op.name == "tuple_get" and old.inputs[0] in family_of:
            (key, _), member = family_of[old.inputs[0]], old.inputs[0]
            index = _place(old.attrs["index"], member, made[key], len(key[1].outputs))
            part = edit.clone(node, (made[key],))
            part.attrs = {"index": index}
            edit.nodes.append(part)
            edit.replace(part)
    return edit.commit()


def _families(graph: Graph) -> dict[Any, list[Node]]:
    """The scans over the same operands whose bodies are made from one body, by operands and that body."""
    scans = [n for n in graph.nodes if n.op.name == "scan"]
    made_from = {n.attrs["body"]: n.attrs["extends"] for n in scans if n.attrs.get("extends") is not None}
    found: dict[Any, list[Node]] = {}
    for node in scans:
        body = node.attrs["body"]
        while body in made_from:
            body = made_from[body]
        if not has_effect(node):  # prints and checks stay with the scan that they are in
            found.setdefault((node.inputs, body), []).append(node)
    return found


def _union(edit: Edit, node: Node, body: Graph, members: list[Node]) -> Node:
    """A scan with the results of several."""
    outputs, avals = list(body.outputs), list(node.aval[: len(body.outputs)])
    for member in members:
        for n, aval in list(zip(member.attrs["body"].outputs, member.aval))[len(body.outputs) :]:
            own = body.find(n.name)
            if own not in outputs[node.attrs["carries"] :]:
                outputs.append(own)
                avals.append(aval)
    made = edit.clone(node, node.inputs)
    made.attrs = {k: v for k, v in node.attrs.items() if k != "extends"}
    made.attrs["body"] = cut_out(body, body.inputs, outputs)
    made.aval = tuple(avals)
    edit.nodes.append(made)
    return made


def _place(index: int, member: Node, union: Node, own: int) -> int:
    """Where a result of one of the scans is found; the first ``own`` results stand first in all of them."""
    if index < own:
        return index
    name, first = member.attrs["body"].outputs[index].name, union.attrs["carries"]
    names = [n.name for n in union.attrs["body"].outputs]
    return names.index(name, first)
