"""Feeds: which nodes a Session is fed, and turning what users give into arrays that programs take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, Size, bind_sizes, evaluate, shape_str
from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import DTypeError, FeedError, FeedTypeError, FetchError, at_line
from graphflow.ir.graph import Graph, Node
from graphflow.tensor import Tensor
from graphflow.trace.signature import READY, ready
from graphflow.variable import Variable

Array = Any
_RANK = {"bool": 0, "uint": 1, "int": 1, "float": 2}
_ACCEPTED = 1024  # sets of shapes remembered

# How values of the user's own types are fed: type -> function(key, value) -> pairs of key and value.
CONVERSIONS: dict[type, Callable[[Any, Any], Iterable[tuple[Any, Any]]]] = {}


def expand(feed_dict: Any) -> tuple[dict[Any, Any], bool]:
    """The feeds with converted and tuple keys taken apart; and whether there were any."""
    if not isinstance(feed_dict, dict):
        raise FeedTypeError(f"feed_dict is a dict of placeholders and values, got a {type(feed_dict).__name__}")
    out: dict[Any, Any] = {}
    changed = False
    for key, value in feed_dict.items():
        convert = next((f for t, f in CONVERSIONS.items() if isinstance(key, t)), None)
        if convert is not None:
            pairs = list(convert(key, value))
        elif isinstance(key, tuple):
            if not isinstance(value, (list, tuple)) or len(value) != len(key):
                raise FeedError(f"{len(key)} placeholders fed together need {len(key)} values, got {value!r}")
            pairs = list(zip(key, value))
        else:
            out[key] = value
            continue
        changed = True
        out.update(pairs)
    return out, changed


def node_of_key(graph: Graph, key: Any) -> Node:
    """The node that a key of feed_dict stands for. Raises FeedTypeError or FeedError if there is none."""
    node: Any = key if isinstance(key, Node) else getattr(key, "_node", None)
    if isinstance(key, str):
        try:
            node = graph.find(key)
        except FetchError as error:
            raise FeedError(f"cannot feed {key!r}: {error}") from None
    elif isinstance(key, Variable):
        node = graph.recorder.reads.get(key)
        if node is None:
            raise FeedError(f"cannot feed variable {key.name!r}: graph {graph.name!r} does not read it")
    elif isinstance(key, Tensor) and node is None:
        node = graph.recorder.constant_of(key)
        if node is None:
            raise FeedTypeError(
                f"cannot feed an eager tensor ({key.aval.describe()}) that graph {graph.name!r} never used"
            )
    if not isinstance(node, Node):
        raise FeedTypeError(f"keys of feed_dict are placeholders, other tensors of the graph or names; got {key!r}")
    if node.graph is not graph:
        raise FeedError(f"cannot feed {node.name!r}: it belongs to graph {node.graph.name!r}, not to {graph.name!r}")
    if node.aval is None or isinstance(node.aval, tuple):
        raise FeedTypeError(f"cannot feed {node.name!r}: a {node.op.name} has no value to replace")
    return node


class Feed:
    """One fed node: converts what users give to its dtype."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.dtype: np.dtype[Any] = node.aval.dtype.np

    def array(self, value: Any) -> Array:
        """The value as a C-contiguous array of the node's dtype. Raises FeedTypeError if it cannot be one."""
        if isinstance(value, Tensor):
            if value._node is not None:
                raise self._refuse(
                    FeedTypeError, f"got the symbolic tensor {value.name!r}: run it first, and feed its value"
                )
            value = value._data
        elif isinstance(value, Variable):
            value = value.numpy()
        array = self._as_array(value)
        if array.dtype != self.dtype:
            self._check_cast(array)
            with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite, as in eager code
                array = array.astype(self.dtype)
        return ready(array)

    def _as_array(self, value: Any) -> Array:
        try:
            array = np.asarray(value)
        except ValueError as error:  # ragged lists
            raise self._refuse(FeedError, f"got a {type(value).__name__} that is no array ({error})") from None
        except OverflowError:
            raise self._refuse(FeedTypeError, f"{value} is too large for any integer dtype") from None
        if array.dtype == object and array.size and all(isinstance(v, int) for v in array.flat):
            raise self._refuse(FeedTypeError, f"{max(array.flat, key=abs)} is too large for any integer dtype")
        if array.size == 0 and not hasattr(value, "dtype"):
            return array.astype(self.dtype)  # an empty list has no dtype of its own
        return array

    def _check_cast(self, array: Array) -> None:
        want = self.node.aval.dtype
        try:
            have = as_dtype(array.dtype)
        except DTypeError:
            raise self._refuse(FeedTypeError, f"got {array.dtype} values, which are not numbers") from None
        if have.kind not in _RANK or _RANK[have.kind] > _RANK[want.kind]:
            raise self._refuse(
                FeedTypeError, f"got {have}, which does not fit without loss; cast it with .astype first"
            )
        if want.is_int and have.is_int and array.size:
            limits = np.iinfo(self.dtype)
            low, high = int(array.min()), int(array.max())
            if low < limits.min or high > limits.max:
                raise self._refuse(FeedTypeError, f"{low if low < limits.min else high} does not fit {want}")

    def _refuse(self, kind: type[FeedError], what: str) -> FeedError:
        return kind(at_line(f"feeding {self.node.name!r} ({self.node.aval.describe()}): {what}", self.node.origin))


