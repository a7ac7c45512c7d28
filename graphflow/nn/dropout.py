"""Dropout layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.nn import functional as F
from graphflow.nn.module import Module
from graphflow.tensor import Tensor


class Dropout(Module):
    """In training each element is zeroed with probability ``p``, the others divided by ``1 - p``.

    (Srivastava et al. 2014.) The random numbers are the same in every mode. ``inplace`` changes nothing: tensors are
    immutable.

    >>> import graphflow as gf
    >>> gf.nn.Dropout(0.5).eval()(gf.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    function: Callable[..., Tensor] = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout needs a probability from 0 to 1, got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        return type(self).function(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """In training whole channels of (batch, channels, length) are zeroed with probability ``p``."""

    function = staticmethod(F.dropout1d)


class Dropout2d(Dropout):
    """In training whole channels of (batch, channels, height, width) are zeroed with probability ``p``."""

    function = staticmethod(F.dropout2d)


class Dropout3d(Dropout):
    """In training whole channels of (batch, channels, depth, height, width) are zeroed with probability ``p``."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(Dropout):
    """Dropout for networks of selu, which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(Dropout):
    """``AlphaDropout`` of whole channels."""

    function = staticmethod(F.feature_alpha_dropout)
