"""Transforms that move, cut or hide parts of an image by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError
from graphflow.data.randomness import sample_generator
from graphflow.data.transforms import geometry
from graphflow.data.transforms.image import Image, Transform, layout, pair
from graphflow.data.transforms.resample import InterpolationMode, as_mode
from graphflow.tensor import Tensor

NEAREST, BILINEAR = InterpolationMode.NEAREST, InterpolationMode.BILINEAR


def between(rng: np.random.Generator, limits: Any) -> float:
    """A number drawn evenly; several times as fast as NumPy's ``uniform`` for a single one."""
    low, high = limits
    return low + (high - low) * rng.random()  # type: ignore[no-any-return]


class _WithProbability(Transform):
    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must be between 0 and 1, got {p}")
        self.p = p

    def _chosen(self) -> bool:
        return sample_generator().random() < self.p


class RandomHorizontalFlip(_WithProbability):
    """Mirrored left to right with probability ``p``."""

    def __call__(self, image: Image) -> Image:
        return geometry.hflip(image) if self._chosen() else _unchanged(image)


class RandomVerticalFlip(_WithProbability):
    """Upside down with probability ``p``."""

    def __call__(self, image: Image) -> Image:
        return geometry.vflip(image) if self._chosen() else _unchanged(image)


def _unchanged(image: Image) -> Image:
    im = layout(image)
    return image if im.is_tensor or image is im.array else im.array


def size_pair(size: Any) -> tuple[int, int]:
    height, width = pair(size, "size")
    if height < 1 or width < 1:
        raise ValueError(f"size must be positive, got {size}")
    return int(height), int(width)


class RandomCrop(Transform):
    """A rectangle of ``size`` from anywhere in the image, after padding it.

    ``padding``, ``fill`` and ``padding_mode`` as for ``Pad``; ``pad_if_needed`` makes smaller images large enough.

    >>> from graphflow.data import transforms
    >>> gf.random.seed(0)
    >>> transforms.RandomCrop(2)(np.arange(16).reshape(4, 4)).shape
    (2, 2)
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = size_pair(size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, image: Image) -> Image:
        if self.padding is not None:
            image = geometry.pad(image, self.padding, self.fill, self.padding_mode)
        height, width = self.size
        rows, columns = layout(image).size
        if self.pad_if_needed and (rows < height or columns < width):
            around = [max(width - columns, 0), max(height - rows, 0)]
            image = geometry.pad(image, around, self.fill, self.padding_mode)
            rows, columns = layout(image).size
        if rows < height or columns < width:
            raise ShapeError(f"a crop of {self.size} does not fit into an image of {(rows, columns)}")
        rng = sample_generator()
        top, left = int(rng.random() * (rows - height + 1)), int(rng.random() * (columns - width + 1))
        return geometry.crop(image, top, left, height, width)


class RandomResizedCrop(Transform):
    """A rectangle of random area and proportions, resized to ``size`` (the crop of Szegedy et al., 2015)."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = size_pair(size)
        self.scale = pair(scale, "scale")
        self.ratio = pair(ratio, "ratio")
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias

    def __call__(self, image: Image) -> Image:
        rectangle = self._rectangle(*layout(image).size)
        return geometry.resized_crop(image, *rectangle, self.size, self.interpolation, self.antialias)

    def _rectangle(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        """(top, left, height, width)."""
        rng = sample_generator()
        for _ in range(10):
            area = rows * columns * between(rng, self.scale)
            ratio = math.exp(between(rng, np.log(self.ratio)))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= columns and 0 < height <= rows:
                return int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1)), height, width
        narrow, wide = self.ratio  # the image is too long: its middle, in the nearest proportions that are allowed
        width, height = min(columns, round(rows * wide)), min(rows, round(columns / narrow))
        return (rows - height) // 2, (columns - width) // 2, height, width


def _range(value: Any, name: str, limit: float | None = None) -> tuple[float, float]:
    """(-v, v) for a number, or the two numbers given."""
    low, high = (-value, value) if isinstance(value, (int, float)) else pair(value, name)
    if low > high or (isinstance(value, (int, float)) and value < 0):
        raise ValueError(f"{name} is one number that is not negative, or (least, greatest); got {value!r}")
    if limit is not None and not -limit <= low <= high <= limit:
        raise ValueError(f"{name} must be between {-limit} and {limit}, got {value!r}")
    return low, high


class RandomRotation(Transform):
    """Rotated by an angle from ``degrees`` (one number d: from -d to d), counterclockwise."""

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        self.degrees = _range(degrees, "degrees")
        self.interpolation = as_mode(interpolation)
        self.expand = expand
        self.center = center
        self.fill = fill

    def __call__(self, image: Image) -> Image:
        angle = between(sample_generator(), self.degrees)
        return geometry.rotate(image, angle, self.interpolation, self.expand, self.center, self.fill)


