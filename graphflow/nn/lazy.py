"""Layers that take the number of their input features from the first call.

Their parameters are there from the beginning, empty: optimizers may hold them already. The first call gives them their
shapes and initial values, and makes the layer one of the usual class. (To load a state_dict, call the model first.)
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from graphflow.core.dims import Dim, Size, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from graphflow.nn.functional.convolution import IntOrInts
from graphflow.nn.instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from graphflow.nn.linear import Linear
from graphflow.nn.module import Module
from graphflow.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from graphflow.tensor import as_tensor


class Lazy(Module):
    """Comes before a layer's class: makes that layer of this one when it is called first."""

    usual: ClassVar[type[Module]]
    counts: ClassVar[str]  # the attribute that has the number of features

    def __call__(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        self.materialize(as_tensor(input).shape)
        return self(input, *args, **kwargs)  # of the usual class by now

    def reset_parameters(self) -> None:
        """Nothing: there are no parameters to draw yet."""

    def features_of(self, shape: tuple[Size, ...]) -> Size:
        """The number of features of an input."""
        return shape[1] if len(shape) > 1 else 0

    def materialize(self, shape: tuple[Size, ...]) -> None:
        """Become the usual layer, for inputs of a shape. Raises ShapeError if it does not tell the number of features.

        >>> import graphflow as gf
        >>> layer = gf.nn.LazyLinear(2)
        >>> layer.materialize((8, 3)); layer
        Linear(in_features=3, out_features=2, bias=True)
        """
        features = self.features_of(shape)
        if isinstance(features, Dim) or features == 0:
            message = (
                f"{type(self).__name__} takes its {self.counts} from the first input, but shape {shape_str(shape)} "
                f"does not tell it; call it on an example of a known size first, or use {self.usual.__name__}"
            )
            raise ShapeError(at_line(message, user_origin()))
        groups = getattr(self, "groups", 1)
        if features % groups:
            raise ShapeError(at_line(f"{features} channels are not {groups} equal groups", user_origin()))
        transposed = getattr(self, "transposed", False)  # there the groups divide the other axis of the weight
        for variable in (*self._parameters.values(), *self._buffers.values()):
            if variable is not None and 0 in variable.shape:
                count = features if transposed else features // groups
                variable.shape = tuple(count if n == 0 else n for n in variable.shape)
                variable.set_initial(np.zeros(variable.shape, variable.dtype.np))  # type: ignore[arg-type]
        setattr(self, self.counts, features)
        self.__class__ = self.usual  # type: ignore[assignment]
        self.reset_parameters()  # the usual class's


class LazyLinear(Lazy, Linear):
    """``Linear`` whose ``in_features`` is the size of the first input's last axis.

    >>> import graphflow as gf
    >>> model = gf.nn.Sequential(gf.nn.Flatten(), gf.nn.LazyLinear(10))
    >>> model(gf.ones((5, 2, 3))).shape, model[1].weight.shape
    ((5, 10), (10, 6))
    """

    usual, counts = Linear, "in_features"

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, out_features, bias, device, dtype)

    def features_of(self, shape: tuple[Size, ...]) -> Size:
        return shape[-1] if shape else 0


class _LazyConv(Lazy):
    """A convolution whose ``in_channels`` is that of the first input."""

    counts = "in_channels"
    rank: int

    def __init__(self, out_channels: int, kernel_size: IntOrInts, *args: Any, **settings: Any) -> None:
        super().__init__(0, out_channels, kernel_size, *args, **settings)  # type: ignore[call-arg]

    def features_of(self, shape: tuple[Size, ...]) -> Size:
        return shape[-self.rank - 1] if len(shape) in (self.rank + 1, self.rank + 2) else 0


class LazyConv1d(_LazyConv, Conv1d):
    """``Conv1d`` whose ``in_channels`` is that of the first input."""

    usual = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """``Conv2d`` whose ``in_channels`` is that of the first input.

    >>> import graphflow as gf
    >>> layer = gf.nn.LazyConv2d(8, 3, padding=1)
    >>> layer(gf.ones((2, 4, 5, 5))).shape, layer.in_channels
    ((2, 8, 5, 5), 4)
    """

    usual = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """``Conv3d`` whose ``in_channels`` is that of the first input."""

    usual = Conv3d


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """``ConvTranspose1d`` whose ``in_channels`` is that of the first input."""

    usual = ConvTranspose1d


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """``ConvTranspose2d`` whose ``in_channels`` is that of the first input."""

    usual = ConvTranspose2d


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """``ConvTranspose3d`` whose ``in_channels`` is that of the first input."""

    usual = ConvTranspose3d


class _LazyNorm(Lazy):
    """A normalisation whose ``num_features`` is the number of channels of the first input."""

    counts = "num_features"

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(0, *args, **settings)  # type: ignore[call-arg]

    def reset_running_stats(self) -> None:
        """Nothing: there are no statistics yet."""


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """``BatchNorm1d`` whose ``num_features`` is the number of channels of the first input."""

    usual = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """``BatchNorm2d`` whose ``num_features`` is the number of channels of the first input."""

    usual = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """``BatchNorm3d`` whose ``num_features`` is the number of channels of the first input."""

    usual = BatchNorm3d


class _LazyInstanceNorm(_LazyNorm):
    """Unlike the usual layers, it has weight, bias and running statistics by default (as in PyTorch)."""

    rank: int

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(eps, momentum, affine, track_running_stats, device, dtype)

    def features_of(self, shape: tuple[Size, ...]) -> Size:
        return shape[1 - self.rank] if len(shape) in (self.rank - 1, self.rank) else 0


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """``InstanceNorm1d`` whose ``num_features`` is the number of channels of the first input."""

    usual = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """``InstanceNorm2d`` whose ``num_features`` is the number of channels of the first input."""

    usual = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """``InstanceNorm3d`` whose ``num_features`` is the number of channels of the first input."""

    usual = InstanceNorm3d
