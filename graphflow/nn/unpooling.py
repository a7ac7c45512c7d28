"""Layers that put maxima back to where they were found, or pool by norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.nn import functional as F
from graphflow.nn.functional.convolution import IntOrInts, each_axis
from graphflow.nn.module import Module
from graphflow.tensor import Tensor


class _MaxUnpool(Module):
    rank: int
    function: Any = None

    def __init__(self, kernel_size: IntOrInts, stride: IntOrInts | None = None, padding: IntOrInts = 0) -> None:
        super().__init__()
        self.kernel_size = each_axis(kernel_size, self.rank, "kernel_size")
        self.stride = each_axis(kernel_size if stride is None else stride, self.rank, "stride")
        self.padding = each_axis(padding, self.rank, "padding")

    def forward(self, input: Any, indices: Any, output_size: Sequence[int] | None = None) -> Tensor:
        return type(self).function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Maxima back where ``MaxPool1d(..., return_indices=True)`` found them: ``F.max_unpool1d``."""

    rank, function = 1, staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Maxima back where ``MaxPool2d(..., return_indices=True)`` found them: ``F.max_unpool2d``.

    >>> import graphflow as gf
    >>> x, places = gf.nn.MaxPool2d(2, return_indices=True)(gf.ones((1, 3, 5, 4)))
    >>> gf.nn.MaxUnpool2d(2)(x, places, output_size=(5, 4)).shape
    (1, 3, 5, 4)
    """

    rank, function = 2, staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Maxima back where ``MaxPool3d(..., return_indices=True)`` found them: ``F.max_unpool3d``."""

    rank, function = 3, staticmethod(F.max_unpool3d)


class _LPPool(Module):
    function: Any = None

    def __init__(
        self, norm_type: float, kernel_size: IntOrInts, stride: IntOrInts | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Tensor:
        return type(self).function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        sizes = f"kernel_size={self.kernel_size}, stride={self.stride}"
        return f"norm_type={self.norm_type}, {sizes}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPool):
    """The norm of each window over (batch, channels, length): ``F.lp_pool1d``."""

    function = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """The norm of each window over (batch, channels, height, width): ``F.lp_pool2d``."""

    function = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """The norm of each window over (batch, channels, depth, height, width): ``F.lp_pool3d``."""

    function = staticmethod(F.lp_pool3d)
