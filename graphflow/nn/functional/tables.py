"""Products with two inputs, and rows of a table."""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import DTypeError, at_line, user_origin
from graphflow.ops.elementwise import where
from graphflow.ops.linalg import einsum
from graphflow.ops.movement import expand_dims
from graphflow.ops.picking import take
from graphflow.ops.special import stop_gradient
from graphflow.tensor import Tensor, as_tensor


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """``out[..., k] = input1[..., i] * weight[k, i, j] * input2[..., j] + bias[k]``.

    >>> import graphflow as gf
    >>> gf.nn.functional.bilinear(gf.ones((5, 2)), gf.ones((5, 3)), gf.ones((4, 2, 3))).shape
    (5, 4)
    """
    out = einsum("...i,kij,...j->...k", input1, weight, input2)
    return out if bias is None else out + bias


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight`` at integer indices. The row ``padding_idx`` gets no gradient.

    >>> import graphflow as gf
    >>> gf.nn.functional.embedding(gf.tensor([[1, 0]]), gf.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[[3.0, 4.0], [1.0, 2.0]]]
    """
    indices, weight = as_tensor(input), as_tensor(weight)
    if not indices.dtype.is_int:
        raise DTypeError(at_line(f"embedding needs integer indices, got {indices.dtype}", user_origin()))
    rows = take(weight, indices, axis=0)
    if padding_idx is None:
        return rows
    row = padding_idx if padding_idx >= 0 else weight.shape[0] + padding_idx
    return where(expand_dims(indices == row, -1), stop_gradient(rows), rows)
