"""Order: sorting, searching in sorted tensors, different values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, normalize_axis, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import int64
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.arrange import moveaxis
from graphflow.ops.creation import beside
from graphflow.ops.define import primitive, promote, public
from graphflow.ops.movement import part, reverse
from graphflow.ops.picking import take_along_axis
from graphflow.ops.special import size_of
from graphflow.ops.spelling import takes_dim
from graphflow.tensor import Tensor, as_tensor

# -- sorting -----------------------------------------------------------------------------------------------------------
ARGSORT = primitive(
    "argsort",
    "library",
    lambda x: AVal(x.shape, int64),
    lambda x: np.argsort(x, axis=-1, kind="stable"),
    None,
    lambda x: ("argsort", {"rank": x.ndim}),
    samples=lambda: [
        Sample(((3, 7),), grad=False),
        Sample((np.array([2.0, np.nan, -1.0, 2.0, np.inf], np.float32),), grad=False),
        Sample((np.array([[3, 1, 2, 1]]),), grad=False),
        Sample(((2, 0),), grad=False),
    ],
    doc="The positions that sort the last axis, equal elements in their order, NaN last.",
)


@public(methods=("argsort",))
@takes_dim
def argsort(x: Any, /, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions (int64) of x's elements along ``axis`` in ascending order, equal ones in their order; NaN last.

    ``descending`` turns the order round (NaN first), equal ones still in their order.

    >>> import graphflow as gf
    >>> gf.argsort(gf.tensor([3, 1, 2])).tolist(), gf.argsort(gf.tensor([3, 1, 2]), descending=True).tolist()
    ([1, 2, 0], [0, 2, 1])
    """
    x = as_tensor(x)
    if x.ndim == 0:
        raise ShapeError(at_line("sorting needs a tensor of rank 1 or more, got a scalar", user_origin()))
    where_ = normalize_axis(axis, x.ndim)
    lines = moveaxis(x, where_, -1)
    last = (x.ndim - 1,)
    order = apply(ARGSORT, (reverse(lines, last) if descending else lines,), {})
    if descending:
        with beside(x):
            order = size_of(x.shape[where_] - 1) - reverse(order, last)
    return moveaxis(order, -1, where_)


@public
@takes_dim
def sort(x: Any, /, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """x's elements along ``axis`` in ascending order; NaN last (first if ``descending``).

    >>> import graphflow as gf
    >>> gf.sort(gf.tensor([3, 1, 2])).tolist()
    [1, 2, 3]
    """
    x = as_tensor(x)
    return take_along_axis(x, argsort(x, axis, descending), axis)


class Sorted(NamedTuple):
    """Elements in order and the positions they came from."""

    values: Tensor
    indices: Tensor


@public(methods=("topk",))
@takes_dim
def topk(x: Any, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k greatest elements along ``axis`` (least if not ``largest``), in order, and their positions.

    Raises ShapeError if there are not that many.

    >>> import graphflow as gf
    >>> values, indices = gf.topk(gf.tensor([1.0, 9.0, 5.0]), 2)
    >>> values.tolist(), indices.tolist()
    ([9.0, 5.0], [1, 2])
    """
    x = as_tensor(x)
    where_ = normalize_axis(axis, x.ndim)
    size = x.shape[where_]
    if k < 0 or (not isinstance(size, Dim) and k > size):
        raise ShapeError(at_line(f"topk of {k} elements along axis {where_} of size {size}", user_origin()))
    indices = part(argsort(x, where_, descending=largest), where_, 0, k)
    return Sorted(take_along_axis(x, indices, where_), indices)


def _searchsorted_infer(x1: AVal, x2: AVal, right: bool) -> AVal:
    if x1.ndim != 1:
        raise ShapeError(f"the sorted tensor needs one axis, got shape {shape_str(x1.shape)}")
    if x1.dtype is not x2.dtype:
        raise DTypeError(f"both tensors need one dtype, got {x1.dtype} and {x2.dtype}")
    return AVal(x2.shape, int64)


SEARCHSORTED = primitive(
    "searchsorted",
    "library",
    _searchsorted_infer,
    lambda x1, x2, right: np.asarray(np.searchsorted(x1, x2, "right" if right else "left"), np.int64),
    None,
    lambda x1, x2, right: ("searchsorted", {"rank": x2.ndim, "right": right}),
    samples=lambda: [
        Sample((np.array([1.0, 2.0, 2.0, np.nan]), np.array([[2.0, 0.0], [np.nan, 9.0]])), {"right": right}, grad=False)
        for right in (False, True)
    ],
    doc="Where values would go into a sorted vector.",
)


@public
def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None, right: bool = False) -> Tensor:
    """The positions in the sorted vector x1 before which the values x2 would go (``side="right"``: after equal ones).

    ``sorter`` are the positions that sort x1, if it is not sorted.

    >>> import graphflow as gf
    >>> gf.searchsorted(gf.tensor([1.0, 3.0, 5.0]), gf.tensor([3.0, 6.0])).tolist()
    [1, 3]
    """
    if side not in ("left", "right"):
        raise ValueError(f"side is 'left' or 'right', got {side!r}")
    a, b = promote(x1, x2)
    if sorter is not None:
        a = take_along_axis(a, sorter)
    return apply(SEARCHSORTED, (a, b), {"right": right or side == "right"})  # type: ignore[no-any-return]


# -- different values --------------------------------------------------------------------------------------------------
class UniqueAll(NamedTuple):
    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    values: Tensor
    inverse_indices: Tensor


def _unique(x: Any, name: str) -> UniqueAll:
    x = as_tensor(x)
    data = x._concrete(
        f"gf.{name}, whose result's size depends on its numbers,", "it outside the graph, on concrete tensors"
    )
    # Every NaN is a value of its own (Array API).
    found = np.unique(data, return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
    values, indices, inverse, counts = found
    return UniqueAll(Tensor(values), Tensor(indices), Tensor(inverse.reshape(x.shape)), Tensor(counts))


@public
def unique_values(x: Any, /) -> Tensor:
    """The different values of x, in order. Needs a concrete tensor.

    >>> import graphflow as gf
    >>> gf.unique_values(gf.tensor([3, 1, 3])).tolist()
    [1, 3]
    """
    return _unique(x, "unique_values").values


@public
def unique_counts(x: Any, /) -> UniqueCounts:
    """The different values of x and how often each occurs."""
    found = _unique(x, "unique_counts")
    return UniqueCounts(found.values, found.counts)


@public
def unique_inverse(x: Any, /) -> UniqueInverse:
    """The different values of x, and for each element of x the position of its value."""
    found = _unique(x, "unique_inverse")
    return UniqueInverse(found.values, found.inverse_indices)


@public
def unique_all(x: Any, /) -> UniqueAll:
    """The different values of x, where each first occurs, which of them each element is, how often each occurs."""
    return _unique(x, "unique_all")


@public(methods=("unique",))
def unique(x: Any, /, return_inverse: bool = False, return_counts: bool = False) -> Any:
    """The different values of x, in order; with positions for each element and counts if asked for (PyTorch).

    >>> import graphflow as gf
    >>> values, counts = gf.unique(gf.tensor([3, 1, 3]), return_counts=True)
    >>> values.tolist(), counts.tolist()
    ([1, 3], [1, 2])
    """
    found = _unique(x, "unique")
    out = (found.values, *([found.inverse_indices] * return_inverse), *([found.counts] * return_counts))
    return out if len(out) > 1 else out[0]
