"""Data to learn from, as NumPy arrays: handwritten digits that come with the package, MNIST-format and CSV files."""

from __future__ import annotations

from graphflow.datasets.digits import load_digits
from graphflow.datasets.idx import load_mnist, read_idx, write_idx
from graphflow.datasets.table import read_csv

__all__ = ["load_digits", "load_mnist", "read_csv", "read_idx", "write_idx"]
