"""Normalisation of single images, and of elements by their neighbours in other channels."""

from __future__ import annotations

from typing import Any

from graphflow.core import dispatch
from graphflow.core.dims import Dim, product, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn.functional.normalization import _in_channels, after
from graphflow.ops.creation import beside
from graphflow.ops.define import cast
from graphflow.ops.elementwise import rsqrt, square
from graphflow.ops.fused import fused
from graphflow.ops.movement import part, place, reshape
from graphflow.ops.reduce import count_along, floating, mean
from graphflow.ops.special import identity
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample of (batch, channels, *space) with mean 0 and variance 1 (Ulyanov et al. 2016).

    With ``use_input_stats`` running statistics (Variables, or None) move by ``momentum`` towards the batch's averages;
    without it they are used in place of the input's. Raises ShapeError for a single place per channel.

    >>> import graphflow as gf
    >>> gf.nn.functional.instance_norm(gf.tensor([[[1.0, 3.0]]])).numpy().round(3)
    array([[[-1.,  1.]]], dtype=float32)
    """
    x = as_tensor(input)
    if x.ndim < 3:
        message = f"instance_norm takes (batch, channels, *space), got {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(at_line("instance_norm without use_input_stats needs running statistics", user_origin()))
        channels = (-1, *(1,) * (x.ndim - 2))
        center, spread = (reshape(as_tensor(s), channels) for s in (running_mean, running_var))
        return _in_channels((floating(x) - center) * rsqrt(spread + eps), weight, bias, x.dtype)
    count = product(x.shape[2:])
    if not isinstance(count, Dim) and count <= 1:
        message = f"instance_norm: more than one place per channel is needed, got {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    out, center, spread = _of_each(x, weight, bias, eps)
    if running_mean is None:
        return out
    updates = _move(running_mean, running_var, x, center, spread, momentum)
    with after(updates):
        return identity(out)


@fused("batch", "x")
def _of_each(x: Tensor, weight: Any, bias: Any, eps: float) -> list[Tensor]:
    """The normalised x, with its means and variances."""
    wide = floating(x)
    axes = tuple(range(2, x.ndim))
    center = mean(wide, axes, True)
    centered = wide - center
    spread = mean(square(centered), axes, True)
    return [_in_channels(centered * rsqrt(spread + eps), weight, bias, x.dtype), center, spread]


def _move(running_mean: Any, running_var: Any, x: Tensor, center: Tensor, spread: Tensor, momentum: float) -> list[Any]:
    """Assign the running statistics: towards the averages over the batch of means and unbiased variances."""
    for statistic in (running_mean, running_var):
        if not isinstance(statistic, Variable):
            raise TypeError("instance_norm updates the running statistics: they must be gf.Variable")
    with dispatch.no_grad(), beside(x):
        count = count_along(x, tuple(range(2, x.ndim)), spread.dtype)
        updates = []
        for statistic, value in ((running_mean, center), (running_var, spread * (count / (count - 1)))):
            now = statistic._read_now()
            average = reshape(mean(value, (0,)), statistic.shape)
            updates.append(statistic.assign(now + (cast(average, now.dtype) - now) * momentum))
        return updates


@fused("batch", "input")
def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of squares of ``size`` neighbouring channels (axis 1)) ** beta (Krizhevsky et al. 2012).

    >>> import graphflow as gf
    >>> gf.nn.functional.local_response_norm(gf.ones((1, 3, 2)), 3, alpha=3.0, beta=1.0).numpy().round(3)[0, :, 0]
    array([0.333, 0.25 , 0.333], dtype=float32)
    """
    x = as_tensor(input)
    if x.ndim < 3:
        message = f"local_response_norm takes (batch, channels, *space), got {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    wide = floating(x)
    none = (0,) * (x.ndim - 2)
    around = place(square(wide), (0, size // 2, *none), (0, (size - 1) // 2, *none), (0,) * x.ndim)
    added: Any = None
    for first in range(size):
        some = part(around, 1, first, x.shape[1])
        added = some if added is None else added + some
    return cast(wide * (added * (alpha / size) + k) ** -beta, x.dtype)
