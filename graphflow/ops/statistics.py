"""Order statistics, counts and moments: medians, quantiles, histograms, covariances, distances of all pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, normalize_axis, shape_str
from graphflow.core.dtypes import int64
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.ops.arrange import moveaxis
from graphflow.ops.creation import beside, zeros
from graphflow.ops.define import cast, promote, public
from graphflow.ops.elementwise import floor, minimum, sqrt, where
from graphflow.ops.fused import fused
from graphflow.ops.linalg import matmul
from graphflow.ops.logic import isnan
from graphflow.ops.matrices import diagonal, vector_norm
from graphflow.ops.movement import broadcast_to, expand_dims, part, reshape
from graphflow.ops.picking import as_index, scatter_into, take_along_axis
from graphflow.ops.reduce import any as any_
from graphflow.ops.reduce import count_along, floating, mean, std, sum, var
from graphflow.ops.reduce import max as greatest
from graphflow.ops.reduce import min as least
from graphflow.ops.sorting import Sorted, argsort, searchsorted, sort
from graphflow.ops.spelling import takes_dim
from graphflow.tensor import Tensor, as_tensor


def _lines(name: str, x: Any, axis: int | None) -> tuple[Tensor, int]:
    """x with the elements in question along its last axis, and where that axis was; all elements for None."""
    x = as_tensor(x)
    if axis is None:
        return reshape(x, -1), 0
    if x.ndim == 0:
        raise ShapeError(at_line(f"{name} along an axis needs rank 1 or more, got a scalar", user_origin()))
    at = normalize_axis(axis, x.ndim)
    return moveaxis(x, at, -1), at


# -- order ---------------------------------------------------------------------------------------------------------
@public(methods=("median",))
@takes_dim
def median(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The middle element, the lower of the middle two; NaN if there is one. (PyTorch gives positions, too.)

    >>> import graphflow as gf
    >>> gf.median(gf.tensor([3.0, 1.0, 2.0, 9.0])).item()
    2.0
    """
    lines, at = _lines("median", x, axis)
    size = lines.shape[-1]
    middle = part(sort(lines), lines.ndim - 1, (size - 1) // 2, 1)
    out = reshape(middle, middle.shape[:-1])
    if out.dtype.is_float:
        out = where(any_(isnan(lines), axis=-1), math.nan, out)
    return expand_dims(out, at) if keepdims and axis is not None else out


@public(methods=("quantile",))
@takes_dim
def quantile(
    x: Any, q: Any, axis: int | None = None, keepdims: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The values below which a share ``q`` of the elements lies; several ``q`` make a new first axis.

    ``interpolation`` between the two nearest: "linear", "lower", "higher", "midpoint", "nearest". NaN if there is one.

    >>> import graphflow as gf
    >>> gf.quantile(gf.tensor([0.0, 10.0, 20.0]), [0.25, 0.5]).tolist()
    [5.0, 10.0]
    """
    lines, at = _lines("quantile", x, axis)
    lines = floating(lines)
    shares = np.atleast_1d(np.asarray(q, np.float64))
    if ((shares < 0) | (shares > 1)).any():
        raise ValueError(at_line(f"quantile needs q from 0 to 1, got {q}", user_origin()))
    if interpolation not in _BETWEEN:
        kinds = ", ".join(map(repr, _BETWEEN))
        raise ValueError(at_line(f"quantile: interpolation is one of {kinds}, got {interpolation!r}", user_origin()))
    ordered, last = sort(lines), lines.ndim - 1
    wrong = any_(isnan(lines), axis=-1)
    found = []
    for share in shares:
        place = float(share) * (int(lines.shape[-1]) - 1)
        low, weight = int(place), _BETWEEN[interpolation](place - int(place))
        high = min(low + 1, int(lines.shape[-1]) - 1)
        a, b = (reshape(part(ordered, last, i, 1), lines.shape[:-1]) for i in (low, high))
        found.append(where(wrong, math.nan, a + (b - a) * weight))
    from graphflow.ops.movement import stack

    many = np.ndim(q) > 0
    out = stack(found) if many else found[0]
    return expand_dims(out, at + many) if keepdims and axis is not None else out


_BETWEEN: dict[str, Any] = {
    "linear": lambda w: w,
    "lower": lambda w: 0.0,
    "higher": lambda w: 1.0 if w > 0 else 0.0,
    "midpoint": lambda w: 0.5 if w > 0 else 0.0,
    "nearest": lambda w: float(round(w)),
}


@public(methods=("kthvalue",))
@takes_dim
def kthvalue(x: Any, k: int, axis: int = -1, keepdims: bool = False) -> Sorted:
    """The k-th smallest element along an axis (counted from 1), and where it is.

    >>> import graphflow as gf
    >>> value, index = gf.kthvalue(gf.tensor([3.0, 1.0, 2.0]), 2)
    >>> value.item(), index.item()
    (2.0, 2)
    """
    x = as_tensor(x)
    at = normalize_axis(axis, x.ndim)
    size = x.shape[at]
    if k < 1 or (not isinstance(size, Dim) and k > size):
        raise ShapeError(at_line(f"kthvalue {k} along axis {at} of size {size}: k counts from 1", user_origin()))
    place = part(argsort(x, at), at, k - 1, 1)
    value = take_along_axis(x, place, at)
    if keepdims:
        return Sorted(value, place)
    shape = x.shape[:at] + x.shape[at + 1 :]
    return Sorted(reshape(value, shape), reshape(place, shape))


@public(methods=("aminmax",))
@takes_dim
def aminmax(x: Any, /, axis: Any = None, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """The least and the greatest element."""
    return least(x, axis=axis, keepdims=keepdims), greatest(x, axis=axis, keepdims=keepdims)


# -- moments ---------------------------------------------------------------------------------------------------------
@public(methods=("nansum",))
@takes_dim
def nansum(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum of the elements that are not NaN.

    >>> import graphflow as gf
    >>> gf.nansum(gf.tensor([1.0, float("nan"), 2.0])).item()
    3.0
    """
    x = as_tensor(x)
    return sum(where(isnan(x), 0.0, x) if x.dtype.is_float else x, axis=axis, keepdims=keepdims)


@public(methods=("nanmean",))
@takes_dim
def nanmean(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean of the elements that are not NaN; NaN where there are none."""
    x = floating(as_tensor(x))
    count = sum(cast(~isnan(x), x.dtype), axis=axis, keepdims=keepdims)
    return nansum(x, axis=axis, keepdims=keepdims) / count


@public
@takes_dim
def std_mean(x: Any, /, axis: Any = None, *, correction: float = 1.0, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """Standard deviation (unbiased, as PyTorch's) and mean."""
    return std(x, axis, keepdims, correction=correction), mean(x, axis, keepdims)


@public
@takes_dim
def var_mean(x: Any, /, axis: Any = None, *, correction: float = 1.0, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """Variance (unbiased, as PyTorch's) and mean."""
    return var(x, axis, keepdims, correction=correction), mean(x, axis, keepdims)


@public
def cov(x: Any, /, *, correction: float = 1.0) -> Tensor:
    """The covariances of the rows of a matrix: variables in rows, observations in columns.

    >>> import graphflow as gf
    >>> gf.cov(gf.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    x = floating(as_tensor(x))
    if x.ndim > 2:
        raise ShapeError(at_line(f"cov takes a matrix or a vector, got shape {shape_str(x.shape)}", user_origin()))
    rows = x if x.ndim == 2 else reshape(x, (1, -1))
    centered = rows - mean(rows, 1, True)
    out = matmul(centered, centered.mT) / (count_along(rows, (1,), rows.dtype) - correction)  # type: ignore[attr-defined]
    return out if x.ndim == 2 else reshape(out, ())


@public
def corrcoef(x: Any, /) -> Tensor:
    """The correlations of the rows of a matrix (see ``cov``)."""
    covariance = cov(x)
    if covariance.ndim == 0:
        return covariance / covariance
    spread = sqrt(diagonal(covariance))
    return covariance / (expand_dims(spread, 1) * expand_dims(spread, 0))


# -- counts ----------------------------------------------------------------------------------------------------------
@public(methods=("bincount",))
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 occurs in a vector of integers, or the sum of its weights.

    In a graph the result has ``minlength`` elements (greater numbers raise when it runs).

    >>> import graphflow as gf
    >>> gf.bincount(gf.tensor([0, 2, 2]), minlength=4).tolist()
    [1, 0, 2, 0]
    """
    index = as_index(x)
    if index.ndim != 1:
        raise ShapeError(at_line(f"bincount takes a vector, got shape {shape_str(index.shape)}", user_origin()))
    if index._data is None:
        size = minlength or index._concrete("gf.bincount, whose result's size depends on its numbers,", "minlength=")
    else:
        if index._data.size and index._data.min() < 0:
            raise ValueError(at_line(f"bincount counts numbers from 0, got {int(index._data.min())}", user_origin()))
        size = max(int(index._data.max(initial=-1)) + 1, minlength)
    added = broadcast_to(as_tensor(1, int64), index.shape) if weights is None else as_tensor(weights)
    with beside(index):
        return scatter_into(zeros((size,), dtype=added.dtype), index, added, 0, "add")


@public(methods=("histc",))
def histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of ``bins`` equal intervals from ``min`` to ``max`` (x's own, if both are 0).

    >>> import graphflow as gf
    >>> gf.histc(gf.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3).tolist()
    [0.0, 2.0, 1.0, 0.0]
    """
    x = reshape(as_tensor(x), -1)
    if not x.dtype.is_float:
        raise DTypeError(at_line(f"histc takes a floating-point tensor, got {x.dtype}", user_origin()))
    low, high = (least(x), greatest(x)) if min == max == 0 else (as_tensor(min, x.dtype), as_tensor(max, x.dtype))
    flat = low == high
    low, high = where(flat, low - 1, low), where(flat, high + 1, high)
    place = minimum(floor((x - low) * (bins / (high - low))), bins - 1)
    inside = (x >= low) & (x <= high)
    index = cast(where(inside, place, 0.0), int64)
    with beside(x):
        return scatter_into(zeros((bins,), dtype=x.dtype), index, cast(inside, x.dtype), 0, "add")


@public
def bucketize(x: Any, boundaries: Any, *, right: bool = False) -> Tensor:
    """The number of the interval between sorted ``boundaries`` that each element falls into (``searchsorted``)."""
    return searchsorted(boundaries, x, right=right)


@public(methods=("isin",))
def isin(x: Any, values: Any, *, invert: bool = False) -> Tensor:
    """Whether each element is one of ``values``.

    >>> import graphflow as gf
    >>> gf.isin(gf.tensor([1, 2, 3]), gf.tensor([3, 1])).tolist()
    [True, False, True]
    """
    a, b = promote(x, values)
    found = any_(expand_dims(a, -1) == reshape(b, -1), axis=-1)
    return ~found if invert else found


# -- distances -------------------------------------------------------------------------------------------------------
@public
def cdist(x1: Any, x2: Any, p: float = 2.0) -> Tensor:
    """The p-norm distances of all pairs of rows: (..., m, k) and (..., n, k) to (..., m, n).

    >>> import graphflow as gf
    >>> gf.cdist(gf.tensor([[0.0, 0.0]]), gf.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[5.0, 1.0]]
    """
    a, b = promote(x1, x2)
    if a.ndim < 2 or b.ndim < 2 or (a.shape[-1] != b.shape[-1] and Dim not in map(type, (a.shape[-1], b.shape[-1]))):
        shapes = f"{shape_str(a.shape)} and {shape_str(b.shape)}"
        raise ShapeError(at_line(f"cdist takes (..., m, k) and (..., n, k), got {shapes}", user_origin()))
    return _all_distances(floating(a), floating(b), p)


@fused("batch", "a")
def _all_distances(a: Tensor, b: Tensor, p: float) -> Tensor:
    return vector_norm(expand_dims(a, -2) - expand_dims(b, -3), axis=-1, ord=p)


@public
def pdist(x: Any, p: float = 2.0) -> Tensor:
    """The p-norm distances of all pairs of different rows of a matrix, in one axis.

    >>> import graphflow as gf
    >>> gf.pdist(gf.tensor([[0.0], [1.0], [3.0]])).tolist()
    [1.0, 3.0, 2.0]
    """
    x = as_tensor(x)
    if x.ndim != 2:
        raise ShapeError(at_line(f"pdist takes a matrix, got shape {shape_str(x.shape)}", user_origin()))
    first, second = np.triu_indices(int(x.shape[0]), 1)
    return vector_norm(x[as_tensor(first)] - x[as_tensor(second)], axis=-1, ord=p)  # type: ignore[index]


@public(methods=("dist",))
def dist(x: Any, other: Any, p: float = 2.0) -> Tensor:
    """The p-norm of ``x - other``."""
    return vector_norm(as_tensor(x) - other, ord=p)
