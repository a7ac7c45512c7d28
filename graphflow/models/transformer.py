"""Transformers of two kinds: one that reads and classifies, one that reads and writes (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow import nn
from graphflow.core import dispatch
from graphflow.ops.elementwise import where
from graphflow.ops.movement import concat, expand_dims
from graphflow.ops.reduce import argmax
from graphflow.ops.reduce import sum as total
from graphflow.tensor import as_tensor


def waves(length: int, width: int) -> np.ndarray:
    """Sines and cosines that tell places apart: (length, width)."""
    rates = np.exp(-math.log(10_000.0) * np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * rates
    both = np.stack([np.sin(angles), np.cos(angles)], -1)
    return both.reshape(length, -1)[:, :width].astype(np.float32)


class TransformerClassifier(nn.Module):
    """Logits of classes for integers (batch, tokens); ``padding`` is a token that counts for nothing.

    >>> import graphflow as gf
    >>> model = gf.models.TransformerClassifier(20, 3, length=6, width=8, heads=2, layers=1, padding=0)
    >>> model(gf.tensor([[4, 5, 0, 0]])).shape
    (1, 3)
    """

    def __init__(
        self,
        vocabulary: int,
        num_classes: int,
        length: int = 128,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.tokens = nn.Embedding(vocabulary, width)
        self.register_buffer("places", waves(length, width), persistent=False)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Any) -> Any:
        x = as_tensor(x)
        hidden = None if self.padding is None else x == self.padding
        read = self.encoder(self.tokens(x) + self.places[: x.shape[1]], src_key_padding_mask=hidden)
        if hidden is None:
            return self.head(read.mean(1))  # type: ignore[attr-defined]
        kept = expand_dims(where(hidden, 0.0, 1.0), 2)
        return self.head(total(read * kept, axis=1) / (total(kept, axis=1) + 1e-6))


class TransformerSeq2Seq(nn.Module):
    """Logits of each next token (batch, tokens, vocabulary) for what was read and what was written so far.

    >>> import graphflow as gf
    >>> model = gf.models.TransformerSeq2Seq(11, 13, length=8, width=8, heads=2, layers=1)
    >>> source, target = gf.tensor([[3, 4, 5]]), gf.tensor([[1, 2]])
    >>> model(source, target).shape, model.write(source, start=1, length=4).shape
    ((1, 2, 13), (1, 4))
    """

    def __init__(
        self,
        source_tokens: int,
        target_tokens: int,
        length: int = 128,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.source = nn.Embedding(source_tokens, width)
        self.target = nn.Embedding(target_tokens, width)
        self.register_buffer("places", waves(length, width), persistent=False)
        settings: dict[str, Any] = {"batch_first": True, "norm_first": True}
        self.transformer = nn.Transformer(width, heads, layers, layers, 4 * width, dropout, **settings)
        self.head = nn.Linear(width, target_tokens)

    def forward(self, source: Any, target: Any) -> Any:
        source, target = as_tensor(source), as_tensor(target)
        hidden = None if self.padding is None else source == self.padding
        read, written = (
            embedding(x) * math.sqrt(embedding.embedding_dim) + self.places[: x.shape[1]]
            for embedding, x in ((self.source, source), (self.target, target))
        )
        masks = {"src_key_padding_mask": hidden, "memory_key_padding_mask": hidden}
        return self.head(self.transformer(read, written, tgt_is_causal=True, **masks))

    def write(self, source: Any, start: int, length: int) -> Any:
        """The likeliest tokens, one after the other, after a first one: (batch, length)."""
        source = as_tensor(source)
        written = source[:, :1] * 0 + start  # type: ignore[index]
        training = self.training
        self.eval()
        with dispatch.no_grad():
            for _ in range(length):
                following = argmax(self(source, written)[:, -1:], axis=-1)
                written = concat([written, following], 1)
        self.train(training)
        return written[:, 1:]
