"""Compiling kernels: ``compile_units`` turns units into native addresses.

A unit is a kernel and the hash of its content. Its address comes from the first of: this process's table, the disk
cache, a compilation. All units that have to be compiled are compiled together: lowered by Numba in one function
(`graphflow.codegen.numba_target`), then compiled by LLVM in as many threads as there are. A process that finds
everything in the cache never imports Numba.

The kernel ABI is ``void kernel(i8** table, i64* args, i64 begin, i64 end, i8* scratch)``.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graphflow.codegen import llvm
from graphflow.codegen.cache import compiler_versions, digest, disk_cache
from graphflow.codegen.host import Host, default_num_threads, host
from graphflow.core.errors import CompileError

Emit = Callable[[Any, str], None]
_SMALLEST_PART = 8_000
"""Characters of LLVM assembly (some 20 ms of compiling) below which a thread of its own does not pay."""


@dataclass(frozen=True, eq=False)
class Unit:
    """One kernel to compile: `key` is the hash of its content (hexadecimal), `name` what error messages call it.

    ``emit(module, symbol)`` defines the function `symbol`, with the kernel ABI, in an ``llvmlite.ir.Module`` that is
    empty but for other units of its family.
    """

    key: str
    emit: Emit | None
    name: str = ""
    pyfunc: Callable[..., None] | None = None
    family: str = ""
    """Units of one family are emitted into one module, so that they share internal functions of the same name; they
    are tuned by hand, and LLVM leaves the order of their instructions alone."""

    @classmethod
    def python(cls, key: str, pyfunc: Callable[..., None], name: str = "") -> Unit:
        """A kernel written in Python that Numba can compile: ``pyfunc(table, args, begin, end, scratch)``.

        All five are integers (the pointers are addresses). It may not allocate or raise.
        """
        return cls(key, None, name or pyfunc.__name__, pyfunc)

    @property
    def symbol(self) -> str:
        """The name of the kernel's function in object code."""
        return f"gf_{self.key}"

    def __str__(self) -> str:
        return self.name or self.symbol


_lock = threading.RLock()
_addresses: dict[Host, dict[str, int]] = {}
compiled = 0
"""Kernels that this process has compiled (as against found in the disk cache)."""


def compile_units(units: Iterable[Unit]) -> dict[str, int]:
    """The address of every unit, by key; compiles what is neither loaded nor in the disk cache.

    Raises CompileError, with the unit's name, for a unit that Numba or LLVM rejects.
    """
    machine = host()
    table = _addresses.setdefault(machine, {})
    wanted = {unit.key: unit for unit in units}
    if not wanted.keys() <= table.keys():
        with _lock:
            missing = [unit for key, unit in wanted.items() if key not in table]
            table.update(_from_disk(missing, machine))
            missing = [unit for unit in missing if unit.key not in table]
            if missing:
                with _no_garbage_collection():
                    table.update(_compile(missing, machine))
    return {key: table[key] for key in wanted}


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Numba's import and its IR make many objects that stay: looking for garbage among them is a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _entry(unit: Unit, machine: Host) -> str:
    """The unit's name in the disk cache."""
    return digest(unit.key, *machine, compiler_versions())


def _from_disk(units: Sequence[Unit], machine: Host) -> dict[str, int]:
    cache = disk_cache()
    if cache is None or not units:
        return {}
    entries = {_entry(unit, machine): unit for unit in units}
    addresses = {}
    for code, names in cache.find(entries):
        held = [entries[name] for name in names]
        try:
            addresses.update(_load(code, held))
        except RuntimeError:
            continue  # code of another kind of process: compiled anew, and written over
    return addresses


def _load(code: bytes, units: Sequence[Unit]) -> dict[str, int]:
    by_symbol = llvm.load(code, [unit.symbol for unit in units])
    return {unit.key: by_symbol[unit.symbol] for unit in units}


def _compile(units: Sequence[Unit], machine: Host) -> dict[str, int]:
    """Compile units together; if that fails, one by one, so that the error names the one it is about."""
    global compiled
    try:
        objects = _object_files(units, machine)
        addresses = {}
        for code, held in objects:
            addresses.update(_load(code, held))
    except Exception as error:
        if len(units) > 1:
            for unit in units:
                _compile([unit], machine)
        if isinstance(error, CompileError):
            raise error.with_traceback(None) from error.__cause__  # without the compiler's own frames
        raise CompileError(f"kernel {units[0]} cannot be compiled: {error}") from error
    compiled += len(units)
    cache = disk_cache()
    if cache is not None:
        for code, held in objects:
            cache.store(code, [_entry(unit, machine) for unit in held])
    return addresses


def _object_files(units: Sequence[Unit], machine: Host) -> list[tuple[bytes, list[Unit]]]:
    """Object code, in as many parts as there are threads for, and the units in each."""
    parts = _split(_lower(units))
    results: list[Any] = [None] * len(parts)

    def work(index: int) -> None:
        try:
            results[index] = llvm.object_code(parts[index], machine)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(1, len(parts))]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    held = [{symbol for module in part for symbol in module.symbols} for part in parts]
    return [(code, [unit for unit in units if unit.symbol in names]) for code, names in zip(results, held)]


def _lower(units: Sequence[Unit]) -> list[llvm.Assembly]:
    """The LLVM assembly of the units, a family at a time."""
    from graphflow.codegen import numba_target

    families: dict[str, list[Unit]] = {}
    modules = []
    for unit in units:
        if unit.pyfunc is not None:
            modules.append(llvm.Assembly([unit.symbol], numba_target.lower_python(unit.symbol, unit.pyfunc)))
        elif unit.emit is not None:
            families.setdefault(unit.family or unit.symbol, []).append(unit)
    if families:
        emitters = [{u.symbol: _checked(u, u.emit) for u in family if u.emit} for family in families.values()]
        for family, text in zip(families.values(), numba_target.lower_batch(emitters)):
            modules.append(llvm.Assembly([u.symbol for u in family], [text], tuned=bool(family[0].family)))
    return modules


def _checked(unit: Unit, emit: Emit) -> Emit:
    """The unit's emitter; what goes wrong in it is reported with the unit's name."""

    def checked(module: Any, symbol: str) -> None:
        try:
            emit(module, symbol)
        except Exception as error:
            raise CompileError(f"kernel {unit} cannot be emitted: {type(error).__name__}: {error}") from error
        if not getattr(module.globals.get(symbol), "blocks", None):
            raise CompileError(f"kernel {unit}: its emitter did not define the function {symbol}")

    return checked


def _split(modules: Sequence[llvm.Assembly]) -> list[list[llvm.Assembly]]:
    """Divide modules into parts of about equal size for the threads to compile."""
    count = max(1, min(default_num_threads(), len(modules), sum(m.size for m in modules) // _SMALLEST_PART))
    parts: list[list[llvm.Assembly]] = [[] for _ in range(count)]
    for module in sorted(modules, key=lambda m: -m.size):
        min(parts, key=lambda part: sum(m.size for m in part)).append(module)
    return parts


def _forked() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
