"""Programs that an earlier process has made: running them again takes no passes, no scheduler and no plan.

A process that finds all its kernels in the disk cache would still spend most of its first call on finding out which
kernels those are. So the first plan of each program is kept in the same cache, as a *record*, under a name made of the
graph's content::

    graph, functionalised -> Content -> name
    a new name:    passes, scheduler, kernels -> Native -> first Plan -> record -> disk cache
    a known name:  record from the disk cache -> Recalled, which runs it

A record is all that running takes, as plain tuples: calls (a kernel's key, arguments, chunks), where buffers lie in
the arena, what the table points to. Whatever else a ``Recalled`` is asked for (other sizes, ``explain()``, a profile,
a picture) it leaves to the whole program, which is made from the graph when that is first needed.

A record that is absent, truncated or of another version counts as absent (`graphflow.codegen.cache`), as does one of
kernels that the cache has lost.
"""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from graphflow.codegen.cache import disk_cache
from graphflow.codegen.image import Image, load
from graphflow.codegen.jit import link_units, load_units
from graphflow.codegen.llvm import preload
from graphflow.core import locks
from graphflow.core.dtypes import as_dtype
from graphflow.ir.graph import Graph, Node
from graphflow.runtime import gang
from graphflow.runtime.content import Content, Unnamed
from graphflow.runtime.control import UNITS
from graphflow.runtime.executor import Executable, Native, Plan, Segment, fresh_memory
from graphflow.runtime.native import JUMP, NativeProgram, aligned_empty
from graphflow.runtime.native import Instruction as Call
from graphflow.schedule.kernels import Buffer

MOST_BYTES = 1 << 20  # of constants in a program that is kept
_CONTROL = {unit.key for unit in UNITS.values()}


def recalled(
    graph: Graph, inputs: Sequence[Node], num_threads: int | None, make: Callable[[], Executable]
) -> Executable:
    """An executable for a functionalised graph: from its record, or the one that ``make`` makes, which is recorded."""
    started = time.perf_counter()
    cache = disk_cache()
    try:
        content = Content(graph, inputs) if cache is not None else None
    except Unnamed:
        content = None
    if cache is None or content is None:
        return make()
    name = content.name()

    def whole(recorded: bool) -> Executable:
        made = make()
        if recorded and isinstance(made, Native):
            made.planned = lambda plan: keep(made, plan)
        return made

    def keep(made: Native, plan: Plan) -> None:
        made.planned = None
        record = written(made, plan, content)
        if record is not None:
            cache.store(marshal.dumps(tuple(record)), [name])

    for found in cache.find([name]):
        record = Record(*marshal.loads(found.code))
        addresses = _addresses(record, gang.functions(num_threads or gang.get_num_threads()))
        if addresses is not None:
            made = Recalled(record, addresses, content, whole)
            made.num_threads, made.compile_seconds = num_threads, time.perf_counter() - started
            return made
    preload()
    return whole(recorded=True)


class Recalled(Native):
    """A program that runs as an earlier process has planned it. What it lacks is looked up in the whole program."""

    def __init__(
        self, record: Record, addresses: Mapping[str, int], content: Content, make: Callable[[bool], Executable]
    ) -> None:
        self.memory = fresh_memory
        self.can_fail = record.can_fail
        self.planned = None
        self._make = make
        self._whole: Any = None
        self._fits = False  # whether calls are of the recorded sizes
        self._lock = locks.lock()
        self._making = locks.lock()
        self._sources = record.sources
        self._arena = aligned_empty(record.arena_bytes)
        self._scratch = aligned_empty(0)
        self._status = np.zeros(2, np.int64)
        variables, sources = list(content.variables), list(content.sources)
        self._variables = [(_buffer(i, "variable", variables[number]), w) for i, number, w in record.variables]
        self._host = [
            (_buffer(i, "host", sources[number]), np.zeros(1, as_dtype(dtype).np)) for i, number, dtype in record.hosts
        ]
        self._constants = [(_buffer(i, "constant"), _array(*array)) for i, array in record.constants]
        plan = _plan(record, addresses)
        self._point(plan)
        self._plans = {tuple(record.found): plan}

    @property
    def whole(self) -> Any:
        """The program made from the graph."""
        with self._making:
            if self._whole is None:
                self._whole = self._make(not self._fits)  # where none is, another record serves better
                self._whole.memory = self.memory
        return self._whole

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.whole, name)

    def run(self, arrays: Sequence[Any], times: list[tuple[Any, float]] | None = None) -> list[Any]:
        if times is not None:
            return self.whole.run(arrays, times)  # type: ignore[no-any-return]
        if self._sizes(arrays) in self._plans:
            self._fits = True
            try:
                return super().run(arrays)
            except _Failed:
                pass  # the whole program fails, too, and knows what to say
        return self.whole.run(arrays)  # type: ignore[no-any-return]

    def prepared(self, arrays: Sequence[Any], lock: Any) -> Callable[[Sequence[Any]], Any] | None:
        if self._sizes(arrays) in self._plans:
            self._fits = True
            return super().prepared(arrays, lock)
        return self.whole.prepared(arrays, lock)  # type: ignore[no-any-return]

    def _fail(self, plan: Plan) -> None:
        self._status[:] = 0
        raise _Failed


class _Failed(Exception):
    """A kernel has reported a failure. No variable has changed."""


