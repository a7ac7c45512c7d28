"""Datasets of images under torchvision's names: MNIST and its successors, CIFAR, folders of pictures.

A sample is (image, label): an ndarray (height, width[, channels]) of uint8, which ``transform`` turns into what the
network takes, and an int, which ``target_transform`` may change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.core.errors import FileFormatError
from graphflow.data.dataset import Dataset
from graphflow.datasets.fetching import download, extract
from graphflow.datasets.idx import find_idx, read_idx

Path_ = str | os.PathLike[str]
Transform = Callable[[Any], Any]


class VisionDataset(Dataset):
    """Images in memory (``data``) and their labels (``targets``), with a transform for each."""

    data: np.ndarray
    targets: np.ndarray
    classes: list[str]

    def __init__(
        self, root: Path_, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.root = Path(root)
        self.transform = transform
        self.target_transform = target_transform

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        image: Any = self.data[index]
        label: Any = int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def __len__(self) -> int:
        return len(self.data)

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images of shape {self.data.shape[1:]}, root={str(self.root)!r})"


class MNIST(VisionDataset):
    """Handwritten digits (LeCun et al., 1998): 60000 images of 28 by 28 pixels to train and 10000 to test.

    ``root`` holds the four IDX files, gzipped or not, in itself or in ``MNIST/raw``, where ``download=True`` puts them.
    Any files of this format will do: ``write_mnist`` makes them. Raises FileNotFoundError saying what is missing.

    >>> import tempfile
    >>> from graphflow import data, datasets
    >>> digits = datasets.MNIST(datasets.digits_as_mnist(tempfile.mkdtemp()), train=False)
    >>> digits
    MNIST(360 images of shape (28, 28), root='...')
    >>> image, label = digits[0]
    >>> image.shape, image.dtype, label
    ((28, 28), dtype('uint8'), 0)
    """

    mirrors: Sequence[str] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    files = {  # name: MD5 of the gzipped file
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    classes = [str(i) for i in range(10)]

    def __init__(
        self,
        root: Path_,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.train = train
        raw = self.root / type(self).__name__ / "raw"
        prefix = "train" if train else "t10k"
        if download:
            self._download(raw)
        folder = raw if raw.is_dir() else self.root
        try:
            images, labels = (
                read_idx(find_idx(folder, f"{prefix}-{kind}-ubyte")) for kind in ("images-idx3", "labels-idx1")
            )
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error}; use download=True where there is a network, or fetch the files of {self.mirrors[0]}. "
                f"datasets.digits_as_mnist(folder) makes files of this format from the digits in the package"
            ) from None
        if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
            raise FileFormatError(
                f"{folder}: images {images.dtype} {images.shape} do not go with labels {labels.shape}"
            )
        self.data, self.targets = images, labels.astype(np.int64)

    def _download(self, raw: Path) -> None:
        for name, md5 in self.files.items():
            download([f"{mirror}{name}.gz" for mirror in self.mirrors], raw / f"{name}.gz", md5)


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's format (Xiao et al., 2017)."""

    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    files = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    classes = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
    ]  # fmt: skip


class KMNIST(MNIST):
    """Cursive Japanese characters in MNIST's format (Clanuwat et al., 2018)."""

    mirrors = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    files = {
        "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
    }
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


class CIFAR10(VisionDataset):
    """Colour images of 32 by 32 pixels in 10 classes (Krizhevsky, 2009): 50000 to train, 10000 to test.

    The binary version is read: ``root`` holds its files in itself or in their folder, where ``download=True`` puts
    them. Images are (32, 32, 3) uint8.
    """

    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    folder = "cifar-10-batches-bin"
    train_files: Sequence[str] = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
    test_files: Sequence[str] = ("test_batch.bin",)
    names_file = "batches.meta.txt"
    label_bytes = 1  # the last of them is the label
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

    def __init__(
        self,
        root: Path_,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.train = train
        if download and not (self.root / self.folder).is_dir():
            self._download()
        folder = self.root / self.folder if (self.root / self.folder).is_dir() else self.root
        parts = [read_cifar(self._find(folder, name), self.label_bytes) for name in self._files()]
        self.data = np.concatenate([images for images, _ in parts])
        self.targets = np.concatenate([labels for _, labels in parts])
        if (folder / self.names_file).is_file():
            self.classes = (folder / self.names_file).read_text(encoding="utf-8").split()

    def _files(self) -> Sequence[str]:
        return self.train_files if self.train else self.test_files

    def _find(self, folder: Path, name: str) -> Path:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{name} is not in {folder}; use download=True where there is a network, or unpack {self.url} there"
            )
        return folder / name

    def _download(self) -> None:
        archive = download(self.url, self.root / os.path.basename(self.url), self.md5)
        extract(archive, self.root)


class CIFAR100(CIFAR10):
    """Like CIFAR10, with 100 classes (the fine labels)."""

    url = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    md5 = "03b5dce01913d631647c71ecec9e9cb8"
    folder = "cifar-100-binary"
    train_files = ("train.bin",)
    test_files = ("test.bin",)
    names_file = "fine_label_names.txt"
    label_bytes = 2  # coarse, fine
    classes = [str(i) for i in range(100)]


_CIFAR_PIXELS = 3 * 32 * 32


def read_cifar(path: Path_, label_bytes: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) uint8 and labels (int64) of one file of CIFAR's binary version.

    ``label_bytes`` is 1 for CIFAR-10 and 2 for CIFAR-100 (coarse and fine; the fine ones are given). Raises
    FileFormatError for a file that is no whole number of records.
    """
    raw = np.fromfile(path, np.uint8)
    record = label_bytes + _CIFAR_PIXELS
    if raw.size == 0 or raw.size % record:
        raise FileFormatError(f"{os.fspath(path)} has {raw.size} bytes, no whole number of records of {record} bytes")
    rows = raw.reshape(-1, record)
    images = rows[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), rows[:, label_bytes - 1].astype(np.int64)


def write_cifar(path: Path_, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images (n, 32, 32, 3) uint8 and labels as a file of CIFAR-10's binary version."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.shape[1:] != (32, 32, 3) or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"uint8 images (n, 32, 32, 3) and n labels are needed, got {images.dtype} {images.shape}, {labels.shape}"
        )
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    np.concatenate([labels.astype(np.uint8)[:, None], planes], axis=1).tofile(path)
