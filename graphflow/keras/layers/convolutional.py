"""Convolutions, with Keras's names and defaults: channels last, kernels (*taps, inputs, outputs)."""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.keras import activations, constraints, initializers, regularizers
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.shapes import check_rank, known
from graphflow.keras.layers.windows import as_given, channels_first, choice, numbers, same_widths
from graphflow.nn import functional as F
from graphflow.ops.movement import part, permute_dims, reshape
from graphflow.ops.padding import pad
from graphflow.tensor import Tensor

_FORMATS = ("channels_last", "channels_first")
_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSES = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


class _Conv(Layer):
    """What all convolutions share. ``rank`` is the number of spatial axes."""

    rank = 0
    paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        filters: Any,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        rank = self.rank
        self.filters = filters
        self.kernel_size = numbers(kernel_size, rank, "kernel_size")
        self.strides = numbers(strides, rank, "strides")
        self.padding = choice(padding, self.paddings, "padding")
        self.data_format = choice(data_format or "channels_last", _FORMATS, "data_format")
        self.dilation_rate = numbers(dilation_rate, rank, "dilation_rate")
        self.groups = groups
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.bias: Any = None
        if filters is not None and (filters < 1 or filters % groups):
            raise ValueError(at_line(f"{filters} filters are not {groups} equal groups", user_origin()))

    def _channels(self, input_shape: Any) -> int:
        if len(input_shape) != self.rank + 2:
            raise ShapeError(
                at_line(
                    f"{self.name} takes inputs of rank {self.rank + 2} (batch, ..., channels), got shape {input_shape}"
                    + ("; add a channel axis: x[..., None]" if len(input_shape) == self.rank + 1 else ""),
                    user_origin(),
                )
            )
        axis = 1 if self.data_format == "channels_first" else -1
        return known(input_shape[axis], self, "the number of channels")

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ShapeError(at_line(f"{channels} channels are not {self.groups} equal groups", user_origin()))
        self._add_weights((*self.kernel_size, channels // self.groups, self.filters), self.filters)

    def _add_weights(self, shape: Any, outputs: int) -> None:
        self.kernel = self.add_weight(
            shape,
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (outputs,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _input(self, inputs: Any) -> Tensor:
        return channels_first(check_rank(self, inputs, (self.rank + 2,)), self.data_format)

    def _output(self, out: Tensor) -> Tensor:
        if activations.is_elementwise(self.activation):  # in the convolution's own order, so that it joins its kernel
            return as_given(self.activation(out), self.data_format)
        return self.activation(as_given(out, self.data_format))  # type: ignore[no-any-return]

    def _spans(self) -> list[int]:
        """From the first to the last element that the kernel touches along each axis, both counted."""
        return [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation_rate)]

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """The input, padded where the convolution cannot do it itself, and the padding for it to do."""
        if self.padding == "valid":
            return x, 0
        spans = self._spans()
        if self.padding == "causal":
            return pad(x, [(0, 0), (0, 0), (spans[0] - 1, 0)]), 0
        widths = same_widths(self, x.shape[2:], spans, self.strides)
        if all(low == high for low, high in widths):
            return x, tuple(low for low, _ in widths)
        return pad(x, [(0, 0), (0, 0), *widths]), 0

    def _convolve(self, x: Tensor, kernel: Any, bias: Any, groups: int, strides: Any = None) -> Tensor:
        """x (batch, channels, ...) with a kernel (*taps, channels / groups, outputs)."""
        x, padding = self._padded(x)
        rank = self.rank
        weight = permute_dims(kernel, (rank + 1, rank, *range(rank)))
        return _CONVOLUTIONS[rank - 1](x, weight, bias, strides or self.strides, padding, self.dilation_rate, groups)

    def call(self, inputs: Any) -> Tensor:
        return self._output(self._convolve(self._input(inputs), self.kernel, self.bias, self.groups))


class Conv1D(_Conv):
    """Convolution of (batch, steps, channels); ``padding="causal"`` never looks ahead.

    >>> import graphflow as gf
    >>> gf.keras.layers.Conv1D(8, 3, padding="causal")(gf.ones((2, 10, 4))).shape
    (2, 10, 8)
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(_Conv):
    """Convolution of (batch, height, width, channels); kernel (rows, columns, channels / groups, filters).

    >>> import graphflow as gf
    >>> gf.keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(gf.ones((2, 28, 28, 1))).shape
    (2, 14, 14, 32)
    """

    rank = 2


class Conv3D(_Conv):
    """Convolution of (batch, depth, height, width, channels)."""

    rank = 3


class _ConvTranspose(_Conv):
    """The transpose of a convolution; kernel (*taps, filters, channels)."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, **kwargs)
        single = output_padding is None or isinstance(output_padding, int)
        self.output_padding = (output_padding,) * self.rank if single else tuple(output_padding)

    def build(self, input_shape: Any) -> None:
        self._add_weights((*self.kernel_size, self.filters, self._channels(input_shape)), self.filters)

    def call(self, inputs: Any) -> Tensor:
        x, rank = self._input(inputs), self.rank
        weight = permute_dims(self.kernel, (rank + 1, rank, *range(rank)))
        places = [self._place(*settings) for settings in zip(self._spans(), self.strides, self.output_padding)]
        sizes = [
            (n - 1) * s + span + more for n, s, span, (_, more) in zip(x.shape[2:], self.strides, self._spans(), places)
        ]
        out = _TRANSPOSES[rank - 1](x, weight, None, self.strides, 0, 0, 1, self.dilation_rate)
        if any(cut + more > 0 for cut, more in places):
            out = pad(out, [(0, 0), (0, 0), *((0, max(cut + more, 0)) for cut, more in places)])
        if any(cut or more < 0 for cut, more in places):
            for axis, ((cut, _), size) in enumerate(zip(places, sizes), 2):
                out = part(out, axis, cut, size)
        return self._output(out if self.bias is None else out + reshape(self.bias, (self.filters, *(1,) * rank)))

    def _place(self, span: int, stride: int, extra: int | None) -> tuple[int, int]:
        """Of all that comes out along an axis: how much is cut off in front, and how much longer the rest is."""
        if self.padding == "valid":
            return 0, max(stride - span, 0) if extra is None else extra
        if extra is None:  # so that the size becomes the input's times the stride
            return max(span - stride, 0) // 2, stride - span
        total = span + span % 2 - 2 + extra
        return span - 1 - min((total + 1) // 2, span - 1), span % 2 + extra - span


class Conv1DTranspose(_ConvTranspose):
    """The transpose of ``Conv1D``: (batch, steps, channels) becomes longer."""

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """The transpose of ``Conv2D`` ("deconvolution"): (batch, height, width, channels) becomes larger.

    >>> import graphflow as gf
    >>> gf.keras.layers.Conv2DTranspose(8, 3, strides=2, padding="same")(gf.ones((2, 7, 7, 4))).shape
    (2, 14, 14, 8)
    """

    rank = 2


class Conv3DTranspose(_ConvTranspose):
    """The transpose of ``Conv3D``."""

    rank = 3


class _DepthwiseConv(_Conv):
    """Each channel on its own, ``depth_multiplier`` times; kernel (*taps, channels, depth_multiplier)."""

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        settings = (activation, use_bias, depthwise_initializer, bias_initializer, depthwise_regularizer)
        rest = (bias_regularizer, activity_regularizer, depthwise_constraint, bias_constraint)
        super().__init__(
            None,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            1,
            *settings,
            *rest,
            **kwargs,  # type: ignore[arg-type]
        )
        self.depth_multiplier = depth_multiplier

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self._add_weights((*self.kernel_size, channels, self.depth_multiplier), channels * self.depth_multiplier)

    def call(self, inputs: Any) -> Tensor:
        return self._output(_depthwise(self, self._input(inputs), self.kernel, self.bias))


def _depthwise(layer: _Conv, x: Tensor, kernel: Any, bias: Any) -> Tensor:
    *taps, channels, multiplier = kernel.shape
    return layer._convolve(x, reshape(kernel, (*taps, 1, channels * multiplier)), bias, channels)


class DepthwiseConv1D(_DepthwiseConv):
    """Convolution of each channel of (batch, steps, channels) on its own."""

    rank = 1
    paddings = ("valid", "same", "causal")


class DepthwiseConv2D(_DepthwiseConv):
    """Convolution of each channel of (batch, height, width, channels) on its own."""

    rank = 2


class _SeparableConv(_Conv):
    """A depthwise convolution, and then one with a kernel of size 1 that mixes the channels (Chollet 2017)."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        settings = (activation, use_bias, pointwise_initializer, bias_initializer, pointwise_regularizer)
        rest = (bias_regularizer, activity_regularizer, pointwise_constraint, bias_constraint)
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, 1, *settings, *rest, **kwargs
        )
        self.depth_multiplier = depth_multiplier
        self.depthwise = (
            initializers.get(depthwise_initializer),
            regularizers.get(depthwise_regularizer),
            constraints.get(depthwise_constraint),
        )

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        make, regularizer, constraint = self.depthwise
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = self.add_weight(
            shape, make, regularizer=regularizer, constraint=constraint, name="depthwise_kernel"
        )
        self._add_weights((*(1,) * self.rank, channels * self.depth_multiplier, self.filters), self.filters)

    def call(self, inputs: Any) -> Tensor:
        x, rank = _depthwise(self, self._input(inputs), self.depthwise_kernel, None), self.rank
        weight = permute_dims(self.kernel, (rank + 1, rank, *range(rank)))
        return self._output(_CONVOLUTIONS[rank - 1](x, weight, self.bias))


class SeparableConv1D(_SeparableConv):
    """Depthwise, then pointwise convolution of (batch, steps, channels)."""

    rank = 1
    paddings = ("valid", "same", "causal")


class SeparableConv2D(_SeparableConv):
    """Depthwise, then pointwise convolution of (batch, height, width, channels)."""

    rank = 2


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
