"""``x[...]`` and ``x.at[...]``: NumPy's indexing, made of slices, reshapes and ``take``; updates give new tensors.

A key is read into a ``Plan``: a slice of x, a reshape (which drops axes indexed by a number and adds new ones), then
the axes from which index tensors pick. Reading walks the plan forwards, updating walks it back.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from graphflow.core.dims import Dim, Shape, Size, product, shape_str
from graphflow.core.dtypes import bool_, make_iinfo
from graphflow.core.errors import DTypeError, IndexingError, at_line, user_origin
from graphflow.ops.creation import literal
from graphflow.ops.define import cast
from graphflow.ops.elementwise import add, maximum, minimum, multiply, where
from graphflow.ops.movement import broadcast_to, permute_dims, reshape, strided, unslice
from graphflow.ops.picking import as_index, linear_index, pick, scatter_into
from graphflow.tensor import Operators, Tensor, as_tensor


class Plan(NamedTuple):
    """How a key reads a tensor."""

    starts: Shape  # the slice of every axis of x
    sizes: Shape
    steps: tuple[int, ...]
    shape: Shape  # of the slice, after numbers dropped their axes and None added some
    arrays: tuple[Tensor, ...]  # index tensors,
    axes: tuple[int, ...]  # the axes of ``shape`` they pick from,
    at: int  # and where their axes stand in the result

    @property
    def is_slice(self) -> bool:
        return not self.arrays


def _fail(message: str) -> IndexingError:
    return IndexingError(at_line(message, user_origin()))


# -- reading a key -----------------------------------------------------------------------------------------------------
def _item(item: Any) -> Any:
    """One entry of a key as an int, a Dim, a slice, None, Ellipsis, a bool, or an index or mask tensor."""
    if item is None or item is Ellipsis or isinstance(item, (slice, bool, int, Dim)):
        return item
    if isinstance(item, Operators) or hasattr(item, "__array__") or isinstance(item, (list, tuple, range)):
        tensor = as_tensor(list(item) if isinstance(item, range) else item)
        if tensor.size == 0 and isinstance(item, (list, tuple)):
            tensor = as_index(np.zeros(tensor.shape, np.int64))
        if not tensor.dtype.is_int and tensor.dtype is not bool_:
            raise _fail(f"index tensors are integers or bool, got {tensor.dtype}")
        return _number(tensor) if tensor.ndim == 0 and tensor._node is None else tensor
    try:
        return operator.index(item)
    except TypeError:
        kinds = "numbers, slices, None, ..., integer tensors and bool masks"
        raise _fail(f"tensors are indexed by {kinds}, not by {type(item).__name__}") from None


def _number(tensor: Tensor) -> int | bool:
    value = tensor.item()
    return bool(value) if tensor.dtype is bool_ else int(value)


def _width(item: Any) -> int:
    """How many axes of x an item indexes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if isinstance(item, Tensor) and item.dtype is bool_ else 1


def _items(key: Any, rank: int, shape: Shape) -> list[Any]:
    items = [_item(k) for k in (key if type(key) is tuple else (key,))]
    width = sum(map(_width, items))
    if width > rank:
        raise _fail(f"{width} indices for a tensor of rank {rank} (shape {shape_str(shape)})")
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise _fail("an index has one '...' at most")
    where_ = dots[0] if dots else len(items)
    fill = [slice(None)] * (rank - width)
    return [*items[:where_], *([Ellipsis] if dots else []), *fill, *items[where_ + 1 :]]


