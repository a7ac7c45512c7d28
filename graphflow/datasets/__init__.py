"""Data to learn from: handwritten digits that come with the package, MNIST, CIFAR, image folders, CSV, .npz."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from graphflow.datasets.digits import digits_as_mnist, load_digits
from graphflow.datasets.idx import load_mnist, read_idx, write_idx, write_mnist
from graphflow.datasets.table import read_csv

# What stands on gf.data is loaded when first used.
_PLACES = {
    "CIFAR10": "vision",
    "CIFAR100": "vision",
    "DatasetFolder": "folders",
    "DownloadError": "fetching",
    "FashionMNIST": "vision",
    "ImageFolder": "folders",
    "KMNIST": "vision",
    "MNIST": "vision",
    "VisionDataset": "vision",
    "download": "fetching",
    "load_npz": "folders",
    "read_cifar": "vision",
    "read_image": "folders",
    "write_cifar": "vision",
}

__all__ = [
    "digits_as_mnist",
    "load_digits",
    "load_mnist",
    "read_csv",
    "read_idx",
    "write_idx",
    "write_mnist",
    *_PLACES,
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'graphflow.datasets' has no attribute {name!r}")
    value = getattr(import_module(f"graphflow.datasets.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
