"""Datasets, samplers and the DataLoader, under PyTorch's names. Samples live in NumPy; batches come out as tensors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from graphflow.data.collate import default_collate
from graphflow.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, random_split
from graphflow.data.loader import DataLoader
from graphflow.data.randomness import sample_generator
from graphflow.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "random_split",
    "sample_generator",
    "transforms",
]


def __getattr__(name: str) -> Any:
    if name == "transforms":  # loaded when first used, for a quicker import
        return import_module("graphflow.data.transforms")
    raise AttributeError(f"module 'graphflow.data' has no attribute {name!r}")
