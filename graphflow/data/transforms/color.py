"""Changing the values of pixels: conversion, normalisation, brightness, colours, blur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import ShapeError
from graphflow.data.transforms.image import Array, Image, Layout, greatest, layout, need_tensor, pair, to_dtype
from graphflow.tensor import Tensor

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601


# -- conversion ----------------------------------------------------------------------------------------------------
def pil_to_tensor(image: Image) -> Tensor:
    """An ndarray or Pillow image as a tensor (channels, height, width) of its own dtype."""
    im = layout(image)
    if im.is_tensor:
        raise TypeError("pil_to_tensor takes a NumPy array or a Pillow image, got a Tensor")
    planes = im.planes()
    return Tensor(np.ascontiguousarray(planes if planes.ndim == 3 else planes[None]))


def to_tensor(image: Image) -> Tensor:
    """An ndarray or Pillow image as a tensor (channels, height, width): float32 in [0, 1] if it was uint8.

    >>> from graphflow.data.transforms import functional as F
    >>> F.to_tensor(np.array([[0, 51, 255]], np.uint8))
    tensor([[[0. , 0.2, 1. ]]])
    """
    im = layout(image)
    if im.is_tensor:
        raise TypeError("to_tensor takes a NumPy array or a Pillow image, got a Tensor")
    planes = im.planes()
    if planes.ndim == 2:
        planes = planes[None]
    if planes.dtype == np.uint8:
        return Tensor(np.divide(planes, np.float32(255), order="C"))
    return Tensor(np.ascontiguousarray(planes))


def to_pil_image(image: Image, mode: str | None = None) -> Any:
    """A Pillow image; floating-point values in [0, 1] become 0 to 255. ImportError where Pillow is not installed."""
    try:
        from PIL import Image as pillow
    except ImportError as error:
        raise ImportError("to_pil_image needs Pillow: pip install pillow") from error
    im = layout(image)
    array = im.array if not im.is_tensor or im.array.ndim == 2 else im.array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype.kind == "f":
        array = to_dtype(array * 255, np.uint8)
    return pillow.fromarray(np.ascontiguousarray(array), mode) if mode else pillow.fromarray(array)


def convert_image_dtype(image: Image, dtype: Any = "float32") -> Image:
    """The image in another dtype, black and white staying black and white."""
    im = layout(image)
    target = as_dtype(dtype).np
    if target == im.array.dtype:
        return im.wrap(im.array)
    if np.dtype(target).kind == "f":
        return im.wrap((im.array / np.float32(greatest(im.array))).astype(target))
    top = greatest(np.empty(0, target))
    if im.array.dtype.kind == "f":  # each of the top + 1 integers gets an interval of the same length
        return im.wrap(np.clip(im.array * (top + 1 - 1e-3), 0, top).astype(target))
    scaled = np.rint(im.array.astype(np.float64) * (top / greatest(im.array)))
    return im.wrap(scaled.astype(target))


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """``(tensor - mean) / std`` channel by channel. Tensors are immutable: ``inplace`` changes nothing.

    Raises ValueError for a ``std`` of zero, ShapeError for other numbers of channels.
    """
    return Standard(mean, std)(tensor)


class Standard:
    """``normalize`` with its constants made ready."""

    def __init__(self, mean: Any, std: Any) -> None:
        self._mean, self._std = np.ravel(mean), np.ravel(std)
        if not self._std.all():
            raise ValueError(f"normalize: std must not be zero, got {std}")
        self._ready: dict[Any, tuple[Array, Array]] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        array = need_tensor(tensor, "normalize")
        found = self._ready.get(array.dtype)
        if found is None:
            found = self._ready[array.dtype] = self._in(array.dtype)
        shift, scale = found
        if array.ndim < 3 or len(shift) not in (1, array.shape[-3]) or len(scale) not in (1, array.shape[-3]):
            raise ShapeError(f"normalize: {len(shift)} means and {len(scale)} stds for a tensor of shape {array.shape}")
        out = array - shift
        out /= scale
        return Tensor(out)

    def _in(self, dtype: Any) -> tuple[Array, Array]:
        return self._mean.astype(dtype)[:, None, None], self._std.astype(dtype)[:, None, None]


# -- brightness and colours ----------------------------------------------------------------------------------------
def _channels(im: Layout, owner: str) -> list[Array]:
    """Red, green and blue as arrays of one shape; one array for a grey image."""
    axis = im.channel_axis
    count = 1 if axis is None else im.array.shape[axis]
    if count not in (1, 3):
        raise ShapeError(f"{owner} needs an image of 1 or 3 channels, got shape {im.array.shape}")
    return [im.array] if axis is None else [im.array.take(i, axis) for i in range(count)]


def _gray(im: Layout) -> Array:
    """The luma, without a channel axis, in the image's dtype."""
    channels = _channels(im, "a grey image")
    if len(channels) == 1:
        return channels[0]
    red, green, blue = _LUMA
    value = channels[0] * np.float32(red) + channels[1] * np.float32(green) + channels[2] * np.float32(blue)
    return value.astype(im.array.dtype)