class Record(NamedTuple):
    """What running a program takes for certain sizes. Buffers are numbers, dtypes names, Variables their order."""

    sources: list[tuple[int, int]]  # the inputs and axes where sizes are found
    sizes: dict[str, int]
    found: tuple[int, ...]  # the sizes at these places
    buffers: int
    variables: list[tuple[int, int, bool]]  # buffer, Variable, whether it is updated
    hosts: list[tuple[int, int, str]]
    constants: list[tuple[int, tuple[str, tuple[int, ...], bytes]]]
    outputs: list[tuple[tuple[int, ...], str]]
    places: list[tuple[int, int]]  # buffer, offset in the arena
    arena_bytes: int
    scratch_bytes: int
    parallel: bool
    brief: bool
    can_fail: bool
    cells: int
    calls: list[tuple[str, list[int], int, int]]  # kernel ("" where there is none), arguments, chunks, flags
    drivers: dict[str, str]  # the driver's functions, which are units like the kernels
    image: tuple[Any, ...] | None  # all these units; None where LLVM's linker must do it


def written(native: Native, plan: Plan, content: Content) -> Record | None:
    """The record of a program with its first plan; None if something of it cannot be kept."""
    if len(plan.segments) != 1 or not isinstance(plan.segments[0], Segment):
        return None  # it leaves native code on the way
    if sum(array.nbytes for _, array in native._constants) > MOST_BYTES:
        return None
    program = plan.segments[0].program
    keys = {address: key for key, address in native.addresses.items()} | {0: ""}
    cells = {cell.ctypes.data: number for number, cell in enumerate(plan.cells)}
    calls = []
    for (function, _, chunks, flags), values in zip(program.instructions.tolist(), program.args):
        arguments = values.tolist()
        if _has_cell(keys[function], flags):
            arguments[0] = cells[arguments[0]]
        calls.append((keys[function], arguments, chunks, flags))
    nthreads = native.num_threads or gang.get_num_threads()
    drivers = {name: unit.key for name, unit in zip(gang.functions(nthreads), gang.units(nthreads))}
    image = link_units({*filter(None, (call[0] for call in calls)), *drivers.values()})
    return Record(
        native._sources,
        plan.sizes,
        next(key for key, each in native._plans.items() if each is plan),
        len(plan.table),
        [(b.index, content.variables[b.payload], w) for b, w in native._variables],
        [(b.index, content.sources[b.payload], b.dtype.name) for b, _ in native._host],
        [(b.index, (b.dtype.name, array.shape, array.tobytes())) for b, array in native._constants],
        [(shape, as_dtype(dtype).name) for shape, dtype in plan.outputs],
        [(b.index, offset) for b, offset in plan.offsets.items()],
        plan.arena_bytes,
        plan.scratch_bytes,
        plan.parallel,
        plan.brief,
        native.can_fail,
        len(plan.cells),
        calls,
        drivers,
        None if image is None else tuple(image),
    )


def _has_cell(key: str, flags: int) -> bool:
    """Whether a call's first argument is the address of a loop's cell; in a record, the cell's number."""
    return bool(flags & JUMP) or key in _CONTROL


def _addresses(record: Record, functions: Sequence[str]) -> dict[str, int] | None:
    """The addresses of a record's kernels, with these functions of the driver at hand; None if something is missing."""
    if not record.drivers.keys() >= set(functions):
        return None
    try:
        addresses = None if record.image is None else load(Image(*record.image))
    except (OSError, AttributeError):
        addresses = None
    if addresses is None:
        addresses = load_units({*filter(None, (call[0] for call in record.calls)), *record.drivers.values()})
    if addresses is not None:
        gang.adopt({name: addresses[key] for name, key in record.drivers.items()})
    return addresses


def _plan(record: Record, addresses: Mapping[str, int]) -> Plan:
    plan = Plan.__new__(Plan)
    plan.sizes, plan.shapes = record.sizes, {}
    plan.outputs = [(tuple(shape), as_dtype(dtype).np) for shape, dtype in record.outputs]
    plan.offsets = {_buffer(i, "temp"): offset for i, offset in record.places}
    plan.arena_bytes, plan.scratch_bytes = record.arena_bytes, record.scratch_bytes
    plan.parallel, plan.brief = record.parallel, record.brief
    plan.cells = [np.zeros(1, np.int64) for _ in range(record.cells)]
    calls = []
    for key, arguments, chunks, flags in record.calls:
        if _has_cell(key, flags):
            arguments[0] = plan.cells[arguments[0]].ctypes.data
        calls.append(Call(addresses[key] if key else 0, arguments, chunks, flags))
    plan.table = np.zeros(record.buffers, np.int64)
    plan.segments = [Segment(NativeProgram(calls, plan.table, plan.scratch_bytes), [])]
    plan.ready()
    return plan


def _buffer(index: int, kind: Any, payload: Any = None) -> Buffer:
    return Buffer(index, (), _NONE, kind, payload)


_NONE = as_dtype("int64")  # nobody asks a recalled buffer for its dtype


def _array(dtype: str, shape: tuple[int, ...], data: bytes) -> Any:
    out = aligned_empty(max(len(data), 1))[: len(data)].view(as_dtype(dtype).np).reshape(shape)
    out[...] = np.frombuffer(data, out.dtype).reshape(shape)
    return out
