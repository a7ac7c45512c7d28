"""Ops under the names that PyTorch gives them, where those differ, and small ones that its users know.

``docs/names/pytorch.md`` says what each name is here, and which there are not.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from graphflow.core import dispatch
from graphflow.core.dims import shape_str
from graphflow.core.dtypes import DType, as_dtype, default_float, float32, float64, promote_types
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops import creation, movement, random
from graphflow.ops.creation import beside
from graphflow.ops.define import FUNCTIONS, cast, public
from graphflow.ops.mathematical import log
from graphflow.ops.movement import expand_dims, reshape
from graphflow.ops.picking import take_along_axis
from graphflow.ops.reduce import argmax
from graphflow.ops.sorting import Sorted, argsort, topk
from graphflow.ops.spelling import as_shape
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.variable import Variable

# -- other names -----------------------------------------------------------------------------------------------------
_SAME = {  # PyTorch's name: the Array API's
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "amax": "max",
    "amin": "min",
    "bitwise_not": "bitwise_invert",
    "clamp": "clip",
    "eq": "equal",
    "fix": "trunc",
    "ge": "greater_equal",
    "ger": "outer",
    "gt": "greater",
    "le": "less_equal",
    "lt": "less",
    "movedim": "moveaxis",
    "mul": "multiply",
    "ne": "not_equal",
    "neg": "negative",
    "permute": "permute_dims",
    "sgn": "sign",
    "sub": "subtract",
    "swapdims": "swapaxes",
    "take_along_dim": "take_along_axis",
    "true_divide": "divide",
}
for _name, _ours in _SAME.items():
    public(FUNCTIONS[_ours], methods=(_name,), name=_name)


def _method(function: Any) -> Any:
    setattr(Operators, function.__name__, function)
    return function


@public
def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


@public(methods=("is_floating_point",))
def is_floating_point(x: Any) -> bool:
    """Whether a tensor is of a floating-point dtype."""
    return as_tensor(x).dtype.is_float


@public
def numel(x: Any) -> Any:
    """The number of elements."""
    return as_tensor(x).numel()


@public
def as_tensor_(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``gf.asarray`` under PyTorch's name."""
    return creation.asarray(data, dtype=dtype, device=device)


FUNCTIONS["as_tensor"] = FUNCTIONS.pop("as_tensor_")


@public(methods=("clone", "contiguous"))
def clone(x: Any) -> Tensor:
    """The tensor itself, in every mode: tensors are immutable, so nobody can tell it from a copy."""
    return as_tensor(x)


@public
def detach(x: Any) -> Tensor:
    """The same value, cut off from the gradient."""
    return as_tensor(x).detach()


@public
def promote_dtypes(type1: Any, type2: Any) -> DType:
    """The dtype of an operation on two dtypes."""
    return promote_types(as_dtype(type1), as_dtype(type2))


FUNCTIONS["promote_types"] = FUNCTIONS.pop("promote_dtypes")


@public
def get_default_dtype() -> DType:
    """The dtype that Python's floats get: float32."""
    return default_float


@_method
def dim(self: Any) -> int:
    """The number of axes."""
    return self.ndim


@_method
def nelement(self: Any) -> Any:
    """The number of elements."""
    return self.numel()


@_method
def cpu(self: Any) -> Tensor:
    """The tensor: it is there already."""
    return as_tensor(self)


@_method
def view_as(self: Any, other: Any) -> Tensor:
    """Reshaped to the shape of another tensor."""
    return reshape(self, other.shape)


reshape_as = view_as
Operators.reshape_as = view_as  # type: ignore[attr-defined]


@_method
def expand_as(self: Any, other: Any) -> Tensor:
    """Broadcast to the shape of another tensor."""
    return movement.broadcast_to(self, other.shape)


@_method
def type_as(self: Any, other: Any) -> Tensor:
    """In the dtype of another tensor."""
    return cast(as_tensor(self), other.dtype)


@_method
def new_ones(self: Any, shape: Any, *sizes: Any, dtype: Any = None) -> Tensor:
    """Ones of a shape, in this tensor's dtype."""
    return new_full(self, as_shape(shape, sizes), 1, dtype)


@_method
def new_zeros(self: Any, shape: Any, *sizes: Any, dtype: Any = None) -> Tensor:
    """Zeros of a shape, in this tensor's dtype."""
    return new_full(self, as_shape(shape, sizes), 0, dtype)


