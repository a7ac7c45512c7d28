"""Reductions: six primitives that combine elements along axes, and the statistics made of them.

A primitive keeps its operand's dtype and drops the reduced axes; the functions here convert before it and put axes of
size 1 back after it (``keepdims``). They also take PyTorch's spelling ``dim=`` and ``keepdim=``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size, is_static, normalize_axes, product
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import DType, as_dtype, bool_, default_float, float32, int64, uint64
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.core.op import Op, Sample
from graphflow.ops.creation import beside, filled_like, iota
from graphflow.ops.define import cast, primitive, public
from graphflow.ops.elementwise import maximum, minimum, sqrt, square, where
from graphflow.ops.logic import isfinite, isnan
from graphflow.ops.mathematical import exp, log
from graphflow.ops.movement import broadcast_to, concat, part, permute_dims, reshape
from graphflow.ops.special import size_of, stop_gradient
from graphflow.tensor import Operators, Tensor, as_tensor

Axes = tuple[int, ...]


# -- axes ----------------------------------------------------------------------------------------------------------
def kept_shape(shape: Shape, axes: Axes) -> Shape:
    """The shape with size 1 at the reduced axes."""
    return tuple(1 if i in axes else s for i, s in enumerate(shape))


def spread(reduced: Tensor, x: Tensor, axes: Axes) -> Tensor:
    """A reduced tensor, given back x's shape: each element where the elements it came from were."""
    return broadcast_to(reshape(reduced, kept_shape(x.shape, axes)), x.shape)


def _operands(x: Any, axis: Any, dim: Any) -> tuple[Tensor, Axes]:
    x = as_tensor(x)
    return x, normalize_axes(axis if dim is None else dim, x.ndim)


def _reduce(op: Op, x: Tensor, axes: Axes, keep: bool) -> Tensor:
    out = apply(op, (x,), {"axes": axes})
    return reshape(out, kept_shape(x.shape, axes)) if keep else out


def count_along(x: Tensor, axes: Axes, dtype: DType) -> Any:
    """How many elements of x are combined: a number, or a 0-d tensor where a size is symbolic."""
    count: Size = product(x.shape[a] for a in axes)
    if not isinstance(count, Dim):
        return count
    with beside(x):
        return size_of(count, dtype)


# -- primitives ----------------------------------------------------------------------------------------------------
def _primitive(name: str, ufunc: Any, combine: str, vjp: Any, dtypes: str, empty: bool = True, doc: str = "") -> Op:
    def infer(x: AVal, axes: Axes) -> AVal:
        if not empty and product(x.shape[a] for a in axes) == 0:
            raise ShapeError(f"{name} of no elements (shape {x.shape}, axes {axes}) has no value")
        if dtypes == "bool" and x.dtype is not bool_:
            raise DTypeError(f"{name} takes bool tensors, got {x.dtype}")
        return AVal(tuple(s for i, s in enumerate(x.shape) if i not in axes), x.dtype)

    def ref(x: Any, axes: Axes) -> Any:
        # 16-bit floats are added up in float32, as kernels do; NumPy would round after each step.
        wide = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x
        with np.errstate(all="ignore"):
            return np.asarray(ufunc.reduce(wide, axis=axes)).astype(x.dtype, copy=False)

    def samples() -> list[Sample]:
        cases = [Sample(((3, 4),), {"axes": (1,)}), Sample(((2, 3, 2),), {"axes": (0, 2)}), Sample(((),), {"axes": ()})]
        if dtypes == "bool":
            cases = [
                Sample((np.asarray(np.random.default_rng(0).random(c.args[0]) < 0.7),), c.attrs, grad=False)
                for c in cases
            ]
        return [*cases, Sample(((0, 3),), {"axes": (0,) if empty else (1,)}, grad=False)] if dtypes != "bool" else cases

    return primitive(name, "reduce", infer, ref, vjp, combine, samples=samples, dtypes=dtypes, doc=doc)


def _extremum_vjp(g: Tensor, out: Tensor, x: Tensor, axes: Axes) -> tuple[Tensor]:
    """Elements that share the extreme value share the gradient, as in PyTorch's amax."""
    chosen = x == spread(out, x, axes)
    number = apply(SUM, (cast(chosen, x.dtype),), {"axes": axes})
    return (where(chosen, spread(g / number, x, axes), 0.0),)


