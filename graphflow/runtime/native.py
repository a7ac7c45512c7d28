"""Programs in the form that the native driver runs: arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from graphflow.runtime.gang import MINIMUM_SCRATCH, aligned_empty, run_program

__all__ = ["BARRIER", "JUMP", "STOP", "Instruction", "NativeProgram", "aligned_empty"]

BARRIER = 1
"""Flag of an instruction: all threads have finished everything before it."""

STOP = 2
"""Flag of an instruction that does nothing itself: if a kernel before it reported a failure, the program ends here.

It needs a BARRIER, and so does the instruction after it: all threads must see the same status."""


JUMP = 4
"""Flag of an instruction that does nothing itself: its arguments are an address, 0 or 1, and a number of instructions
to go forward (or back) by if the word at the address is zero (0) or is not (1). It needs a BARRIER."""


class Instruction(NamedTuple):
    """One call of a kernel: its address, its own i64 arguments, into how many chunks it divides, and flags."""

    function: int
    args: Sequence[int]
    nchunks: int = 1
    flags: int = 0


class NativeProgram:
    """Instructions and a table of buffers, run by the native driver.

    `table` (int64, one address per buffer), `args` (an int64 view for each instruction) and `nchunks` (an int64 view)
    may be changed between runs. One thread of the caller's at a time may run it.
    """

    def __init__(self, instructions: Iterable[Instruction], buffers: int | np.ndarray, scratch_bytes: int = 0) -> None:
        listed = list(instructions)
        offsets = [0]
        for each in listed:
            offsets.append(offsets[-1] + len(each.args))
        args = np.array([value for each in listed for value in each.args], np.int64)
        start = args.ctypes.data
        rows = [
            (each.function, start + args.itemsize * offset, each.nchunks, each.flags)
            for each, offset in zip(listed, offsets)
        ]
        self.instructions = np.array(rows, np.int64).reshape(-1, 4)
        self.table = np.zeros(buffers, np.int64) if isinstance(buffers, int) else buffers  # may be shared by programs
        self.args = [args[begin:end] for begin, end in zip(offsets, offsets[1:])]
        self.nchunks = self.instructions[:, 2]
        self._header = np.array([self.instructions.ctypes.data, len(listed), self.table.ctypes.data], np.int64)
        self._keep = args  # the instructions hold its address, which even an empty list of views must not lose
        self.address: int = self._header.ctypes.data
        self.scratch_bytes = max(scratch_bytes, MINIMUM_SCRATCH)

    def run(self, nthreads: int = 1, brief: bool = False) -> None:
        """Run the program; the bits that come out do not depend on the number of threads.

        A `brief` program keeps Python's lock: the call costs less, and no other Python code runs meanwhile.
        """
        run_program(self.address, nthreads, self.scratch_bytes, brief)

    def run_one(self, number: int, nthreads: int = 1, count: int = 1) -> None:
        """Run one of the instructions alone, or a loop of ``count`` of them: for measuring them."""
        row = self.instructions.ctypes.data + number * self.instructions.strides[0]
        header = np.array([row, count, self.table.ctypes.data], np.int64)
        run_program(header.ctypes.data, nthreads, self.scratch_bytes)
