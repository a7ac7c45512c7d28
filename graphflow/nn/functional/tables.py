"""Products with two inputs, and rows of a table, one by one or in bags."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core import dispatch
from graphflow.core.dims import shape_str
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.ops.creation import beside, iota, zeros
from graphflow.ops.custom import custom_gradient
from graphflow.ops.define import cast
from graphflow.ops.elementwise import maximum, where
from graphflow.ops.fused import fused
from graphflow.ops.linalg import einsum
from graphflow.ops.matrices import vector_norm
from graphflow.ops.movement import broadcast_to, expand_dims, part, reshape
from graphflow.ops.picking import as_index, pick, scatter_into, take
from graphflow.ops.reduce import max as greatest
from graphflow.ops.reduce import mean
from graphflow.ops.reduce import sum as total
from graphflow.ops.sorting import searchsorted
from graphflow.ops.special import stop_gradient
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable

_TINY = 1e-7  # keeps the norm of a row of zeros from dividing by zero


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """``out[..., k] = input1[..., i] * weight[k, i, j] * input2[..., j] + bias[k]``.

    >>> import graphflow as gf
    >>> gf.nn.functional.bilinear(gf.ones((5, 2)), gf.ones((5, 3)), gf.ones((4, 2, 3))).shape
    (5, 4)
    """
    out = einsum("...i,kij,...j->...k", input1, weight, input2)
    return out if bias is None else out + bias


# -- rows ----------------------------------------------------------------------------------------------------------
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` at integer indices.

    padding_idx         a row that gets no gradient
    max_norm            rows that are looked up and longer (by ``norm_type``) are first shortened in ``weight`` itself,
                        a Variable
    scale_grad_by_freq  the gradient of a row is divided by how often it was looked up
    sparse              changes nothing

    Raises DTypeError for indices that are no integers, IndexError for one out of range.

    >>> import graphflow as gf
    >>> gf.nn.functional.embedding(gf.tensor([[1, 0]]), gf.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[[3.0, 4.0], [1.0, 2.0]]]
    """
    indices, table = _looked_up("embedding", input, weight, max_norm, norm_type)
    rows = _rows(table, indices)
    if scale_grad_by_freq:
        rows = _by_frequency(rows, indices, table)
    if padding_idx is None:
        return rows
    return where(expand_dims(_is_padding(indices, padding_idx, table), -1), stop_gradient(rows), rows)


@fused("batch", "indices")
def _rows(table: Tensor, indices: Tensor) -> Tensor:
    return take(table, indices, axis=0)


def _looked_up(name: str, input: Any, weight: Any, max_norm: float | None, norm_type: float) -> tuple[Tensor, Tensor]:
    indices = as_tensor(input)
    if not indices.dtype.is_int:
        raise DTypeError(at_line(f"{name} needs integer indices, got {indices.dtype}", user_origin()))
    if max_norm is None:
        return indices, as_tensor(weight)
    if not isinstance(weight, Variable):
        raise TypeError(at_line(f"{name} with max_norm changes weight: it must be a gf.Variable", user_origin()))
    with beside(indices):
        return indices, _shortened(weight, reshape(as_index(indices), -1), max_norm, norm_type)


