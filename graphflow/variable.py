"""Variable and Parameter: the only state. Everything else in GraphFlow is an immutable value."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.blocks import Block
from graphflow.core.dims import Shape
from graphflow.core.dtypes import DType, as_dtype
from graphflow.core.errors import DTypeError, ShapeError
from graphflow.tensor import Operators, Tensor, as_tensor, read_only

_names = threading.local()
_all: weakref.WeakSet[Any] = weakref.WeakSet()
_epoch = 0


def epoch() -> int:
    """Changes whenever a variable's buffer is replaced or shown to anyone: until then compiled programs may go on
    updating the buffers they know, without looking.
    """
    return _epoch


def _touch() -> None:
    global _epoch
    _epoch += 1


class Variable(Operators):
    """A mutable cell that holds one tensor; eager code and every Session see the same value.

    value      its initial value: a tensor, an array or a number
    name       for graphs, files and messages; made unique by the places that need it
    trainable  whether optimizers and ``backward`` treat it as a parameter

    ``.value`` is the tensor it holds now, ``.assign(v)`` and ``.assign_add(v)`` change it. Assigning keeps shape and
    dtype; another shape raises ShapeError, a dtype that does not cast safely DTypeError. In operations it stands for
    its value.

    >>> import graphflow as gf
    >>> v = gf.Variable([1.0, 2.0], name="v")
    >>> _ = v.assign_add([1.0, 1.0])
    >>> v.numpy()
    array([2., 3.], dtype=float32)
    """

    _node = None  # a Variable is never itself symbolic; reading it may be
    resettable = True  # whether global_variables_initializer() resets it (random states go on)

    def __init__(self, value: Any, name: str | None = None, trainable: bool = True, dtype: Any = None) -> None:
        data = _initial_array(value, dtype)
        self._data: np.ndarray[Any, Any] = data
        self._snapshot: Tensor | None = None
        self._initial: Any = _compact(data)  # an array, or a function that gives it
        self.dtype: DType = as_dtype(data.dtype)
        self.shape: Shape = data.shape
        self.name = name or "variable"
        self.trainable = bool(trainable) and self.dtype.is_float
        self._grad: Any = None
        _all.add(self)
        made_while = getattr(dispatch.state.recorder, "variable_made", None)
        if made_while is not None:
            made_while(self)

    # -- value ------------------------------------------------------------------------------------------------------
    @property
    def value(self) -> Tensor:
        """The tensor it holds now (symbolic while recording)."""
        return self.read()

    def read(self) -> Tensor:
        return dispatch.current().read_variable(self)  # type: ignore[no-any-return]

    def snapshot(self) -> Tensor:
        """The current value as a concrete tensor that later assignments do not change."""
        if self._snapshot is None:
            _touch()
            self._snapshot = Tensor(self._data)
            self._snapshot._variable = self
            self._snapshot.requires_grad = self.trainable
        return self._snapshot

    def assign(self, value: Any) -> Any:
        """Set the value. Gives the new value as a tensor (in a graph: the operation that assigns)."""
        tensor = as_tensor(value, dtype=self.dtype if _is_plain(value) else None)
        if tensor.dtype is not self.dtype:
            if self.dtype.is_int and tensor.dtype.is_float:
                raise DTypeError(
                    f"variable {self.name!r} is {self.dtype}; cannot assign {tensor.dtype} without .astype"
                )
            tensor = tensor.astype(self.dtype)
        if tensor.shape != self.shape:
            raise ShapeError(f"variable {self.name!r} has shape {self.shape}; cannot assign shape {tensor.shape}")
        return dispatch.current((tensor,)).assign_variable(self, tensor)

    def assign_add(self, delta: Any) -> Any:
        """Add to the value; gives the new value."""
        return self.assign(self._read_now() + delta)

    def assign_sub(self, delta: Any) -> Any:
        """Subtract from the value; gives the new value."""
        return self.assign(self._read_now() - delta)

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._in_place(self + other)

    def __isub__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._in_place(self - other)

    def __imul__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._in_place(self * other)

    def __itruediv__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._in_place(self / other)

    def _in_place(self, value: Any) -> Any:
        """``v -= x`` under ``no_grad`` assigns (training by hand); elsewhere it is ``v = v - x``, a tensor."""
        if dispatch.is_grad_enabled():
            return value
        self.assign(value)
        return self

    def _read_now(self) -> Tensor:
        interpreter = dispatch.current()
        read_now = getattr(interpreter, "read_variable_now", interpreter.read_variable)
        return read_now(self)  # type: ignore[no-any-return]

    def _store(self, data: np.ndarray[Any, Any]) -> None:
        """Replace the buffer (eager assignment, restoring). ``data`` must not be written by anyone else."""
        self._data = data
        self._snapshot = None
        _touch()

    def writable_buffer(self) -> np.ndarray[Any, Any]:
        """The buffer for native code to update in place:

        A fresh copy if any tensor or array still shows the old value.
        """
        self._snapshot = None
        if sys.getrefcount(self._data) > _OWN_REFERENCES or not self._data.flags.writeable or _is_seen(self._data):
            self._data = self._data.copy()
            _touch()
        return self._data

    def set_initial(self, value: Any) -> None:
        """Set the value now, in every mode, and what ``initialize`` goes back to (weight initialisation).

        A function without arguments that gives the same array each time is kept in place of the array.
        """
        with dispatch.init_scope():
            data = _own(as_tensor(value() if callable(value) else value)._data, self.dtype.np)
        if data.shape != self.shape:
            raise ShapeError(f"variable {self.name!r} has shape {self.shape}; cannot start from shape {data.shape}")
        self._initial = value if callable(value) else _compact(data)
        self._store(data)

    def initial_value(self) -> np.ndarray[Any, Any]:
        """What ``initialize`` goes back to. It may be the variable's buffer itself: not to be written."""
        if callable(self._initial):
            with dispatch.init_scope():
                return _own(as_tensor(self._initial())._data, self.dtype.np)
        return _own(self._initial, self.dtype.np)

    def convert(self, dtype: Any) -> None:
        """Change the dtype, keeping value, initial value and gradient (``Module.to``)."""
        initial = self.initial_value()
        self.dtype = as_dtype(dtype)
        self._initial = _compact(initial.astype(self.dtype.np))
        self._store(self._data.astype(self.dtype.np))
        if self._grad is not None:
            self._grad = Tensor(self._grad._data.astype(self.dtype.np))

    def initialize(self) -> None:
        """Go back to the initial value."""
        self._store(self.initial_value())

    def numpy(self) -> np.ndarray[Any, Any]:
        """The value as a read-only NumPy array that later assignments do not change."""
        _touch()
        return read_only(self._data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self._data, dtype=dtype) if copy else np.asarray(self.numpy(), dtype=dtype)

    def item(self) -> Any:
        """The only element, as a Python number (see ``Tensor.item``)."""
        return self.read().item()

    def tolist(self) -> Any:
        return self.read().tolist()

    def detach(self) -> Tensor:
        """The value, cut off from the gradient."""
        return self.read().detach()

    def __bool__(self) -> bool:
        return bool(self.read())

    def __float__(self) -> float:
        return float(self.read())

    def __int__(self) -> int:
        return int(self.read())

    def __len__(self) -> int:
        return len(self.read())

    def __iter__(self) -> Any:
        return iter(self.read())

    # -- gradient ---------------------------------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        return self.trainable

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.trainable = bool(value)
        self._snapshot = None
        _touch()

    def requires_grad_(self, value: bool = True) -> Variable:
        """Freeze or unfreeze (PyTorch's spelling)."""
        self.requires_grad = value
        return self

    @property
    def grad(self) -> Any:
        """The gradient that ``backward`` accumulated, or None."""
        hook = getattr(dispatch.state.recorder, "read_grad", None)
        return hook(self) if hook else self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        hook = getattr(dispatch.state.recorder, "write_grad", None)
        if hook:
            hook(self, value)
        else:
            self._grad = value

    def __deepcopy__(self, memo: Any) -> Variable:
        """A Variable of its own with the same value; what was computed from this one leads its gradients here."""
        new: Variable = object.__new__(type(self))
        new.__dict__.update(self.__dict__, _data=self._data.copy(), _snapshot=None)
        memo[id(self)] = new
        _all.add(new)
        return new

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {np.array2string(self._data, threshold=20)}, dtype={self.dtype})"