@_method
def new_full(self: Any, shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """A tensor of a shape with one value, in this tensor's dtype."""
    with beside(as_tensor(self)):
        return creation.full(shape, fill_value, dtype=self.dtype if dtype is None else dtype)


@_method
def to(self: Any, *args: Any, dtype: Any = None, device: Any = None, **others: Any) -> Tensor:
    """In another dtype (given as such, or that of another tensor); the only device is ``"cpu"``.

    >>> import graphflow as gf
    >>> gf.tensor([1.5]).to("cpu", gf.float64).dtype
    graphflow.float64
    """
    unknown = [name for name in others if name not in ("copy", "non_blocking", "memory_format")]
    if unknown:
        raise TypeError(f"to() has no argument {unknown[0]!r}; there are dtype and device")
    for value in args:
        if isinstance(value, Operators):
            dtype = value.dtype  # type: ignore[attr-defined]
        elif isinstance(value, str) and (value == "cpu" or value.partition(":")[0] in _OTHER_DEVICES):
            device = value
        elif value is not None and not isinstance(value, bool):
            dtype = value
    x = as_tensor(self)
    if device is not None:
        device_of(device)
    return x if dtype is None else cast(x, as_dtype(dtype))


_OTHER_DEVICES = ("cuda", "mps", "xpu")


def device_of(type: Any) -> str:
    """A device by its name: ``"cpu"``. Raises ValueError for others."""
    if type == "cpu":
        return "cpu"
    raise ValueError(f"no device {type!r}; there is: 'cpu'")


public(device_of, name="device")


@_method
def type(self: Any, dtype: Any = None) -> Any:
    """In another dtype; without one, the name of its own."""
    return str(self.dtype) if dtype is None else cast(as_tensor(self), as_dtype(dtype))


@_method
def sort(self: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> Sorted:
    """The elements in order and the positions they came from (``gf.sort`` gives the elements only).

    >>> import graphflow as gf
    >>> gf.tensor([3, 1, 2]).sort().indices.tolist()
    [1, 2, 0]
    """
    order = argsort(self, dim, descending, stable)
    return Sorted(take_along_axis(self, order, dim), order)


_VALUES = "max and min give the values alone; x.argmax(dim) gives the positions, x.sort() and x.topk(k) both"
_INSTEAD = {
    "cuda": "there is the CPU so far",
    "register_hook": "gf.gradients(loss, [x]) gives the gradient of any tensor, gf.custom_gradient changes it",
    "values": _VALUES,
    "indices": _VALUES,
    "zero_": "tensors are immutable; gradients are cleared by optimizer.zero_grad() or p.grad = None",
    "retain_grad": "gf.gradients(loss, [x]) gives the gradient of any tensor",
    "stride": "tensors have no layout that a user sees",
    "storage": "tensors have no storage that a user sees; .numpy() shows the numbers",
}


def _missing(self: Any, name: str) -> Any:
    """Says what to use in place of PyTorch's attributes that there are not."""
    kind = self.__class__
    message = f"{kind.__name__!r} object has no attribute {name!r}"
    plain = name[:-1]
    if name in _INSTEAD:
        message += f": {_INSTEAD[name]}"
    elif name.endswith("_") and not name.startswith("_") and (hasattr(kind, plain) or hasattr(Variable, name)):
        message += ": tensors are immutable"
        message += f"; use x = x.{plain}(...)" if hasattr(kind, plain) else ""
        message += f"; a Parameter or Variable p has p.{name}(...), not p.data" if hasattr(Variable, name) else ""
    raise AttributeError(message, name=name, obj=self)


Operators.__getattr__ = _missing  # type: ignore[method-assign]


def made_as_by_pytorch(function: Any) -> Any:
    """Let a function that makes tensors take PyTorch's ``device`` (the CPU) and ``requires_grad``, too."""

    @wraps(function)
    def made(*args: Any, device: Any = None, requires_grad: bool = False, **options: Any) -> Tensor:
        if device is not None:
            device_of(device)
        x = function(*args, **options)
        return x.requires_grad_() if requires_grad else x  # type: ignore[no-any-return]

    return made


for _name in ("zeros", "ones", "full", "empty", "eye", "arange", "linspace", "logspace"):
    FUNCTIONS[_name] = made_as_by_pytorch(FUNCTIONS[_name])


# -- random numbers --------------------------------------------------------------------------------------------------
def _size(size: tuple[Any, ...]) -> Any:
    return as_shape(size[0] if len(size) == 1 else size) if size else ()


@public
@made_as_by_pytorch
def rand(*size: Any, dtype: Any = None, generator: random.Generator | None = None) -> Tensor:
    """``gf.random.uniform`` from 0 to 1 under PyTorch's name."""
    return (generator or random.default_generator).uniform(_size(size), dtype=dtype)


@public
@made_as_by_pytorch
def randn(*size: Any, dtype: Any = None, generator: random.Generator | None = None) -> Tensor:
    """``gf.random.normal`` under PyTorch's name.

    >>> import graphflow as gf
    >>> gf.randn(2, 3).shape, gf.randn((2, 3)).shape
    ((2, 3), (2, 3))
    """
    return (generator or random.default_generator).normal(_size(size), dtype=dtype)


@public
@made_as_by_pytorch
def randint(
    low: int, high: Any = None, size: Any = None, *, dtype: Any = None, generator: random.Generator | None = None
) -> Tensor:
    """``gf.random.randint`` under PyTorch's name: ``randint(high, size)`` or ``randint(low, high, size)``."""
    if size is None:
        low, high, size = 0, low, high
    return (generator or random.default_generator).randint(low, high, size, dtype=dtype)


@public
@made_as_by_pytorch
def randint_like(x: Any, low: int, high: Any = None, *, dtype: Any = None) -> Tensor:
    """``randint(low, high)`` of x's shape and dtype."""
    x = as_tensor(x)
    low, high = (0, low) if high is None else (low, high)
    with beside(x):
        return cast(random.randint(low, high, x.shape), x.dtype if dtype is None else as_dtype(dtype))


@public
@made_as_by_pytorch
def randperm(n: Any, *, generator: random.Generator | None = None) -> Tensor:
    """0, ..., n - 1 in random order."""
    return (generator or random.default_generator).permutation(n)


@public
@made_as_by_pytorch
def rand_like(x: Any, *, dtype: Any = None) -> Tensor:
    """Numbers drawn evenly from [0, 1), of x's shape and dtype."""
    x = as_tensor(x)
    with beside(x):
        return random.uniform(x.shape, dtype=x.dtype if dtype is None else dtype)


@public
@made_as_by_pytorch
def randn_like(x: Any, *, dtype: Any = None) -> Tensor:
    """Numbers from the normal distribution, of x's shape and dtype."""
    x = as_tensor(x)
    with beside(x):
        return random.normal(x.shape, dtype=x.dtype if dtype is None else dtype)


@public
def manual_seed(seed: int) -> random.Generator:
    """``gf.random.seed`` under PyTorch's name; gives the generator."""
    return random.default_generator.seed(seed)


@public(methods=("bernoulli",))
def bernoulli(x: Any) -> Tensor:
    """1 with the probability that each element is, else 0."""
    return random.bernoulli(as_tensor(x))


@public(methods=("multinomial",))
def multinomial(x: Any, num_samples: int, replacement: bool = False) -> Tensor:
    """Places (int64) along the last axis, drawn with probabilities in proportion to the elements.

    Without ``replacement`` no place comes twice (by Gumbel noise: Kool et al. 2019).

    >>> import graphflow as gf
    >>> gf.multinomial(gf.tensor([0.0, 1.0, 0.0]), 2, replacement=True).tolist()
    [1, 1]
    """
    x = as_tensor(x)
    if x.ndim not in (1, 2):
        raise ShapeError(at_line(f"multinomial takes a vector or a matrix, got {shape_str(x.shape)}", user_origin()))
    chances = log(x)
    wide = float64 if x.dtype is float64 else float32
    with beside(x):
        if replacement:
            noise = random.default_generator.gumbel((*x.shape[:-1], num_samples, x.shape[-1]), dtype=wide)
            return argmax(expand_dims(chances, -2) + noise, axis=-1)
        noise = random.default_generator.gumbel(x.shape, dtype=wide)
    return topk(chances + noise, num_samples).indices


# -- gradients on and off ------------------------------------------------------------------------------------------
@public
def inference_mode(mode: bool = True) -> Any:
    """``gf.no_grad`` under PyTorch's name."""
    return dispatch.no_grad() if mode else dispatch.enable_grad()


@public
def set_grad_enabled(mode: bool) -> Any:
    """A context in which gradients are tracked or not (``gf.enable_grad``, ``gf.no_grad``); use it with ``with``."""
    return dispatch.enable_grad() if mode else dispatch.no_grad()
