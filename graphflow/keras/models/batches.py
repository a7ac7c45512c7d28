"""What ``fit``, ``evaluate`` and ``predict`` read: arrays, loaders, generators, as batches of (x, y, sample_weight)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.core.tree import flatten, unflatten
from graphflow.data.dataset import Dataset, IterableDataset
from graphflow.data.loader import DataLoader
from graphflow.data.sampler import default_generator, permutation
from graphflow.tensor import Operators, Tensor

Batch = tuple[Any, Any, Any]


def unpack(data: Any) -> Batch:
    """x, y and sample weights of a batch; None for what it does not have."""
    if not isinstance(data, (list, tuple)):
        return data, None, None
    if len(data) > 3 or not data:
        raise ValueError(
            at_line(f"a batch is x, (x, y) or (x, y, sample_weight), not {len(data)} parts", user_origin())
        )
    x, y, weight = (*data, None, None)[:3]
    return x, y, weight


def pack(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """A batch as ``train_step`` gets it: x alone, (x, y), or (x, y, sample_weight); a list of inputs alone as (x,)."""
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (list, tuple)) else x


def as_array(value: Any) -> Any:
    """Data as an array, floats as float32."""
    if isinstance(value, Tensor):
        value = value.detach().numpy()
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(
            at_line(
                "the data is no array of numbers (rows of different lengths? gf.keras.utils.pad_sequences makes them "
                "equal)",
                user_origin(),
            )
        )
    if array.dtype.kind in "US":
        raise TypeError(
            at_line("the data holds strings; make numbers of them, for example with utils.Tokenizer", user_origin())
        )
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _is_arrays(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(isinstance(v, (np.ndarray, Operators)) for v in x) and all(
            v is None or isinstance(v, (np.ndarray, Operators)) for v in x
        )
    if isinstance(x, Mapping):
        return all(isinstance(v, (np.ndarray, Operators, list)) for v in x.values())
    return isinstance(x, (np.ndarray, Operators)) or hasattr(x, "__array__")


class Arrays:
    """Arrays of one length, cut into batches; nested as the user nested them."""

    def __init__(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool, steps: int | None = None
    ) -> None:
        if isinstance(x, (list, tuple)) and not _is_arrays(x):
            x = as_array(x)
        if isinstance(y, (list, tuple)) and not _is_arrays(y):
            y = as_array(y)
        leaves, self.tree = flatten((x, y, sample_weight))
        self.present = tuple(leaf is not None for leaf in leaves)
        self.arrays = [as_array(leaf) for leaf in leaves if leaf is not None]
        sizes = {len(a) if a.ndim else 0 for a in self.arrays}
        if len(sizes) != 1:
            shapes = ", ".join(str(a.shape) for a in self.arrays)
            raise ShapeError(
                at_line(f"x, y and sample_weight must have as many samples each, got shapes {shapes}", user_origin())
            )
        self.samples = sizes.pop()
        if self.samples == 0:
            raise ValueError(at_line("there are no samples", user_origin()))
        self.batch_size = 32 if batch_size is None else int(batch_size)
        if self.batch_size < 1:
            raise ValueError(at_line(f"batch_size must be at least 1, got {batch_size}", user_origin()))
        self.shuffle = shuffle
        self.steps = steps  # at most so many batches

    def __len__(self) -> int:
        whole = -(-self.samples // self.batch_size)
        return whole if self.steps is None else min(whole, self.steps)

    def nested(self, arrays: Iterable[Any]) -> Batch:
        """The batch in the user's nesting, with None where nothing was given."""
        supply = iter(arrays)
        return unflatten(self.tree, [next(supply) if there else None for there in self.present])  # type: ignore[no-any-return]

    def pieces(self) -> Iterator[list[Any]]:
        """The arrays of each batch, side by side."""
        order = permutation(self.samples, default_generator) if self.shuffle else None
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            if order is None:
                yield [a[start : start + self.batch_size] for a in self.arrays]
            else:
                rows = order[start : start + self.batch_size]
                yield [a.take(rows, axis=0) for a in self.arrays]

    def __iter__(self) -> Iterator[Batch]:
        return map(self.nested, self.pieces())

    def split(self, share: float) -> tuple[Arrays, Arrays]:
        """The first samples, and the last ``share`` of them."""
        if not 0 < share < 1:
            raise ValueError(at_line(f"validation_split lies between 0 and 1, got {share}", user_origin()))
        at = int(self.samples * (1.0 - share))
        if at == 0 or at == self.samples:
            raise ValueError(
                at_line(f"{self.samples} samples cannot be split with validation_split={share}", user_origin())
            )
        parts = []
        for rows, shuffle in ((slice(0, at), self.shuffle), (slice(at, None), False)):
            parts.append(Arrays(*self.nested(a[rows] for a in self.arrays), self.batch_size, shuffle))
        return parts[0], parts[1]

    def whole(self) -> Batch:
        """All samples."""
        return self.nested(self.arrays)


