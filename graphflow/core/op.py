"""The Op record and the registry: everything GraphFlow knows about one operation, in one place.

From a record follow the public function, the Tensor method, shape and dtype checks, folding, fusion, both modes,
gradients, the NumPy oracle, and the tests that walk the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from graphflow.core.aval import AVal

Kind = Literal[
    "map", "reduce", "view", "place", "gather", "contract", "library", "source", "effect", "control", "custom"
]
# map      one output element from the elements at the same (broadcast) place      add, exp, where, iota, random_bits
# reduce   combines the elements along attrs["axes"] (result keeps no such axes)   sum, max
# view     the same elements in other places: no arithmetic, no copy               reshape, permute, slice, broadcast_to
# place    operands laid into an output at given places, a fill value elsewhere    concat, pad
# gather   elements picked by integer operands                                     take
# contract sums of products over shared axes                                       matmul
# library  a hand-written kernel computes it                                       sort, scatter_add, cumsum
# source   no operands: its value comes from outside or from attrs                 placeholder, constant, variable_read
# effect   reads or changes state, prints, or may raise; never dropped or moved    variable_assign, print
# control  runs nested graphs                                                      cond, while_loop, scan
# custom   the user's own NumPy function, or Numba kernel                          whatever gf.custom_op made


@dataclass(frozen=True)
class Sample:
    """Sample operands for the tests that walk the registry: arrays (or shapes to fill) and attributes."""

    args: tuple[Any, ...]  # a shape tuple is filled from ``low..high``; an ndarray is used as it is
    attrs: dict[str, Any] = field(default_factory=dict)
    low: float = -2.0
    high: float = 2.0
    grad: bool = True  # whether gradients are checked on this sample


@dataclass(frozen=True, eq=False)
class Op:
    """One operation.

    name     unique; also the name in the graph's text
    kind     what the scheduler may do with it (see Kind)
    infer    (avals..., **attrs) -> AVal (or a tuple of them); raises ShapeError or DTypeError
    ref      (arrays..., **attrs) -> array: the meaning, in NumPy
    vjp      (g, out, *inputs, **attrs) -> one gradient or None for each input, in graphflow's own functions;
             the sweep reduces broadcast axes afterwards. None: not differentiable
    emit     how native code is made of it:
             map      (b, *scalars, **attrs) -> scalar, written with a ScalarBuilder (graphflow_kernels); ops that need
                      to know where they are (iota, random_bits) also take ``index=(coordinate per axis)``
             reduce   the name of the combination: "add", "mul", "max", "min", "or", "and"
             view     (view, **attrs) -> view or None: the op as an index map on a strided view (core/view.py)
             place    (avals, **attrs) -> for each operand (starts, steps) of a slice, or a function that gives the view
                      of its elements' places from the view of the whole
             library  (avals, **attrs) -> name of the kernel in graphflow_kernels and its parameters
             custom   the same, or None: Python computes it
             others are known to the scheduler by their kind
    samples  () -> Sample list
    dtypes   the operand dtypes it takes (names of groups in ops/define.py)
    commutative, cost: facts for the passes and the fuser
    joint    whether vjp takes the gradients of all its results at once: (gs: {number of the result: its gradient},
             needed: for each input whether its gradient is wanted, *inputs, **attrs)
    """

    name: str
    kind: Kind
    infer: Callable[..., Any]
    ref: Callable[..., Any]
    vjp: Callable[..., Any] | None = None
    emit: Any = None
    samples: Callable[[], Iterable[Sample]] | None = None
    dtypes: str = "real"
    commutative: bool = False
    cost: int = 1  # rough cost of one element: 1 an add, 4 a division, 16 an exponential
    doc: str = ""
    joint: bool = False

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    @property
    def indexed(self) -> bool:
        """Whether ``emit`` wants to know where the element is (it has a parameter ``index``)."""
        code = getattr(self.emit, "__code__", None)
        return code is not None and "index" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @property
    def pure(self) -> bool:
        return self.kind not in ("effect",)


OPS: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Add an op record to the registry. Raises ValueError if the name is taken."""
    if op.name in OPS:
        raise ValueError(f"an op named {op.name!r} is registered already")
    OPS[op.name] = op
    return op


def get_op(name: str) -> Op:
    if name not in OPS:
        import difflib

        close = difflib.get_close_matches(name, OPS, 3)
        raise ValueError(f"no op named {name!r}" + (f"; did you mean {', '.join(close)}?" if close else ""))
    return OPS[name]


__all__ = ["OPS", "AVal", "Kind", "Op", "Sample", "get_op", "register"]
