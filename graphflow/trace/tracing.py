"""Graphs by hand and by tracing: placeholders, constants, operations, the default graph, and ``gf.trace``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size, collecting_assumptions, shape_str
from graphflow.core.dtypes import DType, as_dtype, float32
from graphflow.core.errors import GraphError, TraceError, at_line, user_origin
from graphflow.core.tree import flatten, unflatten
from graphflow.ir.graph import Graph, Node
from graphflow.ops import special
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.trace.recorder import FunctionRecorder, Recorder


# -- the graph that things go into ---------------------------------------------------------------------------------
class _Default(threading.local):
    graph: Graph | None = None


_default = _Default()


def get_default_graph() -> Graph:
    """The graph of the innermost ``with graph:``, else this thread's default graph.

    Outside ``with graph:`` operations on symbolic tensors are recorded, all others run at once. (What was computed from
    trainable Variables alone is recorded when it meets a symbolic tensor; a number computed from other Variables enters
    the graph as the number it is. Inside ``with graph:`` everything is recorded.)

    >>> graph = gf.Graph()
    >>> with graph:
    ...     gf.get_default_graph() is graph
    True
    """
    recorder: Any = dispatch.state.recorder
    if recorder is not None:
        return recorder.graph  # type: ignore[no-any-return]
    if _default.graph is None:
        _default.graph = Graph("default")
    return _default.graph


def reset_default_graph() -> None:
    """Start this thread's default graph anew. Raises GraphError inside ``with graph:``."""
    if dispatch.state.recorder is not None:
        raise GraphError(at_line("reset_default_graph() inside `with graph:`; leave the block first", user_origin()))
    _default.graph = None


def _hand_recorder(what: str) -> Recorder:
    """The recorder of the default graph. Raises TraceError inside a traced function."""
    recorder: Recorder = get_default_graph().recorder
    if not recorder.by_hand and dispatch.state.recorder is recorder:
        raise TraceError(
            at_line(f"{what} inside a traced function; make it an argument of the function", user_origin())
        )
    return recorder


# -- what comes from outside -----------------------------------------------------------------------------------------
class TensorSpec:
    """The shape and dtype of an argument, for ``gf.trace``: ``None`` or a ``gf.Dim`` for sizes known only at run time.

    >>> gf.TensorSpec((None, 784), name="x")
    TensorSpec((None, 784), float32, name='x')
    """

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, shape: Any, dtype: Any = float32, name: str | None = None) -> None:
        self.shape: tuple[Any, ...] = _checked_shape(shape)
        self.dtype: DType = as_dtype(dtype)
        self.name = name

    def sizes(self, name: str) -> Shape:
        """The shape, with a ``Dim`` called ``name.axis`` in place of each None."""
        return tuple(Dim(f"{name}.{axis}") if s is None else s for axis, s in enumerate(self.shape))

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, TensorSpec)
        return same and (self.shape, self.dtype, self.name) == (other.shape, other.dtype, other.name)  # type: ignore

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.name))

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name is not None else ""
        return f"TensorSpec({shape_str(self.shape)}, {self.dtype}{name})"


def _checked_shape(shape: Any) -> tuple[Any, ...]:
    if shape is None:
        raise TypeError(at_line("the rank must be known: give a tuple with None for each unknown size", user_origin()))
    sizes = (shape,) if isinstance(shape, (int, Dim)) else tuple(shape)
    out: list[Any] = []
    for size in sizes:
        if size is not None and not isinstance(size, Dim):
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                raise TypeError(f"sizes are ints, None or gf.Dim, got {size!r} in the shape {sizes}")
            size = size.__index__()
            if size < 0:
                raise ValueError(f"sizes cannot be negative, got {sizes}; use None for an unknown size")
        out.append(size)
    return tuple(out)


def placeholder(*args: Any, shape: Any = None, dtype: Any = None, name: str | None = None) -> Tensor:
    """A symbolic tensor that is fed at each run: ``placeholder(shape, dtype=float32, name=None)``.

    ``session.run(y, {x: array})`` feeds the placeholder ``x``.

    ``None`` in the shape is a size that may differ from run to run; where operations need two such sizes to be equal,
    that is checked when data comes. TensorFlow's order, dtype first, is understood, too, then without a shape for a
    scalar.

    >>> with gf.Graph() as graph:
    ...     x = gf.placeholder((None, 3), name="x")
    ...     y = gf.placeholder(gf.int64, [None])
    >>> x, y
    (<Tensor x:0 : float32[x.0, 3]>, <Tensor placeholder:0 : int64[placeholder.0]>)
    """
    recorder = _hand_recorder("placeholder()")
    dtype_first = bool(args) and _is_dtype(args[0])
    given = dict(zip(("dtype", "shape", "name") if dtype_first else ("shape", "dtype", "name"), args))
    for key, value in (("shape", shape), ("dtype", dtype), ("name", name)):
        if value is not None and given.setdefault(key, value) is not value:
            raise TypeError(f"placeholder() got two values for {key}: {given[key]!r} and {value!r}")
    if len(args) > 3 or not given.keys() & {"shape", "dtype"}:
        raise TypeError(f"placeholder(shape, dtype=float32, name=None) takes 1 to 3 arguments, got {len(args)}")
    if "shape" in given and given["shape"] is None:
        _checked_shape(None)
    kind = given.get("dtype") or float32
    spec = TensorSpec(given.get("shape", ()), float32 if isinstance(kind, str) and kind == "float" else kind)
    unique = recorder.graph.next_name(given.get("name") or "placeholder")
    return recorder.placeholder(AVal(spec.sizes(unique), spec.dtype), unique)


