"""Channels turned into space and back, and channels mixed between groups."""

from __future__ import annotations

from typing import Any

from graphflow.core.dims import shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.fused import fused
from graphflow.ops.movement import permute_dims, reshape
from graphflow.tensor import Tensor, as_tensor


def _image(name: str, input: Any) -> Tensor:
    x = as_tensor(input)
    if x.ndim < 3:
        message = f"{name} takes (..., channels, height, width), got {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    return x


@fused("batch", "input")
def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """(..., channels * r * r, height, width) to (..., channels, height * r, width * r) (Shi et al. 2016).

    >>> import graphflow as gf
    >>> gf.nn.functional.pixel_shuffle(gf.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    x, r = _image("pixel_shuffle", input), upscale_factor
    *lead, channels, height, width = x.shape
    if channels % (r * r) != 0:
        raise ShapeError(at_line(f"pixel_shuffle: {channels} channels are no multiple of {r} * {r}", user_origin()))
    n = len(lead)
    x = reshape(x, (*lead, channels // (r * r), r, r, height, width))
    x = permute_dims(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return reshape(x, (*lead, channels // (r * r), height * r, width * r))


@fused("batch", "input")
def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """(..., channels, height * r, width * r) to (..., channels * r * r, height, width): back from ``pixel_shuffle``."""
    x, r = _image("pixel_unshuffle", input), downscale_factor
    *lead, channels, height, width = x.shape
    if height % r != 0 or width % r != 0:
        message = f"pixel_unshuffle: height and width are no multiples of {r} in shape {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    n = len(lead)
    x = reshape(x, (*lead, channels, height // r, r, width // r, r))
    x = permute_dims(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return reshape(x, (*lead, channels * r * r, height // r, width // r))


@fused("batch", "input")
def channel_shuffle(input: Any, groups: int) -> Tensor:
    """Channels (axis 1) dealt out so that each of ``groups`` groups gets some of every group (Zhang et al. 2018).

    >>> import graphflow as gf
    >>> gf.nn.functional.channel_shuffle(gf.arange(4.0).reshape(1, 4, 1), 2).ravel().tolist()
    [0.0, 2.0, 1.0, 3.0]
    """
    x = _image("channel_shuffle", input)
    batch, channels, *space = x.shape
    if channels % groups != 0:
        raise ShapeError(at_line(f"channel_shuffle: {channels} channels are not {groups} equal groups", user_origin()))
    x = reshape(x, (batch, groups, channels // groups, *space))
    return reshape(permute_dims(x, (0, 2, 1, *range(3, x.ndim))), (batch, channels, *space))
