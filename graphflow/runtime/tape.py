"""Backward passes that repeat, as native programs.

A training loop makes the same tape at every step: the same operations on operands of the same sizes. After a few
backward passes over such a tape its whole reverse sweep becomes one native program, from the tensors on the tape to the
gradients of the leaves. Tapes that differ from step to step are swept operation by operation, as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.autograd import unbroadcast
from graphflow.core import config, dispatch, locks
from graphflow.core.aval import AVal
from graphflow.core.op import OPS
from graphflow.ir.graph import Graph, ancestors
from graphflow.ops.creation import ones
from graphflow.runtime.build import build
from graphflow.runtime.fused import FusedCall, recording_defaults
from graphflow.tensor import Tensor
from graphflow.trace.recorder import Recorder

TAPES = 4096  # kinds of tapes that are remembered
LONGEST = 2000  # tensors on a tape: longer ones (loops over time) would take seconds to compile
VARIANTS = 4  # programs for tapes of the same operations on other sizes: more are not worth their compilation
_building = locks.rlock()
_programs: dict[tuple[Any, ...], Any] = {}  # for each kind of tape how often it was swept, then its program
_variants: dict[tuple[Any, ...], int] = {}


def read(root: Tensor) -> tuple[tuple[Any, ...], list[Tensor]] | None:
    """The kind of tape that made an eager tensor, and the tensors on it, each after its operands.

    None for a tape that a program cannot stand for. A loop, not recursion: tapes can be deep.
    """
    if root._tape is None:
        return None
    numbers: dict[int, int] = {}
    tensors: list[Tensor] = []
    key: list[Any] = []
    stack = [root]
    while stack:
        t = stack[-1]
        if id(t) in numbers:
            stack.pop()
            continue
        tape: Any = t._tape
        count = len(stack)
        for a in tape.args:
            if id(a) in numbers:
                continue
            if a._tape is not None:
                stack.append(a)
                continue
            data: Any = a._data
            if data is None:
                return None
            numbers[id(a)] = len(tensors)
            tensors.append(a)
            key += (data.dtype.num, data.shape, a.requires_grad)
        if len(stack) > count:
            continue
        if tape.op is None:  # freed by an earlier backward
            return None
        key += (tape.op, tuple([numbers[id(a)] for a in tape.args]))
        for name, value in tape.attrs.items():
            if callable(value):  # a rule of the user's own, which may do anything
                return None
            key += (name, value)
        numbers[id(t)] = len(tensors)
        tensors.append(t)
        stack.pop()
    return (tuple(key), tensors) if len(tensors) <= LONGEST else None


def backward(root: Tensor, seed: Tensor | None) -> list[tuple[Tensor, Tensor]] | None:
    """Leaves and their gradients, computed natively, or None if there is no program (yet).

    ``seed`` weighs the elements of the root; None stands for ones.
    """
    found = read(root)
    if found is None:
        return None
    key, tensors = found
    key = (*key, None if seed is None else seed._data.dtype.num)  # type: ignore[union-attr]
    try:
        program = _programs.get(key, 0)
    except TypeError:  # an attribute that is not hashable
        return None
    if type(program) is int:
        program = _next(key, program, tensors, seed is not None)
    return None if program is None else program.run(tensors, seed)


def _next(key: tuple[Any, ...], count: int, tensors: Sequence[Tensor], seeded: bool) -> TapeProgram | None:
    """Count one more sweep of a tape, and make its program when it is time."""
    if count < config.get("native_after"):
        if len(_programs) >= TAPES:
            _programs.clear()
            _variants.clear()
        _programs[key] = count + 1
        return None
    with _building:
        program = None
        relatives = tuple(getattr(t._tape.op, "name", None) if t._tape is not None else None for t in tensors)
        if _variants.setdefault(relatives, 0) < VARIANTS:
            _variants[relatives] += 1
            try:
                program = TapeProgram(tensors, seeded)
            except Exception as error:  # what cannot be compiled is swept as ever
                failures.append(f"{type(error).__name__}: {error}")
        _programs[key] = program
        return program


failures: list[str] = []  # why programs could not be made


class TapeProgram:
    """The reverse sweep over one kind of tape."""

    def __init__(self, tensors: Sequence[Tensor], seeded: bool) -> None:
        for t in tensors:
            op: Any = None if t._tape is None else t._tape.op
            if not (op is None or isinstance(op, FusedCall) or OPS.get(op.name) is op):
                raise TypeError(f"the gradient of {op.name} is not made of public functions")
        graph = Graph("backward")
        recorder = Recorder(graph)
        with recording_defaults(recorder), dispatch.no_grad():
            symbols = _symbols(tensors, recorder)
            root = tensors[-1]
            seed = (
                recorder.placeholder(AVal(root.shape, root.dtype), "seed")
                if seeded
                else ones(root.shape, dtype=root.dtype)
            )
            grads = _sweep(tensors, symbols, seed)
        self._leaves = [i for i, t in enumerate(tensors) if t._tape is None and i in grads]
        results = [grads[i]._node for i in self._leaves]
        needed = set(ancestors(results))
        fed = [s._node is not None and s._node.op.name == "placeholder" for s in symbols]
        self._inputs = [i for i, s in enumerate(symbols) if fed[i] and s._node in needed]
        self._seeded = seeded and seed._node in needed
        inputs = [symbols[i]._node for i in self._inputs]
        with recording_defaults(recorder):
            self.executable = build(results, [*inputs, seed._node] if self._seeded else inputs)

    def run(self, tensors: Sequence[Tensor], seed: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """The leaves and their gradients."""
        arrays = [tensors[i]._data for i in self._inputs]
        if self._seeded:
            arrays.append(seed._data)  # type: ignore[union-attr]
        slopes = self.executable.run([a if a.flags.c_contiguous else a.copy() for a in arrays])  # type: ignore[union-attr]
        return [(tensors[i], Tensor(a)) for i, a in zip(self._leaves, slopes)]


def _symbols(tensors: Sequence[Tensor], recorder: Recorder) -> list[Tensor]:
    """A symbol for each tensor on the tape: to be fed or, if it has gaps in memory, a view of what it is part of.

    So nothing is copied to be fed: queries, keys and values are read where one product has put them side by side.
    """
    numbers = {id(t): i for i, t in enumerate(tensors)}
    symbols: list[Tensor] = []
    for i, t in enumerate(tensors):
        tape = t._tape
        if tape is not None and getattr(tape.op, "kind", None) == "view" and not t._data.flags.c_contiguous:  # type: ignore[union-attr]
            operands = [symbols[numbers[id(a)]] for a in tape.args]
            view = dispatch.apply(tape.op, operands, tape.attrs)  # type: ignore[arg-type]
            view.requires_grad = t.requires_grad  # nothing else is recorded with gradients here
            symbols.append(view)
        else:
            symbols.append(recorder.placeholder(AVal(t.shape, t.dtype), f"t{i}", t.requires_grad))
    return symbols


def _sweep(tensors: Sequence[Tensor], symbols: Sequence[Tensor], seed: Tensor) -> dict[int, Tensor]:
    """The gradients of the leaves, by number, in symbols for the tensors on the tape."""
    numbers = {id(t): i for i, t in enumerate(tensors)}
    grads = {len(tensors) - 1: seed}
    for i in reversed(range(len(tensors))):
        tape = tensors[i]._tape
        if tape is None or i not in grads:
            continue
        args = [numbers[id(a)] for a in tape.args]
        slopes = tape.op.vjp(grads.pop(i), symbols[i], *(symbols[n] for n in args), **tape.attrs)  # type: ignore[misc]
        for n, slope in zip(args, slopes, strict=True):
            if slope is not None and tensors[n].requires_grad:
                slope = unbroadcast(slope, symbols[n])
                grads[n] = grads[n] + slope if n in grads else slope
    return grads
