"""Ops under the names and arguments that TensorFlow 1 gives them, where those differ: programs of it read on.

Each is one line of what it is here. ``docs/names/tensorflow1.md`` lists the names that are not among these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce as fold
from typing import Any

from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops import creation, elementwise, random, reduce
from graphflow.ops.define import cast as cast_to
from graphflow.ops.define import public
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


def _reduction(name: str, function: Callable[..., Any]) -> None:
    def reduction(
        input_tensor: Any,
        axis: Any = None,
        keepdims: bool = False,
        name: str | None = None,
        *,
        keep_dims: bool | None = None,
        reduction_indices: Any = None,
    ) -> Tensor:
        axes = axis if reduction_indices is None else reduction_indices
        keep = keepdims if keep_dims is None else keep_dims
        return function(input_tensor, axis=tuple(axes) if isinstance(axes, list) else axes, keepdims=keep)  # type: ignore[no-any-return]

    reduction.__name__ = reduction.__qualname__ = f"reduce_{name}"
    reduction.__doc__ = f"``gf.{name}`` under TensorFlow 1's name and arguments."
    public(reduction)


for _name in ("sum", "mean", "max", "min", "prod", "any", "all", "logsumexp"):
    _reduction(_name, getattr(reduce, _name))


@public
def cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
    """``x.astype(dtype)`` under TensorFlow's name.

    >>> import graphflow as gf
    >>> gf.cast([True, False], gf.float32).tolist()
    [1.0, 0.0]
    """
    return cast_to(as_tensor(x), as_dtype(dtype))


@public
def add_n(inputs: Iterable[Any], name: str | None = None) -> Tensor:
    """The sum of several tensors of one shape."""
    tensors = [as_tensor(x) for x in inputs]
    if not tensors or any(t.shape != tensors[0].shape for t in tensors):
        shapes = ", ".join(str(t.shape) for t in tensors) or "none"
        raise ShapeError(at_line(f"add_n needs at least one tensor, all of one shape; got {shapes}", user_origin()))
    return fold(lambda a, b: a + b, tensors)


@public
def fill(dims: Any, value: Any, name: str | None = None) -> Tensor:
    """``gf.full`` under TensorFlow's name."""
    return creation.full(dims, value)  # type: ignore[no-any-return]


@public
def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Tensor:
    """``gf.clip`` under TensorFlow's name.

    >>> import graphflow as gf
    >>> gf.clip_by_value(gf.tensor([-3.0, 0.5, 3.0]), -1.0, 1.0).tolist()
    [-1.0, 0.5, 1.0]
    """
    return elementwise.minimum(elementwise.maximum(t, clip_value_min), clip_value_max)  # type: ignore[no-any-return]


@public
def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None, name: str | None = None) -> Tensor:
    """The tensor, scaled down if its Euclidean norm (over ``axes``) is greater than ``clip_norm``."""
    x = as_tensor(t)
    norm = elementwise.sqrt(reduce.sum(x * x, axis=axes, keepdims=True))
    return x * (clip_norm / elementwise.maximum(norm, clip_norm))


@public
def global_norm(t_list: Sequence[Any], name: str | None = None) -> Tensor:
    """The Euclidean norm of all elements of several tensors; None among them is passed over."""
    return elementwise.sqrt(add_n([reduce.sum(t * t) for t in map(as_tensor, filter(_given, t_list))]))  # type: ignore[no-any-return]


@public
def clip_by_global_norm(
    t_list: Sequence[Any], clip_norm: Any, use_norm: Any = None, name: str | None = None
) -> tuple[list[Any], Tensor]:
    """Several tensors, scaled together so that their ``global_norm`` is at most ``clip_norm``; and that norm.

    >>> import graphflow as gf
    >>> clipped, norm = gf.clip_by_global_norm([gf.tensor([3.0]), gf.tensor([4.0])], 1.0)
    >>> norm.item(), [round(t.item(), 3) for t in clipped]
    (5.0, [0.6, 0.8])
    """
    norm = global_norm(t_list) if use_norm is None else as_tensor(use_norm)
    scale = clip_norm / elementwise.maximum(norm, clip_norm)
    return [as_tensor(t) * scale if _given(t) else None for t in t_list], norm


def _given(t: Any) -> bool:
    return t is not None


# -- state -------------------------------------------------------------------------------------------------------------
@public
def assign(ref: Variable, value: Any, name: str | None = None) -> Any:
    """``ref.assign(value)``: in a graph an operation to run, and the new value."""
    return ref.assign(value)


@public
def assign_add(ref: Variable, value: Any, name: str | None = None) -> Any:
    """``ref.assign_add(value)``."""
    return ref.assign_add(value)


@public
def assign_sub(ref: Variable, value: Any, name: str | None = None) -> Any:
    """``ref.assign_sub(value)``."""
    return ref.assign_sub(value)


# -- random numbers ----------------------------------------------------------------------------------------------------
@public
def random_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, name: str | None = None) -> Tensor:
    """``gf.random.normal`` under TensorFlow 1's name; ``gf.random.seed`` sets the seed."""
    return random.normal(shape, mean, stddev, dtype=dtype)


@public
def random_uniform(
    shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = None, name: str | None = None
) -> Tensor:
    """``gf.random.uniform`` under TensorFlow 1's name; ``maxval`` is 1 unless given."""
    return random.uniform(shape, minval, 1.0 if maxval is None else maxval, dtype=dtype)


@public
def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, name: str | None = None
) -> Tensor:
    """Numbers from the normal distribution, none farther from the mean than two standard deviations.

    >>> import graphflow as gf
    >>> abs(gf.truncated_normal((1000,), stddev=0.1)).max().item() <= 0.2
    True
    """
    return random.default_generator.truncated_normal(shape, mean, stddev, dtype=dtype)


@public
def random_shuffle(value: Any, name: str | None = None) -> Tensor:
    """The rows of a tensor in random order."""
    return random.permutation(as_tensor(value))


@public
def set_random_seed(seed: int) -> None:
    """``gf.random.seed`` under TensorFlow 1's name."""
    random.seed(seed)


# -- variables -------------------------------------------------------------------------------------------------------
def _eval(self: Variable, session: Any = None) -> Any:
    """The variable's value as an array, with or without a Session: all see the same."""
    return self.numpy()


Variable.eval = _eval  # type: ignore[attr-defined]
