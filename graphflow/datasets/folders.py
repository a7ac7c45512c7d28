"""Datasets of files: a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.data.dataset import Dataset

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".npy")


class DatasetFolder(Dataset):
    """Files in ``root/class/.../name``: a sample is (what ``loader`` makes of the file's path, number of the class).

    ``extensions`` says which files count (None: all that ``is_valid_file`` takes). Classes are numbered in the order
    of their names. Raises FileNotFoundError where there are no classes, or one without a file.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        if (extensions is None) == (is_valid_file is None):
            raise ValueError("give either extensions or is_valid_file")
        self.root = os.fspath(root)
        self.loader = loader
        self.transform = transform
        self.target_transform = target_transform
        endings = tuple(e.lower() for e in extensions or ())
        counts = is_valid_file or (lambda path: path.lower().endswith(endings))
        if not os.path.isdir(self.root):
            raise FileNotFoundError(f"there is no folder {self.root}")
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"{self.root} has no folders: put the files of each class into a folder of its own")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = [(path, i) for i, name in enumerate(self.classes) for path in self._files(name, counts)]
        self.targets = [label for _, label in self.samples]
        empty = sorted(set(self.classes) - {self.classes[label] for label in self.targets})
        if empty and not allow_empty:
            wanted = f" ending in {', '.join(endings)}" if endings else ""
            raise FileNotFoundError(f"no file{wanted} of class {', '.join(empty)} in {self.root}")

    def _files(self, name: str, counts: Callable[[str], bool]) -> list[str]:
        found = []
        for folder, folders, files in os.walk(os.path.join(self.root, name), followlinks=True):
            folders.sort()
            found += [path for file in sorted(files) if counts(path := os.path.join(folder, file))]
        return found

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        path, label = self.samples[index]
        sample: Any = self.loader(path)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, label if self.target_transform is None else self.target_transform(label)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Pictures in ``root/class/name.png``: a sample is (image (height, width, 3) uint8, number of the class).

    Files of type .npy are read by NumPy, all others need Pillow (``pip install pillow``).

    >>> import pathlib, tempfile
    >>> from graphflow import datasets
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (root / name).mkdir()
    ...     np.save(root / name / "1.npy", np.zeros((4, 5, 3), np.uint8))
    >>> pictures = datasets.ImageFolder(root)
    >>> pictures.classes, len(pictures), pictures[1][0].shape, pictures[1][1]
    (['cat', 'dog'], 2, (4, 5, 3), 1)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = None if is_valid_file else IMAGE_EXTENSIONS
        super().__init__(
            root, loader or read_image, extensions, transform, target_transform, is_valid_file, allow_empty
        )

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """The samples' paths and classes."""
        return self.samples


def read_image(path: str | os.PathLike[str], mode: str = "RGB") -> np.ndarray:
    """A picture as an array: (height, width, 3) uint8, or (height, width) for mode "L". Needs Pillow, but for .npy."""
    name = os.fspath(path)
    if name.lower().endswith(".npy"):
        return np.load(name, allow_pickle=False)
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError(f"reading {name} needs Pillow: pip install pillow") from error
    try:
        with Image.open(name) as image:
            return np.asarray(image.convert(mode))
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is no image that Pillow can read") from error


def load_npz(path: str | os.PathLike[str], *names: str) -> Any:
    """Arrays of an .npz file: those named, as a tuple; without names all, as a dict. Never runs code from the file.

    Raises KeyError listing the names that there are, and FileNotFoundError.

    >>> import tempfile
    >>> from graphflow import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/d.npz", x=np.zeros((3, 2)), y=np.arange(3))
    ...     x, y = datasets.load_npz(f"{folder}/d.npz", "x", "y")
    >>> x.shape, y
    ((3, 2), array([0, 1, 2]))
    """
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in names if name not in file]
        if missing:
            raise KeyError(f"{os.fspath(path)} has no {missing[0]!r}; it has: {', '.join(file.files)}")
        return tuple(file[name] for name in names) if names else {name: file[name] for name in file.files}
