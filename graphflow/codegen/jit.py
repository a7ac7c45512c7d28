"""Compiling kernels: ``compile_units`` turns units into native addresses.

A unit is a kernel and the hash of its content. Its address comes from the first of: this process's table, the disk
cache, a compilation. All units that have to be compiled are compiled together, through Numba
(`graphflow.codegen.numba_target`); a process that finds everything in the cache never imports Numba.

The kernel ABI is ``void kernel(i8** table, i64* args, i64 begin, i64 end, i8* scratch)``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.codegen import llvm
from graphflow.codegen.host import Host, host
from graphflow.core.errors import CompileError

Emit = Callable[[Any, str], None]


@dataclass(frozen=True, eq=False)
class Unit:
    """One kernel to compile: `key` is the hash of its content (hexadecimal), `name` what error messages call it.

    ``emit(module, symbol)`` defines the function `symbol`, with the kernel ABI, in an ``llvmlite.ir.Module``.
    """

    key: str
    emit: Emit | None = None
    name: str = ""
    pyfunc: Callable[..., None] | None = None

    @property
    def symbol(self) -> str:
        """The name of the kernel's function in object code."""
        return f"gf_{self.key}"

    def __str__(self) -> str:
        return self.name or self.symbol


_lock = threading.RLock()
_addresses: dict[Host, dict[str, int]] = {}
compiled = 0
"""Kernels compiled by this process so far (not found in the table or the disk cache)."""


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
            if missing:
                table.update(_compile(missing, machine))
    return {key: table[key] for key in wanted}


def _compile(units: Sequence[Unit], machine: Host) -> dict[str, int]:
    global compiled
    try:
        addresses = _compile_batch(units, machine)
    except CompileError:
        raise
    except Exception as error:
        if len(units) == 1:
            raise CompileError(f"kernel {units[0]} cannot be compiled: {error}") from error
        for unit in units:  # one by one, to name the culprit
            _compile([unit], machine)
        raise
    compiled += len(units)
    return addresses


def _compile_batch(units: Sequence[Unit], machine: Host) -> dict[str, int]:
    from graphflow.codegen.numba_target import lower_batch

    texts = lower_batch([_checked(unit) for unit in units])
    code = llvm.object_code(texts, machine, [unit.symbol for unit in units])
    addresses = llvm.load(code, [unit.symbol for unit in units])
    return {unit.key: addresses[unit.symbol] for unit in units}


def _checked(unit: Unit) -> Callable[[Any], None]:
    """The unit's emitter; what goes wrong in it is reported with the unit's name."""

    def emit(module: Any) -> None:
        try:
            unit.emit(module, unit.symbol)
        except Exception as error:
            raise CompileError(f"kernel {unit} cannot be emitted: {type(error).__name__}: {error}") from error
        function = module.globals.get(unit.symbol)
        if function is None or not getattr(function, "blocks", None):
            raise CompileError(f"kernel {unit}: its emitter did not define the function {unit.symbol}")

    return emit


def _forked() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
