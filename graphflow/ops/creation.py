"""Making tensors: from data, from numbers, by pattern, and of another dtype.

While recording, all of these are nodes of the graph: literals become constants, filled tensors a broadcast scalar and
counted ones an ``iota``, so no large literal is stored and shapes may have symbolic sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size, is_static
from graphflow.core.dtypes import DType, as_dtype, bool_, default_float, default_int, float64
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.define import cast, primitive, public
from graphflow.ops.elementwise import where
from graphflow.ops.movement import BROADCAST, as_shape, broadcast_to, reshape
from graphflow.ops.special import CONSTANT, size_of
from graphflow.tensor import Operators, Tensor, as_tensor

_DEVICES = (None, "cpu")


def _check_device(device: Any) -> None:
    if device not in _DEVICES:
        raise ValueError(f"no device {device!r}; there is: 'cpu'")


@contextmanager
def beside(x: Tensor) -> Iterator[None]:
    """Inside the block ops without operands go where ops on ``x`` go: into its graph, if it is symbolic."""
    if x._node is None or dispatch.is_recording():
        yield
    else:
        with dispatch.recording(x._node.graph.recorder):
            yield


# -- from data -----------------------------------------------------------------------------------------------------
def literal(data: Any) -> Tensor:
    """The tensor of an array that nobody else writes to; a constant of the graph while recording."""
    if dispatch.is_recording():
        return dispatch.apply(CONSTANT, (), {"value": data})  # type: ignore[no-any-return]
    return Tensor(data)


@public
def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A tensor with a copy of ``data``: a number, nested lists, an array or another tensor.

    Python floats become float32, ints int64; arrays keep their dtype unless ``dtype`` is given. Raises DTypeError for
    data that is not numeric, GradientError if ``requires_grad`` meets integers.

    >>> import graphflow as gf
    >>> gf.tensor([[1, 2], [3, 4]], dtype=gf.float32).shape
    (2, 2)
    """
    _check_device(device)
    if isinstance(data, Operators):
        out = as_tensor(data).detach()
        out = out if dtype is None else cast(out, as_dtype(dtype))
    else:
        out = literal(as_tensor(data, None if dtype is None else as_dtype(dtype))._data)
    return out.requires_grad_() if requires_grad else out


@public
def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """The tensor for ``obj``: itself if it is one (of that dtype), else a copy of its data.

    ``copy=False`` raises ValueError where a copy is needed: tensors do not share memory that others can write to.

    >>> import graphflow as gf, numpy as np
    >>> gf.asarray(np.arange(3)).dtype
    graphflow.int64
    """
    _check_device(device)
    target = None if dtype is None else as_dtype(dtype)
    if isinstance(obj, Operators):
        x = as_tensor(obj)
        if copy is False and target not in (None, x.dtype):
            raise ValueError(f"a {x.dtype} tensor cannot become {target} without a copy")
        return x if target is None else cast(x, target)
    if isinstance(obj, complex):  # no op takes it, but code for any namespace asks for its dtype
        return literal(np.asarray(obj, np.complex64 if target is None else target.np))
    if copy is False:
        raise ValueError(f"a {type(obj).__name__} cannot become a tensor without a copy: its owner could write to it")
    return literal(as_tensor(obj, target)._data)