class _Reader:
    """Collects a Plan from the items of a key, left to right."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.starts: list[Size] = []
        self.sizes: list[Size] = []
        self.steps: list[int] = []
        self.shape: list[Size] = []
        self.arrays: list[Tensor] = []
        self.axes: list[int] = []
        self.runs: list[tuple[int, bool]] = []  # (axes of the result before it, whether it is a number or tensor)

    def cut(self, start: Size, size: Size, step: int = 1) -> None:
        self.starts.append(start)
        self.sizes.append(size)
        self.steps.append(step)

    def pick_from(self, size: Size, index: Tensor) -> None:
        self.axes.append(len(self.shape))
        self.shape.append(size)
        self.arrays.append(index)

    def read(self, item: Any) -> None:
        before = len(self.shape) - len(self.axes)
        picks = not (item is Ellipsis or item is None or isinstance(item, slice))
        self.runs.append((before, picks))
        if item is None:
            self.shape.append(1)
        elif isinstance(item, bool):  # a mask of rank 0: a new axis, kept or emptied
            self.pick_from(1, as_index(np.zeros(int(item), np.int64)))
        elif item is not Ellipsis:
            axis = len(self.starts)
            size = self.x.shape[axis]
            if isinstance(item, slice):
                start, count, step = _slice(item, size)
                self.cut(start, count, step)
                self.shape.append(count)
            elif isinstance(item, Tensor) and item.dtype is bool_:
                self._mask(item, axis)
            elif isinstance(item, Tensor):
                self.cut(0, size)
                self.pick_from(size, as_index(item))
            else:
                self.cut(_place(item, size, axis), 1)

    def _mask(self, mask: Tensor, axis: int) -> None:
        sizes = self.x.shape[axis : axis + mask.ndim]
        if not all(m in (n, 0) for m, n in zip(mask.shape, sizes)):  # the Array API lets a mask be empty
            raise _fail(f"a mask of shape {shape_str(mask.shape)} cannot index axes of shape {shape_str(sizes)}")
        data = mask._concrete(
            "indexing with a bool mask, whose result's size depends on its numbers,",
            "gf.where(mask, x, 0), or x.at[mask].set(value)",
        )
        for size, places in zip(sizes, np.nonzero(data)):
            self.cut(0, size)
            self.pick_from(size, Tensor(places))

    def plan(self) -> Plan:
        picking = [i for i, (_, picks) in enumerate(self.runs) if picks]
        together = bool(picking) and picking[-1] - picking[0] == len(picking) - 1
        at = self.runs[picking[0]][0] if together else 0
        cut = (tuple(self.starts), tuple(self.sizes), tuple(self.steps))
        return Plan(*cut, tuple(self.shape), tuple(self.arrays), tuple(self.axes), at)


def _place(index: Size, size: Size, axis: int) -> Size:
    """A number as an index, counted from the start."""
    if isinstance(index, Dim) or isinstance(size, Dim):
        return size + index if not isinstance(index, Dim) and index < 0 else index
    if not -size <= index < size:
        raise _fail(f"index {index} is out of range for axis {axis} of size {size}")
    return index + size if index < 0 else index


def _slice(cut: slice, size: Size) -> tuple[Size, Size, int]:
    """The (start, count, step) of a slice."""
    bounds = [b if b is None or isinstance(b, Dim) else operator.index(b) for b in (cut.start, cut.stop)]
    step = 1 if cut.step is None else operator.index(cut.step)
    if step == 0:
        raise _fail("the step of a slice cannot be 0")
    if not isinstance(size, Dim) and not any(isinstance(b, Dim) for b in bounds):
        found = range(*slice(bounds[0], bounds[1], step).indices(size))
        return (found.start if found else 0), len(found), step
    return _symbolic_slice(bounds[0], bounds[1], step, size)


def _symbolic_slice(first: Size | None, last: Size | None, step: int, size: Size) -> tuple[Size, Size, int]:
    """A slice where sizes are symbolic: bounds are taken to lie inside the axis, which is checked when data comes.

    A bound like 5 in ``x[:5]``, of which nobody can say whether it lies inside, needs the number: SymbolicDimError.
    """

    def bound(value: Size | None, default: Size, inside: int) -> Size:
        if value is None:
            return default
        if isinstance(value, Dim):
            return value
        if value < 0:
            return size + value
        if isinstance(size, Dim) and value > inside:
            operator.index(size)  # raises
        return value

    if step > 0:
        start = first if isinstance(first, int) and first >= 0 else bound(first, 0, 0)
        length = bound(last, size, 1) - start
    else:
        start = bound(first, size - 1, 0)
        length = start - bound(last, -1, 0)
    count = (length + abs(step) - 1) // abs(step)
    return start, (count if isinstance(count, Dim) else max(0, count)), step


def plan(x: Tensor, key: Any) -> Plan:
    """How ``key`` reads x. Raises IndexingError for a key that does not fit, TraceError for a symbolic mask."""
    reader = _Reader(x)
    for item in _items(key, x.ndim, x.shape):
        reader.read(item)
    return reader.plan()


# -- reading -----------------------------------------------------------------------------------------------------------
def _gathered(x: Tensor, how: Plan) -> tuple[Tensor, tuple[int, ...], Tensor]:
    """The slice of x with the picked axes made one (``how.at``), the order of axes before that, and the index."""
    x = reshape(strided(x, how.starts, how.sizes, how.steps), how.shape)
    rest = [a for a in range(len(how.shape)) if a not in how.axes]
    order = (*rest[: how.at], *how.axes, *rest[how.at :])
    index = how.arrays[0]
    if len(how.axes) > 1:
        index = linear_index(list(how.arrays), tuple(how.shape[a] for a in how.axes), x)
        x = permute_dims(x, order)
        count = product(how.shape[a] for a in how.axes)
        x = reshape(x, (*x.shape[: how.at], count, *x.shape[how.at + len(how.axes) :]))
    else:
        x = permute_dims(x, order)
    return x, order, index


def getitem(x: Any, key: Any) -> Tensor:
    """``x[key]`` as in NumPy: numbers, slices, None, ``...``, integer tensors, bool masks (of concrete tensors).

    Raises IndexingError for an index out of range or a key that does not fit, TraceError for a symbolic mask.

    >>> x = gf.arange(6).reshape(2, 3)
    >>> x[1, ::-1].tolist(), x[:, None, 0].shape, x[x > 3].tolist(), x[[0, 1], [2, 0]].tolist()
    ([5, 4, 3], (2, 1), [4, 5], [2, 3])
    """
    x = as_tensor(x)
    how = plan(x, key)
    if how.is_slice:
        return reshape(strided(x, how.starts, how.sizes, how.steps), how.shape)
    x, _, index = _gathered(x, how)
    return pick(x, index, how.at)


Operators.__getitem__ = getitem  # type: ignore[attr-defined]


# -- updating ----------------------------------------------------------------------------------------------------------
def _least(x: Tensor) -> Any:
    return -np.inf if x.dtype.is_float else False if x.dtype is bool_ else make_iinfo(x.dtype).min


def _greatest(x: Tensor) -> Any:
    return np.inf if x.dtype.is_float else True if x.dtype is bool_ else make_iinfo(x.dtype).max


# How each update combines with x where it is laid over all of x, and the value that leaves x as it is.
_COMBINE: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor], Any]]] = {
    "add": (add, lambda x: 0),
    "mul": (multiply, lambda x: 1),
    "min": (minimum, _greatest),
    "max": (maximum, _least),
}


def _update(x: Tensor, key: Any, value: Any, mode: str) -> Tensor:
    value = _as_update(x, value)
    mask = _whole_mask(x, key, value)
    if mask is not None:
        return where(mask, value if mode == "set" else _COMBINE[mode][0](x, value), x)
    how = plan(x, key)
    if how.is_slice:
        return _lay(x, how, reshape(broadcast_to(value, how.shape), how.sizes), mode)
    target, order, index = _gathered(x, how)
    shape = (*target.shape[: how.at], *index.shape, *target.shape[how.at + 1 :])
    target = scatter_into(target, index, broadcast_to(value, shape), how.at, mode)
    target = permute_dims(reshape(target, tuple(how.shape[a] for a in order)), np.argsort(order).tolist())
    return _lay(x, how, reshape(target, how.sizes), "set")


def _lay(x: Tensor, how: Plan, part: Tensor, mode: str) -> Tensor:
    """x with its slice combined with ``part``."""
    where_ = (x.shape, how.starts, how.sizes, how.steps)
    if mode != "set":
        combine, neutral = _COMBINE[mode]
        return combine(x, unslice(part, *where_, neutral(x)))
    if how.sizes == x.shape and all(step == 1 for step in how.steps):
        return part
    covered = broadcast_to(literal(np.array(True)), how.sizes)
    return where(unslice(covered, *where_, False), unslice(part, *where_), x)


def _as_update(x: Tensor, value: Any) -> Tensor:
    """The value in x's dtype. Raises DTypeError where that would make fractions whole, or numbers bool."""
    tensor = as_tensor(value, like=x.dtype)
    order = ("bool", "uint", "int", "float")
    if order.index(tensor.dtype.kind) > order.index(x.dtype.kind) and not (tensor.dtype.is_int and x.dtype.is_int):
        message = f"{tensor.dtype} values cannot update a {x.dtype} tensor; cast one of them with .astype"
        raise DTypeError(at_line(message, user_origin()))
    return cast(tensor, x.dtype)


