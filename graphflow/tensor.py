"""Tensor: an immutable value, concrete (a NumPy array) or symbolic (a node of a graph); and the eager interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.config import current as settings
from graphflow.core.dims import Dim, Shape
from graphflow.core.dtypes import DType, as_dtype, bool_, default_float, default_int, scalar_result_type
from graphflow.core.errors import GradientError, IndexingError, TraceError, at_line, user_origin
from graphflow.core.op import Op
from graphflow.operators import Operators

Array = Any  # numpy.ndarray of any dtype
_asarray, _ndarray = np.asarray, np.ndarray
_state = dispatch.state
LARGE = 1 << 12  # elements from which native code may be faster than NumPy


class Tensor(Operators):
    """An immutable n-dimensional array of one dtype.

    Made by ``gf.tensor``, creation functions and operations, not by calling this class. ``shape`` is a tuple of ints
    (and ``Dim`` objects where a size is symbolic), ``dtype`` a graphflow dtype.
    """

    __slots__ = ("__weakref__", "_data", "_node", "_tape", "_variable", "grad", "requires_grad")

    def __init__(self, data: Array | None, node: Any = None, requires_grad: bool = False) -> None:
        self._data = data
        self._node = node
        self._tape: Tape | None = None
        self._variable: Any = None  # the Variable this is the value of, so that backward can find its leaf
        self.grad: Tensor | None = None
        self.requires_grad = requires_grad

    # -- what it is -------------------------------------------------------------------------------------------------
    @property
    def shape(self) -> Shape:
        return self._data.shape if self._node is None else self._node.aval.shape  # type: ignore[union-attr]

    @property
    def dtype(self) -> DType:
        return as_dtype(self._data.dtype) if self._node is None else self._node.aval.dtype  # type: ignore[union-attr]

    @property
    def aval(self) -> AVal:
        return AVal(self.shape, self.dtype)

    @property
    def name(self) -> str | None:
        return None if self._node is None else f"{self._node.name}:0"

    @property
    def graph(self) -> Any:
        """The graph it belongs to, or None for a concrete tensor."""
        return None if self._node is None else self._node.graph

    @property
    def is_leaf(self) -> bool:
        return self._tape is None

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]  # type: ignore[return-value]

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        size = self.shape[0]
        if not isinstance(size, int):
            raise self._symbolic("iterating over a symbolic dimension", "gf.scan, or operations on the whole tensor")
        return (self[i] for i in range(size))  # type: ignore[index]

    # -- its numbers ------------------------------------------------------------------------------------------------
    def _concrete(self, what: str, instead: str) -> Array:
        if self._data is None:
            raise self._symbolic(what, instead)
        return self._data

    def _symbolic(self, what: str, instead: str) -> TraceError:
        made = f"\n  {self._node.name!r} was made at {self._node.origin}" if self._node.origin else ""
        return TraceError(
            at_line(
                f"{what} needs the numbers of a symbolic tensor ({self.aval.describe()}), which exist only when the "
                f"graph runs; use {instead}",
                user_origin(),
            )
            + made
        )

    def numpy(self) -> Array:
        """The value as a read-only NumPy array (no copy;

        ``.copy()`` it to write). Symbolic tensors raise TraceError.
        """
        return read_only(self._concrete(".numpy()", "Session.run, or return the tensor from the compiled function"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        data = self._concrete("conversion to NumPy", "Session.run, or graphflow functions in place of numpy's")
        if copy or (dtype is not None and np.dtype(dtype) != data.dtype):
            if copy is False:
                raise ValueError(f"a {data.dtype} tensor cannot become {np.dtype(dtype)} without a copy")
            return np.array(data, dtype=dtype)
        return read_only(data)

    def item(self) -> Any:
        """The only element, as a Python number. Raises ValueError if there is not exactly one."""
        data = self._concrete(".item()", "the tensor itself: return or fetch it to see its value")
        if data.size != 1:
            raise ValueError(f"item() needs a tensor of one element, this has shape {self.shape}")
        return data.item() if data.dtype.kind != "V" else float(data.reshape(()))

    def tolist(self) -> Any:
        return self._concrete(".tolist()", "the tensor itself").tolist()

    def __bool__(self) -> bool:
        data = self._concrete("bool() of a tensor (an `if` or `while` on it)", "gf.where or gf.cond")
        if data.size != 1:
            raise ValueError(f"the truth value of a tensor of shape {self.shape} is ambiguous; use .any() or .all()")
        return bool(data.reshape(()))

    def __float__(self) -> float:
        return float(self._scalar("float()"))

    def __int__(self) -> int:
        return int(self._scalar("int()"))

    def __index__(self) -> int:
        value = self._scalar("use as an index")
        if not self.dtype.is_int:
            raise TypeError(f"only integer tensors can be an index, this is {self.dtype}")
        return int(value)

    def __complex__(self) -> complex:
        return complex(self._scalar("complex()"))

    def _scalar(self, what: str) -> Any:
        data = self._concrete(what, "the tensor itself in operations, or gf.cond for decisions")
        if data.size != 1:
            raise TypeError(f"{what} needs a tensor of one element, this has shape {self.shape}")
        return data.reshape(()).item() if data.dtype.kind != "V" else float(data.reshape(()))

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        data = self._concrete("DLPack export", "Session.run")
        writable = data.view()  # DLPack's older protocol has no read-only flag; consumers must not write
        if not data.flags.writeable:
            writable = data.copy()
        return writable.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """Its value by the given or the default Session (TensorFlow 1). Raises ValueError if there is none."""
        from graphflow.runtime.session import default_session

        chosen = session or default_session()
        if chosen is None:
            raise ValueError(
                "no default Session: use `with gf.Session(graph) as sess:` around eval(), or eval(session=s)"
            )
        return chosen.run(self, feed_dict)

    # -- gradients --------------------------------------------------------------------------------------------------
    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Accumulate the gradient of this (scalar) tensor into ``.grad`` of the leaves it was made from.

        ``gradient`` weighs the elements of a tensor that is not a scalar. ``create_graph`` makes the gradients
        differentiable. Raises GradientError if nothing requires a gradient, or for a second backward through the same
        operations without ``retain_graph``.
        """
        from graphflow.autograd import backward

        backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def detach(self) -> Tensor:
        """The same value, cut off from the gradient."""
        if self._node is None:
            return Tensor(self._data)
        from graphflow.ops.special import stop_gradient

        return stop_gradient(self)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Make this leaf require a gradient (PyTorch's spelling)."""
        if self._tape is not None and not value:
            raise GradientError("only leaves can stop requiring a gradient; use .detach()")
        if value and not self.dtype.is_float:
            raise GradientError(f"only floating-point tensors have gradients, this is {self.dtype}")
        self.requires_grad = value
        return self

    def __repr__(self) -> str:
        if self._node is not None:
            return f"<Tensor {self.name} : {self.aval!r}>"
        data: Array = self._data
        text = np.array2string(data, separator=", ", threshold=1000, prefix="tensor(")
        tail = "" if self.dtype in (default_float, default_int, bool_) else f", dtype={self.dtype}"
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({text}{tail}{grad})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self._data is not None else str(self)

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return Tensor(self._data, requires_grad=self.requires_grad) if self._node is None else self


class Tape:
    """How an eager tensor was made: what the reverse sweep needs."""

    __slots__ = ("args", "attrs", "op")

    def __init__(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> None:
        self.op = op
        self.args = args
        self.attrs = attrs


class Eager:
    """The define-by-run interpreter: computes at once, and remembers what gradients need."""

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        if args and (args[0]._data.size > LARGE or args[-1]._data.size > LARGE) and settings.native:  # type: ignore
            from graphflow.runtime.elementwise import run

            data = run(op, args, attrs)
            if data is not None:
                return self._wrap(data, op, args, attrs)
        try:
            data = op.ref(*[a._data for a in args], **attrs)
        except IndexingError as error:
            raise IndexingError(at_line(str(error), user_origin())) from None
        except Exception:
            check_args(op, args, attrs)  # a clearer error, if the operands are at fault
            raise
        if type(data) is tuple:
            return tuple(self._wrap(d, op, args, {**attrs, "_index": i}) for i, d in enumerate(data))
        return self._wrap(data, op, args, attrs)

    def _wrap(self, data: Any, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
        out = Tensor(data if type(data) is _ndarray else _asarray(data))
        for a in args:
            if a.requires_grad:
                if op.vjp is not None and _state.grad_enabled:
                    out.requires_grad = True
                    out._tape = Tape(op, args, attrs)
                break
        return out

    def read_variable(self, variable: Any) -> Tensor:
        return variable.snapshot()  # type: ignore[no-any-return]

    def assign_variable(self, variable: Any, value: Tensor) -> Tensor:
        data: Any = value._data
        own = data.flags.c_contiguous and data.flags.owndata and data is not variable._data
        variable._store(data if own else data.copy())
        return variable.snapshot()  # type: ignore[no-any-return]


def check_args(op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> None:
    """Run the op's shape and dtype rule; its error gets the user's line."""
    try:
        op.infer(*(a.aval for a in args), **attrs)
    except Exception as error:
        if not error.args or not isinstance(error.args[0], str):
            raise
        raise type(error)(at_line(f"{op.name}: {error.args[0]}", user_origin())) from None


dispatch.set_eager(Eager())


def read_only(data: Array) -> Array:
    view = data.view()
    view.flags.writeable = False
    return view


def as_tensor(value: Any, dtype: DType | None = None, like: DType | None = None) -> Tensor:
    """The tensor for a tensor, Variable, number, array or nested list.

    ``dtype`` forces the dtype; ``like`` is the dtype of the tensor that a Python number meets in an operation. Python
    floats become float32, ints int64; arrays keep their dtype; lists of Python floats become float32.
    """
    kind = type(value)
    if kind is Tensor:
        return value if dtype is None or value.dtype is dtype else value.astype(dtype)
    if isinstance(value, Operators):
        read = value.read()  # type: ignore[attr-defined]
        return read if dtype is None or read.dtype is dtype else read.astype(dtype)  # type: ignore[no-any-return]
    if kind is Dim:
        from graphflow.ops.special import size_of

        return size_of(value, dtype or (scalar_result_type(like, 1) if like is not None else default_int))
    if kind is float or kind is int or kind is bool:
        target = dtype or (scalar_result_type(like, value) if like is not None else as_dtype(kind))
        return number(value, target)
    return Tensor(_array(value, dtype))


def number(value: Any, dtype: DType) -> Tensor:
    """A Python number as a 0-d tensor. OverflowError if the dtype cannot hold it."""
    try:
        return Tensor(_asarray(value, dtype.np))
    except OverflowError:
        raise OverflowError(f"{value} does not fit {dtype}") from None


def _array(value: Any, dtype: DType | None) -> Array:
    """An own copy of outside data (the caller may go on writing to his)."""
    if isinstance(value, (list, tuple)) and _holds_tensors(value):
        from graphflow.ops.movement import stack

        stacked = stack([as_tensor(v, dtype) for v in value])
        return stacked._concrete("gf.tensor of a list of symbolic tensors", "gf.stack")
    is_array = hasattr(value, "dtype")
    if isinstance(value, complex):
        raise TypeError("complex numbers are not supported")
    array = np.array(value, dtype=dtype.np if dtype is not None else None)
    if array.dtype.kind not in "biufV" or (array.dtype.kind == "V" and array.dtype.names):
        raise TypeError(f"cannot make a tensor from {type(value).__name__} (NumPy sees dtype {array.dtype})")
    if dtype is None and not is_array and array.dtype.kind == "f":
        array = array.astype(default_float.np) if not _numpy_floats(value) else array
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    as_dtype(array.dtype)
    return array


def _holds_tensors(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, Operators)


def _numpy_floats(value: Any) -> bool:
    """Whether a list holds NumPy numbers or arrays, which keep their dtype, unlike Python floats."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (np.ndarray, np.generic)) and type(value) is not float


__all__ = ["Array", "Eager", "Operators", "Tape", "Tensor", "as_tensor", "read_only"]
