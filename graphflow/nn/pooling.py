"""Pooling layers, with PyTorch's names, order of arguments and defaults."""

from __future__ import annotations

from typing import Any

from graphflow.nn import functional as F
from graphflow.nn.functional.adaptive import OutputSize
from graphflow.nn.functional.convolution import IntOrInts
from graphflow.nn.module import Module
from graphflow.tensor import Tensor


class _MaxPool(Module):
    function: Any = None

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        dilation: IntOrInts = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Any:
        settings = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        return type(self).function(input, *settings)

    def extra_repr(self) -> str:
        sizes = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{sizes}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(_MaxPool):
    """The greatest of each window over (batch, channels, length). See ``MaxPool2d``."""

    function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The greatest of each window over (batch, channels, height, width).

    Windows are ``stride`` apart, by default their own size; ``return_indices`` also gives the maxima's places.

    >>> import graphflow as gf
    >>> gf.nn.MaxPool2d(3, stride=2)(gf.ones((20, 16, 50, 32))).shape
    (20, 16, 24, 15)
    """

    function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The greatest of each window over (batch, channels, depth, height, width). See ``MaxPool2d``."""

    function = staticmethod(F.max_pool3d)


class AvgPool1d(Module):
    """The mean of each window over (batch, channels, length). See ``AvgPool2d``."""

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Any) -> Tensor:
        settings = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return F.avg_pool1d(input, *settings)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(AvgPool1d):
    function: Any = None

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Tensor:
        settings = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return type(self).function(input, *settings, self.divisor_override)  # type: ignore[no-any-return]


class AvgPool2d(_AvgPool):
    """The mean of each window over (batch, channels, height, width).

    Zeros of the padding count if ``count_include_pad``; ``divisor_override`` divides instead of the number of elements.

    >>> import graphflow as gf
    >>> gf.nn.AvgPool2d((3, 2), stride=(2, 1))(gf.ones((20, 16, 50, 32))).shape
    (20, 16, 24, 31)
    """

    function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """The mean of each window over (batch, channels, depth, height, width). See ``AvgPool2d``."""

    function = staticmethod(F.avg_pool3d)


class _AdaptiveAvgPool(Module):
    function: Any = None

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Tensor:
        return type(self).function(input, self.output_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of ``output_size`` windows that cover the length evenly. See ``AdaptiveAvgPool2d``."""

    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of ``output_size`` windows along each axis, which cover height and width evenly.

    ``output_size`` is one number or two; None leaves an axis as it is.

    >>> import graphflow as gf
    >>> gf.nn.AdaptiveAvgPool2d((5, None))(gf.ones((1, 64, 10, 9))).shape
    (1, 64, 5, 9)
    """

    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of windows that cover depth, height and width evenly. See ``AdaptiveAvgPool2d``."""

    function = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        return type(self).function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The maxima of ``output_size`` windows that cover the length evenly. See ``AdaptiveAvgPool2d``."""

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The maxima of windows that cover height and width evenly. See ``AdaptiveAvgPool2d``."""

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The maxima of windows that cover depth, height and width evenly. See ``AdaptiveAvgPool2d``."""

    function = staticmethod(F.adaptive_max_pool3d)
