"""The pattern language of the rewrite rules.

::

    add(x, y)            a node of op ``add``; operands of commutative ops match in either order
    x                    any node; the same name again means the same node
    C, D                 names in capitals match constants that have one value in all places
    1, -0.0              that constant. The sign of a floating-point zero counts; integers have no signed zero
    s:sum(x)             a node of op ``sum``, remembered as ``s``

A replacement is written in the same language (``log1p(x)``), or is a Python function of the Match.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from graphflow.core.op import OPS
from graphflow.ir.graph import Node

Bound = dict[str, Node]
Matcher = Callable[[Node, Bound], bool]
_TOKENS = re.compile(r"\s*([A-Za-z_]\w*|-?[\d.]+|[(),:])")


class Call:
    """An op applied to patterns."""

    __slots__ = ("args", "name", "op")

    def __init__(self, op: str, args: tuple[Any, ...], name: str | None) -> None:
        self.op = op
        self.args = args
        self.name = name


def parse(text: str) -> Any:
    """A pattern as a tree: Call, str for a name, int or float for a number. Raises ValueError if it cannot be read."""
    tokens = _TOKENS.findall(text)
    try:
        tree, rest = _parse(tokens)
    except IndexError:
        raise ValueError(f"the pattern {text!r} ends too early") from None
    if rest or "".join(tokens) != text.replace(" ", ""):
        raise ValueError(f"the pattern {text!r} cannot be read")
    return tree


def _parse(tokens: list[str]) -> tuple[Any, list[str]]:
    """The tree at the beginning of the tokens, and the tokens behind it."""
    first, rest = tokens[0], tokens[1:]
    if re.match(r"-?[\d.]", first):
        return (float(first) if "." in first else int(first)), rest
    name = None
    if rest[:1] == [":"]:
        name, first, rest = first, rest[1], rest[2:]
    if rest[:1] != ["("]:
        return first, rest
    args = []
    while rest[0] in ("(", ","):
        arg, rest = _parse(rest[1:])
        args.append(arg)
    if rest[0] != ")":
        raise IndexError
    return Call(first, tuple(args), name), rest[1:]


def matcher(tree: Any) -> Matcher:
    """A function that says whether a node matches, and notes in a dict what the names stand for."""
    if isinstance(tree, str):
        return _match_constant(tree) if tree.isupper() else _match_name(tree)
    if isinstance(tree, (int, float)):
        return _match_number(tree)
    return _match_call(tree)


def _match_name(name: str) -> Matcher:
    def match(node: Node, bound: Bound) -> bool:
        return bound.setdefault(name, node) is node

    return match


def _match_constant(name: str) -> Matcher:
    def match(node: Node, bound: Bound) -> bool:
        return scalar_of(node) is not None and bound.setdefault(name, node) is node

    return match


def _match_number(number: float) -> Matcher:
    sign = math.copysign(1.0, number)

    def match(node: Node, bound: Bound) -> bool:
        value = scalar_of(node)
        if value is None or value != number:
            return False
        return number != 0 or not node.aval.dtype.is_float or math.copysign(1.0, value) == sign

    return match


def _match_call(call: Call) -> Matcher:
    op, name = call.op, call.name
    args = [matcher(a) for a in call.args]
    if len(args) == 1:
        (only,) = args

        def match(node: Node, bound: Bound) -> bool:
            if node.op.name != op or len(node.inputs) != 1 or not only(node.inputs[0], bound):
                return False
            return name is None or bound.setdefault(name, node) is node

    elif len(args) == 2:
        first, second = args

        def match(node: Node, bound: Bound) -> bool:
            if node.op.name != op:
                return False
            x, y = node.inputs
            saved = dict(bound)
            if not (first(x, bound) and second(y, bound)):
                if not node.op.commutative:
                    return False
                bound.clear()
                bound.update(saved)
                if not (first(y, bound) and second(x, bound)):
                    return False
            return name is None or bound.setdefault(name, node) is node

    else:

        def match(node: Node, bound: Bound) -> bool:
            if node.op.name != op or len(node.inputs) != len(args):
                return False
            if not all(m(i, bound) for m, i in zip(args, node.inputs)):
                return False
            return name is None or bound.setdefault(name, node) is node

    return match


def scalar_of(node: Node) -> Any:
    """The number that a node has in all places (a constant of one element, maybe broadcast), else None."""
    if node.op.name == "broadcast_to":
        node = node.inputs[0]
    if node.op.name != "constant":
        return None
    value = node.attrs["value"]
    return value.reshape(())[()] if value.size == 1 else None


def check_ops(tree: Any, text: str) -> None:
    """Raise ValueError if a pattern names an op that does not exist (a typing error would never match)."""
    if isinstance(tree, Call):
        if tree.op not in OPS:
            raise ValueError(f"the pattern {text!r} names {tree.op!r}, which is no op")
        for arg in tree.args:
            check_ops(arg, text)
