"""Session: runs parts of a graph. Each set of fetches and feeds is planned and compiled once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.core import locks
from graphflow.core.errors import FeedError, SessionError
from graphflow.core.tree import flatten
from graphflow.ir.graph import Graph, Node, has_effect
from graphflow.ir.interpreter import needed_nodes
from graphflow.runtime.build import RUN_LOCK, build
from graphflow.runtime.executor import Executable
from graphflow.runtime.feeds import CONVERSIONS as FEED_CONVERSIONS
from graphflow.runtime.feeds import FeedSet, expand, node_of_key, unfed
from graphflow.runtime.fetches import CONVERSIONS as FETCH_CONVERSIONS
from graphflow.runtime.fetches import Fetches, conversion_of, value_nodes
from graphflow.tensor import Tensor
from graphflow.trace.tracing import Initializer, Operation, get_default_graph, initialize_variables
from graphflow.variable import Parameter, Variable

_PLAIN = {
    Tensor,
    Operation,
    Initializer,
    Variable,
    Parameter,
    Node,
    str,
}  # fetches and keys that may be looked up as such
_QUICK = 1024  # ways of calling run that are remembered


class _Defaults(threading.local):
    def __init__(self) -> None:
        self.stack: list[Session] = []


_defaults = _Defaults()


def default_session() -> Session | None:
    """The innermost Session of this thread's ``with`` blocks."""
    return _defaults.stack[-1] if _defaults.stack else None


get_default_session = default_session


def register_session_run_conversion_functions(
    tensor_type: type,
    fetch_function: Callable[[Any], tuple[list[Any], Callable[[list[Any]], Any]]] | None = None,
    feed_function: Callable[[Any, Any], Iterable[tuple[Any, Any]]] | None = None,
) -> None:
    """Let Sessions fetch and feed values of a type of your own (TensorFlow's name).

    ``fetch_function(value)`` gives the list of what to fetch for it, and a function from the list of their values to
    its own; ``feed_function(key, value)`` gives pairs of key and value to feed. Raises ValueError if the type is taken.
    """
    tables: list[tuple[Any, Any]] = [(FETCH_CONVERSIONS, fetch_function), (FEED_CONVERSIONS, feed_function)]
    if any(function is not None and tensor_type in table for table, function in tables):
        raise ValueError(f"{tensor_type.__name__} has a conversion function already")
    for table, function in tables:
        if function is not None:
            table[tensor_type] = function


