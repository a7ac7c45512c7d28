"""From a list of samples to one batch of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError
from graphflow.tensor import Tensor, as_tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first dimension, through any nesting of tuples, lists and dicts.

    Tensors, arrays and numbers become tensors (Python floats float32); strings and bytes stay in a list. Raises
    ShapeError where shapes differ between samples and TypeError for what cannot be stacked: pass a ``collate_fn`` then.

    >>> from graphflow import data
    >>> batch = data.default_collate([{"x": np.zeros(3), "name": "a"}, {"x": np.ones(3), "name": "b"}])
    >>> batch["x"].shape, batch["name"]
    ((2, 3), ['a', 'b'])
    """
    first = batch[0]
    if isinstance(first, (Tensor, np.ndarray, np.generic)):
        arrays = [np.asarray(sample) for sample in batch]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            listed = ", ".join(str(shape) for shape in sorted(shapes))
            raise ShapeError(f"samples of one batch need one shape, got {listed}; pad them or pass a collate_fn")
        return Tensor(np.stack(arrays))
    if isinstance(first, (bool, int, float)):
        return as_tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in batch):
            lengths = sorted({len(sample) for sample in batch})
            raise ShapeError(f"samples of one batch need one length, got {lengths}; pad them or pass a collate_fn")
        parts = [default_collate(part) for part in zip(*batch)]
        if isinstance(first, tuple) and hasattr(first, "_fields"):  # a namedtuple takes its fields one by one
            return type(first)(*parts)
        return type(first)(parts)
    raise TypeError(f"cannot stack samples of type {type(first).__name__}; pass a collate_fn")


def default_convert(sample: Any) -> Any:
    """One sample with its arrays and numbers as tensors: what is done where samples come without batching.

    >>> from graphflow import data
    >>> data.default_convert((np.zeros(2, np.float32), "a"))
    (tensor([0., 0.]), 'a')
    """
    if isinstance(sample, (np.ndarray, np.generic)):
        return Tensor(np.asarray(sample)) if np.asarray(sample).dtype.kind not in "USO" else sample
    if isinstance(sample, Mapping):
        return {key: default_convert(value) for key, value in sample.items()}
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(default_convert, sample))
    if isinstance(sample, (tuple, list)):
        return type(sample)(map(default_convert, sample))
    return sample
