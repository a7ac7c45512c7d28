"""Native programs behind eager mode: composite functions, and their gradients, as one native call each.

A ``PureFunction`` is a recorded function of tensors for operands of certain dtypes and (symbolic) shapes; its gradient
is another one. A ``FusedCall`` runs it on operands of certain sizes, and stands on the tape as the operation that made
the results. Gradients of gradients are those of the gradient's function, and so on, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from graphflow.autograd import gradients
from graphflow.core import config, dispatch, locks
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, bind_sizes, collecting_assumptions, product
from graphflow.core.errors import CompileError, ShapeError
from graphflow.ir.graph import Graph, Node, rebuild
from graphflow.ops.fused import Composite
from graphflow.ops.special import identity
from graphflow.runtime.build import build
from graphflow.tensor import Tape, Tensor, as_tensor
from graphflow.trace.recorder import FunctionRecorder, Recorder
from graphflow.variable import Variable

KINDS = 4096  # kinds of calls that one composite remembers
SIZES = 3  # programs for different sizes, before one is made for any size
_state = dispatch.state
_building = locks.rlock()
_ATTRS: list[dict[str, Any]] = [{"_index": i} for i in range(64)]


class PureFunction:
    """A graph without state, from operands to results, and its native program."""

    def __init__(self, name: str, operands: Sequence[Node], results: Sequence[Tensor], single: bool) -> None:
        self.name = name
        self.operands = list(operands)
        self.results: list[Node] = [r._node for r in results]
        self.passing = [r.requires_grad for r in results]
        self.single = single  # whether it gives one tensor, not a list
        self.has_loops = any(n.op.name == "scan" for n in self.operands[0].graph.nodes)
        self._gradients: dict[Any, tuple[PureFunction | None, tuple[int, ...]]] = {}
        if not self.has_loops:  # with loops, those that keep something for gradients often run in its place
            self.executable: Any = build(self.results, self.operands)

    def __getattr__(self, name: str) -> Any:
        if name != "executable":
            raise AttributeError(name)
        with _building, recording_defaults(self.operands[0].graph.recorder):
            self.executable = build(self.results, self.operands)
        return self.executable

    @staticmethod
    def record(name: str, function: Callable[..., Any], avals: Sequence[AVal]) -> PureFunction:
        """Record a function. Raises CompileError if it has state, or gives other things than tensors."""
        graph = Graph(name)
        recorder = FunctionRecorder(graph)
        with recording_defaults(recorder):
            operands = [recorder.placeholder(a, f"operand{i}", a.dtype.is_float) for i, a in enumerate(avals)]
            result = function(*operands)
        results = [result] if isinstance(result, Tensor) else list(result)
        if any(n.op.name in ("variable_read", "variable_assign") for n in graph.nodes):
            raise CompileError(f"{name} has state")
        if not all(isinstance(r, Tensor) and r._node is not None for r in results):
            raise CompileError(f"{name} gives a result that does not depend on its operands")
        return PureFunction(name, [t._node for t in operands], results, isinstance(result, Tensor))

    def gradient(self, index: int, wanted: tuple[int, ...]) -> tuple[PureFunction | None, tuple[int, ...]]:
        """The function of the operands and the gradient of result ``index`` that gives those of operands ``wanted``.

        Also the operands that have one, among these: without any there is no function.
        """
        with _building:
            if (index, wanted) not in self._gradients:
                self._gradients[index, wanted] = self._differentiated(index, wanted)
            return self._gradients[index, wanted]

    def _differentiated(self, index: int, wanted: tuple[int, ...]) -> tuple[PureFunction | None, tuple[int, ...]]:
        graph, mapping = rebuild(self.operands[0].graph, [*self.operands, *self.results], lambda *_: None)
        recorder = Recorder(graph)
        with recording_defaults(recorder):
            result = Tensor(None, mapping[self.results[index]])
            operands = [Tensor(None, mapping[n], n.aval.dtype.is_float) for n in self.operands]
            seed = recorder.placeholder(result._node.aval, "gradient", True)
            found = dict(zip(wanted, gradients([result], [operands[i] for i in wanted], [seed])))
            slopes = {i: g for i, g in found.items() if g is not None}
            if not slopes:
                return None, ()
            nodes = [t._node for t in (*operands, seed)]
            return PureFunction(f"gradient of {self.name}", nodes, list(slopes.values()), False), tuple(slopes)


@contextmanager
def recording_defaults(recorder: Recorder) -> Iterator[None]:
    """Record and compile as with the default settings, whatever the user set."""
    settings = config.config(check_numerics=False, optimize=True, disabled_passes=())
    assumptions = collecting_assumptions(recorder.graph.assumptions, loud=False)
    with settings, dispatch.recording(recorder), assumptions, dispatch.enable_grad():
        yield


class FusedCall:
    """A pure function for operands of certain sizes; on the tape, the operation that made its results.

    function   what it computes, in public functions
    into       the shapes in which the program takes the operands; None: as they are
    back       the shapes that the results get afterwards; None: as they are
    """

    kind = "composite"
    joint = False  # its rule takes the gradient of one result

    def __init__(
        self, pure: PureFunction, function: Callable[..., Any], into: Sequence[Any], back: Sequence[Any]
    ) -> None:
        self.pure = pure
        self.name = pure.name
        self.function = function
        self.into = list(into)
        self.back = list(back)
        self._reshapes = any(s is not None for s in (*into, *back))
        self._gradients: dict[Any, tuple[FusedCall | None, tuple[int, ...]]] = {}
        self._saving: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<fused {self.name}>"

    # -- forward ------------------------------------------------------------------------------------------------------
    def __call__(self, operands: Sequence[Tensor]) -> Any:
        """The results for eager tensors, on the tape if one of them requires a gradient."""
        if self.pure.has_loops and _state.grad_enabled and not self._reshapes:
            from graphflow.runtime.saving import saving

            keeping = saving(self, operands, self._saving)
            if keeping is not None:
                return keeping(operands)
        data: list[Any] = [t._data for t in operands]
        arrays = [d if d.flags.c_contiguous else d.copy() for d in data]
        if self._reshapes:
            outs = self.pure.executable.run([a if s is None else a.reshape(s) for a, s in zip(arrays, self.into)])
            outs = [a if s is None else a.reshape(s) for a, s in zip(outs, self.back)]
        else:
            outs = self.pure.executable.run(arrays)
        results = [Tensor(a) for a in outs]
        if _state.grad_enabled:
            for t in operands:
                if t.requires_grad:
                    self._attach(results, operands)
                    break
        return results[0] if self.pure.single else results

    def _attach(self, results: list[Tensor], operands: Sequence[Tensor]) -> None:
        for t, passing, attrs in zip(results, self.pure.passing, _ATTRS):
            if passing:
                t.requires_grad = True
                t._tape = Tape(self, operands, attrs)  # type: ignore[arg-type]

    # -- backward -----------------------------------------------------------------------------------------------------
    def vjp(self, g: Tensor, out: Tensor, *operands: Tensor, _index: int) -> Sequence[Tensor | None]:
        """The gradients of operands, given that of a result: what the reverse sweep calls."""
        wanted = tuple([i for i, t in enumerate(operands) if t.requires_grad])
        found: list[Tensor | None] = [None] * len(operands)
        if _state.recorder is not None or g._data is None:
            for i, slope in zip(wanted, _slopes(self.function, _index, wanted, operands, g)):
                found[i] = slope
            return found
        known = self._gradients.get((_index, wanted))
        if known is None:
            known = self._gradients[_index, wanted] = self._gradient(operands, _index, wanted)
        call, present = known
        if call is not None:
            for i, slope in zip(present, call((*operands, g))):
                found[i] = slope
        return found

    def _gradient(
        self, operands: Sequence[Tensor], index: int, wanted: tuple[int, ...]
    ) -> tuple[FusedCall | None, tuple[int, ...]]:
        pure, present = self.pure.gradient(index, wanted)
        if pure is None:
            return None, ()

        def function(*operands_and_seed: Tensor) -> list[Tensor | None]:
            *inputs, seed = operands_and_seed
            return _slopes(self.function, index, present, inputs, seed)

        seed = None if self.back[index] is None else _sizes(self.pure, operands, self.into)[index]
        back = [None if self.into[i] is None else operands[i].shape for i in present]
        return FusedCall(pure, function, [*self.into, seed], back), present


def _slopes(
    function: Callable[..., Any], index: int, wanted: Sequence[int], operands: Sequence[Tensor], seed: Tensor
) -> list[Tensor | None]:
    """The gradients of one of a function's results in the operands ``wanted``, made of public functions."""
    with dispatch.enable_grad():
        inputs = [identity(t) for t in operands]
        result = function(*inputs)
        result = result if isinstance(result, Tensor) else result[index]
        return gradients(result, [inputs[i] for i in wanted], seed)  # type: ignore[no-any-return]


