"""The handwritten digits that come with the package, so that every example runs without a download.

Source: Alpaydin, E. & Kaynak, C. (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
https://doi.org/10.24432/C50P49, licensed under CC BY 4.0. See README.md in this folder for what the file holds.
"""

from __future__ import annotations

import os

import numpy as np

from graphflow.tensor import Tensor

_FILE = os.path.join(os.path.dirname(__file__), "digits.npz")
_MAX_PIXEL = 16
_TEST_EVERY = 5


def load_digits(split: str | None = None, *, flatten: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Images of handwritten digits and the digit that each shows: 1797 in all, 1437 to train and 360 to test.

    ``split`` is "train", "test" or None for all. Images are float32 in [0, 1], of shape (n, 64), or (n, 1, 8, 8) with
    ``flatten=False``; labels are int64 of shape (n,). The split never changes and holds every digit in the same
    proportion. Raises ValueError for another split.

    >>> from graphflow import datasets
    >>> images, labels = datasets.load_digits("train")
    >>> images.shape, images.dtype, labels.shape, labels.dtype
    ((1437, 64), dtype('float32'), (1437,), dtype('int64'))
    """
    if split not in (None, "train", "test"):
        raise ValueError(f"split is 'train', 'test' or None for all, got {split!r}")
    with np.load(_FILE) as file:
        images, labels = file["images"], file["labels"]
    if split is not None:
        # Every fifth of the images sorted by digit: stratified, and nothing random to reproduce.
        is_test = np.zeros(len(labels), dtype=bool)
        is_test[np.argsort(labels, kind="stable")[::_TEST_EVERY]] = True
        chosen = is_test if split == "test" else ~is_test
        images, labels = images[chosen], labels[chosen]
    pixels = images.astype(np.float32) / np.float32(_MAX_PIXEL)
    return pixels if flatten else pixels.reshape(-1, 1, 8, 8), labels.astype(np.int64)


def digits_as_mnist(folder: str | os.PathLike[str], *, size: int = 28, compress: bool = True) -> str:
    """Write the digits to ``folder`` as MNIST's four files, scaled to ``size`` by ``size`` pixels; gives the folder.

    The digit takes up 20 of 28 pixels, in white on black, as MNIST's do. What reads MNIST works with them, offline.
    """
    from graphflow.data.transforms import functional as F
    from graphflow.datasets.idx import write_mnist

    inner = round(size * 20 / 28)
    before = (size - inner) // 2
    after = size - inner - before
    for split in ("train", "test"):
        images, labels = load_digits(split, flatten=False)
        large = F.pad(F.resize(Tensor(images), (inner, inner)), (before, before, after, after))
        write_mnist(folder, large.numpy()[:, 0], labels, split, compress=compress)
    return os.fspath(folder)
