"""The IDX file format of MNIST and its successors (Fashion-MNIST, EMNIST, KMNIST, ...).

A file is: two zero bytes, a byte for the dtype, a byte for the rank, each dimension as a big-endian uint32, then the
numbers, big-endian, in C order. The files are usually gzipped; reading looks at the content, not at the name.
"""

from __future__ import annotations

import math
import os
import struct
from typing import BinaryIO

import numpy as np

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _DTYPES.items()}
_GZIP_MAGIC = b"\x1f\x8b"
# A header of a few bytes can claim any size (and a gzip file inflate to any): refuse before allocating.
_MAX_BYTES = 1 << 32


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file, gzipped or not, in native byte order. ValueError if it is no valid IDX file.

    >>> import tempfile, numpy as np
    >>> from graphflow import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     datasets.write_idx(f"{folder}/labels.gz", np.array([5, 0, 4], dtype=np.uint8))
    ...     datasets.read_idx(f"{folder}/labels.gz")
    array([5, 0, 4], dtype=uint8)
    """
    with open(path, "rb") as raw:
        is_gzip = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if not is_gzip:
            return _read(raw, path)
        import gzip  # here, to keep it out of `import graphflow`

        with gzip.GzipFile(fileobj=raw) as stream:
            return _read(stream, path)  # type: ignore[arg-type]  # GzipFile reads like any binary file


def _read(stream: BinaryIO, path: str | os.PathLike[str]) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise ValueError(f"{os.fspath(path)} is no IDX file: it starts with {magic.hex(' ') or 'nothing'}")
    rank = magic[3]
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise ValueError(f"{os.fspath(path)} ends inside its header of {rank} dimensions")
    shape = struct.unpack(f">{rank}I", header)
    dtype = np.dtype(_DTYPES[magic[2]])
    size = math.prod(shape) * dtype.itemsize
    if size > _MAX_BYTES:
        raise ValueError(f"{os.fspath(path)} claims shape {shape}, more than {_MAX_BYTES} bytes")
    data = stream.read(size + 1)
    if len(data) != size:
        found = f"only {len(data)}" if len(data) < size else "more"
        raise ValueError(f"{os.fspath(path)} should hold {size} bytes for shape {shape} of {dtype.name}, has {found}")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")).reshape(shape)


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as an IDX file, gzipped if the name ends in ``.gz``.

    dtypes: uint8, int8, int16, int32, float32, float64; TypeError for any other. ValueError for more than 255
    dimensions or a dimension of 2**32 or more.
    """
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise TypeError(f"IDX files hold {known}; got {array.dtype}: convert with .astype(...) first")
    if array.ndim > 255 or any(size >= 1 << 32 for size in array.shape):
        raise ValueError(f"shape {array.shape} does not fit an IDX header")
    content = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(_DTYPES[code]).tobytes()
    if os.fspath(path).endswith(".gz"):
        import gzip

        content = gzip.compress(content, mtime=0)  # no time stamp: the same array gives the same file
    with open(path, "wb") as file:
        file.write(content)


def load_mnist(
    folder: str | os.PathLike[str], split: str = "train", *, flatten: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels from a folder with MNIST's four files under their usual names, gzipped (``.gz``) or not.

    ``split`` is "train" or "test". Images are float32 in [0, 1] of shape (n, 1, 28, 28), or (n, 784) with
    ``flatten=True``; labels are int64. FileNotFoundError names the file that is missing, ValueError a split that does
    not exist or files that do not belong together.
    """
    prefix = {"train": "train", "test": "t10k"}.get(split)
    if prefix is None:
        raise ValueError(f"split is 'train' or 'test', got {split!r}")
    images = read_idx(find_idx(folder, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(find_idx(folder, f"{prefix}-labels-idx1-ubyte"))
    if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"expected uint8 images of shape (n, height, width) and n labels, got {images.dtype} {images.shape} "
            f"and {labels.shape} in {os.fspath(folder)}"
        )
    pixels = images.astype(np.float32) / np.float32(255)
    return pixels.reshape(len(pixels), -1) if flatten else pixels[:, np.newaxis], labels.astype(np.int64)


def find_idx(folder: str | os.PathLike[str], name: str) -> str:
    """The path of a file, gzipped or not. Raises FileNotFoundError."""
    for candidate in (name, f"{name}.gz"):
        path = os.path.join(folder, candidate)
        if os.path.exists(path):
            return path
    raise FileNotFoundError(f"neither {name} nor {name}.gz is in {os.fspath(folder)}")


def write_mnist(
    folder: str | os.PathLike[str],
    images: np.ndarray,
    labels: np.ndarray,
    split: str = "train",
    *,
    compress: bool = True,
) -> None:
    """Write images and labels as the two files of MNIST's format that ``load_mnist`` and ``MNIST`` read.

    Images are (n, height, width), uint8 or floating-point in [0, 1]; labels are integers from 0 to 255. Raises
    ValueError for others.
    """
    prefix = {"train": "train", "test": "t10k"}.get(split)
    if prefix is None:
        raise ValueError(f"split is 'train' or 'test', got {split!r}")
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(f"images (n, height, width) and n labels are needed, got {images.shape} and {labels.shape}")
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ValueError(f"labels must be from 0 to 255, got {labels.min()} to {labels.max()}")
    if images.dtype.kind == "f":
        images = np.rint(images.clip(0, 1) * 255)
    os.makedirs(folder, exist_ok=True)
    ending = ".gz" if compress else ""
    write_idx(os.path.join(folder, f"{prefix}-images-idx3-ubyte{ending}"), images.astype(np.uint8))
    write_idx(os.path.join(folder, f"{prefix}-labels-idx1-ubyte{ending}"), labels.astype(np.uint8))
