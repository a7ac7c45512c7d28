"""The native driver: LLVM IR of the functions that walk a program, alone or with a gang of threads.

A program is data. Its header (i64 words) is ``instructions, count, table``, an instruction is
``function, args, nchunks, flags``. Thread t of T does chunks [t*nchunks/T, (t+1)*nchunks/T) of each instruction, thread
0 does those of one chunk; where bit 0 of the flags is set, all threads first wait for each other; where bit 1 is set
and the first buffer's first word (the status) is not 0, the program ends there, before anything is overwritten. Where
bit 2 is set, the arguments are ``address, sense, distance``: the program goes on that many instructions further on (or
back) if the word at the address is 0 and so is the sense, or if neither is.

The gang's control block is `graphflow.runtime.block`. Launching a program writes
what is to be done and then bumps the word of each worker's slot. A worker looks at that word for some tens of
microseconds and then sleeps in the system's futex (Linux) or in short naps (elsewhere).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from graphflow.codegen.cache import digest
from graphflow.codegen.host import process_host
from graphflow.codegen.jit import Unit
from graphflow.runtime.block import (
    BARRIER,
    BUSY,
    CALL,
    CPUS,
    DONE,
    PROGRAM,
    READY,
    SCRATCH,
    SLEEPING,
    SLOT,
    SLOTS,
    SPIN_LIMIT,
    SPINS,
    THREADS,
    WORD,
    WORKERS,
)

YIELDS = 200
"""How often an idle worker offers its CPU to others before it sleeps: 50-100 us, more than Python takes from one step
to the next."""
_i1, _i32, _i64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_bytes, _words, _void = ir.IntType(8).as_pointer(), _i64.as_pointer(), ir.VoidType()
_kernel = ir.FunctionType(_void, [_bytes.as_pointer(), _words, _i64, _i64, _bytes])

_FUTEX_CALL = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129


def _number(value: int) -> ir.Constant:
    return ir.Constant(_i64, value)


class _Writer(ir.IRBuilder):
    """An IR builder with loops and the words of the control block."""

    def __init__(self, module: ir.Module, name: str, result: ir.Type, parameters: list[ir.Type]) -> None:
        self.made = ir.Function(module, ir.FunctionType(result, parameters), name)
        super().__init__(self.made.append_basic_block())

    def word(self, base: ir.Value, index: int | ir.Value) -> ir.Value:
        """The address of a word."""
        return self.gep(base, [_number(index) if isinstance(index, int) else index])

    def get(self, base: ir.Value, index: int | ir.Value) -> ir.Value:
        """The value of a word."""
        return self.load(self.word(base, index))

    def watch(self, base: ir.Value, index: int | ir.Value) -> ir.Value:
        """The value of a word that another thread writes, and all that was written before it."""
        return self.load_atomic(self.word(base, index), "seq_cst", WORD)

    def variable(self, value: int | ir.Value) -> ir.Value:
        """A local variable (the optimiser puts it into a register)."""
        with self.goto_entry_block():
            place = self.alloca(_i64)
        self.store(_number(value) if isinstance(value, int) else value, place)
        return place

    @contextmanager
    def loop(self, condition: Callable[[], ir.Value]) -> Iterator[None]:
        """While the condition holds."""
        test, body, end = (self.append_basic_block() for _ in range(3))
        self.branch(test)
        self.position_at_end(test)
        self.cbranch(condition(), body, end)
        self.position_at_end(body)
        yield
        self.branch(test)
        self.position_at_end(end)

    def external(self, name: str, result: ir.Type, parameters: list[ir.Type], var_arg: bool = False) -> ir.Function:
        """A function of the C library or of LLVM."""
        kind = ir.FunctionType(result, parameters, var_arg=var_arg)
        return self.module.globals.get(name) or ir.Function(self.module, kind, name)

    def pause(self) -> None:
        """Tell the CPU that this is a loop that waits."""
        kind = _architecture()
        if kind in ("x86_64", "i686"):
            self.call(self.external("llvm.x86.sse2.pause", _void, []), [])
        elif kind in ("aarch64", "arm64"):
            self.call(self.external("llvm.aarch64.isb", _void, [_i32]), [ir.Constant(_i32, 15)])

    def give_way(self) -> None:
        """Let another thread have this CPU."""
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        self.call(self.external(name, _i32, []), [])

    def turn(self, turns: ir.Value, spins: ir.Value) -> None:
        """One turn of a loop that waits: the first `spins` of them keep the CPU, later ones offer it to others."""
        self.store(self.add(self.load(turns), _number(1)), turns)
        with self.if_else(self.icmp_unsigned("<=", self.load(turns), spins)) as (soon, late):
            with soon:
                self.pause()
            with late:
                self.give_way()

    def wait_while(self, condition: Callable[[], ir.Value], spins: ir.Value) -> None:
        """Wait for other threads that are at work."""
        turns = self.variable(0)
        with self.loop(condition):
            self.turn(turns, spins)


def _architecture() -> str:
    return process_host().triple.partition("-")[0]


def _futex() -> int | None:
    """The number of the futex system call; None where it is not known to exist."""
    return _FUTEX_CALL.get(_architecture()) if sys.platform.startswith("linux") else None


def _walk(b: _Writer, program: ir.Value, scratch: ir.Value, gang: tuple[ir.Value, ir.Value, ir.Value] | None) -> None:
    """All instructions of a program; with a `gang` (control block, thread, threads) this thread's share of them."""
    instruction = b.variable(b.get(program, 0))
    end = b.add(b.get(program, 0), b.mul(b.get(program, 1), _number(4 * WORD)))
    table = b.inttoptr(b.get(program, 2), _bytes.as_pointer())
    barriers = b.variable(0)
    with b.loop(lambda: b.icmp_unsigned("<", b.load(instruction), end)):
        words = b.inttoptr(b.load(instruction), _words)
        function = b.inttoptr(b.get(words, 0), _kernel.as_pointer())
        args = b.inttoptr(b.get(words, 1), _words)
        chunks = b.get(words, 2)
        if gang is None:
            _stop_on_failure(b, words, table, instruction, end)
            with b.if_then(b.icmp_signed("<", _number(0), chunks), likely=True):
                b.call(function, [table, args, _number(0), chunks, scratch])
        else:
            control, thread, threads = gang
            with b.if_then(b.trunc(b.get(words, 3), _i1)):
                _barrier(b, control, threads, barriers)
            _stop_on_failure(b, words, table, instruction, end)
            first, last = _share(b, chunks, thread, threads)
            with b.if_then(b.icmp_signed("<", first, last)):
                b.call(function, [table, args, first, last, scratch])
        b.store(b.add(b.load(instruction), _number(4 * WORD)), instruction)
        _jump(b, words, args, instruction)


