"""Tensors put together, taken apart and picked from, under NumPy's and PyTorch's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core.dims import normalize_axis
from graphflow.core.errors import at_line, user_origin
from graphflow.ops import arrange, creation, movement, picking
from graphflow.ops.creation import beside, literal
from graphflow.ops.define import promote, public
from graphflow.ops.movement import concat, expand_dims, reshape, stack
from graphflow.tensor import Tensor, as_tensor


# -- putting together and taking apart ---------------------------------------------------------------------------------
def _at_least(x: Any, rank: int) -> Tensor:
    x = as_tensor(x)
    if x.ndim >= rank:
        return x
    return reshape(x, {1: (1,), 2: (1, *(x.shape or (1,)))}.get(rank) or _three(x))


def _three(x: Tensor) -> tuple[Any, ...]:
    return (*x.shape, 1) if x.ndim == 2 else (1, *(x.shape or (1,)), 1)


def _each(rank: int, tensors: tuple[Any, ...]) -> Any:
    listed = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    made = [_at_least(t, rank) for t in listed]
    return made[0] if len(tensors) == 1 and listed is tensors else made


@public
def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one axis."""
    return _each(1, tensors)


@public
def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two axes: new ones come first."""
    return _each(2, tensors)


@public
def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three axes."""
    return _each(3, tensors)


@public
def hstack(tensors: Any) -> Tensor:
    """Tensors side by side: joined along axis 1, vectors along their only one.

    >>> import graphflow as gf
    >>> gf.hstack([gf.ones((2, 1)), gf.zeros((2, 2))]).shape, gf.hstack([gf.ones(2), gf.ones(1)]).shape
    ((2, 3), (3,))
    """
    made = [_at_least(t, 1) for t in tensors]
    return concat(made, 0 if made[0].ndim == 1 else 1)


@public
def vstack(tensors: Any) -> Tensor:
    """Tensors one above the other: joined along axis 0, vectors as rows."""
    return concat([_at_least(t, 2) for t in tensors], 0)


public(vstack, name="row_stack")


@public
def dstack(tensors: Any) -> Tensor:
    """Tensors one behind the other: joined along axis 2."""
    return concat([_at_least(t, 3) for t in tensors], 2)


@public
def column_stack(tensors: Any) -> Tensor:
    """Vectors as columns, and matrices, side by side."""
    made = [as_tensor(t) for t in tensors]
    return hstack([reshape(t, (-1, 1)) if t.ndim < 2 else t for t in made])


@public(methods=("tensor_split",))
def tensor_split(x: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """x cut into so many parts, the first ones longer by one if need be, or before each of the given places.

    >>> import graphflow as gf
    >>> [t.tolist() for t in gf.tensor_split(gf.arange(5), 2)], len(gf.tensor_split(gf.arange(5), (1, 3)))
    ([[0, 1, 2], [3, 4]], 3)
    """
    x = as_tensor(x)
    axis = normalize_axis(dim, x.ndim)
    size = int(x.shape[axis])
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        ends = [(i + 1) * (size // parts) + min(i + 1, size % parts) for i in range(parts)]
    else:
        ends = [min(max(i + size if i < 0 else i, 0), size) for i in indices_or_sections] + [size]
    begins = [0, *ends[:-1]]
    return tuple(movement.part(x, axis, a, max(b - a, 0)) for a, b in zip(begins, ends))


@public(methods=("select",))
def select(x: Any, dim: int, index: Any) -> Tensor:
    """The slice at one place of an axis, without that axis."""
    x = as_tensor(x)
    return x[(slice(None),) * normalize_axis(dim, x.ndim) + (index,)]  # type: ignore[index]


@public(methods=("masked_select",))
def masked_select(x: Any, mask: Any) -> Tensor:
    """The elements where the mask is true, in one axis. Needs a concrete mask.

    >>> import graphflow as gf
    >>> gf.masked_select(gf.tensor([1, 2, 3]), gf.tensor([True, False, True])).tolist()
    [1, 3]
    """
    a, b = arrange.broadcast_arrays(x, mask)
    return a[b]  # type: ignore[index]


@public(methods=("fliplr",))
def fliplr(x: Any) -> Tensor:
    """The order along axis 1 turned round."""
    return arrange.flip(x, axis=1)


@public(methods=("flipud",))
def flipud(x: Any) -> Tensor:
    """The order along axis 0 turned round."""
    return arrange.flip(x, axis=0)


@public(methods=("rot90",))
def rot90(x: Any, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """x turned by k quarters in the plane of two axes, from the first to the second.

    >>> import graphflow as gf
    >>> gf.rot90(gf.tensor([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    """
    first, second = dims
    k %= 4
    if k == 2:
        return arrange.flip(x, axis=(first, second))
    if k == 0:
        return as_tensor(x)
    turned = arrange.swapaxes(x, first, second)
    return arrange.flip(turned, axis=first if k == 1 else second)


@public(methods=("diag_embed",))
def diag_embed(x: Any) -> Tensor:
    """Matrices with the last axis on their diagonals."""
    x = as_tensor(x)
    with beside(x):
        return expand_dims(x, -1) * creation.eye(x.shape[-1], dtype=x.dtype)


@public
def block_diag(*tensors: Any) -> Tensor:
    """Matrices along the diagonal of one, zeros elsewhere."""
    made = promote(*(_at_least(t, 2) for t in tensors))
    rows = []
    before, width = 0, sum(int(t.shape[1]) for t in made)
    for t in made:
        after = width - before - int(t.shape[1])
        rows.append(movement.place(t, (0, before), (0, after), (0, 0), 0))
        before += int(t.shape[1])
    return concat(rows, 0)


@public
def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of one element of each vector, a row for each."""
    if len(tensors) == 1:
        return as_tensor(tensors[0])
    grids = creation.meshgrid(*tensors, indexing="ij")
    return stack([reshape(g, -1) for g in grids], axis=1)


@public
def tril_indices(row: int, col: int | None = None, offset: int = 0) -> Tensor:
    """The coordinates of the lower triangle of a matrix: (2, elements).

    >>> import graphflow as gf
    >>> gf.tril_indices(2, 2).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    return literal(np.stack(np.tril_indices(row, offset, row if col is None else col)).astype(np.int64))


@public
def triu_indices(row: int, col: int | None = None, offset: int = 0) -> Tensor:
    """The coordinates of the upper triangle of a matrix: (2, elements)."""
    return literal(np.stack(np.triu_indices(row, offset, row if col is None else col)).astype(np.int64))


@public(methods=("scatter_reduce",))
def scatter_reduce(x: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Tensor:
    """x with ``src`` combined at ``x[index[i][j]][j]`` for ``dim=0``, and so on: "sum", "prod", "amax" or "amin".

    Without ``include_self`` what x had in those places does not count.

    >>> import graphflow as gf
    >>> gf.scatter_reduce(gf.zeros(2), 0, gf.tensor([0, 0, 1]), gf.tensor([1.0, 3.0, 2.0]), "amax").tolist()
    [3.0, 2.0]
    """
    modes = {"sum": ("add", 0), "prod": ("mul", 1), "amax": ("max", -math.inf), "amin": ("min", math.inf)}
    if reduce not in modes:
        raise ValueError(at_line(f"reduce is one of {', '.join(map(repr, modes))}, got {reduce!r}", user_origin()))
    mode, neutral = modes[reduce]
    x = as_tensor(x)
    if not include_self:
        x = picking.scatter(x, dim, index, as_tensor(neutral, x.dtype))
    return picking._scatter_along(x, dim, index, src, mode)
