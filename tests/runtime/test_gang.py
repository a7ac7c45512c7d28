"""Programs run by one thread and by many: every chunk once, in order where asked; and the gang's life."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from graphflow.codegen.jit import compile_units
from graphflow.runtime import gang
from graphflow.runtime.native import BARRIER, Instruction, NativeProgram, aligned_empty
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]
THREADS = [1, 2, 3, 4]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def address(unit) -> int:
    return compile_units([unit, *gang.units(2)])[unit.key]


def counting(chunks: list[int], flags: int = 0) -> tuple[NativeProgram, list[np.ndarray]]:
    """A program that counts, for instructions of so many chunks, how often each chunk is done."""
    function = address(tiny.COUNT)
    counts = [np.zeros(count, np.int64) for count in chunks]
    program = NativeProgram([Instruction(function, [i], n, flags) for i, n in enumerate(chunks)], len(chunks))
    program.table[:] = [each.ctypes.data for each in counts]
    return program, counts


def shifting(width: int, steps: int) -> tuple[NativeProgram, np.ndarray]:
    """A program whose every instruction reads what all threads wrote in the one before."""
    function = address(tiny.SHIFT)
    arrays = np.zeros((2, width), np.int64)
    arrays[0] = np.arange(width)
    program = NativeProgram(
        [Instruction(function, [step % 2, 1 - step % 2, width], width, BARRIER) for step in range(steps)], 2
    )
    program.table[:] = [each.ctypes.data for each in arrays]
    return program, arrays


def shifted(width: int, steps: int) -> np.ndarray:
    return np.roll(np.arange(width), -steps) + steps


@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize("nthreads", THREADS)
def test_every_chunk_is_done_once(nthreads: int, brief: bool) -> None:
    program, counts = counting([1, 2, 3, 4, 5, 64, 1])
    for run in range(1, 21):
        program.run(nthreads, brief)
        assert all((each == run).all() for each in counts)


@pytest.mark.parametrize("nthreads", THREADS)
def test_barriers_order_the_instructions(nthreads: int) -> None:
    program, arrays = shifting(width=37, steps=50)
    program.run(nthreads)
    np.testing.assert_array_equal(arrays[0], shifted(37, 50))


def test_the_number_of_threads_may_change_from_run_to_run() -> None:
    program, arrays = shifting(width=5, steps=10)
    for nthreads in (1, 4, 2, 3, 1, 8, 2):
        arrays[0] = np.arange(5)
        program.run(nthreads)
        np.testing.assert_array_equal(arrays[0], shifted(5, 10))


def test_empty_programs_and_zero_chunks() -> None:
    NativeProgram([], 0).run(1)
    NativeProgram([], 0).run(3)
    program, counts = counting([1, 4], BARRIER)
    program.nchunks[0] = 0
    program.nchunks[1] = 3
    for nthreads in (1, 2):
        program.run(nthreads)  # a kernel never sees an empty range: this one would count it
    assert counts[0].tolist() == [0] and counts[1].tolist() == [2, 2, 2, 0]


def test_run_time_integers_may_change() -> None:
    program, arrays = shifting(width=8, steps=1)
    program.args[0][2] = 5
    program.nchunks[0] = 5
    program.run(2)
    assert arrays[1].tolist() == [2, 3, 4, 5, 1, 0, 0, 0]


@pytest.mark.parametrize("nthreads", THREADS)
@pytest.mark.parametrize("words", [8_192, 8_193, 100_000])
def test_each_thread_has_its_own_scratch_memory(nthreads: int, words: int) -> None:
    function = address(tiny.FILL_SCRATCH)
    out = np.full(40, -1)
    program = NativeProgram([Instruction(function, [0, words], len(out))], 1, scratch_bytes=8 * words)
    program.table[0] = out.ctypes.data
    program.run(nthreads)
    np.testing.assert_array_equal(out, np.arange(40))


def test_callers_at_once() -> None:
    """While one caller's program has the gang, the others' run on their own threads."""
    results: list[bool] = []

    def caller(width: int) -> None:
        program, arrays = shifting(width, steps=40)
        for _ in range(100):
            arrays[0] = np.arange(width)
            program.run(2)
            results.append(bool((arrays[0] == shifted(width, 40)).all()))

    callers = [threading.Thread(target=caller, args=(width,)) for width in (7, 20, 33)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert len(results) == 300 and all(results)


def test_one_thread_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gang, "_gang", None)
    program, counts = counting([4])
    program.run(1)
    assert gang._gang is None and counts[0].all()


def test_no_more_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gang, "_gang", None)
    monkeypatch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no more threads")))
    program, counts = counting([4, 4], BARRIER)
    program.run(3)
    assert all(each.all() for each in counts)


def test_an_idle_gang_costs_nothing() -> None:
    program, _ = counting([2])
    program.run(2)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.4)
    assert time.process_time() - before < 0.05
    program.run(2)  # and wakes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork() -> None:
    program, arrays = shifting(width=9, steps=10)
    program.run(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forking with threads at all
        child = os.fork()
    if child == 0:
        status = 1
        try:
            for nthreads in (1, 2, 3):
                arrays[0] = np.arange(9)
                program.run(nthreads)
                assert (arrays[0] == shifted(9, 10)).all()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    arrays[0] = np.arange(9)
    program.run(2)
    np.testing.assert_array_equal(arrays[0], shifted(9, 10))


EXITS = {
    "with workers asleep": "time.sleep(0.05)",
    "with workers awake": "program.run(3)",
    "with programs still to run": "import atexit; program.run(2); atexit.register(program.run, 2)",
    "with a program under way": "threading.Thread(target=forever, daemon=True).start(); time.sleep(0.05)",
    "into another program": "os.execv(sys.executable, [sys.executable, '-c', ''])",
}
EXITING = """
import os, sys, threading, time
from graphflow.runtime.native import NativeProgram

def forever():
    while True:
        program.run(2)

program = NativeProgram([], 1)
program.run(3)
print("ran", flush=True)
"""


@pytest.mark.parametrize("how", EXITS)
def test_the_interpreter_exits(how: str) -> None:
    script = EXITING + EXITS[how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHFLOW_NUM_THREADS", "3")
    assert gang.get_num_threads() == 3
    gang.set_num_threads(5)
    assert gang.get_num_threads() == 5
    gang.set_num_threads(None)
    assert gang.get_num_threads() == 3
    monkeypatch.setenv("GRAPHFLOW_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="GRAPHFLOW_NUM_THREADS.*'many'"):
        gang.get_num_threads()
    monkeypatch.delenv("GRAPHFLOW_NUM_THREADS")
    assert 1 <= gang.get_num_threads() <= (os.cpu_count() or 1)
    with pytest.raises(ValueError, match="1 to 256, got 0"):
        gang.set_num_threads(0)


@pytest.mark.parametrize(("nbytes", "alignment"), [(1, 64), (1000, 64), (1 << 20, 4096), (3_000_001, 4096)])
def test_aligned_memory(nbytes: int, alignment: int) -> None:
    memory = aligned_empty(nbytes)
    assert memory.dtype == np.uint8 and memory.nbytes == nbytes and memory.ctypes.data % alignment == 0
