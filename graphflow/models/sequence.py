"""Recurrent networks of tokens: classifiers by LSTM and GRU, and translation by GRUs with attention."""

from __future__ import annotations

from typing import Any

from graphflow import nn
from graphflow.nn import functional as F
from graphflow.ops.elementwise import where
from graphflow.ops.linalg import matmul
from graphflow.ops.movement import concat, stack
from graphflow.ops.reduce import argmax
from graphflow.tensor import Tensor, as_tensor


class _Classifier(nn.Module):
    """The last state of a recurrent network over (batch, length) tokens decides."""

    network: Any  # nn.LSTM or nn.GRU

    def __init__(
        self,
        tokens: int,
        num_classes: int,
        embedding: int = 64,
        hidden: int = 128,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.directions = 2 if bidirectional else 1
        self.embedding = nn.Embedding(tokens, embedding)
        settings: Any = {"batch_first": True, "dropout": dropout, "bidirectional": bidirectional}
        self.rnn = self.network(embedding, hidden, layers, **settings)
        self.head = nn.Linear(hidden * self.directions, num_classes)

    def forward(self, tokens: Any) -> Tensor:
        _, state = self.rnn(self.embedding(tokens))
        last = state[0] if isinstance(state, tuple) else state  # an LSTM's state is (hidden, cell)
        return self.head(concat([last[i - self.directions] for i in range(self.directions)], 1))


class LSTMClassifier(_Classifier):
    """Classifies sequences of tokens (batch, length) by the last state of an LSTM.

    >>> import graphflow as gf
    >>> model = gf.models.LSTMClassifier(20, 3, embedding=4, hidden=5, bidirectional=True)
    >>> model(gf.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])).shape
    (2, 3)
    """

    network = nn.LSTM


class GRUClassifier(_Classifier):
    """Classifies sequences of tokens (batch, length) by the last state of a GRU.

    >>> import graphflow as gf
    >>> gf.models.GRUClassifier(20, 3, embedding=4, hidden=5, layers=2)(gf.tensor([[1, 2, 3, 4]])).shape
    (1, 3)
    """

    network = nn.GRU


class Seq2Seq(nn.Module):
    """Sequences of tokens to sequences of tokens: a GRU reads, another writes and looks back (Luong et al. 2015).

    Gives the logits of each next token (batch, length, tokens) for what was read and what was written so far.

    >>> import graphflow as gf
    >>> model = gf.models.Seq2Seq(11, 13, embedding=4, hidden=6)
    >>> source, target = gf.tensor([[3, 4, 5]]), gf.tensor([[1, 2]])
    >>> model(source, target).shape, model.write(source, start=1, length=4).shape
    ((1, 2, 13), (1, 4))
    """

    def __init__(self, source_tokens: int, target_tokens: int, embedding: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.source = nn.Embedding(source_tokens, embedding)
        self.target = nn.Embedding(target_tokens, embedding)
        self.reader = nn.GRU(embedding, hidden, batch_first=True)
        self.writer = nn.GRU(embedding, hidden, batch_first=True)
        self.score = nn.Linear(hidden, hidden, bias=False)
        self.combine = nn.Linear(2 * hidden, hidden)
        self.head = nn.Linear(hidden, target_tokens)

    def forward(self, source: Any, target: Any, padding: int | None = None) -> Tensor:
        read, state = self.reader(self.source(source))
        written, _ = self.writer(self.target(target), state)
        return self._logits(written, read, source, padding)

    def _logits(self, written: Tensor, read: Tensor, source: Any, padding: int | None) -> Tensor:
        """Each state of the writer, with the mean of the reader's that its attention makes."""
        scores = matmul(self.score(written), read.mT)  # type: ignore[attr-defined]
        if padding is not None:
            scores = where(as_tensor(source).unsqueeze(1) == padding, -1e9, scores)  # type: ignore[attr-defined]
        seen = matmul(F.softmax(scores, -1), read)
        return self.head(F.tanh(self.combine(concat([written, seen], -1))))

    def write(self, source: Any, start: int, length: int, padding: int | None = None) -> Tensor:
        """The likeliest tokens, one after the other, after a first one: (batch, length)."""
        read, state = self.reader(self.source(source))
        token = as_tensor(source)[:, :1] * 0 + start  # type: ignore[index]
        tokens = []
        for _ in range(length):
            written, state = self.writer(self.target(token), state)
            token = argmax(self._logits(written, read, source, padding), axis=-1)
            tokens.append(token[:, 0])  # type: ignore[index]
        return stack(tokens, 1)
