"""Arrays for training: one-hot rows, equal lengths, seeds, batches of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import at_line, user_origin
from graphflow.ops import random
from graphflow.tensor import Operators


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray[Any, Any]:
    """Class numbers as rows with a one (float32). Raises ValueError for a class that is out of range.

    >>> import graphflow as gf
    >>> gf.keras.utils.to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = np.asarray(x.numpy() if isinstance(x, Operators) else x).astype(np.int64)  # type: ignore[attr-defined]
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            at_line(f"labels go from {labels.min()} to {labels.max()}, there are {classes} classes", user_origin())
        )
    return np.eye(classes, dtype=np.float32)[labels]


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray[Any, Any]:
    """Vectors along an axis with length 1."""
    array = np.asarray(x, np.float64)
    length = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(length == 0, 1.0, length)


def pad_sequences(
    sequences: Sequence[Sequence[Any]],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray[Any, Any]:
    """Sequences of different lengths as one array: filled and cut in front ("pre") or behind ("post").

    >>> import graphflow as gf
    >>> gf.keras.utils.pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    """
    for name, word in (("padding", padding), ("truncating", truncating)):
        if word not in ("pre", "post"):
            raise ValueError(at_line(f"{name} is 'pre' or 'post', got {word!r}", user_origin()))
    try:
        lengths = [len(s) for s in sequences]
    except TypeError:
        raise ValueError(at_line("sequences is a list of lists of numbers", user_origin())) from None
    width = max(lengths, default=0) if maxlen is None else maxlen
    inner = next((np.shape(s)[1:] for s in sequences if len(s)), ())
    out = np.full((len(lengths), width, *inner), value, dtype=dtype)
    for row, sequence in zip(out, sequences):
        if len(sequence) and width:
            kept = np.asarray(sequence[-width:] if truncating == "pre" else sequence[:width], dtype=out.dtype)
            if padding == "post":
                row[: len(kept)] = kept
            else:
                row[-len(kept) :] = kept
    return out


def set_random_seed(seed: int) -> None:
    """Seed ``gf.random`` (initial values, dropout, shuffling), NumPy and Python."""
    import random as python_random

    random.seed(seed)
    np.random.seed(seed % 2**32)
    python_random.seed(seed)


class PyDataset:
    """Base of data that gives whole batches: ``__len__`` and ``__getitem__(i)``, (x, y) or (x, y, sample_weight)."""

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = workers

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def on_epoch_end(self) -> None:
        """Called after each epoch."""