def _prod_vjp(g: Tensor, out: Tensor, x: Tensor, axes: Axes) -> tuple[Tensor]:
    if is_static(x.shape[a] for a in axes):
        return (spread(g, x, axes) * _product_of_others(x, axes),)
    # Without the number of factors: out / x, except where zeros are among them.
    zero = x == 0
    zeros = apply(SUM, (cast(zero, x.dtype),), {"axes": axes})
    rest = spread(apply(PROD, (where(zero, 1.0, x),), {"axes": axes}), x, axes)
    others = where(zero, where(spread(zeros, x, axes) == 1, rest, 0.0), spread(out, x, axes) / where(zero, 1.0, x))
    return (spread(g, x, axes) * others,)


def _product_of_others(x: Tensor, axes: Axes) -> Tensor:
    """For each element the product of all the others along ``axes``: no division, so right at zeros, to any order."""
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    order = (*rest, *axes)
    moved = permute_dims(x, order)
    flat = reshape(moved, (*(x.shape[i] for i in rest), product(x.shape[a] for a in axes)))
    others = reshape(_others_in_last(flat), moved.shape)
    return permute_dims(others, tuple(sorted(range(x.ndim), key=order.__getitem__)))


def _others_in_last(x: Tensor) -> Tensor:
    """Halves are multiplied up to one product and shared out again on the way back: 2 log2(n) steps."""
    axis, n = x.ndim - 1, x.shape[-1]
    if n == 0 or n == 1:
        return filled_like(x, 1)
    half = n // 2
    left, right, odd = part(x, axis, 0, half), part(x, axis, half, half), part(x, axis, 2 * half, n - 2 * half)
    others = _others_in_last(concat([left * right, odd], axis=axis))
    shared = part(others, axis, 0, half)
    return concat([shared * right, shared * left, part(others, axis, half, n - 2 * half)], axis=axis)


SUM = _primitive("sum", np.add, "add", lambda g, out, x, axes: (spread(g, x, axes),), "numeric", doc="The sum.")
PROD = _primitive("prod", np.multiply, "mul", _prod_vjp, "numeric", doc="The product.")
MAX = _primitive(
    "max", np.maximum, "max", _extremum_vjp, "numeric", empty=False, doc="The greatest; NaN if there is one."
)
MIN = _primitive("min", np.minimum, "min", _extremum_vjp, "numeric", empty=False, doc="The least; NaN if there is one.")
ANY = _primitive("any", np.logical_or, "or", None, "bool", doc="Whether one is true.")
ALL = _primitive("all", np.logical_and, "and", None, "bool", doc="Whether each is true.")


# -- their functions -----------------------------------------------------------------------------------------------
def _total_dtype(dtype: DType) -> DType:
    """Sums of integers are kept in 64 bits (Array API)."""
    return dtype if dtype.is_float else uint64 if dtype.kind == "uint" else int64


def _totals(name: str, op: Op, doc: str, example: str) -> Callable[..., Tensor]:
    def function(
        x: Any,
        /,
        axis: Any = None,
        keepdims: bool = False,
        *,
        dtype: Any = None,
        dim: Any = None,
        keepdim: bool = False,
    ) -> Tensor:
        x, axes = _operands(x, axis, dim)
        return _reduce(op, cast(x, as_dtype(dtype) if dtype else _total_dtype(x.dtype)), axes, keepdims or keepdim)

    return _publish(function, name, doc, example)


def _extremes(name: str, op: Op, of_two: Callable[..., Tensor], doc: str, example: str) -> Callable[..., Tensor]:
    def function(
        x: Any, /, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False
    ) -> Tensor:
        if isinstance(axis, Operators):  # PyTorch's max(a, b)
            return of_two(x, axis)
        x, axes = _operands(x, axis, dim)
        if x.dtype is bool_:
            raise DTypeError(at_line(f"{name} takes numeric tensors, got bool; use any() or all()", user_origin()))
        return _reduce(op, x, axes, keepdims or keepdim)

    return _publish(function, name, doc, example, aliases=(f"a{name}",))


