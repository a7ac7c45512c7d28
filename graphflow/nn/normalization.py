"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.dtypes import as_dtype, default_float
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.nn.functional.normalization import batch_norm_after
from graphflow.nn.linear import new_parameter
from graphflow.nn.module import Module
from graphflow.ops.creation import beside
from graphflow.ops.define import cast
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


def _restart(weight: Variable | None, bias: Variable | None) -> None:
    if weight is not None:
        init.ones_(weight)
    if bias is not None:
        init.zeros_(bias)


class LayerNorm(Module):
    """The last axes, of shape ``normalized_shape``, with mean 0 and variance 1 (Ba et al. 2016).

    >>> import graphflow as gf
    >>> gf.nn.LayerNorm(10)(gf.ones((20, 5, 10))).shape
    (20, 5, 10)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", new_parameter(shape, dtype, device) if elementwise_affine else None)
        self.register_parameter("bias", new_parameter(shape, dtype, device) if elementwise_affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Ones and zeros."""
        _restart(self.weight, self.bias)

    def forward(self, input: Any) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        settings = f"eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, {settings}"


class RMSNorm(Module):
    """The last axes over the root of their mean square (Zhang and Sennrich 2019)."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", new_parameter(shape, dtype, device) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Ones."""
        _restart(self.weight, None)

    def forward(self, input: Any) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Groups of channels (axis 1) with mean 0 and variance 1 (Wu and He 2018)."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"{num_channels} channels are not {num_groups} equal groups")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter("weight", new_parameter((num_channels,), dtype, device) if affine else None)
        self.register_parameter("bias", new_parameter((num_channels,), dtype, device) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Ones and zeros."""
        _restart(self.weight, self.bias)

    def forward(self, input: Any) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        settings = f"eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_groups}, {self.num_channels}, {settings}"


class ChannelNorm(Module):
    """What batch and instance normalisation share: settings, weight and bias, running statistics (each on request)."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", new_parameter((num_features,), dtype, device) if affine else None)
        self.register_parameter("bias", new_parameter((num_features,), dtype, device) if affine and bias else None)
        kept = track_running_stats
        kind = (default_float if dtype is None else as_dtype(dtype)).np
        self.register_buffer("running_mean", np.zeros(num_features, kind) if kept else None)
        self.register_buffer("running_var", np.ones(num_features, kind) if kept else None)
        self.register_buffer("num_batches_tracked", np.array(0) if kept else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Ones and zeros, and no batches seen."""
        self.reset_running_stats()
        _restart(self.weight, self.bias)

    def extra_repr(self) -> str:
        settings = f"eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_features}, {settings}, track_running_stats={self.track_running_stats}"


class _BatchNorm(ChannelNorm):
    """Each channel (axis 1) with mean 0 and variance 1: over the batch in training, by running statistics otherwise.

    The running statistics move by ``momentum`` at each training step, in every mode; with ``momentum=None`` they are
    the averages of all batches so far. Without ``track_running_stats`` the batch's statistics are always used.
    """

    ranks: tuple[int, ...] = ()

    def forward(self, input: Any) -> Tensor:
        x = as_tensor(input)
        if x.ndim not in self.ranks:
            ranks = " or ".join(map(str, self.ranks))
            raise ShapeError(at_line(f"{type(self).__name__} takes rank {ranks}, got shape {x.shape}", user_origin()))
        momentum: Any = self.momentum
        seen: list[Any] = []
        training = self.training
        if training and self.track_running_stats:
            with dispatch.no_grad(), beside(x):
                seen = [self.num_batches_tracked.assign_add(1)]
                if momentum is None:
                    momentum = 1.0 / cast(seen[0], self.running_mean.dtype)
        own = training or not self.track_running_stats
        state = self.running_mean, self.running_var, self.weight, self.bias
        return batch_norm_after(seen, x, *state, own, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation (Ioffe and Szegedy 2015) of (batch, channels) or (batch, channels, length).

    >>> import graphflow as gf
    >>> layer = gf.nn.BatchNorm1d(2)
    >>> layer(gf.tensor([[1.0, 0.0], [3.0, 4.0]])).numpy().round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean.numpy().round(3)
    array([0.2, 0.2], dtype=float32)
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation (Ioffe and Szegedy 2015) of (batch, channels, height, width)."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation (Ioffe and Szegedy 2015) of (batch, channels, depth, height, width)."""

    ranks = (5,)
