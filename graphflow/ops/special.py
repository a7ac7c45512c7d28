"""The records that tie graphs to the world: placeholders, constants, variables, control of gradients, prints and
checks.

The recorder makes these nodes itself (graphflow/trace); only ``stop_gradient``, ``print`` and ``check_numerics`` are
called by users.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Size, evaluate
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import DType, as_dtype, int64
from graphflow.core.errors import NumericsError, at_line, user_origin
from graphflow.core.op import Op, Sample, register
from graphflow.ops.define import public
from graphflow.tensor import Tensor, as_tensor


def _external(name: str) -> Any:
    def ref(*args: Any, **attrs: Any) -> Any:
        raise RuntimeError(f"{name} has no value of its own; the interpreter supplies it")

    return ref


PLACEHOLDER = register(
    Op("placeholder", "source", lambda shape, dtype, **_: AVal(shape, dtype), _external("placeholder"))
)
CONSTANT = register(
    Op(
        "constant",
        "source",
        lambda value: AVal(value.shape, as_dtype(value.dtype)),
        lambda value: value,
        doc="A literal.",
    )
)
# when: "start" reads the value before the run's first assignment, "now" the value at this place in the program.
VARIABLE_READ = register(
    Op(
        "variable_read",
        "source",
        lambda variable, when: AVal(variable.shape, variable.dtype),
        lambda variable, when: variable._data,
        doc="The value of a variable.",
    )
)
# The value of a Python attribute at each run (a learning rate, say): ``source()`` gives it.
HOST_SCALAR = register(
    Op(
        "host_scalar",
        "source",
        lambda source, dtype: AVal((), dtype),
        lambda source, dtype: np.asarray(source(), dtype.np),
    )
)
# Assignments take effect in program order; their value is the new value. ``stop`` semantics come from the recorder.
VARIABLE_ASSIGN = register(
    Op("variable_assign", "effect", lambda value, variable: value, lambda value, variable: value, doc="Set a variable.")
)
GROUP = register(Op("group", "effect", lambda: None, lambda: None, doc="Runs its control dependencies; no value."))
INITIALIZE = register(
    Op(
        "initialize",
        "effect",
        lambda: None,
        lambda: None,
        doc="Sets the graph's variables to their initial values; no value.",
    )
)
TUPLE_GET = register(
    Op(
        "tuple_get",
        "control",
        lambda source, index: source[index],
        lambda source, index: source[index],
        doc="One of several results.",
    )
)


def _size_ref(size: Size, dtype: DType) -> Any:
    return np.asarray(evaluate(size, {}), dtype.np)


SIZE_OF = register(
    Op("size_of", "source", lambda size, dtype: AVal((), dtype), _size_ref, doc="A dimension's size as a number.")
)


def size_of(size: Size, dtype: DType = int64) -> Tensor:
    """A size as a 0-d tensor: a number if it is one, else read when the graph runs."""
    if isinstance(size, Dim):
        return apply(SIZE_OF, (), {"size": size, "dtype": dtype})  # type: ignore[no-any-return]
    return as_tensor(size, dtype)


STOP_GRADIENT = register(
    Op(
        "stop_gradient",
        "view",
        lambda a: a,
        lambda x: x,
        None,
        lambda view: view,
        lambda: [Sample(((2, 3),), grad=False)],
        doc="The same value, without gradient.",
    )
)


@public
def stop_gradient(x: Any, /) -> Tensor:
    """The same value, through which no gradient passes (TensorFlow's name for ``detach``).

    >>> import graphflow as gf
    >>> x = gf.tensor(3.0, requires_grad=True)
    >>> (x * gf.stop_gradient(x)).backward(); x.grad.item()
    3.0
    """
    return apply(STOP_GRADIENT, (as_tensor(x),), {})  # type: ignore[no-any-return]


IDENTITY = register(
    Op(
        "identity",
        "view",
        lambda a: a,
        lambda x: x,
        lambda g, out, x: (g,),
        lambda view: view,
        lambda: [Sample(((2, 3),))],
        doc="The same value under another name.",
    )
)


@public
def identity(x: Any, /, name: str | None = None) -> Tensor:
    """The same value; in a graph under a name of its own, by which a Session can fetch or feed it.

    >>> with gf.Graph() as graph:
    ...     y = gf.identity(gf.placeholder((2,), name="x") * 2, name="y")
    >>> gf.Session(graph).run("y", {"x": [1.0, 2.0]})
    array([2., 4.], dtype=float32)
    """
    out: Tensor = apply(IDENTITY, (as_tensor(x),), {})
    if out._node is not None and name is not None:
        out._node.graph.rename(out._node, name)
    return out


def _print_ref(x: Any, label: str, origin: Any = None) -> Any:
    sys.stdout.write(f"{label}: {x}\n" if label else f"{x}\n")
    return x


PRINT = register(
    Op(
        "print",
        "effect",
        lambda a, **_: a,
        _print_ref,
        lambda g, out, x, **_: (g,),
        doc="Prints its operand when it runs.",
    )
)


@public(name="print")
def print_(x: Any, label: str = "") -> Tensor:
    """Print the tensor when it is computed, in every mode, and give it back.

    The print happens if what uses its result runs, so use the result: ``x = gf.print(x, "x")``.

    >>> import graphflow as gf
    >>> y = gf.print(gf.tensor([1.0, 2.0]), "x") * 2
    x: [1. 2.]
    """
    return apply(PRINT, (as_tensor(x),), {"label": label})  # type: ignore[no-any-return]


def _check_ref(x: Any, label: str, origin: Any = None) -> Any:
    bad = ~np.isfinite(x)
    if bad.any():
        raise NumericsError(numerics_message(x, label, origin))
    return x


def numerics_message(x: Any, label: str, origin: Any) -> str:
    nans, infs = int(np.isnan(x).sum()), int(np.isinf(x).sum())
    first = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
    return at_line(
        f"{label or 'tensor'} has {nans} NaN and {infs} infinite of {x.size} elements, the first at {first}", origin
    )


CHECK_NUMERICS = register(
    Op(
        "check_numerics",
        "effect",
        lambda a, **_: a,
        _check_ref,
        lambda g, out, x, **_: (g,),
        doc="Raises on NaN or infinity.",
    )
)


@public
def check_numerics(x: Any, label: str = "") -> Tensor:
    """The tensor itself; raises NumericsError naming the label and line if it holds NaN or infinity when computed.

    >>> import graphflow as gf
    >>> gf.check_numerics(gf.tensor([1.0]), "loss").item()
    1.0
    """
    return apply(CHECK_NUMERICS, (as_tensor(x),), {"label": label, "origin": user_origin()})  # type: ignore[no-any-return]