def _truths(name: str, op: Op, doc: str, example: str) -> Callable[..., Tensor]:
    def function(
        x: Any, /, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False
    ) -> Tensor:
        x, axes = _operands(x, axis, dim)
        return _reduce(op, cast(x, bool_), axes, keepdims or keepdim)

    return _publish(function, name, doc, example)


def _publish(function: Any, name: str, doc: str, example: str, aliases: tuple[str, ...] = ()) -> Callable[..., Tensor]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}\n\n    >>> import graphflow as gf\n    >>> {example}\n    "
    public(function, methods=(name, *aliases), name=name)
    return function  # type: ignore[no-any-return]


sum = _totals(
    "sum",
    SUM,
    "The sum along ``axis`` (an int, a tuple, None for all). Integers are summed in 64 bits.",
    "gf.tensor([[1, 2], [3, 4]]).sum(axis=0).tolist()\n    [4, 6]",
)
prod = _totals(
    "prod",
    PROD,
    "The product along ``axis``. Integers are multiplied in 64 bits.",
    "gf.tensor([2, 3, 4]).prod().item()\n    24",
)
max = _extremes(
    "max",
    MAX,
    maximum,
    "The greatest element along ``axis``; NaN if there is one. ShapeError if there is none.",
    "gf.tensor([[1, 5], [7, 2]]).max(axis=1).tolist()\n    [5, 7]",
)
min = _extremes(
    "min",
    MIN,
    minimum,
    "The least element along ``axis``; NaN if there is one. ShapeError if there is none.",
    "gf.tensor([[1, 5], [7, 2]]).min(axis=1).tolist()\n    [1, 2]",
)
any = _truths(
    "any",
    ANY,
    "Whether an element along ``axis`` is true (not zero).",
    "gf.tensor([[0, 1], [0, 0]]).any(axis=1).tolist()\n    [True, False]",
)
all = _truths(
    "all",
    ALL,
    "Whether all elements along ``axis`` are true (not zero).",
    "gf.tensor([[1, 1], [0, 1]]).all(axis=1).tolist()\n    [True, False]",
)


# -- statistics ----------------------------------------------------------------------------------------------------
def floating(x: Tensor) -> Tensor:
    """Integers as float32; 16-bit floats too, whose sums would overflow or lose digits."""
    if not x.dtype.is_float:
        return cast(x, default_float)
    return cast(x, float32) if x.dtype.bits == 16 else x


def result_dtype(x: Tensor) -> DType:
    return x.dtype if x.dtype.is_float else default_float


@public(methods=("mean",))
def mean(
    x: Any, /, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, dim: Any = None, keepdim: bool = False
) -> Tensor:
    """The arithmetic mean along ``axis``; integers give float32.

    >>> import graphflow as gf
    >>> gf.tensor([[1.0, 2.0], [3.0, 6.0]]).mean(axis=1).tolist()
    [1.5, 4.5]
    """
    x, axes = _operands(x, axis, dim)
    x = x if dtype is None else cast(x, as_dtype(dtype))
    wide = floating(x)
    out = _reduce(SUM, wide, axes, keepdims or keepdim) / count_along(x, axes, wide.dtype)
    return cast(out, result_dtype(x))


@public(methods=("var",))
def var(
    x: Any,
    /,
    axis: Any = None,
    keepdims: bool = False,
    *,
    correction: float = 0.0,
    unbiased: bool | None = None,
    dim: Any = None,
    keepdim: bool = False,
) -> Tensor:
    """The variance along ``axis``: squared distances from the mean, over ``n - correction``.

    ``correction=1`` or ``unbiased=True`` gives the unbiased estimate (PyTorch's default; the Array API's is 0).

    >>> import graphflow as gf
    >>> gf.tensor([1.0, 2.0, 3.0]).var(correction=1).item()
    1.0
    """
    correction = correction if unbiased is None else float(unbiased)
    x, axes = _operands(x, axis, dim)
    wide = floating(x)
    squares = _reduce(SUM, square(wide - mean(wide, axes, True)), axes, keepdims or keepdim)
    count = count_along(x, axes, wide.dtype)
    if isinstance(count, Tensor):
        freedom: Any = maximum(count - correction, 0.0)
    else:
        freedom = float(count - correction if count > correction else 0)
    return cast(squares / freedom, result_dtype(x))


