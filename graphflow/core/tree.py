"""Nested lists, tuples, named tuples, dicts and dataclasses as one flat list and the shape of the nesting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

Rebuild = Callable[["list[Any]"], Any]


class Tree:
    """How a value nests: its container type, keys and children; a leaf has ``kind`` None."""

    __slots__ = ("children", "keys", "kind")

    def __init__(self, kind: Any, keys: Any = (), children: tuple[Tree, ...] = ()) -> None:
        self.kind = kind
        self.keys = keys
        self.children = children

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Tree)
            and (self.kind is other.kind or (is_dataclass(self.kind) and type(self.kind) is type(other.kind)))
            and self.keys == other.keys
            and self.children == other.children
        )

    def __hash__(self) -> int:
        return hash((str(self.kind), self.keys, self.children))

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        name = getattr(self.kind, "__name__", type(self.kind).__name__)
        return f"{name}({', '.join(map(repr, self.children))})"


LEAF = Tree(None)


def flatten(value: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Tree]:
    """The leaves in order (dicts in key insertion order) and the nesting.

    >>> from graphflow.core.tree import flatten, unflatten
    >>> leaves, tree = flatten({"a": 1, "b": (2, [3])})
    >>> leaves, unflatten(tree, [10, 20, 30])
    ([1, 2, 3], {'a': 10, 'b': (20, [30])})
    """
    leaves: list[Any] = []
    return leaves, _walk(value, leaves, is_leaf)


# Functions of their own: nested ones that call themselves keep the leaves alive until the next garbage collection.
def _walk(v: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> Tree:
    """The nesting of a value, its leaves being added; it is as deep as the user's data, so recursion is fine here."""
    if is_leaf is not None and is_leaf(v):
        leaves.append(v)
        return LEAF
    if isinstance(v, dict):
        return Tree(type(v), tuple(v), tuple([_walk(c, leaves, is_leaf) for c in v.values()]))
    if isinstance(v, (list, tuple)):
        return Tree(type(v), len(v), tuple([_walk(c, leaves, is_leaf) for c in v]))
    if is_dataclass(v) and not isinstance(v, type):
        names = tuple(f.name for f in fields(v) if f.init)
        return Tree(v, names, tuple([_walk(getattr(v, n), leaves, is_leaf) for n in names]))
    leaves.append(v)
    return LEAF


def unflatten(tree: Tree, leaves: Sequence[Any]) -> Any:
    """The nesting filled with other leaves."""
    return _build(tree, iter(leaves))


def _build(t: Tree, supply: Iterator[Any]) -> Any:
    if t.kind is None:
        return next(supply)
    children = [_build(c, supply) for c in t.children]
    if not isinstance(t.kind, type):
        return replace(t.kind, **dict(zip(t.keys, children, strict=True)))
    if issubclass(t.kind, dict):
        made = dict(zip(t.keys, children, strict=True))
        return made if t.kind is dict else t.kind(made)
    if hasattr(t.kind, "_fields"):
        return t.kind(*children)
    made_of: Any = t.kind  # list, tuple or a subclass
    return made_of(children)
