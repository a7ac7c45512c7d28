"""Executables: functionalised, optimised graphs made runnable.

Everything above (Session, compiled functions) talks to this interface:

    executable = make_executable(graph, inputs)      # graph: functionalised; inputs: its placeholder nodes, in call
    order outputs = executable.run(arrays)                 # one array per graph.outputs node; variables in
    graph.updates are set

``Native`` compiles once and makes a small *plan* for each set of symbolic sizes: offsets in the arena, the kernels'
run-time arguments, their numbers of chunks. A run fills in the pointers of inputs, outputs and variables and calls the
native driver once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from graphflow.codegen.build import Instruction, build
from graphflow.codegen.jit import compile_units
from graphflow.core import locks
from graphflow.core.blocks import block_array
from graphflow.core.dims import Dim, bind_sizes, concrete
from graphflow.core.dims import evaluate as evaluate_size
from graphflow.core.errors import FeedError, IndexingError, at_line
from graphflow.ir.graph import Graph, Node, has_effect
from graphflow.ir.interpreter import check_assumptions, evaluate
from graphflow.runtime import gang
from graphflow.runtime.binding import bind_unit
from graphflow.runtime.control import UNITS, Tour
from graphflow.runtime.native import BARRIER, STOP, NativeProgram, aligned_empty
from graphflow.runtime.native import Instruction as Call
from graphflow.schedule.describe import describe
from graphflow.schedule.fusion import schedule
from graphflow.schedule.kernels import Buffer, HostStep, Indirect, LibraryKernel, Program
from graphflow.schedule.marks import Mark
from graphflow.schedule.memory import Arena
from graphflow.trace.signature import READY, ready
from graphflow.variable import epoch as variable_epoch

BRIEF = 16  # kernels that are run without letting other Python threads run meanwhile
ALIGNED_BYTES = 1 << 20  # results that start at a cache line
PLANS = 256  # plans kept for different symbolic sizes


class Executable(Protocol):
    """A graph that runs."""

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs for these inputs: C-contiguous arrays of the placeholders' dtypes, their shapes checked by the
        caller.

        Fresh arrays come back. Variables are updated only if everything succeeded.
        """


class Interpreted:
    """Runs on the NumPy interpreter: ``Session(optimize=False)`` and debugging."""

    def __init__(self, graph: Graph, inputs: Sequence[Node]) -> None:
        self.graph = graph
        self.inputs = list(inputs)
        effects = [n for n in graph.nodes if has_effect(n)]  # prints and checks that no output needs
        self._fetches = [*graph.outputs, *(n for _, n in graph.updates), *effects]

    def run(self, arrays: Sequence[Any], observe: Any = None) -> list[Any]:
        feeds = dict(zip(self.inputs, arrays, strict=True))
        values = evaluate(self._fetches, feeds, commit=False, observe=observe) if self._fetches else []
        count = len(self.graph.outputs)
        for (variable, _), value in zip(self.graph.updates, values[count:]):
            variable._store(np.ascontiguousarray(value).reshape(variable.shape))
        return values[:count]


class Segment(NamedTuple):
    """A stretch of native code; ``kernels`` tells what each instruction is (None: bookkeeping)."""

    program: NativeProgram
    kernels: list[Any]