class FeedSet:
    """The nodes fed together: converts and checks one value for each."""

    def __init__(self, nodes: Sequence[Node], assumptions: Sequence[tuple[Size, Size]]) -> None:
        self.feeds = [Feed(n) for n in nodes]
        self.nodes = list(nodes)
        self.assumptions = list(assumptions)
        self._slots = [(f.dtype, f) for f in self.feeds]
        self._accepted: set[tuple[Any, ...]] = set()

    def arrays(self, values: Iterable[Any]) -> list[Array]:
        """The values as arrays ready for the program."""
        ndarray = np.ndarray
        arrays = [
            v if type(v) is ndarray and v.dtype is dtype and v.flags.num & READY == READY else feed.array(v)
            for v, (dtype, feed) in zip(values, self._slots)
        ]
        shapes = tuple([a.shape for a in arrays])
        if shapes not in self._accepted:
            self.sizes(shapes)
            if len(self._accepted) >= _ACCEPTED:
                self._accepted.clear()
            self._accepted.add(shapes)
        return arrays

    def sizes(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
        """The symbolic sizes. Raises FeedError if a shape does not fit its node, or sizes differ that must not."""
        known: dict[str, int] = {}
        for node, shape in zip(self.nodes, shapes):
            if not bind_sizes(node.aval.shape, shape, {}):
                raise _misfit(node, shape)
        for node, shape in [*zip(self.nodes, shapes)] * 2:  # twice: an inexact size may come before those it is made of
            if not bind_sizes(node.aval.shape, shape, known):
                raise _misfit(node, shape, known)
        for a, b in self.assumptions:
            names = set().union(*(d.names() for d in (a, b) if isinstance(d, Dim)))
            if names <= known.keys() and evaluate(a, known) != evaluate(b, known):
                fed = ", ".join(f"{n.name!r}: {shape_str(s)}" for n, s in zip(self.nodes, shapes))
                raise FeedError(
                    f"sizes that must be equal differ: {a} is {evaluate(a, known)}, {b} is {evaluate(b, known)}; "
                    f"fed were {fed}"
                )
        return known


def _misfit(node: Node, shape: tuple[int, ...], known: dict[str, int] | None = None) -> FeedError:
    names = [name for s in node.aval.shape if isinstance(s, Dim) for name in sorted(s.names())]
    where = ", ".join(f"{n} is {known[n]}" for n in names if n in known) if known else ""
    return FeedError(
        at_line(
            f"feeding {node.name!r}: expected {node.aval.describe()}, got shape {shape_str(shape)}"
            + (f" while {where}" if where else ""),
            node.origin,
        )
    )


def unfed(node: Node) -> FeedError:
    """The error for a placeholder that a run needs."""
    return FeedError(
        at_line(
            f"placeholder {node.name!r} ({node.aval.describe()}) is needed but was not fed; "
            f"add it to feed_dict: {{{node.name}: value}}",
            node.origin,
        )
    )
