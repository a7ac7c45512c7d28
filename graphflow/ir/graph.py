"""Node and Graph: the program that the tracer records, the passes rewrite and the scheduler turns into kernels.

A Node is one application of an op: immutable, defined once, after its operands. A Graph is a list of nodes in program
order with named inputs and outputs. Users append to a graph by computing with its tensors; passes build new graphs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from graphflow.core import dispatch, locks
from graphflow.core.aval import AVal
from graphflow.core.dims import Size, collecting_assumptions
from graphflow.core.errors import GraphError, Origin, at_line, user_origin
from graphflow.core.op import Op


class Node:
    """One value of a graph: an op applied to earlier nodes.

    ``aval`` is None for nodes without a value (assignments' groups, prints) and a tuple for ops with several results,
    which ``tuple_get`` nodes take apart. ``control`` nodes must run before this one. ``stop`` marks nodes recorded
    under ``no_grad``: no gradient passes through them.
    """

    __slots__ = ("__weakref__", "attrs", "aval", "control", "graph", "id", "inputs", "name", "op", "origin", "stop")

    def __init__(
        self,
        graph: Graph,
        op: Op,
        inputs: tuple[Node, ...],
        attrs: dict[str, Any],
        aval: Any,
        name: str,
        origin: Origin | None,
        control: tuple[Node, ...] = (),
        stop: bool = False,
    ) -> None:
        self.graph = graph
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.aval = aval
        self.name = name
        self.origin = origin
        self.control = control
        self.stop = stop
        self.id = len(graph.nodes)

    def __repr__(self) -> str:
        args = ", ".join(i.name for i in self.inputs)
        return f"<node {self.name} = {self.op.name}({args}) : {self.aval}>"


class Graph:
    """A recorded program.

    Used as a context manager it makes itself the graph that operations are recorded into:

    >>> import graphflow as gf
    >>> graph = gf.Graph()
    >>> with graph:
    ...     x = gf.placeholder((None, 3), name="x")
    ...     y = (x * 2.0).sum()
    >>> [node.op.name for node in graph.nodes]
    ['placeholder', 'constant', 'multiply', 'sum']

    ``inputs`` are its placeholders, ``outputs`` its results when it came from ``gf.trace`` (a nested structure of
    nodes), ``updates`` the new values of variables after functionalisation, ``assumptions`` pairs of symbolic sizes
    that must turn out equal when data comes.
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.outputs: list[Node] = []
        self.updates: list[tuple[Any, Node]] = []
        self.assumptions: list[tuple[Size, Size]] = []
        self.created: list[Any] = []  # variables made inside ``with graph:``
        self._recorder: Any = None
        self.structure: Any = None  # what the traced function returned, with symbolic tensors: fetch it as it is
        self._names: dict[str, int] = {}
        self._by_name: dict[str, Node] = {}
        self._control: tuple[Node, ...] = ()
        self._finalized = False
        self._lock = locks.rlock()
        self._entered = threading.local()

    # -- building ---------------------------------------------------------------------------------------------------
    def add(
        self,
        op: Op,
        inputs: Sequence[Node] = (),
        attrs: dict[str, Any] | None = None,
        *,
        name: str | None = None,
        origin: Origin | None = None,
        aval: Any = ...,
        control: Iterable[Node] = (),
        stop: bool = False,
    ) -> Node:
        """Append a node; its abstract value is inferred unless given.

        Raises GraphError if the graph is finalized or an operand belongs to another graph, and the op's own
        ShapeError or DTypeError (with the user's line) if the operands do not fit it.
        """
        attrs = attrs or {}
        if self._finalized:
            raise GraphError(
                at_line(f"graph {self.name!r} is finalized; {op.name} cannot be added to it", user_origin())
            )
        for operand in inputs:
            if operand.graph is not self:
                raise GraphError(
                    at_line(
                        f"{op.name}: operand {operand.name!r} belongs to graph {operand.graph.name!r}, not to "
                        f"{self.name!r}; build both in one graph, or feed the value in through a placeholder",
                        user_origin(),
                    )
                )
        if aval is ...:
            with collecting_assumptions(self.assumptions):
                aval = op.infer(*[i.aval for i in inputs], **attrs)
        with self._lock:
            unique = self._unique(name or op.name)
            node = Node(self, op, tuple(inputs), attrs, aval, unique, origin, (*self._control, *control), stop)
            self.nodes.append(node)
            self._by_name[unique] = node
        return node

    def _unique(self, name: str) -> str:
        """The name itself, or with the next free number behind it; taken from now on."""
        names = self._names
        count = names.get(name)
        unique = name
        if count is not None:
            while unique in names:
                count += 1
                unique = f"{name}_{count}"
            names[name] = count  # where the next search starts
        names[unique] = 0
        return unique

    def next_name(self, name: str) -> str:
        """The name that the next node called ``name`` gets: ``name``, ``name_1``, ``name_2``..."""
        count = self._names.get(name)
        if count is None:
            return name
        count += 1
        while f"{name}_{count}" in self._names:
            count += 1
        return f"{name}_{count}"

    def rename(self, node: Node, name: str) -> None:
        """Call a node ``name``, or ``name_1``... if that is taken."""
        with self._lock:
            del self._by_name[node.name]
            node.name = self._unique(name)
            self._by_name[node.name] = node

    def finalize(self) -> None:
        """Refuse new nodes from now on (so that a loop that grows the graph by mistake is noticed)."""
        self._finalized = True

    @property
    def finalized(self) -> bool:
        return self._finalized

    @contextmanager
    def control_dependencies(self, nodes: Iterable[Any] | None) -> Iterator[None]:
        """Nodes recorded inside the block run after ``nodes`` (nodes, symbolic tensors or operations).

        None forgets the dependencies of the blocks around. Raises GraphError for a node of another graph.
        """
        saved = self._control
        found = [getattr(n, "_node", n) for n in nodes] if nodes is not None else []
        for node in found:
            if not isinstance(node, Node) or node.graph is not self:
                raise GraphError(at_line(f"control dependency {node!r} is not in graph {self.name!r}", user_origin()))
        self._control = (*saved, *found) if nodes is not None else ()
        try:
            yield
        finally:
            self._control = saved

    @property
    def recorder(self) -> Any:
        """The interpreter that records into this graph."""
        if self._recorder is None:
            from graphflow.trace.recorder import Recorder

            self._recorder = Recorder(self)
        return self._recorder

    # -- use as the recording target --------------------------------------------------------------------------------
    def __enter__(self) -> Graph:
        context = ExitStack()
        context.enter_context(dispatch.recording(self.recorder))
        context.enter_context(collecting_assumptions(self.assumptions, loud=False))
        self._entered.__dict__.setdefault("stack", []).append(context)
        return self

    def __exit__(self, *exc: Any) -> None:
        stack = self._entered.__dict__.get("stack", [])
        if not stack or dispatch.state.recorder is not self.recorder:
            raise GraphError("graph contexts must be left in the reverse order in which they were entered")
        stack.pop().__exit__(*exc)

    as_default = lambda self: self

    # -- looking ----------------------------------------------------------------------------------------------------
    @property
    def inputs(self) -> list[Node]:
        """The placeholders, in the order they were made."""
        return [n for n in self.nodes if n.op.name == "placeholder"]

    def find(self, name: str) -> Node:
        """The node called ``name`` (``"x"`` or TensorFlow's ``"x:0"``). Raises FetchError with close names."""
        from graphflow.core.errors import FetchError

        base, _, index = name.partition(":")
        node = self._by_name.get(base)
        if node is None:
            import difflib

            close = difflib.get_close_matches(base, self._by_name, 3)
            hint = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
            raise FetchError(f"graph {self.name!r} has nothing named {base!r}{hint}")
        outputs = len(node.aval) if isinstance(node.aval, tuple) else 1
        if index and not (index.isdecimal() and int(index) < outputs):
            listed = ", ".join(f"{base}:{i}" for i in range(outputs))
            raise FetchError(f"there is no {name!r}; {base!r} has {outputs} output{'s' * (outputs > 1)}: {listed}")
        if isinstance(node.aval, tuple):
            parts = [n for n in self.nodes if n.op.name == "tuple_get" and n.inputs[0] is node]
            return next(n for n in parts if n.attrs["index"] == int(index or 0))
        return node

    def get_tensor_by_name(self, name: str) -> Any:
        """The symbolic tensor called ``name`` (TensorFlow's spelling). Raises FetchError with close names."""
        from graphflow.tensor import Tensor

        return Tensor(None, self.find(name))

    def variables(self) -> list[Any]:
        """The variables made inside ``with graph:``, then the others that it uses, in order of first use."""
        seen: dict[int, Any] = {id(v): v for v in self.created}
        for node in self.nodes:
            variable = node.attrs.get("variable")
            if variable is not None:
                seen.setdefault(id(variable), variable)
        return list(seen.values())

    def to_text(self) -> str:
        """The graph as text from which ``Graph.from_text`` rebuilds it."""
        from graphflow.ir.text import to_text

        return to_text(self)

    @staticmethod
    def from_text(text: str, variables: dict[str, Any] | None = None) -> Graph:
        """The graph that ``to_text`` printed. Raises GraphError naming the line that cannot be read."""
        from graphflow.ir.text import from_text

        return from_text(text, variables)

    def to_networkx(self) -> Any:
        """The graph as a ``networkx.MultiDiGraph``: a node for each node, an edge for each operand."""
        from graphflow.ir.export import to_networkx

        return to_networkx(self)

    def to_dot(self) -> str:
        """The graph in Graphviz's DOT language."""
        from graphflow.ir.export import to_dot

        return to_dot(self)

    def draw(self, path: Any, groups: Mapping[Node, str] | None = None) -> None:
        """Write the graph as a picture (.svg), an interactive page (.html) or for Graphviz (.dot).

        ``groups`` gives the kernel that a node is part of, to show fusion.
        """
        from graphflow.ir.export import draw

        draw(self, path, groups)

    def save(self, path: Any) -> None:
        """Write the graph and the values of its variables to a file; ``gf.load_graph`` reads it."""
        from graphflow.io.graphs import save_graph

        save_graph(self, path)

    def optimize(self, passes: Sequence[str] | None = None) -> Graph:
        """A new, finalized graph that computes the same with less work; ``passes`` names those to run (None: all)."""
        from graphflow.passes import optimize

        return optimize(self, passes)

    def verify(self) -> None:
        """Raise VerifyError if the graph is malformed."""
        from graphflow.ir.verify import verify

        verify(self)

    def _repr_html_(self) -> str:
        from graphflow.viz.notebook import graph_html

        return graph_html(self)

    def __repr__(self) -> str:
        return f"<Graph {self.name!r}: {len(self.nodes)} nodes, {len(self.inputs)} inputs, {len(self.outputs)} outputs>"


def has_effect(node: Node) -> bool:
    """Whether a node does something besides giving a value: itself, or in a graph nested in it."""
    if node.op.kind != "control":
        return node.op.kind == "effect"
    return any(n.op.kind == "effect" for n in nested(node))


def nested(node: Node) -> Iterator[Node]:
    """The nodes of the graphs in a control node's attributes, and of those in theirs."""
    graphs = [node.attrs.values()]
    while graphs:
        for inner in graphs.pop():
            if isinstance(inner, Graph):
                yield from inner.nodes
                graphs.extend(n.attrs.values() for n in inner.nodes if n.op.kind == "control")


def ancestors(roots: Iterable[Node]) -> list[Node]:
    """The nodes that ``roots`` need (operands and control dependencies), each after what it needs, in program order."""
    needed: set[int] = set()
    found: list[Node] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        if id(node) in needed:
            continue
        needed.add(id(node))
        found.append(node)
        stack.extend(node.inputs)
        stack.extend(node.control)
    found.sort(key=lambda n: n.id)
    return found


def rebuild(
    graph: Graph,
    roots: Sequence[Node],
    replace: Callable[[Graph, Node, tuple[Node, ...]], Node | None],
    *,
    copy_unchanged: bool = True,
) -> tuple[Graph, dict[Node, Node]]:
    """Copy what ``roots`` need into a new graph, node by node in program order.

    ``replace(new_graph, node, new_inputs)`` gives the node to stand for ``node``, or None to copy it as it is.
    Returns the new graph and the map from old nodes to new ones.
    """
    out = Graph(graph.name)
    out.assumptions = list(graph.assumptions)
    mapping: dict[Node, Node] = {}
    for node in ancestors(roots):
        inputs = tuple(mapping[i] for i in node.inputs)
        new = replace(out, node, inputs)
        mapping[node] = new if new is not None else copy_node(out, node, inputs, mapping)
    return out, mapping


def copy_node(out: Graph, node: Node, inputs: tuple[Node, ...], mapping: dict[Node, Node]) -> Node:
    control = tuple(mapping[c] for c in node.control if c in mapping)
    return out.add(
        node.op, inputs, node.attrs, name=node.name, origin=node.origin, aval=node.aval, control=control, stop=node.stop
    )


AVals = AVal | tuple[AVal, ...] | None
