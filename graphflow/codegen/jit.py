"""Compiling kernels: ``compile_units`` turns units into native addresses.

A unit is a kernel and the hash of its content. Its address comes from the first of: this process's table, the disk
cache, a compilation. Units that have to be compiled are emitted one after the other; LLVM compiles what is ready in
other threads meanwhile (`graphflow.codegen.batch`). A process that finds everything in the cache never imports Numba.

The kernel ABI is ``void kernel(i8** table, i64* args, i64 begin, i64 end, i8* scratch)``.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphflow.codegen import llvm
from graphflow.codegen.cache import Found, compiler_versions, digest, disk_cache
from graphflow.codegen.host import Host, host
from graphflow.codegen.image import Image, link, load
from graphflow.core.collector import collector_paused
from graphflow.core.errors import CompileError

Emit = Callable[[Any, str], None]
_PREFIX = "gf_"


@dataclass(frozen=True, eq=False)
class Unit:
    """One kernel to compile: `key` is the hash of its content (hexadecimal), `name` what error messages call it.

    ``emit(module, symbol)`` defines the function `symbol`, with the kernel ABI, in an ``llvmlite.ir.Module`` that is
    empty but for other units of its family. What else it defines there is internal to that module.
    """

    key: str
    emit: Emit | None
    name: str = ""
    pyfunc: Callable[..., None] | None = None
    family: str = ""
    """Units of one family are emitted into one module, so that they share internal functions of the same name."""
    program: bool = False
    """Whether it is part of the program that runs kernels, which Numba lowers; kernels are emitted ahead of it."""

    address: Callable[[], int] | None = None
    """Compiles a kernel in some other way, which leaves nothing in the disk cache; its address."""

    @classmethod
    def python(cls, key: str, pyfunc: Callable[..., None], name: str = "") -> Unit:
        """A kernel written in Python that Numba can compile: ``pyfunc(table, args, begin, end, scratch)``.

        All five are integers (the pointers are addresses). It may not allocate or raise.
        """
        return cls(key, None, name or pyfunc.__name__, pyfunc)

    @property
    def symbol(self) -> str:
        """The name of the kernel's function in object code."""
        return _PREFIX + self.key

    def __str__(self) -> str:
        return self.name or self.symbol


class Object(NamedTuple):
    """Object code, the symbols in it, and the symbols of shared functions that it calls."""

    code: bytes
    symbols: list[str]
    imports: list[str]


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
            table.update({unit.key: unit.address() for unit in missing if unit.address is not None})
            missing = [unit for unit in missing if unit.address is None]
            _load_from_disk([unit.key for unit in missing], machine, table)
            missing = [unit for unit in missing if unit.key not in table]
            if missing:
                with collector_paused(), _in_a_hurry():
                    _compile(missing, machine, table)
    return {key: table[key] for key in wanted}


@contextmanager
def _in_a_hurry() -> Iterator[None]:
    """LLVM's threads need the interpreter often and for a moment: it is handed over sooner than after 5 ms."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(min(interval, 2e-4))
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def link_units(keys: Collection[str]) -> Image | None:
    """The units, which are in the disk cache, as an image whose symbols are their keys; None if there can be none."""
    found = _find(keys, host(), ())
    if not {key for _, held in found for key in held} >= set(keys):
        return None
    linked = link([each.code for each, _ in found], [_PREFIX + key for key in keys])
    if linked is None:
        return None
    return linked._replace(symbols={name.removeprefix(_PREFIX): at for name, at in linked.symbols.items()})


def load_units(keys: Collection[str]) -> dict[str, int] | None:
    """The addresses of units that are loaded or in the disk cache; None if one is not: nothing is compiled."""
    machine = host()
    table = _addresses.setdefault(machine, {})
    with _lock:
        _load_from_disk([key for key in keys if key not in table], machine, table)
    return {key: table[key] for key in keys} if table.keys() >= set(keys) else None


def entry_name(key: str, machine: Host) -> str:
    """The name of a unit in the disk cache."""
    return digest(key, *machine, compiler_versions())


def _find(keys: Iterable[str], machine: Host, known: Container[str]) -> list[tuple[Found, list[str]]]:
    """Objects in the disk cache that hold the units, then those of shared functions that are called; with the units."""
    cache = disk_cache()
    found: list[tuple[Found, list[str]]] = []
    asked: set[str] = set()
    while cache is not None and keys:
        asked.update(keys)
        entries = {entry_name(key, machine): key for key in keys}
        objects = cache.find(entries)
        found += [(each, [entries[name] for name in each.kernels]) for each in objects]
        imports = {symbol.removeprefix(_PREFIX) for each in objects for symbol in each.imports}
        keys = [key for key in imports if key not in asked and key not in known]
    return found


def _load_from_disk(keys: Sequence[str], machine: Host, table: dict[str, int]) -> None:
    """Enter into `table` those of the units that the disk cache has, and the shared functions that they call."""
    found = _find(keys, machine, table)
    objects = [Object(each.code, [_PREFIX + key for key in held], each.imports) for each, held in reversed(found)]
    if _load_image(objects, table):
        return
    for each in objects:  # what is called before what calls it
        with suppress(RuntimeError, KeyError):  # of another kind of process, or a part is gone: compiled, written over
            _load(each, table)


def _load(each: Object, table: dict[str, int]) -> None:
    """Link object code with the shared functions that it calls; KeyError for one that is not loaded."""
    addresses = {symbol: table[symbol.removeprefix(_PREFIX)] for symbol in each.imports}
    _enter(llvm.load(each.code, each.symbols, addresses), table)


def _load_image(objects: Sequence[Object], table: dict[str, int]) -> bool:
    """Link objects with each other and with the shared functions that they call, at once; False if it cannot be done.

    That takes a tenth of the time that LLVM's linker takes.
    """
    linked = link([each.code for each in objects], [symbol for each in objects for symbol in each.symbols])
    if linked is None:
        return False
    known = {name: table[key] for _, name in linked.outside if (key := name.removeprefix(_PREFIX)) in table}
    try:
        _enter(load(linked, known), table)
    except (OSError, AttributeError):
        return False
    return True


def _enter(addresses: Mapping[str, int], table: dict[str, int]) -> None:
    table.update({symbol.removeprefix(_PREFIX): address for symbol, address in addresses.items()})


def _compile(units: Sequence[Unit], machine: Host, table: dict[str, int]) -> None:
    """Compile units together; if that fails, one by one, so that the error names the one it is about."""
    global compiled
    from graphflow.codegen.batch import Batch

    def known(symbol: str) -> bool:
        key = symbol.removeprefix(_PREFIX)
        if key not in table:
            _load_from_disk([key], machine, table)
        return key in table

    try:
        objects = Batch(machine, known).compile(units)
        if not _load_image(objects, table):
            for each in objects:
                _load(each, table)
    except Exception as error:
        if len(units) > 1:
            for unit in units:
                _compile([unit], machine, table)
        if isinstance(error, CompileError):
            raise error.with_traceback(None) from error.__cause__  # without the compiler's own frames
        raise CompileError(f"kernel {units[0]} cannot be compiled: {error}") from error
    compiled += len(units)
    cache = disk_cache()
    if cache is not None:
        names = [[entry_name(symbol.removeprefix(_PREFIX), machine) for symbol in each.symbols] for each in objects]
        cache.store_all((each.code, kernels, each.imports) for each, kernels in zip(objects, names))


def _forked() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
