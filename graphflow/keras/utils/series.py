"""Windows over time series as data to train on."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.errors import at_line, user_origin
from graphflow.data.sampler import default_generator, permutation
from graphflow.keras.utils.arrays import PyDataset
from graphflow.ops import random


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> PyDataset:
    """Windows of ``sequence_length`` steps, ``sequence_stride`` apart, each with the target of its first step.

    Steps within a window are ``sampling_rate`` apart. Raises ValueError where no window fits.

    >>> import graphflow as gf
    >>> windows = gf.keras.utils.timeseries_dataset_from_array(np.arange(6), np.arange(2, 6), 2, batch_size=3)
    >>> x, y = windows[0]
    >>> x.tolist(), y.tolist()
    ([[0, 1], [1, 2], [2, 3]], [2, 3, 4])
    """
    series = np.asarray(data)[start_index:end_index]
    wanted = None if targets is None else np.asarray(targets)[start_index:]
    last = len(series) - (sequence_length - 1) * sampling_rate
    last = last if wanted is None else min(last, len(wanted))
    starts = np.arange(0, last, sequence_stride)
    if last <= 0 or sequence_length < 1:
        raise ValueError(
            at_line(f"{len(series)} steps have no window of {sequence_length}, {sampling_rate} apart", user_origin())
        )
    if shuffle:
        starts = starts[permutation(len(starts), default_generator if seed is None else random.Generator(seed))]
    steps = np.arange(sequence_length) * sampling_rate
    return _Windows(series, wanted, starts, steps, len(starts) if batch_size is None else batch_size)


class _Windows(PyDataset):
    def __init__(self, series: Any, targets: Any, starts: Any, steps: Any, batch_size: int) -> None:
        super().__init__()
        self.series, self.targets, self.starts, self.steps, self.batch_size = series, targets, starts, steps, batch_size

    def __len__(self) -> int:
        return -(-len(self.starts) // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches")
        rows = self.starts[index * self.batch_size : (index + 1) * self.batch_size]
        windows = self.series[rows[:, None] + self.steps]
        return windows if self.targets is None else (windows, self.targets[rows])