def _is_dtype(value: Any) -> bool:
    if isinstance(value, str):
        try:
            as_dtype(value)
        except TypeError:
            return False
        return True
    return isinstance(value, (DType, type, np.dtype))


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Tensor:
    """A constant of the graph (of the default graph outside ``with graph:``; ``gf.tensor`` is its eager counterpart).

    ``shape`` repeats a single number. Raises DTypeError for what is not numeric.

    >>> with gf.Graph() as graph:
    ...     c = gf.constant([1.0, 2.0], name="c")
    >>> gf.Session(graph).run("c:0")
    array([1., 2.], dtype=float32)
    """
    with dispatch.init_scope():
        data: Any = as_tensor(value, None if dtype is None else as_dtype(dtype))._data
    if shape is not None:
        data = np.broadcast_to(data, _checked_shape(shape)).copy()
    recorder: Recorder = get_default_graph().recorder
    node = recorder.graph.add(special.CONSTANT, (), {"value": data}, name=name, origin=user_origin())
    return Tensor(None, node)


# -- what is done ----------------------------------------------------------------------------------------------------
class Operation:
    """Something that a graph does, without a value: fetching it does it and gives None."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def name(self) -> str:
        return self._node.name

    @property
    def graph(self) -> Graph:
        return self._node.graph

    def run(self, feed_dict: Any = None, session: Any = None) -> None:
        """Run it in the given or the default Session. Raises ValueError if there is none."""
        from graphflow.runtime.session import default_session

        chosen = session or default_session()
        if chosen is None:
            raise ValueError("no default Session: use `with gf.Session(graph):` around run(), or run(session=s)")
        chosen.run(self, feed_dict)

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"


class Initializer(Operation):
    """Sets variables to their initial values: fetched by a Session, or called."""

    def run(self, feed_dict: Any = None, session: Any = None) -> None:
        """Reset the variables, with a Session or without."""
        self()

    def __call__(self) -> None:
        initialize_variables(self.graph)


def initialize_variables(graph: Graph) -> None:
    """Set the graph's variables to their initial values, now."""
    for variable in graph.variables():
        if variable.resettable:
            variable.initialize()


def global_variables_initializer() -> Initializer:
    """The operation that sets the graph's variables to their initial values; calling it does so, too.

    Variables have their values from the start, so this only goes back to them. It takes all variables that the graph
    uses when it runs, also those added later.

    >>> with gf.Graph() as graph:
    ...     v = gf.Variable(1.0)
    ...     init, double = gf.global_variables_initializer(), v.assign(v * 2)
    >>> with gf.Session(graph) as session:
    ...     float(session.run(double)), session.run(init), float(session.run(v))
    (2.0, None, 1.0)
    """
    graph = get_default_graph()
    return Initializer(graph.add(special.INITIALIZE, (), name="init", origin=user_origin()))


def group(*operations: Any, name: str | None = None) -> Operation | None:
    """One operation that runs several operations or tensors (also nested in lists).

    Eager ones have run already: without any of a graph the result is None.
    """
    nodes = [node for item in flatten(operations)[0] if (node := _node_of(item)) is not None]
    if not nodes and not dispatch.is_recording():
        return None
    graph = nodes[0].graph if nodes else get_default_graph()
    return Operation(
        graph.add(special.GROUP, (), name=name or "group", origin=user_origin(), control=_same_graph(nodes))
    )


def no_op(name: str | None = None) -> Operation:
    """An operation that does nothing; under ``control_dependencies`` it runs those."""
    graph = get_default_graph()
    return Operation(graph.add(special.GROUP, (), name=name or "no_op", origin=user_origin()))


def _node_of(item: Any) -> Node | None:
    """The node of a tensor or operation; None for what ran eagerly."""
    if isinstance(item, (Tensor, Operation, Operators)) or item is None:
        return getattr(item, "_node", None)
    if isinstance(item, Node):
        return item
    raise TypeError(at_line(f"expected operations or tensors, got a {type(item).__name__}", user_origin()))


def _same_graph(nodes: Sequence[Node]) -> Sequence[Node]:
    for node in nodes:
        if node.graph is not nodes[0].graph:
            raise GraphError(
                at_line(
                    f"{node.name!r} belongs to graph {node.graph.name!r}, {nodes[0].name!r} to {nodes[0].graph.name!r}",
                    user_origin(),
                )
            )
    return nodes


