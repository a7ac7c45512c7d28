"""Initial values for parameters (PyTorch's ``torch.nn.init``). Each function fills a Variable and gives it back.

They run at once, also inside ``with graph:`` or under tracing, and set what ``initialize()`` goes back to.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.nn.draws import Draw
from graphflow.ops._numpy_special import erf
from graphflow.ops.random import Generator, default_generator
from graphflow.tensor import Operators
from graphflow.variable import Variable


def _fill(tensor: Variable, value: Any) -> Variable:
    if not isinstance(tensor, Variable):
        raise TypeError(f"nn.init fills Variables and Parameters (p, not p.data), got a {type(tensor).__name__}")
    tensor.set_initial(value)
    return tensor


def _draw(tensor: Variable, kind: str, settings: tuple[float, float], generator: Generator | None) -> Variable:
    """Fill a Variable with numbers of a distribution. It keeps how they were drawn, not a second copy of them."""
    if not isinstance(tensor, Variable):
        return _fill(tensor, None)
    source = generator or default_generator
    if any(isinstance(s, Operators) for s in settings):  # a bound that may change
        with dispatch.init_scope():
            return _fill(tensor, getattr(source, kind)(tensor.shape, *settings, dtype=tensor.dtype))
    draw = Draw(kind, source.get_state(), tensor._data.shape, settings, tensor.dtype)
    tensor.set_initial(draw)
    source.set_state(draw.next_state)
    return tensor


def uniform_(tensor: Variable, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Variable:
    """Numbers drawn evenly from [a, b).

    >>> import graphflow as gf
    >>> w = gf.nn.init.uniform_(gf.nn.Parameter(gf.zeros((2, 3))), -0.1, 0.1)
    >>> bool((abs(w.numpy()) <= 0.1).all())
    True
    """
    return _draw(tensor, "uniform", (a, b), generator)


def normal_(tensor: Variable, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Variable:
    """Numbers from the normal distribution."""
    return _draw(tensor, "normal", (mean, std), generator)


def constant_(tensor: Variable, val: float) -> Variable:
    """One number everywhere."""
    return _fill(tensor, np.full(tensor.shape, val, tensor.dtype.np))


def zeros_(tensor: Variable) -> Variable:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Variable) -> Variable:
    """Ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: Variable) -> Variable:
    """Ones on the diagonal of a matrix, zeros elsewhere."""
    if len(tensor.shape) != 2:
        raise ValueError(f"eye_ needs a matrix, got shape {tensor.shape}")
    rows, columns = tensor.numpy().shape
    return _fill(tensor, np.eye(rows, columns, dtype=tensor.dtype.np))


