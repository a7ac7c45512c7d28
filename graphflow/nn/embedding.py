"""Tables of vectors that are looked up by integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.nn.linear import new_parameter
from graphflow.nn.module import Module
from graphflow.tensor import Tensor


class _Table(Module):
    """What both kinds of tables share: the rows, and how they are drawn and looked up."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Any,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx must be one of the {num_embeddings} rows, got {padding_idx}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx if padding_idx is None or padding_idx >= 0 else num_embeddings + padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        rows = None if weight is None else np.asarray(weight)
        if rows is not None and rows.shape != (num_embeddings, embedding_dim):
            raise ValueError(f"a table of {num_embeddings} rows of {embedding_dim} cannot start from {rows.shape}")
        self.weight = new_parameter((num_embeddings, embedding_dim), dtype if rows is None else rows.dtype, device)
        if rows is None:
            self.reset_parameters()
        else:
            self.weight.set_initial(rows)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = self.weight.numpy().copy()
            rows[self.padding_idx] = 0
            self.weight.set_initial(rows)

    def _lookup_repr(self) -> list[str]:
        parts = [f"max_norm={self.max_norm!r}"] * (self.max_norm is not None)
        parts += [f"norm_type={self.norm_type!r}"] * (self.norm_type != 2)
        return parts + ["scale_grad_by_freq=True"] * bool(self.scale_grad_by_freq)

    def _padding_repr(self) -> list[str]:
        return [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]


def _rows(embeddings: Any) -> Any:
    rows = np.asarray(embeddings)
    if rows.ndim != 2:
        raise ValueError(f"from_pretrained needs a table (rows, columns), got shape {rows.shape}")
    return rows


class Embedding(_Table):
    """A table of vectors, looked up by integers: weight (num_embeddings, embedding_dim), normal at first.

    The row ``padding_idx`` is zeros and gets no gradient. Rows longer than ``max_norm`` are shortened when they are
    looked up. With ``scale_grad_by_freq`` gradients are divided by how often a row was looked up.

    >>> import graphflow as gf
    >>> gf.nn.Embedding(10, 3)(gf.tensor([[1, 2, 4], [4, 3, 2]])).shape
    (2, 3, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        lookup = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        super().__init__(num_embeddings, embedding_dim, *lookup, _weight, device, dtype)
        self.weight.requires_grad_(not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A table with the given rows, kept as they are if ``freeze``."""
        rows = _rows(embeddings)
        return cls(
            rows.shape[0], rows.shape[1], padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, rows, freeze
        )

    def forward(self, input: Any) -> Tensor:
        lookup = (self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)
        return F.embedding(input, self.weight, *lookup)

    def extra_repr(self) -> str:
        parts = self._padding_repr() + self._lookup_repr() + ["sparse=True"] * bool(self.sparse)
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *parts])


class EmbeddingBag(_Table):
    """The sum, mean or greatest of the rows of each bag of indices: ``F.embedding_bag``.

    >>> import graphflow as gf
    >>> bags = gf.nn.EmbeddingBag(10, 3, mode="sum")
    >>> bags(gf.tensor([1, 2, 4, 5, 4, 3]), gf.tensor([0, 4])).shape, bags(gf.tensor([[1, 2], [4, 5]])).shape
    ((2, 3), (2, 3))
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        lookup = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        super().__init__(num_embeddings, embedding_dim, *lookup, _weight, device, dtype)
        self.mode = mode
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A table with the given rows, kept as they are if ``freeze``."""
        rows = _rows(embeddings)
        lookup = (max_norm, norm_type, scale_grad_by_freq, mode, sparse)
        made = cls(rows.shape[0], rows.shape[1], *lookup, rows, include_last_offset, padding_idx)
        made.weight.requires_grad_(not freeze)
        return made

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        parts = self._lookup_repr() + [f"mode={self.mode!r}"] + self._padding_repr()
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *parts])
