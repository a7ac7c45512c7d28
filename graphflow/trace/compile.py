"""gf.compile: trace a Python function once for each kind of arguments, compile the trace, and run that from then on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from graphflow.core import config, dispatch, locks
from graphflow.core.collector import collector_paused
from graphflow.core.dims import Shape
from graphflow.core.errors import ShapeError, SymbolicDimError
from graphflow.core.tree import flatten
from graphflow.tensor import Tensor
from graphflow.trace.function import TracedFunction
from graphflow.trace.ledger import CacheInfo, Event, Ledger
from graphflow.trace.signature import ArrayKey, Signature, array_of, differences, is_array, symbolic_shapes
from graphflow.trace.tracing import function_name, leaf_names

_state, _settings = dispatch.state, config.current
_EXACT = 4096  # argument shapes that are remembered
_MANY = 64  # traces of one function that are worth a warning
_GENERATORS = 0x20 | 0x80 | 0x200  # code flags of generators, coroutines and asynchronous generators


def compile(
    fn: Callable[..., Any] | None = None,
    *,
    dynamic: bool | Sequence[int] = True,
    num_threads: int | None = None,
    optimize: bool = True,
) -> Any:
    """A function (or Module, or method) that is traced at its first call, compiled, and then runs natively.

    Tensors and arrays become inputs. Python numbers, strings, None and other objects are part of the program: another
    value means another trace (so give a changing number as a tensor). Variables, gradients and random numbers that the
    function reaches are read and changed in place, as they would be eagerly. What it returns are tensors, through which
    gradients pass as usual.

    dynamic      whether the leading sizes of arguments stay open, so that other batch sizes need no other trace; or the
                 axes that do, such as ``(0, 1)``. Where the function needs a size's number, that is taken instead
    num_threads  threads for the program; None takes the process's budget
    optimize     False runs the graph as it was traced, on the NumPy interpreter

    Raises TraceError where Python code asks a tensor for its value. ``gf.config(mode="eager")`` runs the function as it
    is written.

    >>> @gf.compile
    ... def f(x):
    ...     return (x * x).sum()
    >>> f(gf.ones(3)).item(), f(gf.ones(4)).item(), f.cache_info().traces
    (3.0, 4.0, 1)
    """
    if fn is None:
        return lambda f: compile(f, dynamic=dynamic, num_threads=num_threads, optimize=optimize)
    if isinstance(fn, CompiledFunction):
        fn = fn.__wrapped__
    if not callable(fn):
        raise TypeError(f"compile needs a function or a Module, got a {type(fn).__name__}")
    from graphflow.runtime import build  # noqa: F401 - now, where things are set up, rather than in the first call

    return CompiledFunction(fn, dynamic, num_threads, optimize)


class Family:
    """The traces of calls that differ in sizes only."""

    def __init__(self) -> None:
        self.traces: list[TracedFunction] = []
        self.static: str | None = None  # why its sizes must be numbers, if they must


class CompiledFunction:
    """What ``gf.compile`` gives: call it like the function. See ``cache_info()`` and ``explain()``."""

    def __init__(self, fn: Callable[..., Any], dynamic: Any, num_threads: int | None, optimize: bool) -> None:
        code = getattr(getattr(fn, "__func__", fn), "__code__", None)
        if code is not None and code.co_flags & _GENERATORS:
            raise TypeError(
                f"{function_name(fn)} is a generator or coroutine, which runs in pieces; compile the pieces"
            )
        self.__wrapped__ = fn
        self.__name__ = function_name(fn)
        for name in ("__doc__", "__module__", "__qualname__"):
            setattr(self, name, getattr(fn, name, None))
        self._axes = (0,) if dynamic is True else () if dynamic is False else tuple(dynamic)
        self._options = (dynamic, num_threads, optimize)
        self._exact: dict[Any, list[TracedFunction]] = {}  # by all that counts of the arguments, shapes included
        self._quick: dict[Any, Callable[[Sequence[Any]], Tensor | None]] = {}  # for calls that only run a program
        self._families: dict[Any, Family] = {}
        self._traces: list[TracedFunction] = []
        self._ledger = Ledger()
        self._lock = locks.rlock()

    # -- calling ------------------------------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state, settings = _state, _settings
        if state.recorder is not None or settings.eager:  # part of another trace or graph
            return self.__wrapped__(*args, **kwargs)
        if not kwargs:
            key: list[Any] = [state.grad_enabled, settings.key]
            arrays = []
            for a in args:  # the quick way: only tensors and arrays
                if type(a) is Tensor and a._node is None and not a.requires_grad:
                    data: Any = a._data
                elif type(a) is np.ndarray:
                    data = a
                else:
                    break
                arrays.append(data)
                key.append(data.dtype)
                key.append(data.shape)
            else:
                exact = tuple(key)
                quick = self._quick.get(exact)
                if quick is not None and (result := quick(arrays)) is not None:
                    self._ledger.hits += 1
                    return result
                for trace in self._exact.get(exact, ()):
                    if trace.holds():
                        self._ledger.hits += 1
                        result = trace(arrays, args)
                        if trace.only_runs and (call := trace.quick(arrays)) is not None:
                            self._quick[exact] = call
                        return result
                return self._general(args, kwargs, exact)
        return self._general(args, kwargs, None)

    def _general(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        """A call that is new, or has more than tensors and arrays as its arguments."""
        found = self._lookup(args, kwargs, key)
        if found is None:  # symbolic arguments: part of their graph
            return self.__wrapped__(*args, **kwargs)
        trace, arrays, originals = found
        return trace(arrays, originals)

    def _lookup(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any = None) -> Any:
        """The trace for a call, made if need be, with the arrays it takes and what they came from."""
        ordered = {k: kwargs[k] for k in sorted(kwargs)}
        leaves, tree = flatten((args, ordered))
        if any(type(leaf) is Tensor and leaf._node is not None for leaf in leaves):
            return None
        signature = Signature(leaves, tree)
        originals = [leaf for leaf in leaves if is_array(leaf)]
        arrays = [array_of(leaf) for leaf in originals]
        key = key or signature.key
        for trace in self._exact.get(key, ()):
            if trace.holds():
                self._ledger.hits += 1
                return trace, arrays, originals
        with self._lock:
            trace = self._find(signature)  # type: ignore[assignment]
            if trace is not None:
                self._ledger.hits += 1
            else:
                self._ledger.misses += 1
                with collector_paused():
                    trace = self._trace(signature, leaves, leaf_names(self.__wrapped__, args, ordered))
            if len(self._exact) >= _EXACT:
                self._exact.clear()
                self._quick.clear()
            self._exact[key] = [trace, *(t for t in self._exact.get(key, ()) if t is not trace)]
        return trace, arrays, originals

    def _find(self, signature: Signature) -> TracedFunction | None:
        family = self._families.get(signature.family)
        for trace in family.traces if family is not None else ():
            if trace.holds() and trace.misfit(signature.shapes) is None:
                return trace
        return None

    # -- tracing ------------------------------------------------------------------------------------------------------
    def _trace(self, signature: Signature, leaves: list[Any], names: list[str]) -> TracedFunction:
        family = self._families.setdefault(signature.family, Family())
        reason = self._reason(signature, names)
        shapes = signature.shapes
        array_names = [n for n, k in zip(names, signature.leaves) if type(k) is ArrayKey]
        open_shapes = symbolic_shapes(shapes, array_names, self._axes)
        trace = None
        if open_shapes != shapes and family.static is None:
            started = time.perf_counter()
            try:
                trace = self._record(signature, leaves, open_shapes, names)
                problem = trace.misfit(shapes)
            except (SymbolicDimError, ShapeError) as error:
                problem = str(error).partition("\n")[0].partition(";")[0]
                if isinstance(error, SymbolicDimError):
                    family.static = problem
            if problem is not None:
                trace = None
                reason += f"; its sizes are taken as numbers: {problem}"
                self._ledger.failed_seconds += time.perf_counter() - started
        elif family.static is not None:
            reason += f"; its sizes are taken as numbers: {family.static}"
        if trace is None:
            trace = self._record(signature, leaves, shapes, names)
        _, num_threads, optimize = self._options
        trace.compile(optimize, num_threads)
        self._ledger.compiles += 1
        described = signature.describe(names, trace.shapes)
        self._ledger.events.append(Event(described, reason, trace.trace_seconds, trace.compile_seconds))
        family.traces.append(trace)
        self._traces.append(trace)
        if len(self._traces) == _MANY:
            warnings.warn(
                f"{self.__name__} was traced {_MANY} times, the last time because {reason}; see cache_info()",
                stacklevel=4,
            )
        return trace

    def _record(
        self, signature: Signature, leaves: list[Any], shapes: Sequence[Shape], names: Sequence[str]
    ) -> TracedFunction:
        self._ledger.traces += 1
        tree = signature.tree
        return TracedFunction(self.__name__, self.__wrapped__, signature, (leaves, tree), shapes, names)

    def _reason(self, signature: Signature, names: Sequence[str]) -> str:
        """The difference to the closest trace that there is."""
        closest: list[str] | None = None
        for trace in self._traces:
            found = differences(signature, trace.signature, names, trace.shapes) + trace.broken_facts()
            if not found and (problem := trace.misfit(signature.shapes)) is not None:
                found = [problem]
            if closest is None or len(found) < len(closest):
                closest = found
        if closest is None:
            return "the first call"
        return "; ".join(closest) or "nothing that shows"

    # -- looking ------------------------------------------------------------------------------------------------------
    def cache_info(self) -> CacheInfo:
        """Traces, compiles, seconds, hits, misses, and the reason for each trace."""
        return self._ledger.info()

    def cache_clear(self) -> None:
        """Forget all traces."""
        with self._lock:
            self._exact, self._quick, self._families, self._traces, self._ledger = {}, {}, {}, [], Ledger()

    def explain(self) -> str:
        """For each trace: what it serves, why it was made, the optimized graph, the kernels and why fusions stopped."""
        if not self._traces:
            return f"{self.__name__} has not been called yet"
        parts = [f"== {self.__name__}: {self.cache_info()}"]
        for event, trace in zip(self._ledger.events, self._traces):
            parts.append(f"== ({event.signature}): {event.reason}\n{trace.explain()}")
        return "\n".join(parts)

    def newest(self) -> TracedFunction:
        """The trace made last. Raises RuntimeError if the function has not been called yet."""
        if not self._traces or self._traces[-1].executable is None:
            raise RuntimeError(f"{self.__name__} has not been called yet: there is no graph to show")
        return self._traces[-1]

    def profile(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function once and measure: a ``Profile`` with what it gives, each kernel's time, the user's lines.

        ``print(profile)`` shows a table, ``gf.viz.html(profile, path)`` the graph with it.
        """
        from graphflow.runtime.profiler import profile_trace

        found = self._lookup(args, kwargs)
        if found is None:
            raise TypeError(f"{self.__name__} cannot be measured inside a graph: give it tensors with numbers")
        return profile_trace(*found)

    def draw(self, path: Any) -> None:
        """Write the newest trace's optimized graph, each kernel's nodes framed together, as SVG or (.html) a page.

        Raises RuntimeError if the function has not been called yet.
        """
        executable = self.newest().executable
        if str(path).endswith(".html"):
            from graphflow.viz.page import html

            html(self, path)
        else:
            executable.graph.draw(path, getattr(executable, "kernel_labels", dict)())

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}: {self._ledger.traces} traces>"

    # -- as an attribute, and in place of the function ----------------------------------------------------------------
    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """A decorated method: each object gets a compiled function of its own, which lives as long as the object."""
        if owner is None:
            return self
        bind = getattr(self.__wrapped__, "__get__", None)
        if bind is None:
            return self
        methods = getattr(owner, "__dict__", {}).setdefault("_compiled_methods", _Methods())
        if self not in methods:
            methods[self] = CompiledFunction(bind(owner, kind), *self._options)
        return methods[self]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __deepcopy__(self, memo: Any) -> CompiledFunction:
        return CompiledFunction(deepcopy(self.__wrapped__, memo), *self._options)

    def __reduce__(self) -> Any:
        return (CompiledFunction, (self.__wrapped__, *self._options))


class _Methods(dict[Any, Any]):
    """The compiled methods of one object; copies of the object start without."""

    def __deepcopy__(self, memo: Any) -> _Methods:
        return _Methods()

    __copy__ = __deepcopy__  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return (_Methods, ())
