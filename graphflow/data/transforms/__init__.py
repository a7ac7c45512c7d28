"""Transforms of images, under torchvision's names and defaults, in NumPy.

They take ndarrays (height, width[, channels]), Pillow images, and tensors (..., channels, height, width). Those that
draw random numbers do it from ``gf.data.sample_generator``: fixed by the DataLoader's seed, or by ``gf.random.seed``.

>>> from graphflow.data import transforms
>>> gf.random.seed(0)
>>> augment = transforms.Compose([transforms.RandomCrop(28, padding=2), transforms.ToTensor(),
...                               transforms.Normalize((0.1307,), (0.3081,))])
>>> augment(np.zeros((28, 28), np.uint8)).shape
(1, 28, 28)
"""

from __future__ import annotations

from graphflow.data.transforms import functional
from graphflow.data.transforms.augment import (
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)
from graphflow.data.transforms.compose import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from graphflow.data.transforms.convert import (
    CenterCrop,
    ConvertImageDtype,
    FiveCrop,
    Grayscale,
    LinearTransformation,
    Normalize,
    Pad,
    PILToTensor,
    Resize,
    TenCrop,
    ToPILImage,
    ToTensor,
)
from graphflow.data.transforms.image import Transform
from graphflow.data.transforms.jitter import (
    ColorJitter,
    GaussianBlur,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from graphflow.data.transforms.resample import InterpolationMode

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "LinearTransformation",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
    "Transform",
    "functional",
]
