"""Generative adversarial networks (Goodfellow et al. 2014) of points: a generator against a discriminator."""

from __future__ import annotations

from typing import Any

from graphflow import nn
from graphflow.autograd import grad
from graphflow.nn import functional as F
from graphflow.ops import random
from graphflow.ops.creation import ones_like, zeros_like
from graphflow.ops.elementwise import square
from graphflow.tensor import Tensor


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, outputs),
    )


class GAN(nn.Module):
    """Points of ``features`` numbers from ``latent`` normal ones, and the network that tells them from real ones.

    >>> import graphflow as gf
    >>> gan = gf.models.GAN(features=2, latent=4, hidden=8)
    >>> points = gan(5)
    >>> points.shape, gan.discriminator(points).shape
    ((5, 2), (5, 1))
    """

    def __init__(self, features: int = 2, latent: int = 8, hidden: int = 128) -> None:
        super().__init__()
        self.latent = latent
        self.generator = _network(latent, hidden, features)
        self.discriminator = _network(features, hidden, 1)

    def forward(self, count: Any) -> Tensor:
        """So many new points."""
        return self.generator(random.normal((count, self.latent)))

    def discriminator_loss(self, real: Any, penalty: float = 0.0) -> Tensor:
        """How badly real points and as many generated ones are told apart; moves the discriminator only.

        ``penalty`` holds its slopes at real points down, which keeps the game from going round in circles (R1:
        Mescheder et al. 2018).
        """
        fake = self(real.shape[0]).detach()
        loss = _against(self.discriminator(real), True) + _against(self.discriminator(fake), False)
        if penalty:
            slopes = grad(lambda x: self.discriminator(x).sum())(real)
            loss = loss + 0.5 * penalty * square(slopes).sum(1).mean()
        return loss

    def generator_loss(self, count: Any) -> Tensor:
        """How badly generated points pass for real ones (the non-saturating loss)."""
        return _against(self.discriminator(self(count)), True)


def _against(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, ones_like(logits) if real else zeros_like(logits))
