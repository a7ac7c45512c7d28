"""Activations with PyTorch's ``inplace`` argument, and those that draw random numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from graphflow.core.dtypes import float32, float64
from graphflow.ops import composite, elementwise, random
from graphflow.ops.arrange import moveaxis
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast
from graphflow.ops.elementwise import where
from graphflow.ops.reduce import argmax
from graphflow.ops.special import stop_gradient
from graphflow.tensor import Tensor, as_tensor


def _takes_inplace(function: Callable[..., Tensor], settings: int = 0) -> Callable[..., Tensor]:
    """The function with PyTorch's last argument ``inplace``, which changes nothing: tensors are immutable."""

    @wraps(function)
    def call(input: Any, *args: Any, inplace: bool = False, **named: Any) -> Tensor:
        return function(input, *args[:settings], **named) if len(args) <= settings + 1 else function(input, *args)

    return call


relu = _takes_inplace(elementwise.relu)
relu6 = _takes_inplace(composite.relu6)
leaky_relu = _takes_inplace(composite.leaky_relu, 1)
elu = _takes_inplace(composite.elu, 1)
celu = _takes_inplace(composite.celu, 1)
selu = _takes_inplace(composite.selu)
silu = _takes_inplace(composite.silu)
mish = _takes_inplace(composite.mish)
hardsigmoid = _takes_inplace(composite.hardsigmoid)
hardswish = _takes_inplace(composite.hardswish)
hardtanh = _takes_inplace(composite.hardtanh, 2)
threshold = _takes_inplace(composite.threshold, 2)


def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x where positive, else x times a slope: drawn for each element in training, the middle one otherwise.

    (Xu et al. 2015.) Raises ValueError unless ``lower <= upper``.

    >>> import graphflow as gf
    >>> gf.nn.functional.rrelu(gf.tensor([-1.0, 2.0]), 0.25, 0.75).tolist()
    [-0.5, 2.0]
    """
    if lower > upper:
        raise ValueError(f"rrelu needs lower <= upper, got {lower} and {upper}")
    x = as_tensor(input)
    if not training:
        return composite.leaky_relu(x, (lower + upper) / 2)
    with beside(x):
        (u,) = random.default_generator.unit(x.shape, float64 if x.dtype is float64 else float32)
    return where(x >= 0, x, x * cast(u * (upper - lower) + lower, x.dtype))


def gumbel_softmax(logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample from the Gumbel-softmax distribution (Jang et al. 2017): nearly one-hot for a small ``tau``.

    With ``hard`` the result is one-hot and its gradient that of the soft sample. ``eps`` is not used, as in PyTorch.

    >>> import graphflow as gf
    >>> gf.nn.functional.gumbel_softmax(gf.zeros((2, 5)), hard=True).sum(-1).tolist()
    [1.0, 1.0]
    """
    x = as_tensor(logits)
    with beside(x):
        noise = random.default_generator.gumbel(x.shape, dtype=float64 if x.dtype is float64 else float32)
    soft = composite.softmax((x + cast(noise, x.dtype)) / tau, dim)
    if not hard:
        return soft
    lines = moveaxis(soft, dim, -1)
    with beside(x):
        numbers = iota(lines.shape, lines.ndim - 1)
    one_hot = moveaxis(cast(numbers == argmax(lines, axis=-1, keepdims=True), x.dtype), -1, dim)
    return stop_gradient(one_hot - soft) + soft
