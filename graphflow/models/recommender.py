"""Recommenders: matrix factorisation (Koren et al. 2009), and DeepFM for rows of categories (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow import nn
from graphflow.ops.elementwise import square
from graphflow.tensor import Tensor


class MatrixFactorization(nn.Module):
    """Ratings as products of a user's and an item's vector, plus what each of them adds: (batch,) from numbers.

    >>> import graphflow as gf
    >>> gf.models.MatrixFactorization(10, 20)(gf.tensor([1, 2]), gf.tensor([3, 19])).shape
    (2,)
    """

    def __init__(self, users: int, items: int, factors: int = 16) -> None:
        super().__init__()
        self.users = nn.Embedding(users, factors)
        self.items = nn.Embedding(items, factors)
        self.user_bias = nn.Embedding(users, 1)
        self.item_bias = nn.Embedding(items, 1)
        self.bias = nn.Parameter(np.float32(0.0))
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, 0.0, 0.1)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, user: Any, item: Any) -> Tensor:
        match = (self.users(user) * self.items(item)).sum(-1)
        return match + self.user_bias(user).squeeze(-1) + self.item_bias(item).squeeze(-1) + self.bias


class DeepFM(nn.Module):
    """Logits of rows of categories (batch, fields): linear terms, products of all pairs, and a deep network.

    ``categories`` has the number of categories of each field.

    >>> import graphflow as gf
    >>> gf.models.DeepFM([3, 5], factors=4, hidden=(8,))(gf.tensor([[0, 4], [2, 1]])).shape
    (2,)
    """

    def __init__(
        self, categories: Sequence[int], factors: int = 8, hidden: Sequence[int] = (64, 32), dropout: float = 0.0
    ) -> None:
        super().__init__()
        total = int(sum(categories))
        self.register_buffer("offsets", np.cumsum([0, *categories[:-1]]), persistent=False)
        self.linear = nn.Embedding(total, 1)
        self.factors = nn.Embedding(total, factors)
        self.bias = nn.Parameter(np.float32(0.0))
        nn.init.zeros_(self.linear.weight)
        nn.init.normal_(self.factors.weight, 0.0, 0.05)
        layers: list[nn.Module] = []
        inputs = len(categories) * factors
        for outputs in hidden:
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
            inputs = outputs
        self.deep = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, categories: Any) -> Tensor:
        rows = categories + self.offsets  # every field has its own part of the tables
        vectors = self.factors(rows)
        pairs = 0.5 * (square(vectors.sum(1)) - square(vectors).sum(1)).sum(-1)
        deep = self.deep(vectors.flatten(1)).squeeze(-1)
        return self.linear(rows).sum((1, 2)) + pairs + deep + self.bias