def _jump(b: _Writer, words: ir.Value, args: ir.Value, instruction: ir.Value) -> None:
    """Where bit 2 of the flags is set, go on somewhere else if the word that the arguments name says so."""
    with b.if_then(b.trunc(b.lshr(b.get(words, 3), _number(2)), _i1), likely=False):
        word = b.get(b.inttoptr(b.get(args, 0), _words), 0)
        is_set = b.zext(b.icmp_signed("!=", word, _number(0)), _i64)
        with b.if_then(b.icmp_signed("==", is_set, b.get(args, 1))):
            back = b.sub(b.get(args, 2), _number(1))
            b.store(b.add(b.load(instruction), b.mul(back, _number(4 * WORD))), instruction)


def _stop_on_failure(b: _Writer, words: ir.Value, table: ir.Value, instruction: ir.Value, end: ir.Value) -> None:
    """Where bit 1 of the flags is set and a kernel has reported a failure, make this instruction the last one."""
    with b.if_then(b.trunc(b.lshr(b.get(words, 3), _number(1)), _i1)):
        status = b.get(b.bitcast(b.load(table), _words), 0)
        with b.if_then(b.icmp_unsigned("!=", status, _number(0))):
            b.store(b.sub(end, _number(4 * WORD)), instruction)


def _share(b: _Writer, chunks: ir.Value, thread: ir.Value, threads: ir.Value) -> tuple[ir.Value, ir.Value]:
    """This thread's chunks; a single chunk goes to thread 0, the one that is awake for certain."""
    first = b.sdiv(b.mul(thread, chunks), threads)
    last = b.sdiv(b.mul(b.add(thread, _number(1)), chunks), threads)
    single = b.icmp_signed("==", chunks, _number(1))
    is_zero = b.icmp_signed("==", thread, _number(0))
    none_or_one = b.zext(is_zero, _i64)
    return b.select(single, _number(0), first), b.select(single, none_or_one, last)


