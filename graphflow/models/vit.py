"""ViT: an image as a sequence of patches, read by a transformer (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from typing import Any

from graphflow import nn
from graphflow.models.gpt import Block
from graphflow.nn import init
from graphflow.nn.linear import new_parameter
from graphflow.ops.movement import broadcast_to, concat
from graphflow.tensor import Tensor, as_tensor


class ViT(nn.Module):
    """Classifies images (batch, channels, size, size) by a token that looks at their patches.

    >>> import graphflow as gf
    >>> gf.models.ViT(8, 4, width=16, heads=2, layers=1)(gf.zeros((2, 3, 8, 8))).shape
    (2, 10)
    """

    def __init__(
        self,
        size: int = 32,
        patch: int = 4,
        channels: int = 3,
        num_classes: int = 10,
        width: int = 128,
        heads: int = 4,
        layers: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if size % patch:
            raise ValueError(f"size should be a multiple of patch, got {size} and {patch}")
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.token = new_parameter((1, 1, width))
        self.places = new_parameter((1, (size // patch) ** 2 + 1, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout, causal=False) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        for parameter in (self.token, self.places):
            init.normal_(parameter, std=0.02)

    def forward(self, x: Any) -> Tensor:
        x = self.patches(x).flatten(2).mT  # (batch, patches, width)
        token = broadcast_to(as_tensor(self.token), (x.shape[0], 1, x.shape[2]))
        x = self.blocks(self.dropout(concat([token, x], 1) + self.places))
        return self.head(self.norm(x[:, 0]))
