"""Weights of given norms: weight normalisation and spectral normalisation, as parametrizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.nn.functional.distance import normalize
from graphflow.nn.module import Module
from graphflow.nn.utils.parametrize import register_parametrization
from graphflow.ops.arrange import moveaxis
from graphflow.ops.linalg import matmul
from graphflow.ops.matrices import vector_norm
from graphflow.ops.movement import reshape
from graphflow.ops.random import default_generator
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


def norm_except_dim(v: Any, dim: int | None = 0) -> Tensor:
    """The 2-norms of slices along one axis, kept as axes of size 1; of all elements for None or -1."""
    v = as_tensor(v)
    if dim is None or dim == -1:
        return vector_norm(v)
    return vector_norm(v, axis=tuple(a for a in range(v.ndim) if a != dim), keepdims=True)


def with_norm(g: Any, v: Any, dim: int | None = 0) -> Tensor:
    """v with the norms g."""
    return as_tensor(v) * (as_tensor(g) / norm_except_dim(v, dim))


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, weight_g: Any, weight_v: Any) -> Tensor:
        return with_norm(weight_g, weight_v, self.dim)

    def right_inverse(self, weight: Any) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), as_tensor(weight)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """A weight as lengths times directions, each a parameter (Salimans and Kingma 2016); gives the module.

    >>> import graphflow as gf
    >>> layer = gf.nn.utils.parametrizations.weight_norm(gf.nn.Linear(3, 2))
    >>> {name: p.shape for name, p in layer.named_parameters()}["parametrizations.weight.original0"]
    (2, 1)
    """
    return register_parametrization(module, name, _WeightNorm(dim))


def as_matrix(weight: Any, dim: int) -> Tensor:
    """A weight with all axes but one as columns."""
    lines = moveaxis(as_tensor(weight), dim, 0)
    return reshape(lines, (lines.shape[0], -1))


def random_directions(weight: Any, dim: int, eps: float) -> tuple[Any, Any]:
    """Vectors near the first singular vectors of a weight, to begin the power iteration with."""
    with dispatch.init_scope(), dispatch.no_grad():
        matrix = as_matrix(weight, dim)
        u, v = (default_generator.normal((n,), dtype=matrix.dtype) for n in matrix.shape)
        u, v = power_steps(matrix, u, v, 15, eps, from_rows=True)
    return u.numpy(), v.numpy()


def power_steps(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float, from_rows: bool) -> tuple[Tensor, Tensor]:
    """Steps of the power iteration; each gets one of the vectors from the other, then that from the first."""
    for number in range(2 * steps):
        if (number % 2 == 0) == from_rows:
            v = normalize(matmul(matrix.mT, u), dim=0, eps=eps)  # type: ignore[attr-defined]
        else:
            u = normalize(matmul(matrix, v), dim=0, eps=eps)
    return u, v


def over_norm(
    weight: Any, u: Variable, v: Variable, training: bool, steps: int, dim: int, eps: float, from_rows: bool
) -> Tensor:
    """A weight over its greatest singular value; in training u and v get nearer to its singular vectors."""
    matrix = as_matrix(weight, dim)
    rows, columns = u._read_now(), v._read_now()
    if training:
        with dispatch.no_grad():
            rows, columns = power_steps(matrix, rows, columns, steps, eps, from_rows)
            rows, columns = u.assign(rows), v.assign(columns)
    rows, columns = rows.detach(), columns.detach()
    return as_tensor(weight) / (rows * matmul(matrix, columns)).sum()  # type: ignore[attr-defined, operator]


class _SpectralNorm(Module):
    def __init__(self, weight: Any, n_power_iterations: int, eps: float, dim: int) -> None:
        super().__init__()
        self.n_power_iterations = n_power_iterations
        self.eps = eps
        self.dim = dim
        if len(weight.shape) > 1:
            u, v = random_directions(weight, dim, eps)
            self.register_buffer("_u", np.array(u))
            self.register_buffer("_v", np.array(v))

    def forward(self, weight: Any) -> Tensor:
        if len(weight.shape) == 1:
            return normalize(weight, dim=0, eps=self.eps)
        settings = self.training, self.n_power_iterations, self.dim, self.eps
        return over_norm(weight, self._u, self._v, *settings, from_rows=False)

    def right_inverse(self, value: Any) -> Any:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """A weight over its greatest singular value (Miyato et al. 2018), for discriminators; gives the module.

    Each reading in training takes ``n_power_iterations`` steps towards the singular vectors. ``dim`` is the axis of the
    outputs, 0 (1 for transposed convolutions) by default.

    >>> import graphflow as gf
    >>> layer = gf.nn.utils.parametrizations.spectral_norm(gf.nn.Linear(20, 40))
    >>> abs(np.linalg.norm(layer.weight.numpy(), 2) - 1.0) < 0.1
    np.True_
    """
    axis = outputs_axis(module) if dim is None else dim
    weight = module.get_parameter(name)
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, eps, axis))


def outputs_axis(module: Module) -> int:
    """The axis of a weight that belongs to the outputs."""
    return 1 if type(module).__name__.startswith("ConvTranspose") else 0