def _shortened(weight: Variable, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """The table after its rows at the indices were made no longer than ``max_norm``."""
    with dispatch.no_grad():
        now = weight._read_now()
        rows = pick(now, indices, 0)
        norm = vector_norm(rows, axis=-1, keepdims=True, ord=norm_type)
        rows = where(norm > max_norm, rows * (max_norm / (norm + _TINY)), rows)
        short = weight.assign(scatter_into(now, indices, rows, 0, "set"))
    return weight.read() if short._node is None else short


def _by_frequency(rows: Tensor, indices: Tensor, table: Tensor) -> Tensor:
    """The rows, with gradients divided by how often each of them is there."""
    with dispatch.no_grad(), beside(indices):
        flat = reshape(as_index(indices), -1)
        ones = broadcast_to(as_tensor(1.0, rows.dtype), flat.shape)
        counts = scatter_into(zeros((table.shape[0],), dtype=rows.dtype), flat, ones, 0, "add")
        share = expand_dims(1.0 / take(counts, indices, axis=0), -1)
    return custom_gradient(lambda rows: (rows, lambda g: g * share))(rows)


def _is_padding(indices: Tensor, padding_idx: int, table: Tensor) -> Tensor:
    if not isinstance(table.shape[0], int) or -table.shape[0] <= padding_idx < table.shape[0]:
        return indices == (padding_idx if padding_idx >= 0 else table.shape[0] + padding_idx)
    message = f"padding_idx must be one of the {table.shape[0]} rows, got {padding_idx}"
    raise ValueError(at_line(message, user_origin()))


# -- bags ----------------------------------------------------------------------------------------------------------
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or greatest of the rows of each bag of indices.

    Bags are the rows of a matrix ``input``; or parts of a vector ``input``, of which ``offsets`` are the first places
    (with ``include_last_offset`` also the end of the last). ``per_sample_weights``, shaped like ``input``, multiply the
    rows of a sum. ``padding_idx`` does not count. An empty bag gives zeros. Other arguments are ``embedding``'s.

    >>> import graphflow as gf
    >>> table = gf.tensor([[1.0], [2.0], [4.0]])
    >>> gf.nn.functional.embedding_bag(gf.tensor([0, 1, 2]), table, gf.tensor([0, 1]), mode="sum").tolist()
    [[1.0], [6.0]]
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError(at_line(f"embedding_bag: mode is 'sum', 'mean' or 'max', got {mode!r}", user_origin()))
    if per_sample_weights is not None and mode != "sum":
        raise ValueError(at_line(f"embedding_bag: per_sample_weights are for mode 'sum', not {mode!r}", user_origin()))
    if scale_grad_by_freq and mode == "max":
        raise ValueError(at_line("embedding_bag: scale_grad_by_freq is not for mode 'max'", user_origin()))
    indices, table = _looked_up("embedding_bag", input, weight, max_norm, norm_type)
    if indices.ndim not in (1, 2) or (indices.ndim == 1) != (offsets is not None):
        message = f"embedding_bag takes a matrix of indices, or a vector and offsets, got {shape_str(indices.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    rows = _rows(table, indices)
    if scale_grad_by_freq:
        rows = _by_frequency(rows, indices, table)
    if per_sample_weights is not None:
        factors = as_tensor(per_sample_weights)
        if factors.shape != indices.shape:
            message = f"embedding_bag: per_sample_weights {shape_str(factors.shape)}, input {shape_str(indices.shape)}"
            raise ShapeError(at_line(message, user_origin()))
        rows = rows * expand_dims(factors, -1)
    counted = None if padding_idx is None else ~_is_padding(indices, padding_idx, table)
    if indices.ndim == 2:
        return _bags_of_rows(rows, counted, mode)
    starts = as_index(offsets)
    starts = part(starts, 0, 0, starts.shape[0] - 1) if include_last_offset else starts
    return _bags_in_line(rows, counted, starts, mode)


@fused("batch", "rows", "counted")
def _bags_of_rows(rows: Tensor, counted: Tensor | None, mode: str) -> Tensor:
    """Bags are (bag, place) of ``rows`` (bag, place, column)."""
    if counted is None and rows.shape[1] != 0:
        return {"sum": total, "mean": mean, "max": greatest}[mode](rows, axis=1)
    if counted is None or mode != "max":
        added = total(rows if counted is None else where(expand_dims(counted, -1), rows, 0.0), axis=1)
        return added if mode != "mean" or counted is None else added / maximum(_number(counted, rows), 1.0)
    inside = where(expand_dims(counted, -1), rows, -math.inf)
    return where(_number(counted, rows) > 0, greatest(inside, axis=1), 0.0)


def _number(counted: Tensor, rows: Tensor) -> Tensor:
    """How many rows of each bag count, beside the rows' columns."""
    return expand_dims(total(cast(counted, rows.dtype), axis=1), -1)


@fused("batch", "rows", "counted")
def _bags_in_line(rows: Tensor, counted: Tensor | None, starts: Tensor, mode: str) -> Tensor:
    """Bags are stretches of ``rows`` (place, column), each from one of ``starts`` to the next."""
    with beside(rows if rows._node is not None else starts):
        bag = searchsorted(starts, iota((rows.shape[0],)), right=True) - 1
        shape = (starts.shape[0], rows.shape[1])
        one = broadcast_to(as_tensor(1.0, rows.dtype), bag.shape) if counted is None else cast(counted, rows.dtype)
        count = expand_dims(scatter_into(zeros(shape[:1], dtype=rows.dtype), bag, one, 0, "add"), -1)
        neutral = -math.inf if mode == "max" else 0.0
        inside = rows if counted is None else where(expand_dims(counted, -1), rows, neutral)
        empty = broadcast_to(as_tensor(neutral, rows.dtype), shape)
        combined = scatter_into(empty, bag, inside, 0, "max" if mode == "max" else "add")
        if mode == "max":
            return where(count > 0, combined, 0.0)
        return combined if mode == "sum" else combined / maximum(count, 1.0)