class Plan:
    """A program for one set of symbolic sizes: segments of native code with host steps between them."""

    def __init__(self, owner: Native, sizes: Mapping[str, int]) -> None:
        program = owner.program
        self.sizes = dict(sizes)
        self.shapes = {b: tuple(evaluate_size(s, sizes) for s in b.shape) for b in program.buffers}
        ids = {b: b.index for b in program.buffers}
        self.offsets, self.arena_bytes = owner.arena.arrange(self._nbytes)
        self.table = np.zeros(len(program.buffers), np.int64)
        self.segments: list[Any] = []
        self.outputs = [(self.shapes[b], b.dtype.np) for b in program.results]
        self.parallel = False
        self.scratch_bytes = 0
        bind = owner.addresses[owner.bind.key]
        calls: list[Any] = [(None, Call(bind, owner.binding_arguments(), 1))]  # kernels and their calls
        tour = Tour(owner.addresses, sizes)
        stopped = not owner.can_fail
        for step in owner.instructions:
            if isinstance(step, HostStep):
                self._close(calls)
                self.segments.append(step)
                continue
            if tour.leaves_out(step if isinstance(step, Mark) else step.kernel):
                continue
            if isinstance(step, Mark):
                tour.mark(step, calls)
                continue
            if not stopped and any(b.kind == "variable" for b in step.kernel.writes()):
                calls.append((None, Call(bind, [0], 1, BARRIER | STOP)))  # before the first variable is overwritten
                stopped = True
            arguments, work = step.call(ids, sizes)
            self.scratch_bytes = max(self.scratch_bytes, work.scratch_bytes)
            if work.nchunks:
                before = calls[-1][1] if calls else None
                alone = before is not None and before.nchunks == work.nchunks == 1 and not before.flags & STOP
                waited = before is not None and not before.function  # all threads have just met there
                call = Call(owner.addresses[step.unit.key], arguments, work.nchunks, 0 if alone or waited else BARRIER)
                calls.append((step.kernel, call))
                self.parallel |= work.nchunks > 1
            stopped = stopped and not _can_fail(step.kernel)
        self._close(calls)
        self.cells = tour.cells
        kernels = getattr(self.segments[0], "kernels", ())
        # Kernels that are not worth dividing take microseconds: fewer than it takes to hand Python's lock to others.
        self.brief = len(kernels) <= BRIEF and not any(isinstance(k, LibraryKernel) for k in kernels)
        self.ready()

    def ready(self) -> None:
        """Begin with nothing bound."""
        self.binding = memoryview(self.segments[0].program.args[0])  # quicker to write to than an array
        self.epoch = -1
        self.arena: Any = None  # what the table points into
        self.scratch: Any = None

    def _nbytes(self, buffer: Buffer) -> int:
        return math.prod(self.shapes[buffer]) * buffer.dtype.itemsize

    def bind(self, first: int, arrays: Sequence[Any]) -> None:
        """Enter arrays for the binding slots ``first``...; they must live until the run is over."""
        at, binding = 2 + 2 * first, self.binding
        for a in arrays:
            binding[at] = id(a)
            at += 2

    def _close(self, calls: list[Any]) -> None:
        if calls:
            program = NativeProgram([c for _, c in calls], self.table, self.scratch_bytes)
            self.segments.append(Segment(program, [k for k, _ in calls]))
            calls.clear()


