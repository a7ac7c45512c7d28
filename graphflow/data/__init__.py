"""Datasets, samplers and the DataLoader, under PyTorch's names. Samples live in NumPy; batches come out as tensors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from graphflow.data.collate import default_collate, default_convert
from graphflow.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from graphflow.data.loader import DataLoader
from graphflow.data.randomness import sample_generator
from graphflow.data.sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from graphflow.data.worker import get_worker_info

_MODULES = ("tables", "text", "transforms")  # loaded when first used, for a quicker import

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
    "sample_generator",
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"graphflow.data.{name}")
    raise AttributeError(f"module 'graphflow.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
