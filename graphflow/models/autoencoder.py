"""Networks that learn their own input: an autoencoder, and a variational one (Kingma and Welling 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow import nn
from graphflow.nn import functional as F
from graphflow.ops import random
from graphflow.ops.mathematical import exp
from graphflow.tensor import Tensor


def layers(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers of these sizes, with ReLU between them."""
    made: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        made += [nn.Linear(inputs, outputs), nn.ReLU()]
    return made[:-1]


class Autoencoder(nn.Module):
    """Vectors of numbers from 0 to 1, through ever fewer neurons and back: (batch, features).

    >>> import graphflow as gf
    >>> model = gf.models.Autoencoder((64, 16, 4))
    >>> model(gf.zeros((3, 64))).shape, model.encoder(gf.zeros((3, 64))).shape
    ((3, 64), (3, 4))
    """

    def __init__(self, sizes: Sequence[int] = (784, 256, 64, 16)) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*layers(sizes))
        self.decoder = nn.Sequential(*layers(sizes[::-1]), nn.Sigmoid())

    def forward(self, x: Any) -> Tensor:
        return self.decoder(self.encoder(x))


class VAE(nn.Module):
    """An autoencoder whose code is a normal distribution: gives (logits, mean, log variance).

    >>> import graphflow as gf
    >>> model = gf.models.VAE(features=64, hidden=32, latent=2)
    >>> [t.shape for t in model(gf.zeros((3, 64)))], model.sample(5).shape
    ([(3, 64), (3, 2), (3, 2)], (5, 64))
    """

    def __init__(self, features: int = 784, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.latent = latent
        self.hidden = nn.Linear(features, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(*layers((latent, hidden, features)))

    def forward(self, x: Any) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.hidden(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        code = mean
        if self.training:
            code = mean + exp(0.5 * log_variance) * random.normal(mean.shape, dtype=mean.dtype)
        return self.decoder(code), mean, log_variance

    def sample(self, count: int) -> Tensor:
        """New vectors, decoded from random codes."""
        return F.sigmoid(self.decoder(random.normal((count, self.latent))))


def vae_loss(x: Any, logits: Any, mean: Any, log_variance: Any) -> Tensor:
    """The negative evidence lower bound per sample: what decoding loses, and the code's divergence from N(0, 1)."""
    lost = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    divergence = 0.5 * (mean * mean + exp(log_variance) - 1.0 - log_variance).sum(-1)
    return (lost + divergence).mean()
