"""Normalisation: over the last axes, over groups of channels, over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from graphflow.core import dispatch
from graphflow.core.dims import Dim, Shape, product, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import DType, make_finfo
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.creation import beside
from graphflow.ops.custom import rule
from graphflow.ops.define import cast
from graphflow.ops.elementwise import maximum, needs_gradient, rsqrt, square
from graphflow.ops.fused import fused
from graphflow.ops.movement import reshape
from graphflow.ops.reduce import count_along, floating, mean, sum
from graphflow.ops.special import identity
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


def _standardized(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """x with mean 0 and variance 1 along the axes."""
    with dispatch.no_grad():
        value = _standard(x, axes, eps)[0]
    return apply(STANDARDIZED, (value, x), {"axes": axes, "eps": eps})  # type: ignore[no-any-return]


def _standard(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """That, and what it was divided by."""
    centered = x - mean(x, axes, True)
    scale = rsqrt(mean(square(centered), axes, True) + eps)
    return centered * scale, scale


def _standardized_vjp(
    g: Tensor, out: Tensor, value: Tensor, x: Tensor, axes: tuple[int, ...], eps: float
) -> tuple[Tensor | None, ...]:
    """Two means, then one more walk; of x only its standardized form is needed, which is there already."""
    standard, scale = _standard(x, axes, eps)
    share = mean(g * standard, axes, True)
    return None, (g - mean(g, axes, True) - standard * share) * scale


STANDARDIZED = rule(
    "standardized",
    _standardized_vjp,
    "Mean 0 and variance 1 along some axes: value, x -> value.",
    lambda: [Sample(((4, 3), (4, 3)), {"axes": (1,), "eps": 1e-5}, grad=False)],
    "wide float",
)


def _scaled(x: Tensor, weight: Any, bias: Any) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _trailing_axes(name: str, x: Tensor, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape: Shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[x.ndim - len(shape) :] != shape:
        raise ShapeError(
            at_line(
                f"{name}: the last axes should be {shape_str(shape)}, the shape is {shape_str(x.shape)}", user_origin()
            )
        )
    return tuple(range(x.ndim - len(shape), x.ndim))


def _last_axis(shape: tuple[int, ...], given: dict[str, Any]) -> str:
    """The layout for eager mode: rows, if one axis is normalised."""
    return "rows" if given.get("normalized_shape") in (shape[-1], shape[-1:]) else "batch"


@fused(_last_axis, "input")
def layer_norm(
    input: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """The last axes, of shape ``normalized_shape``, with mean 0 and variance 1, times weight, plus bias.

    >>> import graphflow as gf
    >>> gf.nn.functional.layer_norm(gf.tensor([[1.0, 3.0]]), 2).numpy().round(3)
    array([[-1.,  1.]], dtype=float32)
    """
    x = as_tensor(input)
    axes = _trailing_axes("layer_norm", x, normalized_shape)
    return cast(_scaled(_standardized(floating(x), axes, eps), weight, bias), x.dtype)


@fused(_last_axis, "input")
def rms_norm(input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    """The last axes over the root of their mean square (Zhang and Sennrich 2019); ``eps`` is the dtype's by default."""
    x = as_tensor(input)
    axes = _trailing_axes("rms_norm", x, normalized_shape)
    wide = floating(x)
    eps = make_finfo(x.dtype).eps if eps is None else eps
    return cast(_scaled(wide * rsqrt(mean(square(wide), axes, True) + eps), weight, None), x.dtype)


@fused("batch", "input")
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Groups of channels (axis 1) with mean 0 and variance 1, each with all places (Wu and He 2018)."""
    x = as_tensor(input)
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise ShapeError(
            at_line(f"group_norm: axis 1 of shape {shape_str(x.shape)} is not {num_groups} equal groups", user_origin())
        )
    grouped = reshape(floating(x), (x.shape[0], num_groups, product(x.shape[1:]) // num_groups))
    out = reshape(_standardized(grouped, (2,), eps), x.shape)
    return cast(_scaled(out, _per_channel(weight, x.ndim), _per_channel(bias, x.ndim)), x.dtype)


def _per_channel(value: Any, rank: int) -> Tensor | None:
    """A number for each channel, shaped so that it broadcasts along axis 1."""
    if value is None or rank <= 2:
        return None if value is None else as_tensor(value)
    return reshape(as_tensor(value), (-1, *(1,) * (rank - 2)))


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel (axis 1) with mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    In training the statistics are the batch's, and the running ones (Variables, or None) move towards them by
    ``momentum``; otherwise the running ones are used. Raises ShapeError for a single value per channel in training.
    """
    return batch_norm_after([], input, running_mean, running_var, weight, bias, training, momentum, eps)


