"""GPT: pre-norm transformer blocks with causal attention (Radford et al. 2019), and text from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow import nn
from graphflow.core import dispatch
from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.ops.random import default_generator
from graphflow.tensor import Tensor, as_tensor
from graphflow.trace.compile import compile


class Block(nn.Module):
    """Attention and two linear layers, each behind a norm and beside a detour: (batch, tokens, width) to the same.

    >>> import graphflow as gf
    >>> gf.models.gpt.Block(8, 2)(gf.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width should be a multiple of heads, got {width} and {heads}")
        self.heads, self.causal, self.p = heads, causal, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        batch, tokens, width = x.shape
        parts = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        p = self.p if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=self.causal)
        x = x + self.dropout(self.out(seen.transpose(1, 2).reshape(batch, tokens, width)))  # type: ignore[attr-defined]
        return x + self.dropout(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


class GPT(nn.Module):
    """Logits of each next token: integers (batch, tokens) to (batch, tokens, vocabulary), at most ``length`` tokens.

    >>> import graphflow as gf
    >>> model = gf.models.GPT(11, length=8, width=16, heads=2, layers=1)
    >>> model(gf.tensor([[1, 2, 3]])).shape, model.generate([[1, 2, 3]], 4).shape
    ((1, 3, 11), (1, 7))
    """

    def __init__(
        self, vocabulary: int, length: int = 64, width: int = 128, heads: int = 4, layers: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.length = length
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith("weight") and len(parameter.shape) == 2:  # what each block adds stays small
                added = name.endswith(("out.weight", "fc2.weight"))
                init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if added else 1))
            elif name.endswith("bias"):
                init.zeros_(parameter)

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        tokens: Any = x.shape[1]
        if isinstance(tokens, int) and tokens > self.length:
            raise ValueError(f"this GPT takes {self.length} tokens at most, got {tokens}")
        places = self.places.weight[:tokens]
        return self.head(self.norm(self.blocks(self.dropout(self.tokens(x) + places))))

    def generate(self, tokens: Any, count: int, temperature: float = 0.0, top: int | None = None) -> Tensor:
        """The tokens (batch, tokens), and ``count`` more: the likeliest, or drawn, if there is a ``temperature``.

        ``top`` draws from so many of the likeliest only. The numbers come from ``gf.random``.
        """
        known = np.asarray(as_tensor(tokens).numpy())
        if known.ndim != 2 or known.shape[1] == 0:
            raise ValueError(f"generate goes on with tokens of shape (batch, tokens), got {known.shape}")
        if temperature < 0:
            raise ValueError(f"temperature should be 0 (the likeliest token) or more, got {temperature}")
        following = compile(self._following)
        training = self.training
        self.eval()
        try:
            for _ in range(count):
                # Always of full length, so that one program does for all: causal, the padding is not seen.
                seen = known[:, -self.length :]
                padded = np.zeros((len(known), self.length), known.dtype)
                padded[:, : seen.shape[1]] = seen
                logits = following(as_tensor(padded), as_tensor(seen.shape[1] - 1)).numpy()
                known = np.concatenate([known, _choose(logits, temperature, top)[:, None].astype(known.dtype)], 1)
        finally:
            self.train(training)
        return as_tensor(known)

    def _following(self, tokens: Tensor, last: Tensor) -> Any:
        """The logits after the token at place ``last``."""
        with dispatch.no_grad():
            return self(tokens).take(last, 1)  # type: ignore[attr-defined]


def _choose(logits: Any, temperature: float, top: int | None) -> Any:
    if temperature == 0:
        return logits.argmax(-1)
    if top is not None and top < logits.shape[-1]:
        least = np.sort(logits, -1)[:, -top, None]
        logits = np.where(logits >= least, logits, -np.inf)
    return default_generator.categorical(logits / temperature).numpy()