class Stream:
    """Batches that something else makes: a DataLoader, a generator, or ``PyDataset`` (``len`` and ``[i]``)."""

    def __init__(self, source: Any, steps: int | None) -> None:
        self.source = source
        self.steps = steps
        self._iterator: Iterator[Any] | None = None
        self._endless = hasattr(source, "__next__")

    def __len__(self) -> int:
        return self.steps if self.steps is not None else len(self.source)

    def __iter__(self) -> Iterator[Batch]:
        if self.steps is None and not self._endless:
            return map(_arrays_of, map(unpack, _batches(self.source)))
        if self._endless and self.steps is None:
            return map(_arrays_of, map(unpack, self.source))
        return self._some()

    def _some(self) -> Iterator[Batch]:
        """The next ``steps`` batches; an epoch goes on where the one before it ended."""
        for _ in range(self.steps or 0):
            if self._iterator is None:
                self._iterator = iter(_batches(self.source))
            try:
                batch = next(self._iterator)
            except StopIteration:
                if self._endless:
                    return
                self._iterator = iter(_batches(self.source))
                try:
                    batch = next(self._iterator)
                except StopIteration:
                    return
            yield _arrays_of(unpack(batch))


def _batches(source: Any) -> Iterable[Any]:
    if hasattr(source, "on_epoch_end") and hasattr(source, "__getitem__"):  # Keras's PyDataset: items are batches
        return (source[i] for i in range(len(source)))
    return source  # type: ignore[no-any-return]


def _arrays_of(batch: Batch) -> Batch:
    leaves, tree = flatten(batch)
    return unflatten(tree, [v if v is None else as_array(v) for v in leaves])  # type: ignore[no-any-return]


def batches(
    x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool, steps: int | None = None
) -> Arrays | Stream:
    """Whatever was given, as something to iterate over in batches."""
    if x is None:
        raise ValueError(at_line("there is no data: give x", user_origin()))
    if isinstance(x, (list, tuple, Mapping)) or _is_arrays(x):
        return Arrays(x, y, sample_weight, batch_size, shuffle, steps)
    if y is not None or sample_weight is not None:
        raise ValueError(
            at_line(f"a {type(x).__name__} gives x and y together: leave out y and sample_weight", user_origin())
        )
    if isinstance(x, (Dataset, IterableDataset)):
        plain = isinstance(x, IterableDataset)
        x = DataLoader(x, batch_size=batch_size or 32, shuffle=shuffle and not plain)
    if not hasattr(x, "__iter__") and not hasattr(x, "__getitem__"):
        raise TypeError(
            at_line(
                f"data is arrays, a DataLoader, a generator or a PyDataset, got a {type(x).__name__}", user_origin()
            )
        )
    return Stream(x, steps)


def weights_of_classes(class_weight: Mapping[int, float], y: Any, sample_weight: Any) -> Any:
    """Sample weights from the weights of the classes, times those given. ValueError for a class without a weight."""
    if len(flatten(y)[0]) != 1:
        raise ValueError(at_line("class_weight is for models with one output; use sample_weight", user_origin()))
    labels = np.asarray(as_array(y))
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] > 1 else labels[..., 0]
    numbers, places = np.unique(labels, return_inverse=True)
    missing = [int(n) for n in numbers if int(n) not in class_weight]
    if missing:
        raise ValueError(
            at_line(f"class_weight lacks the classes {missing}; it has: {sorted(class_weight)}", user_origin())
        )
    table = np.array([class_weight[int(n)] for n in numbers], np.float32)
    weights = table[places].reshape(labels.shape)
    return weights if sample_weight is None else weights * as_array(sample_weight)
