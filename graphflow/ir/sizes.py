"""Which symbolic sizes are equal, by the equalities that a graph assumes (``graph.assumptions``)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Size


class EqualSizes:
    """Classes of sizes that assumptions make equal.

    ``names`` says what to write for a name that equals another name or a number: the number if there is one, else the
    name that was mentioned first; for one that equals a multiple of another, that.

    >>> from graphflow.core.dims import Dim
    >>> n, m, k = Dim("n"), Dim("m"), Dim("k")
    >>> sizes = EqualSizes([(3 * n, 3 * m), (k, 4), (6 * n, 3 * k + 2)])
    >>> sizes.names, sizes.same(2 * m, 2 * n), sizes.same(3 * m, 7), sizes.same(n, k)
    ({'m': n, 'k': 4}, True, True, False)
    """

    def __init__(self, assumptions: Iterable[tuple[Size, Size]]) -> None:
        pairs = [_without_factor(a, b) for a, b in assumptions]
        self._parent: dict[Size, Size] = {}
        self._mentioned: dict[Size, int] = {}  # in which order
        for a, b in pairs:
            if _is_plain(a) and _is_plain(b):
                self._join(a, b)
        self.names: dict[str, Size] = {}
        for size in list(self._parent):
            if isinstance(size, Dim) and self._find(size) != size:
                self.names[str(size.terms[0][0][0])] = self._find(size)
        for a, b in pairs:
            self._name(*_without_factor(substitute(a, self.names), substitute(b, self.names)))
        for a, b in pairs:
            self._join(*_without_factor(substitute(a, self.names), substitute(b, self.names)))

    def _name(self, a: Size, b: Size) -> None:
        """Write a multiple of a name, 64n, for another name that equals it: each binds n when there is data."""
        for single, line in ((a, b), (b, a)):
            if not isinstance(single, Dim) or not isinstance(line, Dim) or not _is_plain(single) or _is_plain(line):
                continue
            (name,) = single.names()
            if line.as_line() is not None and name not in line.names():
                self.names = {k: substitute(v, {name: line}) for k, v in self.names.items()} | {name: line}
                return

    def same(self, a: Size, b: Size) -> bool:
        """Whether the assumptions make the two sizes equal."""
        if a == b:
            return True
        a, b = _without_factor(substitute(a, self.names), substitute(b, self.names))
        return self._find(a) == self._find(b)

    def same_shape(self, a: AVal, b: AVal) -> bool:
        return len(a.shape) == len(b.shape) and all(self.same(s, t) for s, t in zip(a.shape, b.shape))

    def _find(self, size: Size) -> Size:
        while (above := self._parent.get(size, size)) != size:
            size = above
        return size

    def _join(self, a: Size, b: Size) -> None:
        first, second = (self._find(s) for s in (a, b))
        if first == second:
            return
        for size in (first, second):
            self._mentioned.setdefault(size, len(self._mentioned))
            self._parent.setdefault(size, size)
        first, second = sorted((first, second), key=lambda s: (isinstance(s, Dim), self._mentioned[s]))
        self._parent[second] = first


def _without_factor(a: Size, b: Size) -> tuple[Size, Size]:
    """6n = 3m + 3 as 2n = m + 1."""
    factors = [f for size in (a, b) if isinstance(size, Dim) for _, f in size.terms]
    common = math.gcd(*factors, *(s for s in (a, b) if not isinstance(s, Dim)))
    return (a // common, b // common) if common > 1 else (a, b)


def _is_plain(size: Size) -> bool:
    """Whether it is a number or a single name."""
    if not isinstance(size, Dim):
        return True
    return (
        len(size.terms) == 1
        and size.terms[0][1] == 1
        and len(size.terms[0][0]) == 1
        and isinstance(size.terms[0][0][0], str)
    )


def substitute(value: Any, names: Mapping[str, Size]) -> Any:
    """A size, a shape, an abstract value or a tuple of them with other sizes in place of names."""
    kind = type(value)
    if kind is tuple:
        for v in value:
            if type(v) is not int:
                new = tuple([substitute(v, names) for v in value])
                return value if new == value else new
        return value
    if kind is AVal:
        shape = substitute(value.shape, names)
        return value if shape is value.shape else AVal(shape, value.dtype)
    return _substitute_dim(value, names) if kind is Dim else value


def _substitute_dim(size: Dim, names: Mapping[str, Size]) -> Size:
    if names.keys().isdisjoint(size.names()):
        return size
    total: Size = 0
    for atoms, factor in size.terms:
        term: Size = factor
        for atom in atoms:
            if isinstance(atom, str):
                term = term * names.get(atom, Dim(atom))
            else:
                term = term * (substitute(atom[1], names) // substitute(atom[2], names))
        total = total + term
    return total
