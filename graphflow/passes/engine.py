"""The engine: applies tables of rewrite rules to a graph until none fits any more.

A rule is ``(pattern, replacement)``; see passes/pattern.py for the language::

    RULES = Rules(
        ("negative(negative(x))", "x"),
        ("pow(x, C)", lambda m: m.make("square", m.x) if m.number("C") == 2 else None),
    )

Tables are added with ``+``. The engine goes over the nodes in program order, so a node's operands are rewritten before
it is, and repeats that until nothing changes. A replacement of another dtype, or of a shape that does not broadcast to
the node's, is rejected: rules need not say for which dtypes and shapes they hold where the result tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import collecting_assumptions
from graphflow.core.errors import AxisError, DTypeError, ShapeError
from graphflow.ir.graph import Graph, Node
from graphflow.passes.edit import Edit
from graphflow.passes.pattern import Bound, Call, Matcher, check_ops, matcher, parse, scalar_of

MAX_SWEEPS = 20  # over the graph; rules that undo each other stop here
MAX_REWRITES = 20  # of one node in a sweep

Builder = Callable[["Match"], "Node | None"]
Replacement = str | Builder
Prepared = tuple[frozenset[str], Matcher, Builder]  # what the operands' ops must include, the match, the replacement


class Match:
    """What a pattern matched: ``m.x`` is the node named ``x``, ``m.root`` the node to replace."""

    __slots__ = ("_bound", "_edit", "root")

    def __init__(self, bound: Bound, edit: Edit, root: Node) -> None:
        self._bound = bound
        self._edit = edit
        self.root = root

    def __getattr__(self, name: str) -> Node:
        return self._bound[name]

    def number(self, name: str) -> Any:
        """The value of a constant in the pattern, a NumPy number of the constant's dtype."""
        return scalar_of(self._bound[name])

    def make(self, op: str, *inputs: Any, **attrs: Any) -> Node:
        """A new node; numbers among the operands become constants."""
        return self._edit.make(op, inputs, attrs, self.root)

    def build(self, tree: Any) -> Any:
        """The nodes for a replacement written as a pattern."""
        if isinstance(tree, Call):
            return self._edit.make(tree.op, tuple(self.build(a) for a in tree.args), {}, self.root)
        return self._bound[tree] if isinstance(tree, str) else tree


class Rules:
    """A table of rules, by the op of the node that they replace."""

    def __init__(self, *rules: tuple[str, Replacement]) -> None:
        self.rules = rules
        self._table: dict[str, list[Prepared]] | None = None

    def __add__(self, other: Rules) -> Rules:
        return Rules(*self.rules, *other.rules)

    @property
    def table(self) -> dict[str, list[Prepared]]:
        """The rules with their patterns ready to match; made when first used."""
        if self._table is None:
            table: dict[str, list[Prepared]] = {}
            for pattern, replacement in self.rules:
                tree = parse(pattern)
                check_ops(tree, pattern)
                if isinstance(replacement, str):
                    check_ops(parse(replacement), replacement)
                table.setdefault(tree.op, []).append((_needs(tree), matcher(tree), builder(replacement)))
            self._table = table  # complete: other threads may be compiling, too
        return self._table

    def apply(self, graph: Graph, seen: set[Node] | None = None) -> bool:
        """Rewrite the graph; gives whether anything changed.

        Nodes in ``seen`` were found to match no rule before, and are not tried again.
        """
        seen = set() if seen is None else seen
        changed = False
        for _ in range(MAX_SWEEPS):
            edit = self._sweep(graph, seen)
            if not edit.commit():
                break
            changed = True
            if not any(n not in seen and n.op.name in self.table for n in edit.made):
                break  # the nodes that the rewrites made match no rule either
        return changed

    def _sweep(self, graph: Graph, seen: set[Node]) -> Edit:
        table, edit = self.table, Edit(graph)
        with collecting_assumptions(edit.assumed):  # sizes that the graph assumes to be equal pass for equal
            for node in edit.walk():
                rules = table.get(node.op.name)
                if rules is None or node in seen:
                    continue
                new = self._rewrite(edit, node)
                seen.add(new)
                if new is not node:
                    edit.replace(new)
        return edit

    def _rewrite(self, edit: Edit, node: Node) -> Node:
        """What a node comes to when no rule fits it any more."""
        mark = len(edit.made)
        for _ in range(MAX_REWRITES):
            new = self._once(edit, node)
            if new is None:
                break
            node = new
        if len(edit.made) > mark + 1:
            edit.prune(mark, node)
        return node

    def _once(self, edit: Edit, node: Node) -> Node | None:
        """The node after one rule, or None if none fits."""
        operands = _operand_ops(node)
        for needs, match, build in self.table.get(node.op.name, ()):
            bound: Bound = {}
            if not (needs <= operands and match(node, bound)):
                continue
            mark = len(edit.made)
            new = _replacement(edit, build, Match(bound, edit, node))
            if new is not None:
                if new in edit.made[mark:]:
                    edit.inherit_name(new, node)
                return new
            edit.undo(mark)
        return None


def _replacement(edit: Edit, build: Builder, match: Match) -> Node | None:
    """What a rule makes of a match, broadcast to the node's shape; None if it cannot stand for the node."""
    try:
        new = build(match)
    except (ShapeError, DTypeError, AxisError):
        return None  # the ops of the replacement do not take these operands
    if new is None or new is match.root:
        return None
    new = edit.fit(new, match.root)
    return new if edit.assumptions_hold() else None


def _operand_ops(node: Node) -> set[str]:
    """The ops of a node's operands; "constant" among them if one may be a constant."""
    names = {i.op.name for i in node.inputs}
    if "broadcast_to" in names:
        names.add("constant")
    return names


def _needs(tree: Call) -> frozenset[str]:
    """What ``_operand_ops`` of a node must hold for a pattern to match: a quick test before matching."""
    needs = {a.op for a in tree.args if isinstance(a, Call)}
    if any(isinstance(a, (int, float)) or (isinstance(a, str) and a.isupper()) for a in tree.args):
        needs.add("constant")
    return frozenset(needs)


def builder(replacement: Replacement) -> Builder:
    """A replacement as a function of the match."""
    if not isinstance(replacement, str):
        return replacement
    tree = parse(replacement)
    return lambda m: m.build(tree)