def _barrier(b: _Writer, control: ir.Value, threads: ir.Value, barriers: ir.Value) -> None:
    """Wait until all threads have come here, for the (barriers + 1)-th time."""
    b.store(b.add(b.load(barriers), _number(1)), barriers)
    expected = b.mul(b.load(barriers), threads)
    b.atomic_rmw("add", b.word(control, BARRIER), _number(1), "seq_cst")
    b.wait_while(lambda: b.icmp_signed("<", b.watch(control, BARRIER), expected), b.get(control, SPINS))


def _emit_single(module: ir.Module, name: str) -> None:
    """``void single(program, scratch)``: walk a program on this thread."""
    b = _Writer(module, name, _void, [_words, _bytes])
    program, scratch = b.made.args
    _walk(b, program, scratch, None)
    b.ret_void()


def _emit_launch(module: ir.Module, name: str) -> None:
    """``i64 launch(control, program, threads, scratch)``: walk a program with the gang, return 1.

    If the gang is at work already, walk it on this thread and return 0. A null `program` ends the workers, unless the
    gang is at work, and leaves it busy for good.
    """
    b = _Writer(module, name, _i64, [_words, _words, _i64, _bytes])
    control, program, threads, scratch = b.made.args
    ending = b.icmp_unsigned("==", program, ir.Constant(_words, None))
    taken = b.extract_value(b.cmpxchg(b.word(control, BUSY), _number(0), _number(1), "seq_cst", "seq_cst"), 1)
    with b.if_then(b.not_(taken)):
        with b.if_then(b.not_(ending)):
            _walk(b, program, scratch, None)
        b.ret(_number(0))
    present = b.add(b.get(control, WORKERS), _number(1))
    threads = b.select(b.icmp_signed("<", present, threads), present, threads)
    b.store(b.ptrtoint(program, _i64), b.word(control, PROGRAM))
    b.store(threads, b.word(control, THREADS))
    # With more threads than CPUs the one that is waited for may not be running: make room for it at once.
    roomy = b.icmp_signed("<=", threads, b.get(control, CPUS))
    b.store(b.select(roomy, b.get(control, SPIN_LIMIT), _number(0)), b.word(control, SPINS))
    b.store_atomic(_number(0), b.word(control, BARRIER), "seq_cst", WORD)
    b.store_atomic(_number(0), b.word(control, DONE), "seq_cst", WORD)
    thread = b.variable(1)
    with b.loop(lambda: b.icmp_signed("<", b.load(thread), threads)):
        slot = _slot(b, control, b.load(thread))
        b.atomic_rmw("add", b.word(slot, CALL), _number(1), "seq_cst")
        with b.if_then(b.icmp_signed("!=", b.watch(slot, SLEEPING), _number(0)), likely=False):
            _wake(b, slot)
        b.store(b.add(b.load(thread), _number(1)), thread)
    with b.if_then(b.not_(ending)):
        _walk(b, program, scratch, (control, _number(0), threads))
    workers = b.sub(threads, _number(1))
    b.wait_while(lambda: b.icmp_signed("<", b.watch(control, DONE), workers), b.get(control, SPINS))
    b.store_atomic(b.zext(ending, _i64), b.word(control, BUSY), "seq_cst", WORD)
    b.ret(_number(1))


