"""Cropping, padding, flipping, resizing and turning images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError
from graphflow.data.transforms.image import Array, Image, fill_of, layout, pair
from graphflow.data.transforms.resample import InterpolationMode, as_mode, centers, resize_planes, sample

NEAREST, BILINEAR = InterpolationMode.NEAREST, InterpolationMode.BILINEAR


def get_image_size(image: Image) -> list[int]:
    """[width, height], in PyTorch's order."""
    height, width = layout(image).size
    return [width, height]


def hflip(image: Image) -> Image:
    """The image mirrored left to right.

    >>> from graphflow.data.transforms import functional as F
    >>> F.hflip(np.array([[1, 2, 3]], np.uint8))
    array([[3, 2, 1]], dtype=uint8)
    """
    im = layout(image)
    return im.wrap(np.ascontiguousarray(im.array[im.region(slice(None), slice(None, None, -1))]))


def vflip(image: Image) -> Image:
    """The image upside down."""
    im = layout(image)
    return im.wrap(np.ascontiguousarray(im.array[im.region(slice(None, None, -1), slice(None))]))


def crop(image: Image, top: int, left: int, height: int, width: int) -> Image:
    """The rectangle of that size whose upper left pixel is (top, left); what lies outside the image is 0."""
    im = layout(image)
    rows, columns = im.size
    if top < 0 or left < 0 or top + height > rows or left + width > columns:
        above, before = max(-top, 0), max(-left, 0)
        below, after = max(top + height - rows, 0), max(left + width - columns, 0)
        im = layout(pad(image, [before, above, after, below]))
        top, left = top + above, left + before
    return im.wrap(im.array[im.region(slice(top, top + height), slice(left, left + width))])


def center_crop(image: Image, output_size: Any) -> Image:
    """The middle of the image; where it is smaller than asked for, with zeros around it."""
    height, width = pair(output_size, "output_size")
    top, left = (_centered(*sizes) for sizes in zip(layout(image).size, (height, width)))
    return crop(image, top, left, height, width)


