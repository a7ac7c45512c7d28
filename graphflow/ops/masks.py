"""Masks: values put where one is true, and the places where a tensor is not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.dtypes import bool_
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.define import public
from graphflow.ops.elementwise import where
from graphflow.tensor import Tensor, as_tensor


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
def nonzero(x: Any, /, *, as_tuple: bool = True) -> Any:
    """The coordinates of the elements that are not zero, an int64 tensor for each axis. Needs a concrete tensor.

    With ``as_tuple=False`` a row for each element (``argwhere``), which is what PyTorch gives unless told otherwise.

    >>> import graphflow as gf
    >>> [t.tolist() for t in gf.nonzero(gf.tensor([[0, 5], [6, 0]]))]
    [[0, 1], [1, 0]]
    """
    x = as_tensor(x)
    if not as_tuple:
        return argwhere(x)
    if x.ndim == 0:
        raise ShapeError(at_line("nonzero needs a tensor of rank 1 or more", user_origin()))
    data = x._concrete("gf.nonzero, whose result's size depends on its numbers,", "gf.where, or a mask multiplied in")
    return tuple(Tensor(i) for i in np.nonzero(data if x.dtype is bool_ else data != 0))


@public(methods=("argwhere",))
def argwhere(x: Any, /) -> Tensor:
    """The coordinates of the elements that are not zero, a row for each. Needs a concrete tensor.

    >>> import graphflow as gf
    >>> gf.argwhere(gf.tensor([[0, 5], [6, 0]])).tolist()
    [[0, 1], [1, 0]]
    """
    data = as_tensor(x)._concrete(
        "gf.argwhere, whose result's size depends on its numbers,", "gf.where, or a mask multiplied in"
    )
    return Tensor(np.argwhere(data))