class Plan:
    """One set of fetches and feeds, ready to run."""

    def __init__(
        self, wanted: Fetches, feed_set: FeedSet, executable: Executable | None, nodes: Sequence[Node]
    ) -> None:
        needed = wanted.needed()
        self.wanted = wanted
        self.feeds = feed_set
        self.executable = executable
        self.variables = [v for v in needed if isinstance(v, Variable)]
        self.initializers = [n.graph for n in needed if isinstance(n, Node) and n.op.name == "initialize"]
        self.nodes = list(nodes)  # those with a value, as the executable gives them
        self._operations = [n for n in needed if isinstance(n, Node) and n.aval is None]
        self._scalars = [n.aval.shape == () for n in nodes]
        self._single = wanted.is_leaf and len(nodes) == 1 and wanted.leaves == list(nodes)

    def __call__(self, values: Iterable[Any]) -> Any:
        """Run with a value for each feed; gives the fetches."""
        arrays = self.feeds.arrays(values)
        if self._single:
            with RUN_LOCK:
                out = self.executable.run(arrays)[0]  # type: ignore[union-attr]
            return out[()] if self._scalars[0] else out
        return self.pack(*self.outputs(arrays))

    def outputs(self, arrays: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The arrays of ``nodes``, and the values of Variables before the run."""
        with RUN_LOCK:
            before = [np.array(v.numpy()) for v in self.variables]
            if self.executable is not None:
                return self.executable.run(arrays), before
            for graph in self.initializers:
                initialize_variables(graph)
        return [], before

    def pack(self, outputs: Sequence[Any], before: Sequence[Any] = ()) -> Any:
        """Outputs in the nesting of the fetches."""
        found = [out[()] if scalar else out for out, scalar in zip(outputs, self._scalars)]
        by_node = dict(zip(map(id, self.nodes), found))
        by_node.update((id(v), value[()] if value.ndim == 0 else value) for v, value in zip(self.variables, before))
        by_node.update((id(n), None) for n in self._operations)
        return self.wanted.pack(by_node)


class Session:
    """Runs a graph: ``run(fetches, feed_dict)`` computes what the fetches need, natively.

    graph        the graph to run; None takes the default graph
    device       "cpu"
    num_threads  threads for this Session's programs; None takes the process's budget
    optimize     False runs the graph as it was built, node by node, on the NumPy interpreter

    Variables hold their values themselves, so all Sessions and eager code see the same. ``with Session(...) as s:``
    makes it the default Session and closes it at the end. Raises TypeError if graph is no Graph.

    >>> with gf.Graph() as graph:
    ...     x = gf.placeholder((None,), name="x")
    ...     total = (x * x).sum()
    >>> with gf.Session(graph) as session:
    ...     session.run({"total": total, "x": x}, feed_dict={x: [1.0, 2.0]})
    {'total': np.float32(5.0), 'x': array([1., 2.], dtype=float32)}
    """

    def __init__(
        self,
        graph: Graph | None = None,
        device: str | None = None,
        num_threads: int | None = None,
        optimize: bool = True,
    ) -> None:
        if graph is not None and not isinstance(graph, Graph):
            raise TypeError(f"Session needs a gf.Graph (or None for the default graph), got a {type(graph).__name__}")
        if device not in (None, "cpu"):
            raise ValueError(f"no device {device!r}; there is: 'cpu'")
        if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
            raise ValueError(f"num_threads is a number of at least 1, got {num_threads!r}")
        self.graph = graph if graph is not None else get_default_graph()
        self.num_threads = num_threads
        self.optimize = optimize
        self._closed = False
        self._lock = locks.rlock()
        self._quick: dict[Any, Plan] = {}  # plans by fetches and keys as they were given
        self._plans: dict[Any, Plan] = {}  # plans by nesting, leaves and keys
        self._executables: dict[Any, Executable] = {}  # programs by nodes

    # -- running ----------------------------------------------------------------------------------------------------
    def run(self, fetches: Any, feed_dict: Any = None) -> Any:
        """The values of ``fetches``: NumPy arrays (scalars for 0-d tensors), None for operations, nested as they are.

        ``fetches`` is a tensor, operation, name or Variable, or any nesting of lists, tuples, dicts and dataclasses of
        them. ``feed_dict`` gives values for placeholders, names or any other tensor of the graph. Variables that are
        fetched, or read by what is fetched, show their value from before the updates of this run. Raises FeedError,
        FetchError, SessionError (closed, or an empty graph), and what operations raise, with their line.
        """
        keys = () if feed_dict is None else feed_dict
        try:
            plan = self._quick.get((*fetches, list, *keys) if type(fetches) is list else (fetches, *keys))
        except TypeError:  # something that cannot be hashed
            plan = None
        if plan is None:
            plan, feed_dict = self._prepare(fetches, feed_dict)
        return plan(() if feed_dict is None else feed_dict.values())

    def make_callable(self, fetches: Any, feed_list: Sequence[Any] | None = None) -> Callable[..., Any]:
        """A function of the values for ``feed_list`` (keys as in ``feed_dict``) that gives what ``run`` would.

        It does in advance all that can be done, and is the quickest way to run the same thing again and again.
        """
        keys = list(feed_list or ())
        plan = self._plan(fetches, keys)

        def call(*values: Any) -> Any:
            if len(values) != len(keys):
                raise TypeError(f"this callable takes {len(keys)} values, got {len(values)}")
            if self._closed:
                self._check_open()
            return plan(values)

        return call

    def profile(self, fetches: Any, feed_dict: Any = None) -> Any:
        """Run once and measure: a ``Profile`` with the values, the time of each kernel and the user's lines.

        ``print(profile)`` shows a table, ``profile.to_chrome_trace(path)`` writes a file for chrome://tracing.
        """
        from graphflow.runtime.profiler import profile_plan

        expanded, _ = expand(feed_dict or {})
        return profile_plan(self._plan(fetches, list(expanded)), list(expanded.values()))

    # -- in steps -----------------------------------------------------------------------------------------------------
    def partial_run_setup(self, fetches: Any, feeds: Sequence[Any] | None = None) -> Any:
        """Begin a run that is fed and fetched in steps; gives the handle for ``partial_run``."""
        from graphflow.runtime.partial import PartialRun

        self._check_open()
        return PartialRun(self.graph, fetches, feeds or ())

    def partial_run(self, handle: Any, fetches: Any, feed_dict: Any = None) -> Any:
        """The next step of a run: everything is computed at most once, with the feeds of all steps so far."""
        self._check_open()
        if handle.graph is not self.graph:
            raise ValueError("this handle is of a Session of another graph")
        return handle.step(fetches, feed_dict)

    # -- planning -----------------------------------------------------------------------------------------------------
    def _prepare(self, fetches: Any, feed_dict: Any) -> tuple[Plan, dict[Any, Any]]:
        """The plan for a call that is not known by its objects, and its feeds taken apart."""
        expanded, changed = expand({} if feed_dict is None else feed_dict)
        items, tree = flatten(fetches, conversion_of)
        if not all(type(item) in _PLAIN for item in (*items, *expanded)):
            return self._plan(fetches, list(expanded)), expanded
        key = (tree, *items, None, *expanded)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._remember(self._plans, key, self._plan(fetches, list(expanded)))
        if not changed and (tree.kind is None or plan.wanted.is_flat_list):
            self._remember(self._quick, (*items, list, *expanded) if tree.kind else (fetches, *expanded), plan)
        return plan, expanded

    def _remember(self, plans: dict[Any, Plan], key: Any, plan: Plan) -> Plan:
        if not self._closed:
            if len(plans) >= _QUICK:
                plans.clear()
            plans[key] = plan
        return plan

    def _plan(self, fetches: Any, keys: Sequence[Any]) -> Plan:
        self._check_open()
        wanted = Fetches(self.graph, fetches)
        needed = wanted.needed()
        if not self.graph.nodes and not needed:
            raise SessionError(f"graph {self.graph.name!r} is empty: there is nothing to run; build it first")
        fed = [node_of_key(self.graph, key) for key in keys]
        for node in fed:
            if fed.count(node) > 1:
                raise FeedError(f"{node.name!r} is fed twice")
        values, effects = _roots(self.graph, needed)
        roots = [*values, *effects]
        _check_fed(roots, fed)
        feed_set = FeedSet(fed, self.graph.assumptions)
        return Plan(wanted, feed_set, self._executable(values, effects, fed) if _runs_program(roots) else None, values)

    def _executable(self, values: list[Node], effects: list[Node], fed: list[Node]) -> Executable:
        key = (*values, None, *effects, None, *fed)
        with self._lock:
            executable = self._executables.get(key)
            if executable is None:
                executable = build(values, fed, effects, optimize=self.optimize, num_threads=self.num_threads)
                if not any(n.op.name == "initialize" for n in needed_nodes([*values, *effects], dict.fromkeys(fed))):
                    self._executables[key] = executable  # an initializer depends on what the graph uses by then
        return executable

    # -- life ---------------------------------------------------------------------------------------------------------
    @property
    def closed(self) -> bool:
        return self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("this Session is closed; make a new one (variables keep their values)")

    def close(self) -> None:
        """Let go of the compiled programs; runs under way in other threads finish. Closing twice is fine."""
        self._closed = True
        self._quick, self._plans, self._executables = {}, {}, {}

    def __enter__(self) -> Session:
        self._check_open()
        _defaults.stack.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()
        self.close()

    def _leave(self) -> None:
        if not _defaults.stack or _defaults.stack[-1] is not self:
            raise SessionError(
                "Sessions must be left in the reverse order in which they were entered, in the same thread"
            )
        _defaults.stack.pop()

    @contextmanager
    def as_default(self) -> Iterator[Session]:
        """Make it the default Session inside the block, without closing it at the end."""
        self.__enter__()
        try:
            yield self
        finally:
            self._leave()

    def __repr__(self) -> str:
        return f"<Session of {self.graph.name!r}{', closed' if self._closed else ''}>"


class InteractiveSession(Session):
    """A Session that is the default one until it is closed (TensorFlow's name), for ``op.run()`` and ``tensor.eval()``.

    >>> x = gf.placeholder((), name="x")
    >>> doubled = x * 2
    >>> session = gf.InteractiveSession()
    >>> doubled.eval({x: 21.0})
    np.float32(42.0)
    >>> session.close()
    """

    def __init__(
        self,
        graph: Graph | None = None,
        device: str | None = None,
        num_threads: int | None = None,
        optimize: bool = True,
    ) -> None:
        super().__init__(graph, device, num_threads, optimize)
        _defaults.stack.append(self)

    def close(self) -> None:
        """Close it, and let the Session before it be the default again."""
        if self in _defaults.stack:
            _defaults.stack.remove(self)
        super().close()


def _roots(graph: Graph, needed: Sequence[Any]) -> tuple[list[Node], list[Node]]:
    """The nodes with values to compute, and those that are only to be done."""
    values = value_nodes(needed)
    effects = [n for n in needed if isinstance(n, Node) and n.aval is None]
    if any(n in graph.outputs for n in values):  # an output of a traced function: what the function does, is done
        effects += [n for n in graph.nodes if has_effect(n) and n not in effects and n not in values]
    return values, effects


def _check_fed(roots: Sequence[Node], fed: Sequence[Node]) -> None:
    for node in needed_nodes(roots, dict.fromkeys(fed)):
        if node.op.name == "placeholder" and node not in fed:
            raise unfed(node)


def _runs_program(roots: Sequence[Node]) -> bool:
    """Whether there is more to do than to initialise variables (which needs no program) or nothing."""
    only = all(n.op.name == "initialize" and not n.control for n in roots)
    return not only