def trunc_normal_(
    tensor: Variable,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Variable:
    """Numbers from the normal distribution, only those between ``a`` and ``b``."""
    low, high = (math.erf((bound - mean) / std / math.sqrt(2.0)) for bound in (a, b))
    with dispatch.init_scope():
        u = (generator or default_generator).uniform(tensor.shape, low, high, dtype="float64").numpy()
    drawn = mean + std * math.sqrt(2.0) * _inverse_erf(u)
    return _fill(tensor, np.clip(drawn, a, b).astype(tensor.dtype.np))


def _inverse_erf(y: Any) -> Any:
    """Winitzki's approximation (2008), made exact by Newton's method."""
    y = np.clip(y, -1 + 1e-15, 1 - 1e-15)
    c = 0.147
    log = np.log1p(-y * y)
    half = 2 / (math.pi * c) + log / 2
    x = np.sign(y) * np.sqrt(np.sqrt(half * half - log / c) - half)
    for _ in range(3):
        x = x - (erf(x) - y) * (math.sqrt(math.pi) / 2) * np.exp(x * x)
    return x


def calculate_fan_in_and_fan_out(tensor: Variable) -> tuple[int, int]:
    """How many inputs an output element has, and how many outputs an input element, for weights (out, in, ...)."""
    if len(tensor.shape) < 2:
        raise ValueError(f"fan in and fan out need rank 2 or more, got shape {tensor.shape}")
    place = math.prod(tensor.shape[2:])
    return tensor.shape[1] * place, tensor.shape[0] * place


_GAINS = {"sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the size of activations through a nonlinearity; ``param`` is the slope of leaky_relu.

    >>> import graphflow as gf
    >>> round(gf.nn.init.calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "linear" or nonlinearity.startswith("conv"):
        return 1.0
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"no gain known for {nonlinearity!r}; there are: linear, leaky_relu, {', '.join(_GAINS)}")
    return _GAINS[nonlinearity]


def xavier_uniform_(tensor: Variable, gain: float = 1.0, generator: Generator | None = None) -> Variable:
    """Even, with variance ``2 gain^2 / (fan in + fan out)`` (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Variable, gain: float = 1.0, generator: Generator | None = None) -> Variable:
    """Normal, with variance ``2 gain^2 / (fan in + fan out)`` (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(calculate_fan_in_and_fan_out(tensor))), generator)


def _kaiming_std(tensor: Variable, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out', got {mode!r}")
    fan = calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Variable,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Variable:
    """Even, with variance ``gain^2 / fan`` (He et al. 2015); ``a`` is the negative slope of leaky_relu."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Variable,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Variable:
    """Normal, with variance ``gain^2 / fan`` (He et al. 2015); ``a`` is the negative slope of leaky_relu."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Variable, gain: float = 1.0, generator: Generator | None = None) -> Variable:
    """Orthogonal rows or columns, whichever are fewer, of the weight as a matrix (Saxe et al. 2014)."""
    if len(tensor.shape) < 2:
        raise ValueError(f"orthogonal_ needs rank 2 or more, got shape {tensor.shape}")
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    with dispatch.init_scope():
        drawn = (generator or default_generator).normal((rows, columns), dtype="float64").numpy()
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
    q = q.T if rows < columns else q
    return _fill(tensor, (gain * q).reshape(tensor.shape).astype(tensor.dtype.np))


def dirac_(tensor: Variable, groups: int = 1) -> Variable:
    """A convolution's weight that passes its input on: one 1 in the middle of each kernel of equal channels.

    For weights (out, in, ...) of 1 to 3 spatial axes; each of ``groups`` groups of outputs passes on all inputs.

    >>> import graphflow as gf
    >>> w = gf.nn.init.dirac_(gf.nn.Parameter(gf.zeros((2, 2, 3))))
    >>> gf.nn.functional.conv1d(gf.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), w, padding=1).tolist()
    [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]
    """
    shape = tensor.numpy().shape
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"dirac_ needs a weight of rank 3, 4 or 5, got shape {shape}")
    if shape[0] % groups:
        raise ValueError(f"dirac_: {shape[0]} outputs are not {groups} equal groups")
    data = np.zeros(shape, tensor.dtype.np)
    outputs = shape[0] // groups
    middle = tuple(size // 2 for size in shape[2:])
    for channel in range(min(outputs, shape[1])):
        for group in range(groups):
            data[(group * outputs + channel, channel, *middle)] = 1
    return _fill(tensor, data)


def sparse_(tensor: Variable, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Variable:
    """A matrix of numbers from the normal distribution, with a share ``sparsity`` of each column zero (Martens 2010).

    >>> import graphflow as gf
    >>> w = gf.nn.init.sparse_(gf.nn.Parameter(gf.zeros((10, 3))), 0.3)
    >>> (w.numpy() == 0).sum(axis=0).tolist()
    [3, 3, 3]
    """
    if len(tensor.shape) != 2:
        raise ValueError(f"sparse_ needs a matrix, got shape {tensor.shape}")
    rows, _ = tensor.numpy().shape
    zeros = math.ceil(sparsity * rows)
    source = generator or default_generator
    with dispatch.init_scope():
        data = source.normal(tensor.shape, 0.0, std, dtype=tensor.dtype).numpy().copy()
        order = source.uniform(tensor.shape, dtype="float64").numpy().argsort(axis=0)
    np.put_along_axis(data, order[:zeros], 0, axis=0)
    return _fill(tensor, data)


_calculate_fan_in_and_fan_out = calculate_fan_in_and_fan_out  # PyTorch's spelling, which many models call
