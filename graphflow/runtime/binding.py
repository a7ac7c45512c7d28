"""Binding NumPy arrays to a program's pointer table inside native code.

Asking an array for its address takes Python about a microsecond. A program instead begins with the ``BIND`` kernel,
which is given ``id(array)`` and reads the data pointer from the array object itself (``PyArrayObject.data``, the first
field after the object header, part of NumPy's ABI). The field's place is looked for once, and checked.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from graphflow.codegen.cache import digest
from graphflow.codegen.jit import Unit


@cache
def data_field() -> int:
    """Where in an array object its data pointer lies, in bytes. Raises RuntimeError if it is not found."""
    probes: list[Any] = [np.zeros(3), np.ones((2, 2), np.float32), np.arange(5, dtype=np.int8)]
    word = ctypes.sizeof(ctypes.c_void_p)
    for offset in range(word, 8 * word, word):
        if all(ctypes.c_size_t.from_address(id(p) + offset).value == p.ctypes.data for p in probes):
            return offset
    raise RuntimeError("the data pointer of NumPy arrays was not found; this NumPy is not supported")


def bind_unit() -> Unit:
    """The kernel ``for j in begin..end: table[args[2j]] = data pointer of the array object at args[2j + 1]``."""
    offset = data_field()
    key = digest("bind arrays", str(offset))
    return Unit(key, lambda module, symbol: _emit(module, symbol, offset), "bind arrays", program=True)


def _emit(module: Any, symbol: str, offset: int) -> None:
    from llvmlite import ir

    from graphflow.codegen.frame import I64, POINTER, Frame, i64

    frame = Frame(module, symbol, 0)
    b = frame.builder
    count = b.load(frame.args, typ=I64)

    def bind(j: Any) -> None:
        pair = b.add(b.mul(j, i64(2)), i64(1))
        number = b.load(b.gep(frame.args, [pair], source_etype=I64), typ=I64)
        array = b.load(b.gep(frame.args, [b.add(pair, i64(1))], source_etype=I64), typ=I64)
        field = b.inttoptr(b.add(array, i64(offset)), POINTER)
        b.store(b.load(field, typ=POINTER), b.gep(frame.table, [number], source_etype=POINTER))

    frame.loop(i64(0), count, 1, bind)
    b.ret_void()
    assert isinstance(frame.function, ir.Function)