@contextmanager
def control_dependencies(operations: Iterable[Any] | None) -> Iterator[None]:
    """What is recorded inside the block runs after ``operations``, and reads of variables see what they did.

    None forgets the dependencies of the blocks around. Eager operations have run already.

    >>> with gf.Graph() as graph:
    ...     v = gf.Variable(1.0)
    ...     with gf.control_dependencies([v.assign_add(1.0)]):
    ...         after = v * 10
    >>> float(gf.Session(graph).run(after))
    20.0
    """
    nodes = None if operations is None else [n for item in operations if (n := _node_of(item)) is not None]
    if not nodes and not dispatch.is_recording():
        yield
        return
    graph = _same_graph(nodes)[0].graph if nodes and not dispatch.is_recording() else get_default_graph()
    with dispatch.recording(graph.recorder), graph.control_dependencies(nodes):
        yield


# -- tracing -----------------------------------------------------------------------------------------------------------
def trace(fn: Callable[..., Any], *specs: Any, **named_specs: Any) -> Graph:
    """Record one call of a function or Module into a graph with ``inputs`` and ``outputs``.

    The arguments are TensorSpecs (also nested), example tensors or arrays (their shape and dtype count), or other
    values, which the function gets as they are. ``graph.structure`` is what the function returned, ready to be fetched
    by a Session; fetching an output also makes the assignments of the function, such as running statistics.
    Raises TraceError where the function needs a tensor's value, or if it leaves gradients behind.

    >>> graph = gf.trace(lambda x: {"twice": x * 2}, gf.TensorSpec((None,), name="x"))
    >>> gf.Session(graph).run(graph.structure, {"x": [1.0, 2.0]})
    {'twice': array([2., 4.], dtype=float32)}
    """
    if not callable(fn):
        raise TypeError(f"trace needs a function or a Module, got a {type(fn).__name__}")
    leaves, tree = flatten((specs, named_specs))
    names = leaf_names(fn, specs, named_specs)
    graph = Graph(function_name(fn))
    recorder = FunctionRecorder(graph)
    with recording_function(recorder):
        symbolic = [_traced_argument(recorder, leaf, name) for leaf, name in zip(leaves, names)]
        args, kwargs = unflatten(tree, symbolic)
        result = fn(*args, **kwargs)
    left = [v for v, g in recorder.grads.items() if g is not None and v not in recorder.consumed]
    if left:
        raise TraceError(
            f"{graph.name} leaves gradients in .grad of {', '.join(v.name for v in left[:3])}, which a graph does not "
            "keep; return them from the function, or use gf.compile"
        )
    found, structure = flatten(result)
    outputs: list[Any] = []
    for item in found:
        if isinstance(item, Operators):
            with dispatch.recording(recorder):
                item = as_tensor(item)
            item = Tensor(None, recorder.lift(item))
            graph.outputs.append(item._node)
        outputs.append(item)
    graph.structure = unflatten(structure, outputs)
    return graph


@contextmanager
def recording_function(recorder: FunctionRecorder) -> Iterator[None]:
    """Inside the block a Python function is traced: Python's order counts, and sizes must not decide silently."""
    with dispatch.recording(recorder), collecting_assumptions(recorder.graph.assumptions, loud=True):
        yield


def _traced_argument(recorder: FunctionRecorder, leaf: Any, name: str) -> Any:
    if isinstance(leaf, TensorSpec):
        unique = recorder.graph.next_name(leaf.name or name)
        return recorder.placeholder(AVal(leaf.sizes(unique), leaf.dtype), unique)
    if isinstance(leaf, (Tensor, np.ndarray, np.generic)):
        shape: tuple[Size, ...] = leaf.shape
        return recorder.placeholder(AVal(shape, as_dtype(leaf.dtype)), name)
    return leaf


# -- names -------------------------------------------------------------------------------------------------------------
def function_name(fn: Any) -> str:
    """What to call a function or Module in graphs and messages."""
    name = getattr(fn, "__name__", None) or type(fn).__name__
    return "function" if name == "<lambda>" else name


def leaf_names(fn: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[str]:
    """A name for each leaf of the arguments: the parameter's, with the place in its structure behind it."""
    names = []
    parameters = _parameters(fn)
    for i, arg in enumerate(args):
        names += _nested_names(parameters[i] if i < len(parameters) else f"arg{i}", arg)
    for key, arg in kwargs.items():
        names += _nested_names(key, arg)
    return names


def _nested_names(name: str, arg: Any) -> list[str]:
    count = len(flatten(arg)[0])
    return [name] if count == 1 else [f"{name}.{i}" for i in range(count)]


def _parameters(fn: Any) -> tuple[str, ...]:
    """The names of the positional parameters, without the ``self`` of a bound method or Module."""
    inner = getattr(fn, "forward", fn)
    inner = getattr(inner, "__wrapped__", inner)
    code = getattr(getattr(inner, "__func__", inner), "__code__", None)
    if code is None:
        return ()
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names[1:] if hasattr(inner, "__self__") else names
