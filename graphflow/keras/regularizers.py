"""Penalties on weights that are added to the loss: ``kernel_regularizer="l2"``.

>>> import graphflow as gf
>>> gf.keras.regularizers.L2(0.5)(gf.tensor([1.0, 2.0])).item()
2.5
"""

from __future__ import annotations

from typing import Any

from graphflow.keras import config
from graphflow.ops.creation import eye
from graphflow.ops.elementwise import abs as absolute
from graphflow.ops.elementwise import square
from graphflow.ops.linalg import matmul
from graphflow.ops.movement import reshape
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor


class Regularizer(config.Configurable):
    """Base of regularizers: a subclass defines ``__call__(x)``, which gives a number."""

    kind = "regularizers"

    def __call__(self, x: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(x)")


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x^2)``."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = float(l1 or 0.0), float(l2 or 0.0)

    def __call__(self, x: Any) -> Tensor:
        x = as_tensor(x)
        penalty: Any = 0.0
        if self.l1:
            penalty = penalty + self.l1 * total(absolute(x))
        if self.l2:
            penalty = penalty + self.l2 * total(square(x))
        return as_tensor(penalty)


class L1(L1L2):
    """``l1 * sum(|x|)``."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 * sum(x^2)``."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


class OrthogonalRegularizer(Regularizer):
    """Mean of |cosine| between the rows (or columns) of a matrix, times ``factor``."""

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise ValueError(f"mode is 'rows' or 'columns', got {mode!r}")
        self.factor, self.mode = factor, mode

    def __call__(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer takes matrices, got shape {x.shape}")
        rows = x if self.mode == "rows" else x.T
        rows = rows / (total(square(rows), axis=1, keepdims=True) + 1e-12).sqrt()  # type: ignore[attr-defined]
        count = int(rows.shape[0])
        cosines = absolute(matmul(rows, rows.T)) * (1.0 - eye(count))
        return self.factor * total(reshape(cosines, -1)) * 0.5 / max(count * (count - 1) / 2.0, 1.0)


_ALIASES = {"l1_l2": L1L2}


def l1(l1: float = 0.01) -> L1:
    """``L1(l1)``."""
    return L1(l1)


def l2(l2: float = 0.01) -> L2:
    """``L2(l2)``."""
    return L2(l2)


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """``L1L2(l1, l2)``."""
    return L1L2(l1, l2)


def get(identifier: Any) -> Any:
    """The regularizer for a name, a config, an object or a function ``f(x)``."""
    return config.get("regularizer", "regularizers", identifier, _ALIASES)


def serialize(item: Any) -> Any:
    """A regularizer as data."""
    return config.to_data(item)


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """A regularizer from data."""
    with config.custom_object_scope(custom_objects or {}):
        return get(data)


orthogonal_regularizer = OrthogonalRegularizer