def _centered(length: int, part: int) -> int:
    """Where the middle part starts; torchvision rounds one way for parts inside and the other for those around."""
    return -((part - length) // 2) if part > length else round((length - part) / 2)


_PAD_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


def margins(padding: Any) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one number, (horizontal, vertical), or all four."""
    given = [int(side) for side in ([padding] if isinstance(padding, (int, np.integer)) else padding)]
    if len(given) not in (1, 2, 4):
        raise ValueError(f"padding is 1, 2 (left/right, top/bottom) or 4 (left, top, right, bottom) numbers: {padding}")
    left, top, right, bottom = given * (4 // len(given))
    return left, top, right, bottom


def pad(image: Image, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Image:
    """The image with a margin; negative padding cuts off.

    ``padding`` is one number, (left/right, top/bottom) or (left, top, right, bottom); ``padding_mode`` "constant",
    "edge", "reflect" or "symmetric".

    >>> from graphflow.data.transforms import functional as F
    >>> F.pad(np.ones((1, 2), np.uint8), (1, 0), fill=7)
    array([[7, 1, 1, 7]], dtype=uint8)
    """
    if padding_mode not in _PAD_MODES:
        raise ValueError(f"padding_mode is one of {', '.join(_PAD_MODES)}; got {padding_mode!r}")
    left, top, right, bottom = margins(padding)
    im = layout(image)
    if min(left, top, right, bottom) < 0:
        rows, columns = im.size
        kept = im.region(slice(max(-top, 0), rows - max(-bottom, 0)), slice(max(-left, 0), columns - max(-right, 0)))
        im = im._replace(array=im.array[kept])
        left, top, right, bottom = (max(side, 0) for side in (left, top, right, bottom))
    planes = im.planes()
    rows, columns = im.size
    if padding_mode != "constant":
        around = [(0, 0)] * (planes.ndim - 2) + [(top, bottom), (left, right)]
        if padding_mode == "reflect" and (max(top, bottom) >= rows or max(left, right) >= columns):
            raise ShapeError(f"reflected padding {(left, top, right, bottom)} needs a larger image than {im.size}")
        return im.from_planes(np.pad(planes, around, mode=_PAD_MODES[padding_mode]))  # type: ignore[call-overload]
    out = np.empty((*planes.shape[:-2], rows + top + bottom, columns + left + right), planes.dtype)
    out[...] = fill_of(fill, planes)
    out[..., top : top + rows, left : left + columns] = planes
    return im.from_planes(out)


def resized_shape(rows: int, columns: int, size: Any, max_size: int | None = None) -> tuple[int, int]:
    """The shape after ``resize``: one number is the new length of the shorter side, two are (height, width)."""
    if isinstance(size, Sequence) and len(size) == 2:
        return int(size[0]), int(size[1])
    (short,) = size if isinstance(size, Sequence) else (size,)
    small, large = min(rows, columns), max(rows, columns)
    long = int(short * large / small)
    if max_size is not None:
        if max_size <= short:
            raise ValueError(f"max_size {max_size} must be greater than size {short}")
        if long > max_size:
            short, long = int(max_size * short / long), max_size
    return (short, long) if rows <= columns else (long, short)


def resize(
    image: Image,
    size: Any,
    interpolation: Any = BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Image:
    """The image in another size: (height, width), or one number for the shorter side, keeping the proportions.

    >>> from graphflow.data.transforms import functional as F
    >>> F.resize(np.array([[0, 100]], np.uint8), (1, 4))
    array([[  0,  25,  75, 100]], dtype=uint8)
    """
    im = layout(image)
    rows, columns = resized_shape(*im.size, size, max_size)
    mode = as_mode(interpolation)
    return im.from_planes(resize_planes(im.planes(), rows, columns, mode, bool(antialias), im.is_tensor))


def resized_crop(
    image: Image,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = BILINEAR,
    antialias: bool | None = True,
) -> Image:
    """A rectangle of the image, resized."""
    return resize(crop(image, top, left, height, width), size, interpolation, antialias=antialias)


# -- turning and warping -------------------------------------------------------------------------------------------
def inverse_affine(
    center: tuple[float, float], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float]
) -> tuple[float, ...]:
    """The 2 by 3 matrix from output to input coordinates of: rotate and shear (degrees), scale, then translate.

    It inverts T C R S X C^-1, where C moves the origin to ``center``: the order of torchvision's ``affine``.
    """
    turn, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn)
    m = (d / scale, -b / scale, -c / scale, a / scale)  # the inverse of a matrix whose determinant is 1
    x, y = center[0] + translate[0], center[1] + translate[1]
    return m[0], m[1], center[0] - m[0] * x - m[1] * y, m[2], m[3], center[1] - m[2] * x - m[3] * y


def _warp(planes: Array, matrix: Sequence[float], shape: tuple[int, int], mode: InterpolationMode, fill: Any) -> Array:
    """Output pixel p shows the input at matrix @ p, both measured from the images' middles."""
    a, b, c, d, e, f = matrix
    x, y = centers(*shape)
    height, width = planes.shape[-2:]
    return sample(planes, (x * a + (c + width / 2)) + y * b, (x * d + (f + height / 2)) + y * e, mode, fill)


def affine(
    image: Image,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Any,
    interpolation: Any = NEAREST,
    fill: Any = 0,
    center: Sequence[float] | None = None,
) -> Image:
    """The image rotated clockwise by ``angle`` degrees, sheared, scaled, and moved by ``translate`` = (x, y) pixels.

    ``center`` (x, y) from the upper left corner stays where it is; None is the middle of the image.
    """
    if scale <= 0:
        raise ValueError(f"scale must be positive, got {scale}")
    im = layout(image)
    shears = (shear, 0.0) if not isinstance(shear, Sequence) else (*shear, 0.0)[:2]
    matrix = inverse_affine(_from_middle(center, im.size), angle, translate, scale, shears)
    return im.from_planes(_warp(im.planes(), matrix, im.size, as_mode(interpolation), fill))


def rotate(
    image: Image,
    angle: float,
    interpolation: Any = NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = 0,
) -> Image:
    """The image rotated counterclockwise by ``angle`` degrees; ``expand`` makes room for all of it.

    >>> from graphflow.data.transforms import functional as F
    >>> F.rotate(np.array([[1, 2], [3, 4]], np.uint8), 90)
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """
    im = layout(image)
    rows, columns = im.size
    middle = (0.0, 0.0) if expand else _from_middle(center, im.size)
    matrix = inverse_affine(middle, -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    shape = im.size
    if expand:
        turn = math.radians(angle)
        cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
        shape = _covering(rows / 2, columns * sin + rows * cos), _covering(columns / 2, columns * cos + rows * sin)
    return im.from_planes(_warp(im.planes(), matrix, shape, as_mode(interpolation), fill))


def _covering(center: float, length: float) -> int:
    """The whole pixels that an interval touches; for quarter turns, whose lengths are whole, just these."""
    length = round(length, 6)  # the cosine of 90 degrees is not quite 0
    if length.is_integer():
        return int(length)
    return math.ceil(round(center + length / 2, 6)) - math.floor(round(center - length / 2, 6))


def _from_middle(center: Sequence[float] | None, size: tuple[int, int]) -> tuple[float, float]:
    return (0.0, 0.0) if center is None else (center[0] - size[1] / 2, center[1] - size[0] / 2)


def perspective(
    image: Image,
    startpoints: Sequence[Sequence[float]],
    endpoints: Sequence[Sequence[float]],
    interpolation: Any = BILINEAR,
    fill: Any = 0,
) -> Image:
    """The image with four of its points (x, y) moved to four others, straight lines staying straight."""
    rows, values = [], []
    for (x, y), (u, v) in zip(endpoints, startpoints):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    a, b, c, d, e, f, g, h = np.linalg.lstsq(np.array(rows, float), np.array(values, float), rcond=None)[0]
    im = layout(image)
    height, width = im.size
    across, down = (np.arange(width) + 0.5)[None, :], (np.arange(height) + 0.5)[:, None]
    depth = g * across + h * down + 1
    column, row = (a * across + b * down + c) / depth, (d * across + e * down + f) / depth
    return im.from_planes(sample(im.planes(), column, row, as_mode(interpolation), fill))


def five_crop(image: Image, size: Any) -> tuple[Image, ...]:
    """The four corners and the middle. Raises ShapeError if the image is smaller than ``size``."""
    height, width = pair(size, "size")
    rows, columns = layout(image).size
    if height > rows or width > columns:
        raise ShapeError(f"crops of {(height, width)} do not fit into an image of {(rows, columns)}")
    corners = [(top, left) for top in (0, rows - height) for left in (0, columns - width)]
    return (*(crop(image, top, left, height, width) for top, left in corners), center_crop(image, size))


def ten_crop(image: Image, size: Any, vertical_flip: bool = False) -> tuple[Image, ...]:
    """``five_crop`` of the image and of its mirror image."""
    return five_crop(image, size) + five_crop((vflip if vertical_flip else hflip)(image), size)
