"""Reading images between their pixels: separable resizing, and sampling at any coordinates."""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import Any

import numpy as np

from graphflow.data.transforms.image import Array, fill_of, to_dtype


class InterpolationMode(enum.Enum):
    """How values between pixels are made."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def as_mode(mode: Any) -> InterpolationMode:
    """The mode for itself, its name, or Pillow's number."""
    by_number = {0: "nearest", 2: "bilinear", 3: "bicubic"}
    try:
        return mode if isinstance(mode, InterpolationMode) else InterpolationMode(by_number.get(mode, mode))
    except ValueError:
        known = ", ".join(m.value for m in InterpolationMode)
        raise ValueError(f"interpolation is one of {known}, got {mode!r}") from None


# -- resizing ------------------------------------------------------------------------------------------------------
def _triangle(x: Array) -> Array:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: Array, a: float) -> Array:
    """Keys' cubic convolution kernel (1981): a is -0.5 with antialiasing, as in Pillow, else -0.75, as in PyTorch."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=64)
def weights(size: int, new_size: int, mode: InterpolationMode, antialias: bool) -> Array:
    """The matrix (new_size, size) that resizes one axis. With ``antialias`` the filter widens when an image shrinks."""
    scale = size / new_size
    centers = (np.arange(new_size) + 0.5) * scale
    cubic = mode is InterpolationMode.BICUBIC
    stretch = max(scale, 1.0) if antialias else 1.0
    support = (2.0 if cubic else 1.0) * stretch
    reach = int(np.ceil(support)) + 1
    taps = np.floor(centers)[:, None].astype(int) + np.arange(-reach, reach + 1)
    distance = (taps + 0.5 - centers[:, None]) / stretch
    value = _cubic(distance, -0.5 if antialias else -0.75) if cubic else _triangle(distance)
    inside = (taps >= 0) & (taps < size)
    if antialias:  # what lies outside counts for nothing
        value = np.where(inside, value, 0.0)
    total = np.zeros((new_size, size))
    np.add.at(total, (np.arange(new_size)[:, None], taps.clip(0, size - 1)), value)
    return (total / total.sum(1, keepdims=True)).astype(np.float32)


def resize_planes(
    planes: Array, rows: int, columns: int, mode: InterpolationMode, antialias: bool, is_tensor: bool = False
) -> Array:
    """Planes (..., height, width) in another size.

    The nearest pixel is that under the new one's centre, as in Pillow; for tensors under its upper left corner, as in
    PyTorch.
    """
    height, width = planes.shape[-2:]
    if (height, width) == (rows, columns):
        return planes
    if mode is InterpolationMode.NEAREST:
        at = 0.0 if is_tensor else 0.5
        row_of = ((np.arange(rows) + at) * (height / rows)).astype(int).clip(0, height - 1)
        column_of = ((np.arange(columns) + at) * (width / columns)).astype(int).clip(0, width - 1)
        return planes[..., row_of[:, None], column_of]
    values = planes.astype(np.float64 if planes.dtype == np.float64 else np.float32, copy=False)
    if columns != width:
        values = values @ weights(width, columns, mode, antialias).T
    if rows != height:
        values = weights(height, rows, mode, antialias) @ values
    return to_dtype(values, planes.dtype)


# -- sampling ------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=16)
def centers(rows: int, columns: int) -> tuple[Array, Array]:
    """The coordinates of the pixels' centres, measured from the middle of the image: (1, columns) and (rows, 1)."""
    x = np.arange(columns, dtype=np.float32) + np.float32(0.5 - columns / 2)
    y = np.arange(rows, dtype=np.float32) + np.float32(0.5 - rows / 2)
    return x[None, :], y[:, None]


def sample(planes: Array, x: Array, y: Array, mode: InterpolationMode, fill: Any) -> Array:
    """The image at (x, y) from its upper left corner, where pixel centres are at halves; outside there is fill."""
    height, width = planes.shape[-2:]
    # A frame of fill around the image: coordinates outside are moved onto it, so nothing needs a mask.
    framed = np.empty((*planes.shape[:-2], height + 2, width + 2), planes.dtype)
    framed[...] = fill_of(fill, planes)
    framed[..., 1:-1, 1:-1] = planes
    flat = framed.reshape(*planes.shape[:-2], -1)
    if mode is InterpolationMode.NEAREST:
        places = _framed(y + 1, height) * (width + 2)
        places += _framed(x + 1, width)
        return flat.take(places, axis=-1)
    if mode is not InterpolationMode.BILINEAR:
        raise ValueError(f"turned and warped images are read with nearest or bilinear interpolation, not {mode.value}")
    x, y = x - np.float32(0.5), y - np.float32(0.5)
    left, top = np.floor(x), np.floor(y)
    across, down = x - left, y - top
    columns = [_framed(left + i, width) for i in (1, 2)]
    rows = [_framed(top + i, height) * (width + 2) for i in (1, 2)]
    upper, lower = (
        flat.take(row + columns[0], axis=-1) * (1 - across) + flat.take(row + columns[1], axis=-1) * across
        for row in rows
    )
    return to_dtype(upper * (1 - down) + lower * down, planes.dtype)


def _framed(at: Array, size: int) -> Array:
    """Coordinates that count from the frame on, as whole numbers in it: none is negative, so cutting off rounds."""
    np.minimum(at, size + 1, out=at)
    np.maximum(at, 0, out=at)
    return at.astype(np.intp)