def rgb_to_grayscale(image: Image, num_output_channels: int = 1) -> Image:
    """The luma of an RGB image, once or three times (``num_output_channels`` 1 or 3)."""
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels is 1 or 3, got {num_output_channels}")
    im = layout(image)
    axis = im.channel_axis
    if axis is None and num_output_channels == 1:
        return im.wrap(im.array)
    gray = np.expand_dims(_gray(im), -3 if im.is_tensor else 2)
    return im.wrap(gray if num_output_channels == 1 else gray.repeat(3, axis=-3 if im.is_tensor else 2))


to_grayscale = rgb_to_grayscale


def _blend(im: Layout, other: Any, ratio: float) -> Image:
    """ratio * image + (1 - ratio) * other, held between black and white."""
    if ratio < 0:
        raise ValueError(f"the factor must not be negative, got {ratio}")
    value = im.array * np.float32(ratio) + other * np.float32(1 - ratio)
    return im.wrap(np.clip(value, 0, greatest(im.array), out=value).astype(im.array.dtype))


def adjust_brightness(image: Image, brightness_factor: float) -> Image:
    """0 is black, 1 the image as it is, 2 twice as bright.

    >>> from graphflow.data.transforms import functional as F
    >>> F.adjust_brightness(np.array([[10, 200]], np.uint8), 1.5)
    array([[ 15, 255]], dtype=uint8)
    """
    return _blend(layout(image), np.float32(0), brightness_factor)


def adjust_contrast(image: Image, contrast_factor: float) -> Image:
    """0 is all grey, 1 the image as it is."""
    im = layout(image)
    axes = (-2, -1) if im.is_tensor else (0, 1)
    mean = _gray(im).mean(axis=axes, dtype=np.float32, keepdims=True)
    axis = im.channel_axis
    return _blend(im, mean if axis is None else np.expand_dims(mean, axis), contrast_factor)


def adjust_saturation(image: Image, saturation_factor: float) -> Image:
    """0 is without colours, 1 the image as it is."""
    im = layout(image)
    if len(_channels(im, "adjust_saturation")) == 1:
        return im.wrap(im.array)
    assert im.channel_axis is not None
    return _blend(im, np.expand_dims(_gray(im), im.channel_axis).astype(np.float32), saturation_factor)


