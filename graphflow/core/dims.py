"""Symbolic dimensions: integer polynomials over named sizes that are known only when a program runs.

A shape entry is an ``int`` or a ``Dim``. ``Dim`` supports ``+ - * // %`` with ints and Dims and simplifies as it goes,
so ``(n * 28 * 28) // 28`` is ``28*n``. Anything that would need its number (``int(n)``, ``n < 3``, ``range(n)``) raises
SymbolicDimError with the user's line; ``gf.compile`` catches that and specialises on the number instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Union

from graphflow.core.errors import ShapeError, SymbolicDimError, asked_by_user, at_line, user_origin

# An atom is a size's name, or an opaque quotient ("//", dividend Dim, divisor) of an inexact division.
Atom = Union[str, "tuple[str, Dim, Dim]"]
Monomial = tuple[Atom, ...]  # a sorted product of atoms; () is the constant term
Terms = tuple[tuple[Monomial, int], ...]


def _atom_key(atom: Atom) -> str:
    return atom if isinstance(atom, str) else f"({atom[1]}{atom[0]}{atom[2]})"


class Dim:
    """A dimension whose size is known only at run time.

    >>> from graphflow.core.dims import Dim
    >>> n = Dim("batch")
    >>> n * 2 + n, (n * 6) // 3, (n + 1) - n
    (3*batch, 2*batch, 1)
    """

    __slots__ = ("_hash", "_shape", "terms")
    terms: Terms
    _shape: Shape  # of the tensor whose number of elements this is, if it is one

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"Dim needs a name (a non-empty string), got {name!r}")
        self.terms = (((name,), 1),)
        self._hash = hash(self.terms)

    # -- arithmetic -------------------------------------------------------------------------------------------------
    def __add__(self, other: Any) -> Any:
        terms = _terms(other)
        if terms is None:
            return NotImplemented
        out = dict(self.terms)
        for mono, coef in terms:
            out[mono] = out.get(mono, 0) + coef
        return _make(out)

    __radd__ = __add__

    def __neg__(self) -> Any:
        return _make({m: -c for m, c in self.terms})

    def __sub__(self, other: Any) -> Any:
        if _terms(other) is None:
            return NotImplemented
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    def __mul__(self, other: Any) -> Any:
        if type(other) is int:
            return self if other == 1 else self._times(other)
        terms = _terms(other)
        if terms is None:
            return NotImplemented
        out: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in terms:
                mono = tuple(sorted(m1 + m2, key=_atom_key))
                out[mono] = out.get(mono, 0) + c1 * c2
        return _make(out)

    __rmul__ = __mul__

    def copy(self) -> Dim:
        """The same size as an object of its own."""
        return self._times(1)  # type: ignore[no-any-return]

    def _times(self, number: int) -> Any:
        """The most frequent product: its terms keep their order."""
        if number == 0:
            return 0
        out = Dim.__new__(Dim)
        out.terms = tuple([(mono, coef * number) for mono, coef in self.terms])
        out._hash = hash(out.terms)
        return out

    def __floordiv__(self, other: Any) -> Any:
        return _divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _divide(other, self)

    def __mod__(self, other: Any) -> Any:
        return self - (self // other) * other

    # -- identity ---------------------------------------------------------------------------------------------------
    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dim) and self.terms == other.terms:
            return True
        if _assumptions.loud and isinstance(other, (Dim, int)) and asked_by_user():
            raise self._needs_number(f"the comparison with {other}")  # "False" would decide for all later data
        return False

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = []
        for mono, coef in self.terms:
            factors = [_atom_key(a) for a in mono]
            if coef != 1 or not factors:
                factors.insert(0, str(coef))
            parts.append("*".join(factors))
        return "+".join(parts).replace("+-", "-")

    def _needs_number(self, what: str) -> SymbolicDimError:
        return SymbolicDimError(
            at_line(
                f"{what} needs the number behind the symbolic dimension {self}, which is known only at run time; "
                "use operations that accept symbolic shapes (reshape(-1), sum, mean), or make the dimension static "
                "(gf.compile(dynamic=False), or a number in the placeholder's shape)",
                user_origin(),
            )
        )

    def __index__(self) -> int:
        raise self._needs_number("int(), range() or an index")

    __int__ = __index__

    def __bool__(self) -> bool:
        return True  # sizes are positive here; `if x.shape[0]:` reads as it would for a non-empty tensor

    def __float__(self) -> float:
        raise self._needs_number("float()")

    def __lt__(self, other: Any) -> bool:
        raise self._needs_number(f"the comparison with {other}")

    __le__ = __gt__ = __ge__ = __lt__

    def __truediv__(self, other: Any) -> Any:
        if not isinstance(other, (int, float, Dim)):
            return NotImplemented  # a tensor takes it from here
        raise self._needs_number("true division")

    __rtruediv__ = __truediv__

    def __call__(self, dim: int | None = None) -> Any:
        """Of a tensor's ``size``: the shape, or the size of an axis (PyTorch's ``x.size(0)``)."""
        if not hasattr(self, "_shape"):
            raise TypeError("'Dim' object is not callable")
        return self._shape if dim is None else self._shape[dim]

    # -- evaluation -------------------------------------------------------------------------------------------------
    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The number, given a number for each name."""
        total = 0
        for mono, coef in self.terms:
            value = coef
            for atom in mono:
                if isinstance(atom, str):
                    value *= sizes[atom]
                else:
                    value *= evaluate(atom[1], sizes) // evaluate(atom[2], sizes)
            total += value
        return total

    def as_line(self) -> tuple[str, int, int] | None:
        """``(name, factor, offset)`` if it is ``factor * name + offset`` (one number tells the size), else None."""
        (mono, factor), *rest = self.terms
        if len(mono) != 1 or not isinstance(mono[0], str) or len(rest) > 1 or (rest and rest[0][0] != ()):
            return None
        return mono[0], factor, rest[0][1] if rest else 0

    def names(self) -> set[str]:
        """The names of all sizes in it."""
        out: set[str] = set()
        for mono, _ in self.terms:
            for atom in mono:
                if isinstance(atom, str):
                    out.add(atom)
                else:
                    for part in atom[1:]:
                        if isinstance(part, Dim):
                            out |= part.names()
        return out


