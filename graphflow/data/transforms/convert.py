"""Transforms without chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError
from graphflow.data.transforms import color, geometry
from graphflow.data.transforms.image import Image, Transform, need_tensor
from graphflow.data.transforms.resample import InterpolationMode, as_mode
from graphflow.tensor import Tensor


class ToTensor(Transform):
    """An ndarray (height, width[, channels]) or Pillow image as a tensor (channels, height, width).

    uint8 becomes float32 in [0, 1]; other dtypes stay as they are.

    >>> from graphflow.data import transforms
    >>> transforms.ToTensor()(np.zeros((28, 30, 3), np.uint8)).shape
    (3, 28, 30)
    """

    def __call__(self, image: Image) -> Tensor:
        return color.to_tensor(image)


class PILToTensor(Transform):
    """An ndarray or Pillow image as a tensor (channels, height, width) of the same dtype."""

    def __call__(self, image: Image) -> Tensor:
        return color.pil_to_tensor(image)


class ToPILImage(Transform):
    """A tensor or ndarray as a Pillow image."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, image: Image) -> Any:
        return color.to_pil_image(image, self.mode)


class ConvertImageDtype(Transform):
    """The image in another dtype, black and white staying black and white."""

    def __init__(self, dtype: Any = "float32") -> None:
        self.dtype = dtype

    def __call__(self, image: Image) -> Image:
        return color.convert_image_dtype(image, self.dtype)


class Normalize(Transform):
    """``(image - mean) / std``, one mean and std for each channel (or one for all).

    >>> from graphflow.data import transforms
    >>> transforms.Normalize((0.5,), (0.25,))(gf.full((1, 1, 2), 0.75))
    tensor([[[1., 1.]]])
    """

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self.inplace = inplace
        self._normalize = color.Standard(mean, std)

    def __call__(self, tensor: Tensor) -> Tensor:
        return self._normalize(tensor)


class Resize(Transform):
    """Another size: (height, width), or one number for the shorter side, keeping the proportions."""

    def __init__(
        self,
        size: Any,
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        self.size = size
        self.interpolation = as_mode(interpolation)
        self.max_size = max_size
        self.antialias = antialias

    def __call__(self, image: Image) -> Image:
        return geometry.resize(image, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """The middle of the image, of ``size`` (height, width) or a square."""

    def __init__(self, size: Any) -> None:
        self.size = size

    def __call__(self, image: Image) -> Image:
        return geometry.center_crop(image, self.size)


class Pad(Transform):
    """A margin: one number, (left/right, top/bottom) or (left, top, right, bottom).

    >>> from graphflow.data import transforms
    >>> transforms.Pad((2, 1))(np.zeros((4, 4, 3), np.uint8)).shape
    (6, 8, 3)
    """

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        geometry.margins(padding)  # wrong ones are noticed here
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, image: Image) -> Image:
        return geometry.pad(image, self.padding, self.fill, self.padding_mode)


class Grayscale(Transform):
    """The luma of an RGB image, in 1 or 3 channels."""

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, image: Image) -> Image:
        return color.rgb_to_grayscale(image, self.num_output_channels)


class FiveCrop(Transform):
    """A tuple of the four corners and the middle."""

    def __init__(self, size: Any) -> None:
        self.size = size

    def __call__(self, image: Image) -> tuple[Image, ...]:
        return geometry.five_crop(image, self.size)


class TenCrop(Transform):
    """``FiveCrop`` of the image and of its mirror image."""

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        self.size = size
        self.vertical_flip = vertical_flip

    def __call__(self, image: Image) -> tuple[Image, ...]:
        return geometry.ten_crop(image, self.size, self.vertical_flip)


class LinearTransformation(Transform):
    """``(flat image - mean_vector) @ transformation_matrix`` in the image's shape: whitening, for example."""

    def __init__(self, transformation_matrix: Any, mean_vector: Any) -> None:
        self.transformation_matrix = np.asarray(transformation_matrix)
        self.mean_vector = np.asarray(mean_vector)
        rows, columns = self.transformation_matrix.shape
        if rows != columns or self.mean_vector.shape != (rows,):
            raise ShapeError(
                f"a square matrix and a vector of its size are needed, got {(rows, columns)}, {self.mean_vector.shape}"
            )

    def __call__(self, tensor: Tensor) -> Tensor:
        array = need_tensor(tensor, "LinearTransformation")
        flat = array.reshape(-1, len(self.mean_vector)) - self.mean_vector
        return Tensor((flat @ self.transformation_matrix).astype(array.dtype).reshape(array.shape))