def batch_norm_after(
    updates: list[Any],
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    training: bool,
    momentum: Any,
    eps: float,
) -> Tensor:
    """``batch_norm`` that also brings other assignments of state with it."""
    x = as_tensor(input)
    if x.ndim < 2:
        raise ShapeError(at_line(f"batch_norm needs rank 2 or more, got shape {shape_str(x.shape)}", user_origin()))
    axes = (0, *range(2, x.ndim))
    if not (training or running_mean is None):
        with after(updates):
            return _with_statistics(x, running_mean, running_var, weight, bias, eps)
    count = product(x.shape[a] for a in axes)
    if not isinstance(count, Dim) and count <= 1:
        raise ShapeError(
            at_line(
                f"batch_norm: training needs more than one value per channel, got {shape_str(x.shape)}", user_origin()
            )
        )
    out, center, spread = _with_own_statistics(x, weight, bias, eps)
    if running_mean is not None:
        updates = updates + _move_statistics(running_mean, running_var, x, axes, center, spread, momentum)
    with after(updates):
        return identity(out) if updates else out


@fused("batch", "x")
def _with_own_statistics(x: Tensor, weight: Any, bias: Any, eps: float) -> list[Tensor]:
    """x, normalised over all axes but the channels', with its mean and variance."""
    wide = floating(x)
    operands = [wide, *(cast(as_tensor(t), wide.dtype) for t in (weight, bias) if t is not None)]
    center, centered, spread = _moments(wide)
    with dispatch.no_grad():
        value = _in_channels(centered * rsqrt(spread + eps), weight, bias, wide.dtype)
    attrs = {"eps": eps, "scaled": weight is not None}
    return [cast(apply(BATCH_NORM, (value, *operands), attrs), x.dtype), center, spread]


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, distance from it, and variance of each channel."""
    axes = (0, *range(2, x.ndim))
    center = mean(x, axes, True)
    centered = x - center
    return center, centered, mean(square(centered), axes, True)


def _batch_norm_vjp(
    g: Tensor, out: Tensor, value: Tensor, x: Tensor, *affine: Tensor, eps: float, scaled: bool
) -> tuple[Tensor | None, ...]:
    """Two sums over the batch, then one more walk: what Ioffe and Szegedy's six equations come to."""
    axes = (0, *range(2, x.ndim))
    _, centered, spread = _moments(x)
    scale = rsqrt(spread + eps)
    total, share = sum(g, axes, keepdims=True), sum(g * centered, axes, keepdims=True)
    count = count_along(x, axes, x.dtype)
    slopes: list[Tensor | None] = [None, None]
    if needs_gradient(x):
        inner = g - (total / count + centered * (square(scale) * share / count))  # both sums come before the next walk
        slopes[1] = inner * (scale * _per_channel(affine[0], x.ndim) if scaled else scale)
    if scaled:
        slopes.append(reshape(share * scale, affine[0].shape))
    if len(affine) > scaled:
        slopes.append(reshape(total, affine[-1].shape))
    return tuple(slopes)


BATCH_NORM = rule(
    "batch_norm",
    _batch_norm_vjp,
    "Normalisation over the batch: value, x (batch, channels, ...), perhaps weight and bias (channels) -> value.",
    lambda: [Sample(((4, 3, 2), (4, 3, 2), (3,), (3,)), {"eps": 1e-5, "scaled": True}, grad=False)],
    "wide float",
)


@fused("batch", "x")
def _with_statistics(x: Tensor, center: Any, spread: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    centered = floating(x) - _per_channel(center, x.ndim)
    variance: Any = _per_channel(spread, x.ndim)
    scale: Any = rsqrt(variance + eps)
    if weight is not None:
        scale = scale * _per_channel(weight, x.ndim)
    return _in_channels(centered * scale, None, bias, x.dtype)


def _in_channels(x: Tensor, weight: Any, bias: Any, dtype: DType) -> Tensor:
    return cast(_scaled(x, _per_channel(weight, x.ndim), _per_channel(bias, x.ndim)), dtype)


def _move_statistics(
    running_mean: Any, running_var: Any, x: Tensor, axes: tuple[int, ...], center: Tensor, spread: Tensor, momentum: Any
) -> list[Any]:
    for statistic in (running_mean, running_var):
        if not isinstance(statistic, Variable):
            raise TypeError("batch_norm in training updates the running statistics: they must be gf.Variable")
    with dispatch.no_grad(), beside(x):
        count = count_along(x, axes, spread.dtype)
        freedom = maximum(count - 1, 1.0) if isinstance(count, Tensor) else count - 1
        unbiased = reshape(spread, running_var.shape) * (count / freedom)
        updates = []
        for statistic, value in ((running_mean, reshape(center, running_mean.shape)), (running_var, unbiased)):
            now = statistic._read_now()  # a layer that is called twice moves its statistics twice
            updates.append(statistic.assign(now + (cast(value, now.dtype) - now) * momentum))
        return updates


def after(updates: Sequence[Any]) -> AbstractContextManager[Any]:
    """What is recorded in the block brings these assignments with it when it runs; eagerly they have happened."""
    nodes = [u._node for u in updates if u._node is not None]
    return nodes[0].graph.control_dependencies(nodes) if nodes else nullcontext()  # type: ignore[no-any-return]
