"""Functions on symbolic tensors of functional models, and on ordinary ones: ``gf.keras.ops.mean(x, axis=1)``.

Every function of ``gf`` and ``gf.nn.functional`` is here under its own name, and under Keras's where that differs.

>>> import graphflow as gf
>>> x = gf.keras.Input((4,))
>>> gf.keras.ops.mean(x, axis=-1).shape, gf.keras.ops.mean(gf.tensor([1.0, 3.0])).item()
((None,), 2.0)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from graphflow.keras.activations import _TABLE as _ACTIVATIONS
from graphflow.keras.symbolic import is_symbolic
from graphflow.ops.arrange import moveaxis
from graphflow.ops.define import FUNCTIONS, cast
from graphflow.ops.movement import concat, permute_dims
from graphflow.tensor import Tensor, as_tensor


def _getitem(x: Any, key: Any) -> Any:
    return as_tensor(x)[_index(key)]


def _index(key: Any) -> Any:
    if isinstance(key, list):
        return tuple(_index(k) for k in key)
    if isinstance(key, dict):
        return slice(*key["slice"])
    return Ellipsis if isinstance(key, str) else key


def _transpose(x: Any, axes: Any = None) -> Tensor:
    x = as_tensor(x)
    return permute_dims(x, tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))


def _one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = "float32") -> Tensor:
    rows = FUNCTIONS["one_hot"](x, num_classes, dtype=dtype)
    return rows if axis == -1 else moveaxis(rows, -1, axis)  # type: ignore[no-any-return]


def _convert(x: Any, dtype: Any = None) -> Tensor:
    x = as_tensor(x)
    return x if dtype is None else cast(x, dtype)


def _moments(x: Any, axes: Any, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    center = FUNCTIONS["mean"](x, axis=axes, keepdims=True)
    spread = FUNCTIONS["mean"](FUNCTIONS["square"](as_tensor(x) - center), axis=axes, keepdims=keepdims)
    return (center if keepdims else FUNCTIONS["mean"](x, axis=axes)), spread


def _divide_no_nan(a: Any, b: Any) -> Tensor:
    nothing = as_tensor(b) == 0
    return FUNCTIONS["where"](nothing, 0.0, as_tensor(a) / FUNCTIONS["where"](nothing, 1.0, b))  # type: ignore[no-any-return]


# Keras's names for what has another one here.
_NAMES: dict[str, Callable[..., Any]] = {
    "getitem": _getitem,
    "transpose": _transpose,
    "one_hot": _one_hot,
    "convert_to_tensor": _convert,
    "convert_to_numpy": lambda x: as_tensor(x).numpy(),
    "cast": lambda x, dtype: cast(as_tensor(x), dtype),
    "concatenate": lambda xs, axis=0: concat(list(xs), axis=axis),
    "shape": lambda x: as_tensor(x).shape,
    "size": lambda x: as_tensor(x).size,
    "ndim": lambda x: as_tensor(x).ndim,
    "norm": lambda x, ord=2, axis=None, keepdims=False: FUNCTIONS["vector_norm"](
        x, ord=ord, axis=axis, keepdims=keepdims
    ),
    "max": lambda x, axis=None, keepdims=False: FUNCTIONS["max"](x, axis=axis, keepdims=keepdims),
    "amax": lambda x, axis=None, keepdims=False: FUNCTIONS["max"](x, axis=axis, keepdims=keepdims),
    "amin": lambda x, axis=None, keepdims=False: FUNCTIONS["min"](x, axis=axis, keepdims=keepdims),
    "power": lambda a, b: FUNCTIONS["pow"](a, b),
    "mod": lambda a, b: FUNCTIONS["remainder"](a, b),
    "array": _convert,
    "top_k": lambda x, k, sorted=True: FUNCTIONS["topk"](x, k),
    "moments": _moments,
    "divide_no_nan": _divide_no_nan,
    "dtype": lambda x: as_tensor(x).dtype.name,
    "conjugate": lambda x: FUNCTIONS["conj"](x),
    "absolute": lambda x: FUNCTIONS["abs"](x),
    "stop_gradient": lambda x: as_tensor(x).detach(),
    "in_top_k": lambda targets, predictions, k: _in_top_k(targets, predictions, k),
}


def _in_top_k(targets: Any, predictions: Any, k: int) -> Tensor:
    from graphflow.keras.metrics.accuracy import in_top_k

    return in_top_k(targets, predictions, k)


def function(name: str) -> Callable[..., Any]:
    """The function behind a name. Raises ValueError with names that are close."""
    found = _NAMES.get(name) or _ACTIVATIONS.get(name) or FUNCTIONS.get(name)
    if found is None:
        close = difflib.get_close_matches(name, [*_NAMES, *_ACTIVATIONS, *FUNCTIONS], n=3)
        raise ValueError(f"gf.keras.ops has no {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else ""))
    return found


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        plain = function(name)
    except ValueError as error:
        raise AttributeError(str(error)) from None

    def called(*args: Any, **kwargs: Any) -> Any:
        if not (is_symbolic(args) or is_symbolic(kwargs)):
            return plain(*args, **kwargs)
        if name == "shape":
            return args[0].shape
        from graphflow.keras.layers.operation import Operation

        return Operation(name, **kwargs)(*args)

    called.__name__ = name
    called.__doc__ = plain.__doc__
    return called


def __dir__() -> list[str]:
    return sorted({*_NAMES, *_ACTIVATIONS, *FUNCTIONS})