def adjust_hue(image: Image, hue_factor: float) -> Image:
    """Colours turned round the colour wheel by ``hue_factor`` turns, in [-0.5, 0.5]."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor must be in [-0.5, 0.5], got {hue_factor}")
    im = layout(image)
    channels = _channels(im, "adjust_hue")
    if len(channels) == 1:
        return im.wrap(im.array)
    top = greatest(im.array)
    rgb = np.stack(channels).astype(np.float32) / np.float32(top)
    turned = _from_hsv(*_to_hsv(rgb, hue_factor)) * np.float32(top)
    assert im.channel_axis is not None
    return im.wrap(np.ascontiguousarray(np.moveaxis(to_dtype(turned, im.array.dtype), 0, im.channel_axis)))


def _to_hsv(rgb: Array, turn: float) -> tuple[Array, Array, Array]:
    red, green, blue = rgb
    value = rgb.max(0)
    spread = value - rgb.min(0)
    safe = np.where(spread == 0, 1, spread)
    hue = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return (hue / 6 + np.float32(turn)) % 1, spread / np.where(value == 0, 1, value), value


def _from_hsv(hue: Array, saturation: Array, value: Array) -> Array:
    """f(n) = v - v s max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6, for n = 5, 3, 1."""
    k = (np.array([5, 3, 1], np.float32).reshape(3, *[1] * hue.ndim) + hue * 6) % 6
    return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)


def invert(image: Image) -> Image:
    """The negative."""
    im = layout(image)
    return im.wrap((greatest(im.array) - im.array).astype(im.array.dtype))


def posterize(image: Image, bits: int) -> Image:
    """Integer images with only the upper ``bits`` bits of each pixel."""
    im = layout(image)
    if im.array.dtype != np.uint8:
        raise TypeError(f"posterize needs a uint8 image, got {im.array.dtype}")
    return im.wrap(im.array & np.uint8(256 - (1 << (8 - bits))))


def solarize(image: Image, threshold: float) -> Image:
    """The negative of all pixels that are not below the threshold."""
    im = layout(image)
    return im.wrap(np.where(im.array >= threshold, layout(invert(image)).array, im.array))


def autocontrast(image: Image) -> Image:
    """Each channel stretched from black to white."""
    im = layout(image)
    axes = (-2, -1) if im.is_tensor else (0, 1)
    low, high = im.array.min(axis=axes, keepdims=True), im.array.max(axis=axes, keepdims=True)
    spread = high.astype(np.float32) - low
    value = (im.array - low.astype(np.float32)) * (greatest(im.array) / np.where(spread == 0, 1, spread))
    return im.wrap(np.where(spread == 0, im.array, value).astype(im.array.dtype))


def adjust_sharpness(image: Image, sharpness_factor: float) -> Image:
    """0 is blurred, 1 the image as it is, 2 sharpened. The outermost pixels stay."""
    im = layout(image)
    planes = im.planes().astype(np.float32)
    if min(im.size) <= 2:
        return im.wrap(im.array)
    smooth = planes.copy()
    height, width = im.size
    middle = 5 * planes[..., 1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            if (row, column) != (1, 1):
                middle = middle + planes[..., row : height - 2 + row, column : width - 2 + column]
    smooth[..., 1:-1, 1:-1] = to_dtype(middle / 13, im.array.dtype)
    value = planes * sharpness_factor + smooth * (1 - sharpness_factor)
    return im.from_planes(np.clip(value, 0, greatest(im.array)).astype(im.array.dtype))


def gaussian_blur(image: Image, kernel_size: Any, sigma: Any = None) -> Image:
    """The image blurred by a Gaussian of ``sigma`` pixels, cut off at ``kernel_size`` (odd); reflected at the edges."""
    sizes = pair(kernel_size, "kernel_size")
    if any(size <= 0 or size % 2 == 0 for size in sizes):
        raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
    sigmas = [0.15 * size + 0.35 for size in sizes] if sigma is None else pair(sigma, "sigma")
    im = layout(image)
    planes = im.planes()
    value = planes.astype(np.float32)
    for axis, size, spread in ((-1, sizes[0], sigmas[0]), (-2, sizes[1], sigmas[1])):
        value = _smooth(value, axis, _bell(size, float(spread)))
    return im.from_planes(to_dtype(value, planes.dtype))


def _bell(size: int, sigma: float) -> Array:
    if sigma <= 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    x = np.arange(size) - (size - 1) / 2
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def _smooth(planes: Array, axis: int, kernel: Sequence[float]) -> Array:
    """One axis convolved with a kernel, the image reflected at its edges."""
    reach, length = len(kernel) // 2, planes.shape[axis]
    if reach >= length:
        raise ShapeError(f"a kernel of {len(kernel)} needs more than {length} pixels")
    around = [(0, 0)] * planes.ndim
    around[axis] = (reach, reach)
    padded = np.pad(planes, around, mode="reflect")
    return sum(padded.take(range(i, i + length), axis) * weight for i, weight in enumerate(kernel))