def _emit_worker(module: ir.Module, name: str) -> None:
    """``void worker(control, thread)``: do this thread's share of every program launched, until the gang ends."""
    b = _Writer(module, name, _void, [_words, _i64])
    control, thread = b.made.args
    slot = _slot(b, control, thread)
    b.store_atomic(_number(1), b.word(slot, READY), "seq_cst", WORD)
    seen = b.variable(0)
    running = b.variable(1)
    with b.loop(lambda: b.icmp_signed("!=", b.load(running), _number(0))):
        _await_call(b, slot, b.load(seen), b.get(control, SPINS))
        b.store(b.add(b.load(seen), _number(1)), seen)
        address = b.get(control, PROGRAM)
        b.store(address, running)
        with b.if_then(b.icmp_signed("!=", address, _number(0))):
            scratch = b.inttoptr(b.get(slot, SCRATCH), _bytes)
            _walk(b, b.inttoptr(address, _words), scratch, (control, thread, b.get(control, THREADS)))
        b.atomic_rmw("add", b.word(control, DONE), _number(1), "seq_cst")
    b.ret_void()


def _slot(b: _Writer, control: ir.Value, thread: ir.Value) -> ir.Value:
    return b.word(control, b.add(_number(SLOTS), b.mul(thread, _number(SLOT))))


def _await_call(b: _Writer, slot: ir.Value, seen: ir.Value, spins: ir.Value) -> None:
    """Wait until the slot's word differs from `seen`: first spin, then sleep."""

    def uncalled() -> ir.Value:
        return b.icmp_signed("==", b.watch(slot, CALL), seen)

    turns = b.variable(0)
    end = b.add(spins, _number(YIELDS))
    with b.loop(lambda: b.and_(uncalled(), b.icmp_signed("<", b.load(turns), end))):
        b.turn(turns, spins)
    naps = b.variable(1)
    with b.loop(uncalled):
        if _futex() is None:
            _nap(b, naps)
        else:
            # The launcher looks at SLEEPING after it has changed CALL, the kernel at CALL after this: no call is lost.
            b.store_atomic(_number(1), b.word(slot, SLEEPING), "seq_cst", WORD)
            null = ir.Constant(_bytes, None)
            _system(b, [slot, _number(_FUTEX_WAIT_PRIVATE), b.trunc(seen, _i32), null, null, _number(0)])
            b.store_atomic(_number(0), b.word(slot, SLEEPING), "seq_cst", WORD)


def _wake(b: _Writer, slot: ir.Value) -> None:
    if _futex() is not None:
        null = ir.Constant(_bytes, None)
        _system(b, [slot, _number(_FUTEX_WAKE_PRIVATE), ir.Constant(_i32, 1), null, null, _number(0)])


def _system(b: _Writer, arguments: list[ir.Value]) -> None:
    call = b.external("syscall", _i64, [_i64], var_arg=True)
    b.call(call, [_number(_futex() or 0), *arguments])


def _nap(b: _Writer, naps: ir.Value) -> None:
    """Sleep, at first for 20 us and longer each time, up to a millisecond."""
    if sys.platform == "win32":
        b.call(b.external("Sleep", _void, [_i32]), [ir.Constant(_i32, 1)])
        return
    b.call(b.external("usleep", _i32, [_i32]), [b.trunc(b.mul(b.load(naps), _number(20)), _i32)])
    longer = b.add(b.load(naps), _number(1))
    b.store(b.select(b.icmp_signed("<", longer, _number(50)), longer, _number(50)), naps)


with open(__file__, "rb") as _file:
    _SOURCE = _file.read()


def _unit(name: str, emit: Callable[[ir.Module, str], None]) -> Unit:
    # Whatever changes in this file changes the key; finding it out takes less time than emitting the functions.
    return Unit(digest("driver", name, _SOURCE), emit, f"driver.{name}", program=True)


SINGLE = _unit("single", _emit_single)
LAUNCH = _unit("launch", _emit_launch)
WORKER = _unit("worker", _emit_worker)
