"""Memory of large results: used again once nobody looks at it, and not before."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import graphflow as gf
from graphflow.core import blocks

SHAPE, NBYTES = (600, 700), 4 * 600 * 700


@pytest.fixture(autouse=True)
def nothing_kept():
    blocks.release_blocks()
    yield
    blocks.release_blocks()


def make() -> np.ndarray:
    return blocks.block_array(SHAPE, np.float32, NBYTES)


def test_memory_is_used_again_when_its_array_has_died():
    x = make()
    x[...] = 1
    address = x.ctypes.data
    assert blocks.kept_bytes() == 0
    del x
    assert NBYTES <= blocks.kept_bytes() <= NBYTES * 9 // 8
    y = make()
    assert y.ctypes.data == address and blocks.kept_bytes() == 0
    assert make().ctypes.data != address


def test_views_and_other_libraries_keep_it():
    x = make()
    x[...] = np.arange(x.size).reshape(SHAPE)
    lookers = [x.T, x[3:5, ::2], x.reshape(-1)[7:], memoryview(x), np.from_dlpack(x), np.asarray(x).view(np.int32)]
    wanted = [np.array(v) for v in lookers]
    address = x.ctypes.data
    del x
    while lookers:
        assert blocks.kept_bytes() == 0
        other = make()
        assert other.ctypes.data != address
        other[...] = -1
        del other
        blocks.release_blocks()
        np.testing.assert_array_equal(np.array(lookers[-1]), wanted[-1])
        lookers.pop(), wanted.pop()
    assert blocks.kept_bytes() > 0


def test_only_so_much_is_kept(monkeypatch):
    monkeypatch.setattr(blocks, "KEPT_BYTES", 3 * NBYTES)
    many = [make() for _ in range(6)]
    del many
    assert 2 * NBYTES <= blocks.kept_bytes() <= 3 * NBYTES


@pytest.mark.parametrize("nbytes", [1, 7, 8, 9, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 12345678])
def test_blocks_are_hardly_larger_than_what_is_asked_for(nbytes):
    assert nbytes <= blocks._rounded(nbytes) <= max(nbytes * 9 // 8 + 1, 8)
    assert blocks.block_array((nbytes,), np.uint8, nbytes).nbytes == nbytes


def test_results_of_threads_never_share():
    """Each thread's numbers stay its own, with large results made and dropped all the time."""
    wrong: list[int] = []
    double = gf.compile(lambda x: x * 2.0 + 1.0)

    def work(number: int) -> None:
        x = gf.full((512, 600), float(number))
        for _ in range(20):
            kept = double(x), double(x)
            if not all((k.numpy() == 2 * number + 1).all() for k in kept):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_variable_updates_the_block_it_was_given_in_place():
    v = gf.Variable(np.zeros((512, 1024), np.float32))
    v.assign(gf.compile(lambda x: x + 1.0)(gf.zeros((512, 1024))))

    @gf.compile
    def step():
        v.assign_add(1.0)

    step()
    address = v._data.ctypes.data
    step()
    assert v._data.ctypes.data == address
    seen = v.numpy()
    step()
    assert seen[0, 0] == 3 and v.numpy()[0, 0] == 4