def _whole_mask(x: Tensor, key: Any, value: Tensor) -> Tensor | None:
    """The mask of an ``x.at[mask]`` as a condition for ``where``: works for symbolic masks, and needs no indices."""
    if not isinstance(key, (Operators, np.ndarray)) or key.dtype != bool_:
        return None
    mask = as_tensor(key)
    if mask.ndim == 0 or mask.shape != x.shape[: mask.ndim] or value.ndim > x.ndim - mask.ndim:
        return None
    return reshape(mask, (*mask.shape, *(1,) * (x.ndim - mask.ndim)))


class Place:
    """Part of a tensor, chosen by ``x.at[key]``; its methods give a new tensor with that part changed."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Tensor, key: Any) -> None:
        self._x = x
        self._key = key

    def get(self) -> Tensor:
        """``x[key]``."""
        return getitem(self._x, self._key)

    def set(self, value: Any) -> Tensor:
        """x with the part replaced; where an element is named several times the last value stays."""
        return _update(self._x, self._key, value, "set")

    def add(self, value: Any) -> Tensor:
        """x with ``value`` added; an element that is named several times gets all of it."""
        return _update(self._x, self._key, value, "add")

    def subtract(self, value: Any) -> Tensor:
        """x with ``value`` subtracted."""
        return self.add(-_as_update(self._x, value))

    def multiply(self, value: Any) -> Tensor:
        """x with the part multiplied by ``value``."""
        return _update(self._x, self._key, value, "mul")

    mul = multiply

    def divide(self, value: Any) -> Tensor:
        """x with the part divided by ``value`` (floating point only)."""
        return self.multiply(1.0 / _as_update(self._x, value))

    def min(self, value: Any) -> Tensor:
        """x with the lesser of the part and ``value``."""
        return _update(self._x, self._key, value, "min")

    def max(self, value: Any) -> Tensor:
        """x with the greater of the part and ``value``."""
        return _update(self._x, self._key, value, "max")


class At:
    """``x.at``: index it to choose what to change.

    >>> gf.zeros(3).at[1].set(5.0).tolist(), gf.zeros(3).at[gf.tensor([0, 0])].add(1.0).tolist()
    ([0.0, 5.0, 0.0], [2.0, 0.0, 0.0])
    """

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = as_tensor(x)

    def __getitem__(self, key: Any) -> Place:
        return Place(self._x, key)


Operators.at = property(At)  # type: ignore[attr-defined]
