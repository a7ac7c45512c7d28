"""Convolutional layers, with PyTorch's names, defaults, weight layouts and initial values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.nn.functional.convolution import IntOrInts, each_axis, padding_widths
from graphflow.nn.linear import new_parameter
from graphflow.nn.module import Module
from graphflow.ops.padding import pad
from graphflow.tensor import Tensor, as_tensor

_BORDERS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Convolution(Module):
    """What the six layers share. ``rank`` is the number of spatial axes."""

    rank = 0
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts,
        padding: IntOrInts | str,
        output_padding: IntOrInts,
        dilation: IntOrInts,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{in_channels} and {out_channels} channels are not {groups} equal groups")
        if padding_mode not in ("zeros", *_BORDERS) or (self.transposed and padding_mode != "zeros"):
            raise ValueError(
                f"padding_mode is 'zeros', or in convolutions one of {list(_BORDERS)}; got {padding_mode!r}"
            )
        rank = self.rank
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = each_axis(kernel_size, rank, "kernel_size")
        self.stride = each_axis(stride, rank, "stride")
        self.padding: Any = padding if isinstance(padding, str) else each_axis(padding, rank, "padding")
        self.dilation = each_axis(dilation, rank, "dilation")
        self.output_padding = each_axis(output_padding, rank, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        self._widths = padding_widths(self.padding, rank, self.stride, self._spans())
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = new_parameter((first, second // groups, *self.kernel_size), dtype, device)
        self.register_parameter("bias", new_parameter((out_channels,), dtype, device) if bias else None)
        self.reset_parameters()

    def _spans(self) -> tuple[int, ...]:
        """From the first to the last element that the kernel touches along each axis."""
        return tuple((k - 1) * d for k, d in zip(self.kernel_size, self.dilation))

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init.calculate_fan_in_and_fan_out(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        usual: dict[str, Any] = {"padding": 0, "dilation": 1, "output_padding": 0, "groups": 1, "padding_mode": "zeros"}
        for name, value in usual.items():
            have = getattr(self, name)
            if have != ((value,) * self.rank if isinstance(have, tuple) else value):
                parts.append(f"{name}={have}")
        return ", ".join(parts) + ("" if self.bias is not None else ", bias=False")


class _Conv(_Convolution):
    """A convolution: the weight is (out_channels, in_channels / groups, *kernel_size)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: IntOrInts | str = 0,
        dilation: IntOrInts = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        settings = (stride, padding, 0, dilation, groups, bias, padding_mode, device, dtype)
        super().__init__(in_channels, out_channels, kernel_size, *settings)

    def forward(self, input: Any) -> Tensor:
        x, padding = as_tensor(input), self.padding
        if self.padding_mode != "zeros":
            x = pad(x, [(0, 0)] * (x.ndim - self.rank) + self._widths, mode=_BORDERS[self.padding_mode])
            padding = 0
        function = (F.conv1d, F.conv2d, F.conv3d)[self.rank - 1]
        return function(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Convolution of (batch, in_channels, length). See ``Conv2d``.

    >>> import graphflow as gf
    >>> gf.nn.Conv1d(16, 33, 3, stride=2)(gf.ones((20, 16, 50))).shape
    (20, 33, 24)
    """

    rank = 1


class Conv2d(_Conv):
    """Convolution of (batch, in_channels, height, width); the batch axis may be missing.

    weight (out_channels, in_channels / groups, *kernel_size) and bias start even in +-1 / sqrt(inputs of an output).
    ``padding`` is a number of zeros, one for each axis, "same" or "valid"; with ``padding_mode`` "reflect", "replicate"
    or "circular" the input's own elements take their place.

    >>> import graphflow as gf
    >>> gf.nn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))(gf.ones((2, 16, 50, 20))).shape
    (2, 33, 28, 20)
    """

    rank = 2


class Conv3d(_Conv):
    """Convolution of (batch, in_channels, depth, height, width). See ``Conv2d``."""

    rank = 3


class _ConvTranspose(_Convolution):
    """The transpose of a convolution: the weight is (in_channels, out_channels / groups, *kernel_size)."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: IntOrInts = 0,
        output_padding: IntOrInts = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrInts = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        settings = (stride, padding, output_padding, dilation, groups, bias, padding_mode, device, dtype)
        super().__init__(in_channels, out_channels, kernel_size, *settings)

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Tensor:
        x = as_tensor(input)
        more = self.output_padding if output_size is None else self._output_padding(x, tuple(output_size))
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.rank - 1]
        return function(x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)

    def _output_padding(self, x: Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """What is missing from the least output to the one wanted."""
        wanted = wanted[len(wanted) - self.rank :]
        axes = zip(x.shape[x.ndim - self.rank :], self.stride, self._widths, self._spans())
        least = tuple((n - 1) * s - lo - hi + span + 1 for n, s, (lo, hi), span in axes)
        more = tuple(w - n for w, n in zip(wanted, least))
        if len(wanted) != self.rank or any(not 0 <= m < s for m, s in zip(more, self.stride)):
            raise ShapeError(
                at_line(f"output_size {wanted} is not among those possible, from {least} on", user_origin())
            )
        return more


class ConvTranspose1d(_ConvTranspose):
    """The transpose of ``Conv1d``, as a layer. See ``ConvTranspose2d``."""

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of ``Conv2d``, as a layer ("deconvolution"): (batch, in_channels, height, width) becomes larger.

    weight (in_channels, out_channels / groups, *kernel_size). Several sizes shrink to the input's in a convolution:
    ``output_padding``, or ``output_size`` when it is called, says which one comes out.

    >>> import graphflow as gf
    >>> layer = gf.nn.ConvTranspose2d(16, 33, 3, stride=2, padding=1)
    >>> layer(gf.ones((2, 16, 6, 6))).shape, layer(gf.ones((2, 16, 6, 6)), output_size=(12, 12)).shape
    ((2, 33, 11, 11), (2, 33, 12, 12))
    """

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of ``Conv3d``, as a layer. See ``ConvTranspose2d``."""

    rank = 3
