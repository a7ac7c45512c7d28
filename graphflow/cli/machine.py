"""What machine this is, and what it can do at most: multiply-adds and memory copies per second."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "jax", "jaxlib", "tensorflow")


def cpu_name() -> str:
    """The processor's name, as its maker calls it where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    """The machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of what is installed that matters to speed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, Any]:
    """The machine, as results are filed with it."""
    import graphflow as gf
    from graphflow.codegen.host import host, num_cpus
    from graphflow_kernels.cpu import target

    chosen = target.host()
    return {
        "cpu": cpu_name(),
        "llvm_cpu": host().cpu,
        "cpus": num_cpus(),
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "target": chosen.name,
        "vector_bytes": chosen.vector_bytes,
        "versions": {"graphflow": gf.__version__, **versions()},
    }


class Bystanders:
    """How much of the machine other processes use while it is watched.

    ``share()`` gives the part of all CPU time since the start that went neither idle nor to this process and those it
    has waited for; None where the system does not tell (it does on Linux).
    """

    def __init__(self) -> None:
        self._at_start = self._look()

    def share(self) -> float | None:
        wall, busy, own = (now - before for now, before in zip(self._look(), self._at_start))
        return min(1.0, max(0.0, (busy - own) / (wall * (os.cpu_count() or 1)))) if busy > 0 else None

    @staticmethod
    def _look() -> tuple[float, float, float]:
        """Seconds: of the wall, of all CPUs at work, of this process and its children."""
        times = os.times()
        try:
            with open("/proc/stat", encoding="ascii") as file:
                user, nice, system, _, _, *interrupts = map(int, file.readline().split()[1:9])
        except (OSError, ValueError):
            return times.elapsed, 0.0, 0.0
        ticks = user + nice + system + sum(interrupts)
        return times.elapsed, ticks / os.sysconf("SC_CLK_TCK"), sum(times[:4])


# -- limits ----------------------------------------------------------------------------------------------------------
def fma_gflops(threads: int, seconds: float = 0.2) -> float:
    """The most float32 multiply-adds that so many threads do, in 1e9 additions and multiplications a second."""
    from graphflow.codegen.jit import compile_units
    from graphflow.runtime.native import Instruction, NativeProgram
    from graphflow_kernels.cpu import target

    machine = target.host()
    sums = machine.registers * 3 // 4  # enough independent sums to hide the latency, and registers to spare
    unit = _fma_unit(machine, sums)
    out = np.zeros(threads * 64, np.float32)
    turns = 100_000
    program = NativeProgram([Instruction(compile_units([unit])[unit.key], [0, turns], threads)], 1)
    program.table[0] = out.ctypes.data
    fastest = _fastest(lambda: program.run(threads), seconds)
    return 2.0 * machine.lanes("float32") * sums * turns * threads / fastest / 1e9


def copy_gbs(threads: int, seconds: float = 0.5, nbytes: int = 128 << 20) -> float:
    """The most that so many threads copy between arrays larger than the caches: GB read and written a second."""
    from concurrent.futures import ThreadPoolExecutor

    source, target = np.ones(nbytes, np.uint8), np.zeros(nbytes, np.uint8)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads)))
    with ThreadPoolExecutor(threads) as pool:  # NumPy copies without Python's lock
        fastest = _fastest(lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), parts)), seconds)
    return 2.0 * nbytes / fastest / 1e9


def _fastest(run: Any, seconds: float) -> float:
    """Seconds of the fastest of the runs that fit into the time, of three at least."""
    run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _fma_unit(machine: Any, sums: int) -> Any:
    """The kernel ``sums[i] = sums[i] * x + x``, args[1] times a chunk; their total goes to buffer 0."""
    from graphflow.codegen.cache import digest
    from graphflow.codegen.jit import Unit

    lanes = machine.lanes("float32")
    return Unit(
        digest("fma peak", machine.name, str(sums)),
        lambda module, symbol: _emit_fma(module, symbol, machine, sums, lanes),
    )


def _emit_fma(module: Any, symbol: str, machine: Any, sums: int, lanes: int) -> None:
    from llvmlite import ir

    i64, f32, word = ir.IntType(64), ir.FloatType(), ir.IntType(8).as_pointer()
    vector = ir.VectorType(f32, lanes)
    kind = ir.FunctionType(ir.VoidType(), [word.as_pointer(), i64.as_pointer(), i64, i64, word])
    function = ir.Function(module, kind, symbol)
    table, args, begin, end, _ = function.args
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32")
    b = ir.IRBuilder(function.append_basic_block())
    out = b.gep(b.bitcast(b.load(table), f32.as_pointer()), [b.mul(begin, ir.Constant(i64, 64))])
    turns = b.mul(b.load(b.gep(args, [ir.Constant(i64, 1)])), b.sub(end, begin))
    place = b.bitcast(out, vector.as_pointer())
    x = b.load(place, align=4)  # zeros from memory: the compiler cannot know what the sums will be
    entry, loop, done = b.block, b.append_basic_block(), b.append_basic_block()
    b.branch(loop)
    b.position_at_end(loop)
    turn = b.phi(i64)
    turn.add_incoming(ir.Constant(i64, 0), entry)
    old = [b.phi(vector) for _ in range(sums)]
    # Machines without the instruction do the two operations; llvm.fma would call a function there.
    new = [b.call(fma, [s, x, x]) if machine.has_fma else b.fadd(b.fmul(s, x), x) for s in old]
    for number, (before, after) in enumerate(zip(old, new)):
        before.add_incoming(ir.Constant(vector, [float(number)] * lanes), entry)
        before.add_incoming(after, loop)
    following = b.add(turn, ir.Constant(i64, 1))
    turn.add_incoming(following, loop)
    b.cbranch(b.icmp_signed("<", following, turns), loop, done)
    b.position_at_end(done)
    total = new[0]
    for value in new[1:]:
        total = b.fadd(total, value)
    b.store(total, place, align=4)
    b.ret_void()