@public
def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor with a copy of an array of another library, through DLPack.

    >>> import graphflow as gf, numpy as np
    >>> gf.from_dlpack(np.ones(2)).dtype
    graphflow.float64
    """
    _check_device(device)
    if copy is False and not isinstance(x, Tensor):
        raise ValueError("from_dlpack(copy=False): a tensor cannot share memory that its owner could write to")
    return x if isinstance(x, Tensor) else literal(np.array(np.from_dlpack(x)))


@public
def from_numpy(array: Any) -> Tensor:
    """A tensor with a copy of a NumPy array (PyTorch's name for ``asarray``)."""
    return asarray(array)


@public(methods=("astype",))
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x in another dtype: floats to integers drop the fraction, anything to bool is ``x != 0``.

    ``x.to("cpu")`` gives x itself.

    >>> import graphflow as gf
    >>> gf.tensor([1.7, -1.7]).astype(gf.int32).tolist()
    [1, -1]
    """
    _check_device(device)
    x = as_tensor(x)
    return x if dtype == "cpu" else cast(x, as_dtype(dtype))


def _conversion(name: str, dtype: DType) -> None:
    def convert(self: Any) -> Tensor:
        return cast(as_tensor(self), dtype)

    convert.__name__, convert.__doc__ = name, f"This tensor as {dtype}."
    setattr(Operators, name, convert)


for _name, _dtype in (("float", "float32"), ("double", "float64"), ("half", "float16"), ("long", "int64"),
                      ("int", "int32"), ("bool", "bool"), ("bfloat16", "bfloat16")):  # fmt: skip
    _conversion(_name, as_dtype(_dtype))


# -- filled --------------------------------------------------------------------------------------------------------
def _filled(shape: Shape, value: Any, dtype: DType) -> Tensor:
    if any(not isinstance(s, Dim) and s < 0 for s in shape):
        raise ShapeError(at_line(f"sizes cannot be negative, got the shape {shape}", user_origin()))
    if dispatch.is_recording() or not is_static(shape):
        return broadcast_to(literal(as_tensor(value, dtype)._data), shape)
    return Tensor(np.full(shape, value, dtype.np))


def filled_like(x: Tensor, value: Any) -> Tensor:
    """A tensor of x's shape and dtype with ``value`` everywhere; symbolic if x is."""
    if x._node is None and not dispatch.is_recording():
        return Tensor(np.full(x.shape, value, x._data.dtype))  # type: ignore[union-attr]
    return dispatch.current((x,)).apply(BROADCAST, (as_tensor(value, x.dtype),), {"shape": x.shape})  # type: ignore


@public
def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor with ``fill_value`` (a number or a 0-d tensor) everywhere; without ``dtype``, of the value's dtype.

    >>> import graphflow as gf
    >>> gf.full((2,), 7).tolist()
    [7, 7]
    """
    _check_device(device)
    if isinstance(fill_value, (Operators, np.ndarray)):
        value = as_tensor(fill_value)
        return broadcast_to(value if dtype is None else cast(value, as_dtype(dtype)), as_shape(shape))
    return _filled(as_shape(shape), fill_value, as_dtype(type(fill_value) if dtype is None else dtype))


@public
def zeros(shape: Any, *sizes: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of zeros, float32 unless ``dtype`` says otherwise; the shape is one tuple or separate sizes.

    >>> import graphflow as gf
    >>> gf.zeros((1, 2)).tolist()
    [[0.0, 0.0]]
    """
    _check_device(device)
    return _filled(as_shape(shape, sizes), 0, default_float if dtype is None else as_dtype(dtype))


@public
def ones(shape: Any, *sizes: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of ones, float32 unless ``dtype`` says otherwise; the shape is one tuple or separate sizes."""
    _check_device(device)
    return _filled(as_shape(shape, sizes), 1, default_float if dtype is None else as_dtype(dtype))


@public
def empty(shape: Any, *sizes: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor whose elements do not matter (zeros)."""
    return zeros(shape, *sizes, dtype=dtype, device=device)


@public
def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of the shape, and unless given the dtype, of x, with ``fill_value`` everywhere.

    >>> import graphflow as gf
    >>> gf.full_like(gf.zeros(2), 3).tolist()
    [3.0, 3.0]
    """
    _check_device(device)
    x = as_tensor(x)
    if isinstance(fill_value, Operators):
        return broadcast_to(cast(as_tensor(fill_value), x.dtype if dtype is None else as_dtype(dtype)), x.shape)
    if dtype is None or as_dtype(dtype) is x.dtype:
        return filled_like(x, fill_value)
    with beside(x):
        return _filled(x.shape, fill_value, as_dtype(dtype))


@public
def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros of the shape, and unless given the dtype, of x."""
    return full_like(x, 0, dtype=dtype, device=device)


@public
def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones of the shape, and unless given the dtype, of x."""
    return full_like(x, 1, dtype=dtype, device=device)


@public
def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of the shape, and unless given the dtype, of x, whose elements do not matter (zeros)."""
    return full_like(x, 0, dtype=dtype, device=device)


# -- counted -------------------------------------------------------------------------------------------------------
def _iota_ref(shape: Shape, axis: int, dtype: DType) -> Any:
    count = np.arange(shape[axis]).astype(dtype.np)  # type: ignore[arg-type]
    return np.broadcast_to(count.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)  # type: ignore


IOTA = primitive(
    "iota",
    "map",
    lambda shape, axis, dtype: AVal(shape, dtype),
    _iota_ref,
    None,
    lambda b, index, shape, axis, dtype: b.cast(index[axis], dtype.name),
    samples=lambda: [
        Sample((), {"shape": (3, 4), "axis": 1, "dtype": default_int}),
        Sample((), {"shape": (3, 4), "axis": 0, "dtype": default_float}),
        Sample((), {"shape": (0,), "axis": 0, "dtype": default_int}),
    ],
    doc="The coordinate of each element along one axis.",
)


def iota(shape: Shape, axis: int = 0, dtype: DType = default_int) -> Tensor:
    """The coordinate of each element along ``axis``: what positions are compared with, in every mode."""
    return dispatch.apply(IOTA, (), {"shape": shape, "axis": axis, "dtype": dtype})  # type: ignore[no-any-return]


@public
def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``start, start + step, ...`` below ``stop``; ``arange(n)`` counts from 0. Sizes may be symbolic.

    int64 if all three are whole, else float32, unless ``dtype`` is given. Raises ValueError for a step of 0.

    >>> import graphflow as gf
    >>> gf.arange(1, 8, 3).tolist()
    [1, 4, 7]
    """
    _check_device(device)
    start, stop = (0, start) if stop is None else (start, stop)
    start, stop, step = (v.item() if isinstance(v, (Operators, np.generic)) else v for v in (start, stop, step))
    if step == 0:
        raise ValueError("arange needs a step that is not 0")
    whole = not any(isinstance(v, float) for v in (start, stop, step))
    kind = as_dtype(dtype) if dtype is not None else default_int if whole else default_float
    symbolic = any(isinstance(v, Dim) for v in (start, stop, step))
    count: Size = -((start - stop) // step) if symbolic else max(0, math.ceil((stop - start) / step))
    wide = float64 if kind.is_float else default_int  # so that no step in between overflows or is rounded twice
    out = iota((count,), 0, kind if start == 0 and step == 1 else wide)
    out = out if step == 1 else out * step
    if isinstance(start, Dim):
        out = out + size_of(start, out.dtype)
    elif start != 0:
        out = out + start
    return cast(out, kind)


@public
def linspace(
    start: Any,
    stop: Any,
    /,
    num: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
    steps: int | None = None,
) -> Tensor:
    """``num`` (or ``steps``) evenly spaced numbers from ``start`` to ``stop`` (which ``endpoint=False`` leaves out).

    >>> import graphflow as gf
    >>> gf.linspace(0, 1, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    _check_device(device)
    kind = default_float if dtype is None else as_dtype(dtype)
    count = steps if num is None else num
    if count is None:
        raise TypeError("linspace needs num, how many numbers there are to be")
    values = np.linspace(float(start), float(stop), count, endpoint=endpoint)
    return literal(values.astype(kind.np))


@public
def eye(n_rows: Any, n_cols: Any = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """A matrix with ones on its k-th diagonal.

    >>> import graphflow as gf
    >>> gf.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    _check_device(device)
    shape = as_shape((n_rows, n_rows if n_cols is None else n_cols))
    k = max(-(2**62), min(k, 2**62))  # any int is allowed, and all this far out mean the same
    on_diagonal = iota(shape, 1) - iota(shape, 0) == k
    return cast(on_diagonal, default_float if dtype is None else as_dtype(dtype))


# -- triangles and grids -------------------------------------------------------------------------------------------
def _triangle(x: Any, k: int, lower: bool) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(at_line(f"tril and triu need a matrix, got shape {x.shape}", user_origin()))
    with beside(x):
        offset = iota(x.shape[-2:], 1) - iota(x.shape[-2:], 0)
    return where(offset <= k if lower else offset >= k, x, 0 if x.dtype is not bool_ else False)


@public(methods=("tril",))
def tril(x: Any, /, diagonal: int = 0, *, k: int = 0) -> Tensor:
    """The lower triangle of each matrix (the last two axes), up to diagonal ``k`` (PyTorch: ``diagonal``); else zeros.

    >>> import graphflow as gf
    >>> gf.tril(gf.ones((2, 2))).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return _triangle(x, k or diagonal, lower=True)


@public(methods=("triu",))
def triu(x: Any, /, diagonal: int = 0, *, k: int = 0) -> Tensor:
    """The upper triangle of each matrix (the last two axes), from diagonal ``k``; zeros elsewhere."""
    return _triangle(x, k or diagonal, lower=False)


@public
def meshgrid(*xs: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate matrices of coordinate vectors; "xy" varies the first along columns, "ij" along rows.

    >>> import graphflow as gf
    >>> gf.meshgrid(gf.arange(2), gf.arange(3), indexing="ij")[0].tolist()
    [[0, 0, 0], [1, 1, 1]]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing is "xy" or "ij", got {indexing!r}')
    tensors = [as_tensor(x) for x in xs]
    if any(t.ndim > 1 for t in tensors):
        raise ShapeError(at_line("meshgrid takes one-dimensional tensors", user_origin()))
    if len({t.dtype for t in tensors}) > 1:
        raise DTypeError(at_line("meshgrid takes tensors of one dtype", user_origin()))
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    sizes = [t.size for t in tensors]
    shape = tuple(sizes[i] for i in order)
    places = [tuple(sizes[i] if i == j else 1 for j in order) for i in range(len(tensors))]
    return [broadcast_to(reshape(t, place), shape) for t, place in zip(tensors, places)]