Size = int | Dim
Shape = tuple[Size, ...]


def _terms(value: Any) -> Terms | None:
    if isinstance(value, Dim):
        return value.terms
    try:
        n = value.__index__()
    except (AttributeError, TypeError):
        return None
    return (((), int(n)),) if n else ()


def _make(terms: dict[Monomial, int]) -> Size:
    kept = tuple([(m, c) for m, c in terms.items() if c])
    if len(kept) > 1:
        kept = tuple(sorted(kept, key=lambda t: (len(t[0]) == 0, str(t[0]))))
    if not kept:
        return 0
    if len(kept) == 1 and kept[0][0] == ():
        return kept[0][1]
    out = Dim.__new__(Dim)
    out.terms = kept
    out._hash = hash(kept)
    return out


def _divide(a: Size, b: Size) -> Size:
    """a // b: exact where every term divides, else an opaque quotient."""
    if isinstance(b, int):
        if b == 0:
            raise ZeroDivisionError("symbolic dimension divided by zero")
        if b == 1:
            return a
        if isinstance(a, Dim):
            whole = _make({m: c // b for m, c in a.terms if c % b == 0})
            rest = _make({m: c for m, c in a.terms if c % b})
            if isinstance(rest, int):
                return whole + rest // b
            quotient = _make({(("//", rest, b),): 1})  # type: ignore[dict-item]
            return whole + quotient
    if a == b:
        return 1
    if a == 0:
        return 0
    if isinstance(a, Dim) and isinstance(b, Dim) and len(b.terms) == 1:
        exact = _cancel(a, *b.terms[0])
        if exact is not None:
            return exact
    return _make({(("//", a, b),): 1})  # type: ignore[dict-item]


def _cancel(a: Dim, mono: Monomial, coef: int) -> Size | None:
    """a divided by one monomial, if every term of a contains it."""
    out: dict[Monomial, int] = {}
    for m, c in a.terms:
        left = list(m)
        for atom in mono:
            if atom not in left:
                return None
            left.remove(atom)
        if c % coef:
            return None
        out[tuple(left)] = c // coef
    return _make(out)


def evaluate(size: Size, sizes: Mapping[str, int]) -> int:
    """A size as a number."""
    return size.evaluate(sizes) if isinstance(size, Dim) else size


def is_static(shape: Iterable[Size]) -> bool:
    return all(type(s) is int or not isinstance(s, Dim) for s in shape)


def product(sizes: Iterable[Size]) -> Size:
    out: Size = 1
    for s in sizes:
        out = out * s
    return out


class _Assumptions(threading.local):
    sink: list[tuple[Size, Size]] | None = None
    loud: bool = False  # whether the user's own code may not compare symbolic sizes (under tracing)


_assumptions = _Assumptions()


class collecting_assumptions:
    """While recording: equalities between symbolic sizes are assumed, noted in ``sink`` and checked when data comes.

    With ``loud`` (under tracing), a comparison in the user's code that only data can decide raises SymbolicDimError.
    """

    __slots__ = ("_loud", "_saved", "_sink")  # a class, not a generator: every node that is added comes through here

    def __init__(self, sink: list[tuple[Size, Size]], *, loud: bool | None = None) -> None:
        self._sink = sink
        self._loud = loud

    def __enter__(self) -> None:
        state = _assumptions
        self._saved = state.sink, state.loud
        state.sink = self._sink
        if self._loud is not None:
            state.loud = self._loud

    def __exit__(self, *exc: object) -> None:
        _assumptions.sink, _assumptions.loud = self._saved


def same_size(a: Size, b: Size) -> bool:
    """Whether two sizes are equal; while recording, sizes that only run time can tell apart are assumed equal."""
    if a == b:
        return True
    if _assumptions.sink is None or not (isinstance(a, Dim) or isinstance(b, Dim)):
        return False
    if (a, b) not in _assumptions.sink:
        _assumptions.sink.append((a, b))
    return True


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy broadcasting over shapes with symbolic sizes: two sizes fit if they are equal or one of them is 1.

    Raises ShapeError naming all the shapes. While recording, different symbolic sizes are assumed equal (same_size).
    """
    rank = max((len(s) for s in shapes), default=0)
    out: list[Size] = [1] * rank
    for shape in shapes:
        offset = rank - len(shape)
        for i, size in enumerate(shape):
            have = out[offset + i]
            if size == have or (not isinstance(size, Dim) and size == 1):
                continue
            if isinstance(have, Dim) or have != 1:
                if same_size(have, size):
                    out[offset + i] = have if not isinstance(have, Dim) else size if not isinstance(size, Dim) else have
                    continue
                listed = " and ".join(shape_str(s) for s in shapes)
                raise ShapeError(
                    f"shapes {listed} do not broadcast: sizes {have} and {size} on axis {offset + i - rank} "
                    "differ and neither is 1"
                )
            out[offset + i] = size
    return tuple(out)


def shape_str(shape: Shape) -> str:
    inner = ", ".join(str(s) for s in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def normalize_axis(axis: int, rank: int, what: str = "axis") -> int:
    """A non-negative axis; raises AxisError if it is out of range."""
    from graphflow.core.errors import AxisError

    index = int(axis)
    if not -rank <= index < rank:
        raise AxisError(f"{what} {index} is out of range for a tensor of rank {rank} (allowed: {-rank} to {rank - 1})")
    return index + rank if index < 0 else index


def normalize_axes(axis: int | Iterable[int] | None, rank: int) -> tuple[int, ...]:
    """Sorted non-negative axes; None means all. Raises AxisError for a repeated axis or one out of range."""
    from graphflow.core.errors import AxisError

    if axis is None:
        return tuple(range(rank))
    if isinstance(axis, int) or hasattr(axis, "__index__"):
        axis = (axis,)  # type: ignore[assignment]
    axes = tuple(normalize_axis(a, rank) for a in axis)  # type: ignore[union-attr]
    if len(set(axes)) != len(axes):
        raise AxisError(f"axis {axes} names an axis twice")
    return tuple(sorted(axes))


def bind_sizes(shape: Shape, actual: tuple[int, ...], sizes: dict[str, int]) -> bool:
    """Match a symbolic shape with numbers, noting new sizes by name. False if the shapes do not fit."""
    if len(shape) != len(actual):
        return False
    for size, number in zip(shape, actual, strict=True):
        if not isinstance(size, Dim):
            if size != number:
                return False
        elif (line := size.as_line()) is not None:
            name, factor, offset = line
            value, rest = divmod(number - offset, factor)
            if rest or value < 0 or sizes.setdefault(name, value) != value:
                return False
        elif size.names() <= sizes.keys() and size.evaluate(sizes) != number:
            return False
    return True


def concrete(value: Any, sizes: Mapping[str, int]) -> Any:
    """An op attribute with its symbolic sizes, also inside tuples, as numbers."""
    if isinstance(value, Dim):
        return value.evaluate(sizes)
    if type(value) is tuple:
        return tuple(concrete(v, sizes) for v in value)
    return value
