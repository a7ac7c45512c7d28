"""Transforms that change the colours of an image by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.data.randomness import sample_generator
from graphflow.data.transforms import color
from graphflow.data.transforms.augment import _unchanged, _WithProbability
from graphflow.data.transforms.image import Image, Transform, layout, pair


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed at random, in random order.

    Each is a number v, for a factor from [max(0, 1 - v), 1 + v] (hue: from [-v, v]), or the range itself.

    >>> from graphflow.data import transforms
    >>> transforms.ColorJitter(brightness=0.5)
    ColorJitter(brightness=(0.5, 1.5), contrast=None, saturation=None, hue=None)
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        self.brightness = _factors(brightness, "brightness")
        self.contrast = _factors(contrast, "contrast")
        self.saturation = _factors(saturation, "saturation")
        self.hue = _factors(hue, "hue", center=0.0, limit=0.5)

    def __call__(self, image: Image) -> Image:
        changes: list[tuple[Callable[[Image, float], Image], tuple[float, float] | None]] = [
            (color.adjust_brightness, self.brightness),
            (color.adjust_contrast, self.contrast),
            (color.adjust_saturation, self.saturation),
            (color.adjust_hue, self.hue),
        ]
        rng = sample_generator()
        image = _unchanged(image)
        for i in rng.permutation(len(changes)):
            change, factors = changes[i]
            if factors is not None:
                image = change(image, rng.uniform(*factors))
        return image


def _factors(value: Any, name: str, center: float = 1.0, limit: float | None = None) -> tuple[float, float] | None:
    """The range of factors; None where nothing changes."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
        low, high = center - value, center + value
        low = max(low, 0.0) if limit is None else low
    else:
        low, high = pair(value, name)
    if low > high or (limit is None and low < 0) or (limit is not None and not -limit <= low <= high <= limit):
        raise ValueError(f"{name} is a range of factors that are not negative (hue: in [-0.5, 0.5]), got {value!r}")
    return None if low == high == center else (low, high)


class RandomGrayscale(_WithProbability):
    """Without colours, in as many channels, with probability ``p``."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def __call__(self, image: Image) -> Image:
        if not self._chosen():
            return _unchanged(image)
        im = layout(image)
        channels = 1 if im.channel_axis is None else im.array.shape[im.channel_axis]
        return color.rgb_to_grayscale(image, channels)


class GaussianBlur(Transform):
    """Blurred by a Gaussian of random width; ``kernel_size`` is odd, ``sigma`` one number or a range of pixels."""

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        self.kernel_size = pair(kernel_size, "kernel_size")
        if any(size <= 0 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.sigma = pair(sigma, "sigma")
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma is positive, or a range of positive numbers, got {sigma}")

    def __call__(self, image: Image) -> Image:
        return color.gaussian_blur(image, self.kernel_size, sample_generator().uniform(*self.sigma))


class RandomInvert(_WithProbability):
    """The negative, with probability ``p``."""

    def __call__(self, image: Image) -> Image:
        return color.invert(image) if self._chosen() else _unchanged(image)


class RandomPosterize(_WithProbability):
    """Only the upper ``bits`` bits of each uint8 pixel, with probability ``p``."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def __call__(self, image: Image) -> Image:
        return color.posterize(image, self.bits) if self._chosen() else _unchanged(image)


class RandomSolarize(_WithProbability):
    """The negative of all pixels not below ``threshold``, with probability ``p``."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def __call__(self, image: Image) -> Image:
        return color.solarize(image, self.threshold) if self._chosen() else _unchanged(image)


class RandomAdjustSharpness(_WithProbability):
    """Sharpened (factor above 1) or blurred (below 1) with probability ``p``."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def __call__(self, image: Image) -> Image:
        return color.adjust_sharpness(image, self.sharpness_factor) if self._chosen() else _unchanged(image)


class RandomAutocontrast(_WithProbability):
    """Each channel stretched from black to white, with probability ``p``."""

    def __call__(self, image: Image) -> Image:
        return color.autocontrast(image) if self._chosen() else _unchanged(image)
