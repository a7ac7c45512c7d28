"""Normalisation of single images, and of elements by their neighbours in other channels."""

from __future__ import annotations

from typing import Any

from graphflow.core.dims import shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn.module import Module
from graphflow.nn.normalization import ChannelNorm
from graphflow.ops.movement import expand_dims, reshape
from graphflow.tensor import Tensor, as_tensor


class _InstanceNorm(ChannelNorm):
    """Each channel of each sample with mean 0 and variance 1 over its places (Ulyanov et al. 2016).

    Unlike batch normalisation it has no weight and bias, and no running statistics, unless they are asked for.
    """

    rank: int  # of a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Tensor:
        x = as_tensor(input)
        name = type(self).__name__
        if x.ndim not in (self.rank - 1, self.rank):
            message = f"{name} takes rank {self.rank}, or {self.rank - 1} without batch, got {shape_str(x.shape)}"
            raise ShapeError(at_line(message, user_origin()))
        if x.ndim == self.rank - 1:
            return reshape(self.forward(expand_dims(x, 0)), x.shape)
        if x.shape[1] != self.num_features:
            message = f"{name} is for {self.num_features} channels, the input has shape {shape_str(x.shape)}"
            raise ShapeError(at_line(message, user_origin()))
        own = self.training or not self.track_running_stats
        state = self.running_mean, self.running_var, self.weight, self.bias
        return F.instance_norm(x, *state, own, self.momentum or 0.0, self.eps)  # None: statistics stay, as in PyTorch


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (batch, channels, length)."""

    rank = 3


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (batch, channels, height, width).

    >>> import graphflow as gf
    >>> x = gf.random.normal((2, 3, 4, 5))
    >>> gf.nn.InstanceNorm2d(3)(x).mean((2, 3)).abs().max().item() < 1e-5
    True
    """

    rank = 4


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (batch, channels, depth, height, width)."""

    rank = 5


class LocalResponseNorm(Module):
    """Elements over a power of the squares of ``size`` neighbouring channels: ``F.local_response_norm``."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Any) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
