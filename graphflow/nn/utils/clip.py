"""Norms of gradients, and holding gradients within them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from graphflow.core import dispatch
from graphflow.ops.define import cast
from graphflow.ops.elementwise import clip, minimum
from graphflow.ops.matrices import vector_norm
from graphflow.ops.movement import stack as stack_
from graphflow.ops.special import check_numerics
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.variable import Variable


def _with_gradient(parameters: Variable | Iterable[Variable]) -> list[tuple[Variable, Tensor]]:
    listed: list[Any] = [parameters] if isinstance(parameters, Operators) else list(parameters)
    return [(p, g) for p in listed if (g := p.grad) is not None]


def get_total_norm(tensors: Iterable[Any], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all elements of several tensors together.

    With ``error_if_nonfinite`` a norm that is NaN or infinite raises NumericsError when it is computed.

    >>> import graphflow as gf
    >>> gf.nn.utils.get_total_norm([gf.tensor([3.0]), gf.tensor([[4.0]])]).item()
    5.0
    """
    norms = [vector_norm(t, ord=norm_type) for t in tensors]
    total = vector_norm(stack_(norms), ord=norm_type) if norms else as_tensor(0.0)
    return check_numerics(total, "the total norm of the gradients") if error_if_nonfinite else total


def clip_by_global_norm(
    tensors: Sequence[Any], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> tuple[list[Tensor], Tensor]:
    """The tensors scaled down together so that their total norm is at most ``max_norm``; and the norm before.

    >>> import graphflow as gf
    >>> clipped, norm = gf.nn.utils.clip_by_global_norm([gf.tensor([3.0, 4.0])], 1.0)
    >>> clipped[0].numpy().round(4), norm.item()
    (array([0.6, 0.8], dtype=float32), 5.0)
    """
    total = get_total_norm(tensors, norm_type, error_if_nonfinite)
    scale = minimum(max_norm / (total + 1e-6), 1.0)
    return [as_tensor(t) * cast(scale, as_tensor(t).dtype) for t in tensors], total


def clip_grad_norm_(
    parameters: Variable | Iterable[Variable],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients down so that their total norm is at most ``max_norm``; gives the norm before.

    >>> import graphflow as gf
    >>> w = gf.Variable([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> gf.nn.utils.clip_grad_norm_([w], 1.0).item(), w.grad.numpy().round(4)
    (10.0, array([0.6, 0.8], dtype=float32))
    """
    pairs = _with_gradient(parameters)
    with dispatch.no_grad():
        clipped, total = clip_by_global_norm([g for _, g in pairs], max_norm, norm_type, error_if_nonfinite)
    for (p, _), g in zip(pairs, clipped):
        p.grad = g
    return total


def clip_grad_value_(parameters: Variable | Iterable[Variable], clip_value: float) -> None:
    """Hold each element of the gradients between ``-clip_value`` and ``clip_value``."""
    with dispatch.no_grad():
        for p, g in _with_gradient(parameters):
            p.grad = clip(g, -clip_value, clip_value)