class Parameter(Variable):
    """A Variable that a Module lists among its parameters."""

    def __init__(self, value: Any, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(value, name=name, trainable=requires_grad)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (Tensor, Variable))


def _initial_array(value: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """A contiguous array of the initial value that no one writes; symbolic values are evaluated now, with NumPy."""
    target = as_dtype(dtype) if dtype is not None else None
    if callable(value) and not isinstance(value, Operators):
        with dispatch.init_scope():
            value = value()
    if isinstance(value, np.ndarray) and value.size > 1 and not any(value.strides):  # one number everywhere
        with dispatch.init_scope():
            number: Any = as_tensor(value.flat[0], dtype=target)._data
        is_zero = not any(number.tobytes())  # its memory can wait until it is written
        return np.zeros(value.shape, number.dtype) if is_zero else np.full(value.shape, number)
    if isinstance(value, Tensor) and value._node is not None:
        from graphflow.ir.interpreter import evaluate_constant

        array = evaluate_constant(value._node)
    else:
        with dispatch.init_scope():
            array = as_tensor(value, dtype=target)._data  # type: ignore[assignment]
    return _own(array, array.dtype if target is None else target.np)


def _own(array: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """The array itself if all who know it count as references (whoever writes it first, copies it); else a copy."""
    flags = array.flags
    if flags.c_contiguous and flags.owndata and flags.writeable and array.dtype == dtype:
        return array  # type: ignore[no-any-return]
    return np.array(array, dtype=dtype, order="C")


def _is_seen(array: np.ndarray[Any, Any]) -> bool:
    """Whether something else refers to the memory that an array is a view of."""
    base: Any = array.base
    while (
        isinstance(base, (np.ndarray, Block)) and sys.getrefcount(base) <= _OWN_REFERENCES + 1
    ):  # the array, and this name
        base = base.base
    return base is not None


def _compact(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What to go back to: one element for an array filled with one value (zeros of optimizer slots), else the array.

    The variable's buffer is then the same array, until it is written in place for the first time.
    """
    flat = data.reshape(-1)
    bits = flat.view(f"u{data.itemsize}")  # 0 and -0 differ
    if data.size > 1 and all((bits[at : at + _BLOCK] == bits[0]).all() for at in range(0, data.size, _BLOCK)):
        return np.broadcast_to(flat[0].copy(), data.shape)
    return data


_BLOCK = 1 << 14  # elements compared at a time


def variables() -> list[Variable]:
    """All variables that are alive."""
    return list(_all)


class _Probe:
    def __init__(self) -> None:
        self._data = np.zeros(1)

    def count(self) -> int:
        return sys.getrefcount(self._data)


_OWN_REFERENCES = _Probe().count()  # what getrefcount says of a buffer that only its owner refers to