class Native:
    """A graph as one native program."""

    def __init__(self, graph: Graph, inputs: Sequence[Node], num_threads: int | None = None) -> None:
        started = time.perf_counter()
        self.graph = graph
        self.inputs = list(inputs)
        self.num_threads = num_threads
        self.program: Program = schedule(graph, self.inputs)
        self.arena = Arena(self.program)
        numbers = {n: i for i, n in enumerate(self.program.nodes)}
        self.instructions = build(self.program.kernels, self.program.buffers[0], numbers)
        self.bind = bind_unit()
        units = [self.bind, *gang.units(num_threads or gang.get_num_threads())]
        units += [s.unit for s in self.instructions if isinstance(s, Instruction)]
        units += UNITS.values() if any(isinstance(s, Mark) for s in self.instructions) else ()
        self.addresses = compile_units(units)
        self.compile_seconds = time.perf_counter() - started
        self._plans: dict[tuple[int, ...], Plan] = {}
        self.memory = fresh_memory  # what gives the results their arrays
        self.planned: Callable[[Plan], None] | None = None  # told of each new plan
        self._sources = _size_sources(self.program)
        self._arena = self._scratch = aligned_empty(0)
        self._lock = locks.lock()
        self._status = np.zeros(2, np.int64)
        written = {b for _, b in self.program.updates}
        variables = [b for b in self.program.buffers if b.kind == "variable"]
        self._variables = [(b, b in written) for b in variables]
        self._host = [(b, np.zeros(1, b.dtype.np)) for b in self.program.buffers if b.kind == "host"]
        self._constants = [(b, _aligned_copy(b.payload)) for b in self.program.buffers if b.kind == "constant"]
        self.can_fail = any(_can_fail(k) for k in self.program.kernels)
        self._bound = [*self.program.inputs, *self.program.results, *variables]

    def binding_arguments(self) -> list[int]:
        """The bind kernel's arguments:

        How many, then pairs of a buffer's number and its array's id (filled in later).
        """
        return [len(self._bound), *(n for b in self._bound for n in (b.index, 0))]

    @property
    def peak_bytes(self) -> int:
        """Bytes of temporary memory of the largest plan so far."""
        return max((p.arena_bytes for p in self._plans.values()), default=0)

    def kernel_labels(self) -> dict[Node, str]:
        """For each node that is computed, the (first) kernel it is part of: for pictures."""
        labels: dict[Node, str] = {}
        for number, kernel in enumerate(self.program.kernels):
            for node in kernel.nodes:
                labels.setdefault(node, f"{number} {kernel.kind}")
        return labels

    def explain(self) -> str:
        """The kernels: what is in each, why it ends there; bytes of temporary memory; seconds of compiling."""
        plans = ", ".join(f"{p.arena_bytes} bytes at {p.sizes or 'static sizes'}" for p in self._plans.values())
        memory = f"temporary memory: {plans or 'no run yet'}"
        return f"{describe(self.program)}\n{memory}\nbuilt in {self.compile_seconds:.3f} s"

    # -- running ----------------------------------------------------------------------------------------------------
    def run(self, arrays: Sequence[Any], times: list[tuple[Any, float]] | None = None) -> list[Any]:
        with self._lock:
            plan = self._plans.get(self._sizes(arrays))
            if plan is None:
                plan = self._plan(arrays)
            elif plan.arena is not self._arena:
                self._point(plan)
            results = self.memory(plan.outputs)
            plan.bind(0, [*arrays, *results])
            if self._variables and plan.epoch != variable_epoch():
                self._bind_variables(plan, len(arrays) + len(results))
            for buffer, cell in self._host:
                cell[0] = buffer.payload()
            if times is None:
                self._execute(plan)
            else:
                self._execute_timed(plan, times)
        return results

    def prepared(self, arrays: Sequence[Any], lock: Any) -> Callable[[Sequence[Any]], Any] | None:
        """What `run` does for arrays of exactly these shapes, with as little as possible left to decide, under `lock`.

        It gives the one output. None where there is more to do than one stretch of native code with one output.
        """
        plan = self._plans.get(self._sizes(arrays))
        if plan is None or len(plan.segments) != 1 or len(plan.outputs) != 1 or self.can_fail or self._host:
            return None
        binding, epoch = plan.binding, variable_epoch
        inputs, ((shape, dtype),) = len(arrays), plan.outputs
        empty = np.empty if math.prod(shape) * dtype.itemsize < ALIGNED_BYTES else _result
        last, has_variables = 2 + 2 * inputs, bool(self._variables)
        start = self._starter(plan)
        acquire, release = lock.acquire, lock.release

        def run(arrays: Sequence[Any]) -> Any:
            acquire()  # `with` takes twice as long
            try:
                if plan.arena is not self._arena:
                    self._point(plan)
                kept = []
                at = 2
                for a in arrays:
                    if a.flags.num & READY != READY:
                        a = ready(a)
                        kept.append(a)
                    binding[at] = id(a)
                    at += 2
                out = empty(shape, dtype)
                binding[last] = id(out)
                if has_variables and plan.epoch != epoch():
                    self._bind_variables(plan, inputs + 1)
                start()
                return out
            finally:
                release()

        return run

    def _starter(self, plan: Plan) -> Callable[[], None]:
        """A function that runs the plan's native code."""
        program = plan.segments[0].program
        if plan.parallel:
            return lambda: program.run(self.num_threads or gang.get_num_threads())
        if self._scratch.size < program.scratch_bytes:
            self._scratch = aligned_empty(program.scratch_bytes)
        plan.scratch = self._scratch
        return partial(gang.single(plan.brief), program.address, plan.scratch.ctypes.data)

    def _sizes(self, arrays: Sequence[Any]) -> tuple[int, ...]:
        return tuple([arrays[i].shape[axis] for i, axis in self._sources])

    def profile(self, arrays: Sequence[Any]) -> tuple[list[Any], list[tuple[Any, float]]]:
        """One run with a clock around each kernel: the outputs, and (kernel, seconds) in order."""
        times: list[tuple[Any, float]] = []
        return self.run(arrays, times), times

    def _bind_variables(self, plan: Plan, first: int) -> None:
        """Enter the variables' buffers;

        Those to be updated get a fresh buffer if someone still looks at the old one.
        """
        plan.bind(first, [b.payload.writable_buffer() if w else b.payload._data for b, w in self._variables])
        plan.epoch = variable_epoch()

    def _execute(self, plan: Plan) -> None:
        threads = (self.num_threads or gang.get_num_threads()) if plan.parallel else 1
        for segment in plan.segments:
            if isinstance(segment, HostStep):
                self._host_step(segment, plan)
            else:
                segment.program.run(threads)
                if self.can_fail and self._status[0]:
                    self._fail(plan)

    def _execute_timed(self, plan: Plan, times: list[tuple[Any, float]]) -> None:
        threads = self.num_threads or gang.get_num_threads()
        for segment in plan.segments:
            steps = [segment] if isinstance(segment, HostStep) else segment.kernels
            done = 0
            for number, kernel in enumerate(steps):
                if number < done:
                    continue
                started = time.perf_counter()
                if isinstance(segment, HostStep):
                    self._host_step(segment, plan)
                elif isinstance(kernel, Mark):  # a loop counts as one
                    done = 1 + max(i for i, k in enumerate(steps) if isinstance(k, Mark) and k.region is kernel.region)
                    segment.program.run_one(number, threads, done - number)
                else:
                    chunks = segment.program.nchunks[number]
                    segment.program.run_one(number, threads if chunks > 1 else 1)
                if kernel is not None:
                    times.append((kernel, time.perf_counter() - started))
                if self.can_fail and self._status[0]:
                    self._fail(plan)

    def _host_step(self, step: HostStep, plan: Plan) -> None:
        attrs = {k: concrete(v, plan.sizes) for k, v in step.node.attrs.items()}
        inputs = [self._memory(b, plan).reshape(_shape(n, plan)) for b, n in zip(step.inputs, step.node.inputs)]
        if step.output is None:
            step.node.op.ref(*(a.copy() for a in inputs), **attrs)
        else:
            out = self._memory(step.output, plan)
            out[...] = np.reshape(step.node.op.ref(*inputs, **attrs), out.shape)

    def _memory(self, buffer: Buffer, plan: Plan) -> Any:
        """A buffer's memory as an array."""
        import ctypes

        shape, dtype = plan.shapes[buffer], buffer.dtype.np
        nbytes = math.prod(shape) * dtype.itemsize
        if not nbytes:
            return np.empty(shape, dtype)
        raw: Any = (ctypes.c_uint8 * nbytes).from_address(int(plan.table[buffer.index]))
        return np.frombuffer(raw, np.uint8).view(dtype).reshape(shape)

    def _fail(self, plan: Plan) -> None:
        number = int(self._status[0]) - 1
        self._status[:] = 0
        node = self.program.nodes[number]
        size = node.inputs[0].aval.shape[node.attrs.get("axis", 0)] if node.inputs else "?"
        raise IndexingError(
            at_line(f"{node.op.name} ({node.name!r}): an index is out of range for an axis of size {size}", node.origin)
        )

    # -- planning ---------------------------------------------------------------------------------------------------
    def _plan(self, arrays: Sequence[Any]) -> Plan:
        sizes: dict[str, int] = {}
        for node, array in zip(self.inputs, arrays, strict=True):
            if not bind_sizes(node.aval.shape, array.shape, sizes):
                raise FeedError(
                    at_line(
                        f"{node.name!r} is {node.aval.describe()}; it cannot be fed shape {array.shape}", node.origin
                    )
                )
        check_assumptions(self.graph, sizes)
        plan = Plan(self, sizes)
        if plan.arena_bytes > self._arena.size:
            self._arena = aligned_empty(plan.arena_bytes)
        self._point(plan)
        if len(self._plans) >= PLANS:
            self._plans.pop(next(iter(self._plans)))
        self._plans[self._sizes(arrays)] = plan
        if self.planned is not None:
            self.planned(plan)
        return plan

    def _point(self, plan: Plan) -> None:
        """Enter what does not change from run to run into the plan's pointer table."""
        plan.arena = self._arena
        base = self._arena.ctypes.data
        plan.table[0] = self._status.ctypes.data
        for buffer, offset in plan.offsets.items():
            plan.table[buffer.index] = base + offset
        for buffer, array in (*self._constants, *self._host):
            plan.table[buffer.index] = array.ctypes.data