# -- from calls to programs --------------------------------------------------------------------------------------------
class Family:
    """Kinds of calls that share a program."""

    def __init__(self) -> None:
        self.calls = 0
        self.pure: PureFunction | None = None
        self.hopeless = False  # no program can be made


class Arrangement(NamedTuple):
    """How operands enter a program: the shapes it is made for, and theirs for it."""

    shapes: list[Shape]
    into: list[Any]
    lead: tuple[int, ...] | None  # what a leading axis of size ``ROWS`` stands for


ROWS = Dim("rows")


def prepare(composite: Composite, key: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> FusedCall | None:
    """The native call for one kind of call; None to run the function as it is, for now or for good."""
    names = (*composite.parameters[: len(args)], *kwargs)
    values = [*args, *kwargs.values()]
    operands = {n: as_tensor(v) for n, v in zip(names, values) if isinstance(v, (Tensor, Variable))}
    settings = {n: v for n, v in zip(names, values) if n not in operands}
    arrangement = _arrange(composite, operands, settings)
    call = None
    if arrangement is not None:
        dtypes = [t.dtype for t in operands.values()]
        statics = tuple((n, type(v), v if v or type(v) is not float else str(v)) for n, v in settings.items())
        if len(composite.families) >= KINDS:  # settings that change all the time
            for kept in (composite.calls, composite.families, composite.sizes):
                kept.clear()
        arrangement = _loosened(composite, arrangement, operands, (names, *dtypes, statics))
        family = composite.families.setdefault((names, *arrangement.shapes, *dtypes, statics), Family())
        family.calls += 1
        if family.calls <= config.get("native_after"):
            return None
        function = _function_of_tensors(composite.function, values, names, len(args))
        pure = _program(composite, family, function, [AVal(s, d) for s, d in zip(arrangement.shapes, dtypes)])
        if pure is None and not family.hopeless:
            return None
        if pure is not None:
            call = _fitted(pure, function, arrangement, list(operands.values()))
    if len(composite.calls) >= KINDS:
        composite.calls.clear()
    composite.calls[key] = call
    return call


def _function_of_tensors(
    function: Callable[..., Any], values: Sequence[Any], names: Sequence[str], positional: int
) -> Callable[..., Any]:
    """The function with its other arguments filled in."""
    places = [i for i, v in enumerate(values) if isinstance(v, (Tensor, Variable))]
    template = [None if i in places else v for i, v in enumerate(values)]

    def run(*tensors: Tensor) -> Any:
        filled = list(template)
        for i, t in zip(places, tensors):
            filled[i] = t
        return function(*filled[:positional], **dict(zip(names[positional:], filled[positional:])))

    return run


def _program(
    composite: Composite, family: Family, function: Callable[..., Any], avals: Sequence[AVal]
) -> PureFunction | None:
    with _building:
        if family.pure is None and not family.hopeless:
            try:
                family.pure = PureFunction.record(composite.name, function, avals)
            except Exception as error:  # what cannot be compiled runs as it is written
                sizes = {d for a in avals for d in a.shape if isinstance(d, Dim)}
                if isinstance(error, ShapeError) and len(sizes) > 1 and not composite.axes_agree:
                    composite.axes_agree = True  # a mask has the keys' number on another axis: next time they agree
                    return None
                composite.failures.append(f"{type(error).__name__}: {error}")
                family.hopeless = True
        return family.pure


def _arrange(composite: Composite, operands: Mapping[str, Tensor], settings: dict[str, Any]) -> Arrangement | None:
    """How the operands enter a program; None for what native code is no use for."""
    shapes: list[Any] = [t.shape for t in operands.values()]
    if not shapes or any(0 in s for s in shapes):
        return None
    first = shapes[0]
    layout = composite.layout if isinstance(composite.layout, str) else composite.layout(first, settings)
    into: list[Any] = [None] * len(shapes)
    if layout == "flat":
        size = int(product(first))
        if size == 1 or any(s != first for s in shapes):
            return Arrangement(shapes, into, None)
        return Arrangement([(ROWS,)] * len(shapes), [None if len(first) == 1 else (size,)] * len(shapes), first)
    if layout == "rows":
        rows = int(product(first[:-1]))
        if rows == 1:
            return Arrangement(shapes, into, None)
        into[0] = None if len(first) == 2 else (rows, first[-1])
        return Arrangement([(ROWS, first[-1]), *shapes[1:]], into, first[:-1])
    return Arrangement(_batched(composite, operands, first[0] if first else 1), into, None)


def _batched(composite: Composite, operands: Mapping[str, Tensor], batch: int) -> list[Shape]:
    """The operands' shapes with a symbolic batch size."""
    shapes: list[Shape] = []
    for name, t in operands.items():
        shape = t.shape
        if name in composite.batched and batch > 1 and shape[:1] == (batch,):
            shape = (ROWS, *shape[1:])
        shapes.append(shape)
    return shapes


def _loosened(
    composite: Composite, arrangement: Arrangement, operands: Mapping[str, Tensor], kind: tuple[Any, ...]
) -> Arrangement:
    """The arrangement; where calls differ in sizes all the time, with all sizes of the batched operands symbolic."""
    loose = {n: s for n, s in zip(operands, arrangement.shapes) if ROWS in s}
    fixed = tuple(len(s) if n in loose else s for n, s in zip(operands, arrangement.shapes))
    seen = composite.sizes.setdefault((kind, fixed), set())
    shapes = tuple(arrangement.shapes)
    if shapes in seen or len(seen) < SIZES:
        seen.add(shapes)
        return arrangement
    dims: dict[Any, Dim] = {}  # equal sizes of one axis share theirs, or all that are equal
    for i, (n, shape) in enumerate(zip(operands, shapes)):
        if n in loose:
            sizes = [
                dims.setdefault(s if composite.axes_agree else (axis, s), Dim(f"size{len(dims)}"))
                if type(s) is int and s > 1
                else s
                for axis, s in enumerate(shape)
            ]
            arrangement.shapes[i] = tuple(sizes)
    return arrangement


def _fitted(
    pure: PureFunction, function: Callable[..., Any], arrangement: Arrangement, operands: Sequence[Tensor]
) -> FusedCall:
    _, into, lead = arrangement
    back: list[Any] = [None] * len(pure.results)
    if lead is not None and any(s is not None for s in into):
        for i, (node, shape) in enumerate(zip(pure.results, _sizes(pure, operands, into))):
            if node.aval.shape[:1] == (ROWS,):
                back[i] = (*lead, *shape[1:])
    return FusedCall(pure, function, into, back)


def _sizes(pure: PureFunction, operands: Sequence[Tensor], into: Sequence[Any]) -> list[tuple[int, ...]]:
    """The shapes of the program's results for these operands."""
    sizes: dict[str, int] = {}
    for node, t, shape in zip(pure.operands, operands, into):
        actual: Any = t.shape if shape is None else shape
        bind_sizes(node.aval.shape, actual, sizes)
    return [n.aval.evaluate(sizes) for n in pure.results]
