"""Masks and classes: one_hot, masked_fill, and the places where a tensor is not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.dims import Dim, normalize_axis
from graphflow.core.dtypes import as_dtype, bool_, default_float
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast, public
from graphflow.ops.elementwise import where
from graphflow.ops.movement import expand_dims
from graphflow.ops.picking import as_index
from graphflow.tensor import Tensor, as_tensor


@public
def one_hot(x: Any, num_classes: int = -1, *, axis: int = -1, dtype: Any = None) -> Tensor:
    """A new axis of ``num_classes``: 1 where the class is x, else 0 (float32 by default; all 0 for other numbers).

    Without ``num_classes`` it is the largest class + 1, which needs a concrete x.

    >>> import graphflow as gf
    >>> gf.one_hot(gf.tensor([1, 0]), 3).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    x = as_index(x)
    if not isinstance(num_classes, Dim) and num_classes < 0:
        classes = x._concrete("one_hot without num_classes", "one_hot(x, num_classes)")
        num_classes = int(classes.max(initial=-1)) + 1
    where_ = normalize_axis(axis, x.ndim + 1)
    shape = tuple(num_classes if a == where_ else 1 for a in range(x.ndim + 1))
    with beside(x):
        same = expand_dims(x, where_) == iota(shape, where_)
    return cast(same, default_float if dtype is None else as_dtype(dtype))


@public(methods=("masked_fill",))
def masked_fill(x: Any, mask: Any, value: Any) -> Tensor:
    """x with ``value`` where the mask is true (PyTorch).

    >>> import graphflow as gf
    >>> gf.tensor([1.0, 2.0]).masked_fill(gf.tensor([True, False]), 0.0).tolist()
    [0.0, 2.0]
    """
    x = as_tensor(x)
    return where(mask, as_tensor(value, like=x.dtype), x)


@public(methods=("nonzero",))
def nonzero(x: Any, /) -> tuple[Tensor, ...]:
    """The coordinates of the elements that are not zero, an int64 tensor for each axis. Needs a concrete tensor.

    >>> import graphflow as gf
    >>> [t.tolist() for t in gf.nonzero(gf.tensor([[0, 5], [6, 0]]))]
    [[0, 1], [1, 0]]
    """
    x = as_tensor(x)
    if x.ndim == 0:
        raise ShapeError(at_line("nonzero needs a tensor of rank 1 or more", user_origin()))
    data = x._concrete("gf.nonzero, whose result's size depends on", "gf.where, or a mask multiplied in")
    return tuple(Tensor(i) for i in np.nonzero(data if x.dtype is bool_ else data != 0))


@public(methods=("argwhere",))
def argwhere(x: Any, /) -> Tensor:
    """The coordinates of the elements that are not zero, a row for each. Needs a concrete tensor.

    >>> import graphflow as gf
    >>> gf.argwhere(gf.tensor([[0, 5], [6, 0]])).tolist()
    [[0, 1], [1, 0]]
    """
    data = as_tensor(x)._concrete("gf.argwhere, whose result's size depends on", "gf.where, or a mask multiplied in")
    return Tensor(np.argwhere(data))