def _shape(node: Node, plan: Plan) -> tuple[int, ...]:
    return tuple(evaluate_size(s, plan.sizes) for s in node.aval.shape)


def _can_fail(kernel: Any) -> bool:
    """Whether a kernel reports through the status buffer."""
    loop = getattr(kernel, "epilogue", kernel)
    return isinstance(kernel, LibraryKernel) or any(isinstance(v, Indirect) for v in getattr(loop, "body", ()))


def _size_sources(program: Program) -> list[tuple[int, int]]:
    """Where the inputs' symbolic sizes are found: (input, axis) pairs."""
    return [
        (i, axis) for i, b in enumerate(program.inputs) for axis, size in enumerate(b.shape) if isinstance(size, Dim)
    ]


def fresh_memory(outputs: Sequence[tuple[tuple[int, ...], Any]]) -> list[Any]:
    """New arrays for results."""
    return [_result(shape, dtype) for shape, dtype in outputs]


def _result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array for a result; a large one starts where kernels can write past the cache."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < ALIGNED_BYTES:
        return np.empty(shape, dtype)
    return block_array(shape, dtype, nbytes)


def _aligned_copy(array: Any) -> Any:
    out = aligned_empty(max(array.nbytes, 1))[: array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


def make_executable(
    graph: Graph, inputs: Sequence[Node], *, native: bool = True, num_threads: int | None = None
) -> Executable:
    """The fastest executable for the graph: native code, or the NumPy interpreter with ``native=False``."""
    return Native(graph, inputs, num_threads) if native else Interpreted(graph, inputs)
