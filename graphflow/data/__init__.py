"""Datasets, samplers and the DataLoader, under PyTorch's names. Samples live in NumPy; batches come out as tensors."""

from __future__ import annotations

from graphflow.data.collate import default_collate
from graphflow.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, random_split
from graphflow.data.loader import DataLoader
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
]
