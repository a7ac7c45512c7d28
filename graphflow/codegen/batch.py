"""Units on their way through LLVM: they are emitted here, and compiled in other threads as soon as a part is ready.

Kernels come first: they are LLVM's work, and keep it busy while Numba is imported. Numba lowers the program that runs
them, and kernels written in Python (`graphflow.codegen.numba_target`). Functions that kernels share are compiled once,
apart from the kernels, and found by content like them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from graphflow.codegen import llvm
from graphflow.codegen.host import Host, default_num_threads
from graphflow.codegen.jit import Object, Unit
from graphflow.codegen.llvm import Assembly
from graphflow.core.errors import CompileError

PART = 600
"""Lines of LLVM assembly (some 30 ms of compiling) that are worth an object of their own while all threads are busy."""


class Batch:
    """One compilation of several units."""

    def __init__(self, host: Host, known: Callable[[str], bool]) -> None:
        self._known = known  # whether a shared function needs no compiling
        self._crew = Crew(host, default_num_threads())
        self._kernels: list[Assembly] = []
        self._shared: list[Assembly] = []
        self._requested: set[str] = set()

    def compile(self, units: Sequence[Unit]) -> list[Object]:
        """Objects in an order in which they can be linked: what is called before what calls it."""
        try:
            self._emit([unit for unit in units if unit.emit and not unit.program], llvm.empty_module)
            self._hand_over_all()
            program = [unit for unit in units if unit.program]
            python = [unit for unit in units if unit.pyfunc]
            if program or python:
                from graphflow.codegen import numba_target

                if program:
                    numba_target.lower_batch(lambda create: self._emit(program, create))
                for unit in python:
                    texts = numba_target.lower_python(unit.symbol, unit.pyfunc)
                    self._add(self._kernels, Assembly([unit.symbol], texts, python=True))
                self._hand_over_all()
        finally:
            objects = self._crew.finish()
        return sorted(objects, key=lambda each: bool(each.imports))

    def _emit(self, units: Iterable[Unit], create: Callable[[str], Any]) -> None:
        families: dict[str, list[Unit]] = {}
        for unit in units:
            families.setdefault(unit.family or unit.symbol, []).append(unit)
        for name, family in families.items():
            module = create(name)
            for unit in family:
                _define(unit, module)
            self._add_module(self._kernels, module, [unit.symbol for unit in family])
            for symbol, define in module.shared.items():
                if symbol not in self._requested and not self._known(symbol):
                    self._requested.add(symbol)
                    part = create(symbol)
                    define(part, symbol)
                    self._add_module(self._shared, part, [symbol])

    def _add_module(self, part: list[Assembly], module: Any, symbols: list[str]) -> None:
        outside = []
        for function in module.functions:
            if function.is_declaration:
                outside.append(function.name)
            elif function.name not in symbols:
                function.linkage = "internal"  # so that helpers of the same name in two kernels do not meet
        llvm.check_calls(name for name in outside if name not in module.shared)
        self._add(part, Assembly(symbols, [str(module)], list(module.shared)))

    def _add(self, part: list[Assembly], assembly: Assembly) -> None:
        part.append(assembly)
        if self._crew.idle or sum(each.size for each in part) >= PART:
            self._hand_over(part)

    def _hand_over_all(self) -> None:
        self._hand_over(self._shared)
        self._hand_over(self._kernels)

    def _hand_over(self, part: list[Assembly]) -> None:
        if part:
            self._crew.add(list(part))
            part.clear()


def _define(unit: Unit, module: Any) -> None:
    """Emit a unit; what goes wrong in it is reported with the unit's name."""
    try:
        unit.emit(module, unit.symbol)  # type: ignore[misc]
    except Exception as error:
        raise CompileError(f"kernel {unit} cannot be emitted: {type(error).__name__}: {error}") from error
    if not getattr(module.globals.get(unit.symbol), "blocks", None):
        raise CompileError(f"kernel {unit}: its emitter did not define the function {unit.symbol}")


class Crew:
    """Threads that run LLVM: all but one of so many while parts are added, and all of them in the end."""

    def __init__(self, host: Host, count: int) -> None:
        self._host = host
        self._count = count
        self._parts: SimpleQueue[list[Assembly] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._objects: list[Object] = []
        self._errors: list[Exception] = []
        self._under_way = 0

    @property
    def idle(self) -> bool:
        """Whether a thread waits, or none has been started yet, though there may be one."""
        return self._under_way == 0 and self._count > 1

    def add(self, part: list[Assembly]) -> None:
        """Have kernels compiled together."""
        self._under_way += 1
        self._parts.put(part)
        if len(self._threads) < self._count - 1:
            thread = threading.Thread(target=self._work, args=(True,), name="graphflow-llvm", daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self) -> list[Object]:
        """Help with what is left; all objects. Raises the first error."""
        for _ in self._threads:
            self._parts.put(None)
        self._work(wait=False)
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        return self._objects

    def _work(self, wait: bool) -> None:
        """Compile parts until there are no more: None stands behind the last, once for each thread that waits."""
        machine = None
        while True:
            try:
                part = self._parts.get(block=wait)
            except Empty:
                return
            if part is None:
                if not wait:
                    self._parts.put(None)
                return
            if self._errors:
                continue
            try:
                symbols = [symbol for each in part for symbol in each.symbols]
                imports = sorted({symbol for each in part for symbol in each.imports})
                machine = machine or llvm.target_machine(self._host)
                self._objects.append(Object(llvm.object_code(part, machine), symbols, imports))
            except Exception as error:
                self._errors.append(error)
            self._under_way -= 1  # a little late or early does no harm: it only says how large the next part is
