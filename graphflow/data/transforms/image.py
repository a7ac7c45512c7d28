"""What transforms work on: NumPy arrays of images, however they came.

An ndarray is an image as files and cameras give it, (height, width) or (height, width, channels); a Tensor is one as
networks take it, (..., channels, height, width); a Pillow image is turned into an ndarray.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from graphflow.core.errors import DTypeError, ShapeError
from graphflow.tensor import Tensor

Array = Any  # numpy.ndarray of any dtype
Image = Any  # numpy.ndarray, Tensor, or PIL.Image.Image (turned into an ndarray)


class Layout(NamedTuple):
    """An image's array, and which of its axes is which."""

    array: Array
    row_axis: int  # the columns' axis follows it
    is_tensor: bool

    @property
    def size(self) -> tuple[int, int]:
        return self.array.shape[self.row_axis], self.array.shape[self.row_axis + 1]

    def wrap(self, array: Array) -> Image:
        """A new array of this layout, as the kind of image that came."""
        return Tensor(array) if self.is_tensor else array

    def region(self, rows: slice, columns: slice) -> tuple[Any, ...]:
        """The index of a rectangle."""
        return (Ellipsis, rows, columns) if self.is_tensor else (rows, columns)

    def planes(self) -> Array:
        """The image as (..., height, width)."""
        return self.array if self.is_tensor or self.array.ndim == 2 else self.array.transpose(2, 0, 1)

    def from_planes(self, planes: Array) -> Image:
        """Back from ``planes``."""
        if self.is_tensor or self.array.ndim == 2:
            return self.wrap(planes)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    @property
    def channel_axis(self) -> int | None:
        """The axis of the channels; None where there is only one, without an axis."""
        if self.is_tensor:
            return -3 if self.array.ndim > 2 else None
        return 2 if self.array.ndim == 3 else None


def layout(image: Image) -> Layout:
    """The array of an image. Raises TypeError for what is no image, ShapeError for an array of another rank."""
    if isinstance(image, Tensor):
        array = image.numpy()
        if array.ndim < 2:
            raise ShapeError(f"an image tensor is (..., channels, height, width), got shape {array.shape}")
        return Layout(array, -2, True)
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3):
            raise ShapeError(f"an image is (height, width) or (height, width, channels), got shape {image.shape}")
        if image.ndim == 3 and image.shape[0] <= 4 < image.shape[2]:
            raise ShapeError(
                f"an array of shape {image.shape} looks like (channels, height, width): arrays of images are (height, "
                f"width, channels), tensors have their channels first"
            )
        return Layout(image, 0, False)
    if is_pillow(image):
        return Layout(from_pillow(image), 0, False)
    raise TypeError(f"an image is a NumPy array, a Tensor or a Pillow image, got {type(image).__name__}")


def is_pillow(image: Any) -> bool:
    """Whether it is a Pillow image, without importing Pillow."""
    return any(base.__module__ == "PIL.Image" for base in type(image).__mro__)


def from_pillow(image: Any) -> Array:
    """The pixels of a Pillow image. Palettes and masks become what they stand for."""
    if image.mode == "P":
        image = image.convert("RGB")
    array = np.asarray(image)
    return array.astype(np.uint8) * np.uint8(255) if array.dtype == bool else array


def greatest(array: Array) -> float:
    """The value of white: 1 for floating-point images, the dtype's largest for integers."""
    return 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)


def to_dtype(values: Array, dtype: Any) -> Array:
    """Computed pixels in the image's dtype, held between black and white."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def need_tensor(image: Image, owner: str) -> Array:
    """The array of a floating-point image tensor."""
    if not isinstance(image, Tensor):
        raise TypeError(f"{owner} needs a tensor, got {type(image).__name__}: put ToTensor() in front of it")
    array = image._data if image._data is not None else image.numpy()
    if array.dtype.kind != "f":
        raise DTypeError(f"{owner} needs a floating-point tensor, got {image.dtype}: ToTensor() gives one in [0, 1]")
    return array


def pair(value: Any, name: str) -> tuple[Any, Any]:
    """Two numbers from one or two."""
    if isinstance(value, numbers.Number):
        return value, value
    if isinstance(value, Sequence) and len(value) == 1:
        return value[0], value[0]
    if isinstance(value, Sequence) and len(value) == 2:
        return value[0], value[1]
    raise ValueError(f"{name} is one number or two, got {value!r}")


def fill_of(fill: Any, planes: Array) -> Array:
    """The fill value as an array that broadcasts to (..., height, width): one for all, or one for each channel."""
    value = np.asarray(fill, planes.dtype)
    if value.ndim == 0:
        return value
    if value.ndim != 1 or (value.size != 1 and (planes.ndim < 3 or planes.shape[-3] != value.size)):
        raise ValueError(f"fill is one number, or one for each channel; got {fill!r} for planes of {planes.shape}")
    return value[:, None, None] if planes.ndim > 2 else value.reshape(())


class Transform:
    """Base of the transforms: a subclass defines ``__call__``, from one image to another."""

    def __call__(self, image: Image) -> Image:
        raise TypeError(f"{type(self).__name__} does not define __call__")

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={_shown(v)}" for k, v in self.__dict__.items() if not k.startswith("_"))
        return f"{type(self).__name__}({settings})"


def _shown(value: Any) -> str:
    if isinstance(value, Callable):  # type: ignore[arg-type]  # Callable is good for isinstance
        return repr(value) if isinstance(value, Transform) else getattr(value, "__name__", repr(value))
    return repr(value)