@public(methods=("std",))
def std(
    x: Any,
    /,
    axis: Any = None,
    keepdims: bool = False,
    *,
    correction: float = 0.0,
    unbiased: bool | None = None,
    dim: Any = None,
    keepdim: bool = False,
) -> Tensor:
    """The standard deviation along ``axis``, the root of ``var``. Its gradient is 0 where all elements are equal.

    >>> import graphflow as gf
    >>> gf.tensor([1.0, 3.0]).std().item()
    1.0
    """
    variance = var(x, axis, keepdims, correction=correction, unbiased=unbiased, dim=dim, keepdim=keepdim)
    flat = variance == 0
    return where(flat, 0.0, sqrt(where(flat, 1.0, variance)))


@public(methods=("logsumexp",))
def logsumexp(x: Any, /, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) along ``axis``, without overflow.

    >>> import graphflow as gf
    >>> gf.logsumexp(gf.tensor([1000.0, 1000.0])).item()
    1000.6931762695312
    """
    x, axes = _operands(x, axis, dim)
    wide = floating(x)
    # Any shift gives the same result and gradient; the greatest element keeps exp from overflowing. Infinities stay.
    shift = stop_gradient(_reduce(MAX, wide, axes, True))
    shift = where(isfinite(shift), shift, 0.0)
    out = log(_reduce(SUM, exp(wide - shift), axes, True)) + shift
    if not (keepdims or keepdim):
        out = reshape(out, tuple(s for i, s in enumerate(x.shape) if i not in axes))
    return cast(out, result_dtype(x))


# -- positions and counts ------------------------------------------------------------------------------------------
def _position(op: Op, x: Any, axis: int | None, keep: bool, name: str) -> Tensor:
    x = as_tensor(x)
    if x.dtype is bool_:
        x = cast(x, int64)
    shape, rank = x.shape, x.ndim
    if axis is None:
        x, axis = reshape(x, (product(shape),)), 0
    (axis,) = normalize_axes(axis, x.ndim)
    if x.shape[axis] == 0:
        raise ShapeError(at_line(f"{name} of no elements (shape {shape}, axis {axis}) has no value", user_origin()))
    extreme = _reduce(op, x, (axis,), True)
    found = (x == extreme) | isnan(x) if x.dtype.is_float else x == extreme
    with beside(x):
        places = iota(x.shape, axis)
    out = apply(MIN, (where(found, places, np.iinfo(np.int64).max),), {"axes": (axis,)})
    if not keep:
        return out  # type: ignore[no-any-return]
    return reshape(out, kept_shape(x.shape, (axis,)) if rank == x.ndim and shape == x.shape else (1,) * rank)


@public(methods=("argmax",))
def argmax(
    x: Any, /, axis: int | None = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False
) -> Tensor:
    """The position (int64) of the greatest element along ``axis``, the first of several; a NaN counts as greatest.

    Without an axis the position is counted through the elements in row-major order.

    >>> import graphflow as gf
    >>> gf.argmax(gf.tensor([[1, 5, 5], [9, 0, 2]]), axis=1).tolist()
    [1, 0]
    """
    return _position(MAX, x, axis if dim is None else dim, keepdims or keepdim, "argmax")


@public(methods=("argmin",))
def argmin(
    x: Any, /, axis: int | None = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False
) -> Tensor:
    """The position (int64) of the least element along ``axis``, the first of several; a NaN counts as least."""
    return _position(MIN, x, axis if dim is None else dim, keepdims or keepdim, "argmin")


@public(methods=("count_nonzero",))
def count_nonzero(
    x: Any, /, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False
) -> Tensor:
    """How many elements along ``axis`` are not zero (int64).

    >>> import graphflow as gf
    >>> gf.count_nonzero(gf.tensor([0, 3, 4])).item()
    2
    """
    x, axes = _operands(x, axis, dim)
    return _reduce(SUM, cast(x != 0, int64), axes, keepdims or keepdim)