class RandomAffine(Transform):
    """Rotated, moved, scaled and sheared at random.

    ``translate`` = (a, b) moves by at most a * width and b * height, ``scale`` is (least, greatest), ``shear`` a range
    of degrees along x, or four numbers for x and y.

    >>> from graphflow.data import transforms
    >>> gf.random.seed(0)
    >>> transforms.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1))(np.zeros((28, 28), np.uint8)).shape
    (28, 28)
    """

    def __init__(
        self,
        degrees: Any,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: Any = None,
        interpolation: Any = NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        if translate is not None and not all(0 <= t <= 1 for t in translate):
            raise ValueError(f"translate is two fractions between 0 and 1, got {translate}")
        if scale is not None and not all(s > 0 for s in scale):
            raise ValueError(f"scale must be positive, got {scale}")
        self.degrees = _range(degrees, "degrees")
        self.translate = translate
        self.scale = None if scale is None else pair(scale, "scale")
        self.shear = shear if shear is None or isinstance(shear, Sequence) else (-shear, shear)
        self.interpolation = as_mode(interpolation)
        self.fill = fill
        self.center = center

    def __call__(self, image: Image) -> Image:
        rng = sample_generator()
        rows, columns = layout(image).size
        angle = between(rng, self.degrees)
        move = [0.0, 0.0]
        if self.translate is not None:
            reach = self.translate[0] * columns, self.translate[1] * rows
            move = [round(between(rng, (-limit, limit))) for limit in reach]
        scale = 1.0 if self.scale is None else between(rng, self.scale)
        shear = [0.0, 0.0]
        if self.shear is not None:
            limits = [*self.shear, 0.0, 0.0][:4]
            shear = [between(rng, limits[:2]), between(rng, limits[2:])]
        return geometry.affine(image, angle, move, scale, shear, self.interpolation, self.fill, self.center)


class RandomPerspective(_WithProbability):
    """Seen from another side with probability ``p``: each corner moves inwards by up to ``distortion_scale`` / 2."""

    def __init__(
        self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: Any = BILINEAR, fill: Any = 0
    ) -> None:
        super().__init__(p)
        self.distortion_scale = distortion_scale
        self.interpolation = as_mode(interpolation)
        self.fill = fill

    def __call__(self, image: Image) -> Image:
        if not self._chosen():
            return _unchanged(image)
        rows, columns = layout(image).size
        rng = sample_generator()
        reach = np.array([columns, rows]) * (self.distortion_scale / 2)
        corners = np.array([[0, 0], [columns - 1, 0], [columns - 1, rows - 1], [0, rows - 1]], float)
        inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        moved = corners + inwards * np.floor(rng.random((4, 2)) * (reach + 1))
        return geometry.perspective(image, corners.tolist(), moved.tolist(), self.interpolation, self.fill)


class RandomErasing(_WithProbability):
    """A rectangle of a tensor overwritten with probability ``p`` (Zhong et al., 2020).

    ``scale`` is its share of the area, ``ratio`` its proportions, ``value`` a number, one for each channel, or
    "random" for noise.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"value is a number, one for each channel, or 'random'; got {value!r}")
        self.scale = pair(scale, "scale")
        self.ratio = pair(ratio, "ratio")
        self.value = value
        self.inplace = inplace  # tensors are immutable: it changes nothing

    def __call__(self, image: Image) -> Image:
        if not self._chosen():
            return _unchanged(image)
        rng = sample_generator()
        im = layout(image)
        rows, columns = im.size
        for _ in range(10):
            area = rows * columns * between(rng, self.scale)
            ratio = math.exp(between(rng, np.log(self.ratio)))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if not (0 < height < rows and 0 < width < columns):
                continue
            top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
            return erase(image, top, left, height, width, self._value(rng, im.planes(), height, width))
        return _unchanged(image)

    def _value(self, rng: np.random.Generator, planes: Any, height: int, width: int) -> Any:
        if isinstance(self.value, str):
            return rng.standard_normal((*planes.shape[:-2], height, width), np.float32)
        value = np.asarray(self.value)
        return value if value.ndim == 0 else value[:, None, None]


def erase(image: Image, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Image:
    """The image with the values ``v`` (that broadcast to (..., h, w)) in a rectangle from (i, j) on."""
    im = layout(image)
    planes = im.planes().copy()
    planes[..., i : i + h, j : j + w] = np.asarray(v.numpy() if isinstance(v, Tensor) else v)
    return im.from_planes(planes)
