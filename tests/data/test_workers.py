"""DataLoaders with worker processes: the same data as without, and nothing left behind when something goes wrong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import data
from graphflow.data import transforms
from graphflow.data.transport import receive, send

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 8, 8)).astype(np.uint8)


class Noisy(data.Dataset):
    """Images with augmentation, their place, and what the global generators say."""

    augment = transforms.Compose([transforms.RandomAffine(20, (0.2, 0.2)), transforms.ToTensor()])

    def __getitem__(self, index: int) -> tuple[gf.Tensor, int, float]:
        return self.augment(IMAGES[index]), index, data.sample_generator().random()

    def __len__(self) -> int:
        return len(IMAGES)


def epochs(number: int, count: int = 2, **options: Any) -> list[list[np.ndarray]]:
    loader = data.DataLoader(Noisy(), 4, shuffle=True, generator=5, num_workers=number, **options)
    return [[np.asarray(part) for part in batch] for _ in range(count) for batch in loader]


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all((x == y).all() and x.dtype == y.dtype for p, q in zip(a, b) for x, y in zip(p, q))


def children() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return list(map(int, path.read_text().split())) if path.exists() else []


# -- the same data ----------------------------------------------------------------------------------------------------
def test_order_and_augmentation_do_not_depend_on_the_number_of_workers() -> None:
    want = epochs(0)
    assert len(want) == 12 and want[5][0].shape == (3, 1, 8, 8)
    assert not (want[0][1] == want[6][1]).all()  # another order in the second epoch
    before = children()
    for options in ({}, {"persistent_workers": True, "prefetch_factor": 3}):
        for number in (1, 3):
            assert same(epochs(number, **options), want)
    assert same(epochs(0), want) and not same(epochs(2, count=1, drop_last=True), want[:6])
    assert set(children()) <= set(before)


def test_default_generator_decides_too() -> None:
    def labels(number: int) -> list[int]:
        gf.random.seed(7)
        loader = data.DataLoader(Noisy(), 4, shuffle=True, num_workers=number)
        return [int(i) for _, y, _ in loader for i in y.numpy()] + [int(gf.random.randint(1 << 30).item())]

    assert labels(0) == labels(2)


class Globals(data.Dataset):
    def __getitem__(self, index: int) -> list[float]:
        return [random.random(), float(np.random.rand()), gf.random.uniform().item()]

    def __len__(self) -> int:
        return 8


def test_global_generators_follow_the_batch() -> None:
    def drawn(number: int) -> list[Any]:
        loader = data.DataLoader(Globals(), 2, num_workers=number, generator=3)
        return [[part.tolist() for part in batch] for _ in range(2) for batch in loader]

    one = drawn(1)
    assert one == drawn(3) and len({str(batch) for batch in one}) == 8


class Stream(data.IterableDataset):
    def __iter__(self) -> Iterator[tuple[int, float]]:
        for i in range(11):
            yield i, data.sample_generator().random()


class Divided(data.IterableDataset):
    """Divides itself among the workers, as in PyTorch."""

    def __iter__(self) -> Iterator[int]:
        info = data.get_worker_info()
        return iter(range(10)) if info is None else iter(range(info.id, 10, info.num_workers))


def test_streams() -> None:
    def batches(dataset: Any, number: int, **options: Any) -> list[Any]:
        loader = data.DataLoader(dataset, 2, num_workers=number, generator=1, **options)
        return [_lists(batch) for batch in loader]

    want = batches(Stream(), 0)
    assert [b[0] for b in want] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert all(batches(Stream(), n) == want for n in (1, 2, 3))
    assert batches(Stream(), 2, drop_last=True) == want[:5]
    assert batches(Divided(), 2) == [[0, 2], [1, 3], [4, 6], [5, 7], [8], [9]]
    assert sorted(i for b in batches(Divided(), 3) for i in b) == list(range(10))
    loader = data.DataLoader(Stream(), 2, num_workers=2, persistent_workers=True, generator=1)
    for _ in range(3):
        assert [_lists(b)[0] for b in loader] == [b[0] for b in want]
    assert data.get_worker_info() is None


def _lists(batch: Any) -> Any:
    return [_lists(part) for part in batch] if isinstance(batch, (list, tuple)) else batch.tolist()


def test_samples_one_by_one() -> None:
    for number in (0, 2):
        loader = data.DataLoader(data.TensorDataset(np.arange(6.0)), batch_size=None, num_workers=number)
        assert [x.item() for (x,) in loader] == [0, 1, 2, 3, 4, 5] and len(loader) == 6
        stream = data.DataLoader(Divided(), batch_size=None, num_workers=number)
        assert sorted(stream) == list(range(10))


def test_leaving_early_and_coming_back() -> None:
    loader = data.DataLoader(Noisy(), 4, shuffle=True, generator=5, num_workers=2, persistent_workers=True)
    pids = set()
    for _ in range(3):
        for batch in loader:
            assert batch[0].shape == (4, 1, 8, 8)
            break
        pids.add(tuple(children()))
    assert len(pids) == 1  # the workers stay
    plain = data.DataLoader(Noisy(), 4, shuffle=True, generator=5)
    for _ in range(3):
        next(iter(plain))
    assert same([[np.asarray(p) for p in b] for b in loader], [[np.asarray(p) for p in b] for b in plain])
    one, other = iter(loader), iter(loader)  # two passes over one loader at the same time
    assert len(list(zip(one, other))) == 6
    del loader, one, other
    assert not set(children()) & set(next(iter(pids)))


def test_systems_without_shared_files_and_selectors(monkeypatch: pytest.MonkeyPatch) -> None:
    want = epochs(0)
    monkeypatch.setattr("graphflow.data.transport._SHARED", False)
    monkeypatch.setattr("graphflow.data.pool._selector", lambda workers: None)
    assert same(epochs(2), want)
    with pytest.raises(gf.errors.WorkerError, match="exit code 3"):
        list(data.DataLoader(Bad(lambda: os._exit(3)), 2, num_workers=2))


def test_inside_a_graph() -> None:
    with gf.Graph():
        for number in (0, 1):
            x, y, _ = next(iter(data.DataLoader(Noisy(), 4, num_workers=number)))
            assert x.numpy().shape == (4, 1, 8, 8) and y.numpy().tolist() == [0, 1, 2, 3]


def test_spawned_workers() -> None:
    loader = data.DataLoader(range(6), 2, num_workers=1, multiprocessing_context="spawn")
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="fork"):
        data.DataLoader(range(6), num_workers=1, multiprocessing_context="threads")


# -- transport --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [3, 5000, 300_000])
def test_transport(size: int) -> None:
    import multiprocessing

    ours, theirs = multiprocessing.Pipe()
    array = np.arange(size, dtype=np.float32)
    value = {
        "t": gf.tensor(array),
        "b": array[:100].astype(gf.bfloat16.np),
        "f": np.asfortranarray(array[: size // 3 * 3].reshape(3, -1)),
        "e": np.zeros((0, 3)),
        "o": (1, "text", None),
    }
    send(theirs, value)
    got = receive(ours)
    assert (got["t"].numpy() == array).all() and got["o"] == value["o"] and got["e"].shape == (0, 3)
    assert got["b"].dtype == value["b"].dtype and (got["b"] == value["b"]).all() and (got["f"] == value["f"]).all()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    kept = []
    for _ in range(80):  # batches that are kept do not use up the file descriptors
        send(theirs, value)
        kept.append(receive(ours))
    assert not descriptors or len(os.listdir("/proc/self/fd")) <= descriptors + 64
    assert all((k["t"].numpy() == array).all() for k in kept)


# -- what goes wrong --------------------------------------------------------------------------------------------------
class Unsendable(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


class Bad(data.Dataset):
    def __init__(self, action: Any) -> None:
        self.action = action

    def __getitem__(self, index: int) -> int:
        if index == 5:
            self.action()
        return index

    def __len__(self) -> int:
        return 8


def _raise(error: Exception) -> None:
    raise error


def test_an_exception_shows_the_workers_traceback_and_the_item() -> None:
    before = children()
    with pytest.raises(KeyError, match="lost") as caught:
        list(data.DataLoader(Bad(lambda: _raise(KeyError("lost"))), 2, num_workers=2))
    text = str(caught.value.__cause__)
    assert "in worker" in text and "batch 2" in text and "test_workers.py" in text and "in __getitem__" in text
    if sys.version_info >= (3, 11):
        assert "while reading item 5 of the dataset (Bad)" in text
    with pytest.raises(gf.errors.WorkerError, match="(?s)Unsendable: 1 and 2"):
        list(data.DataLoader(Bad(lambda: _raise(Unsendable(1, 2))), 2, num_workers=2))
    with pytest.raises(gf.errors.ShapeError, match="one shape"):
        list(data.DataLoader([np.zeros(2), np.zeros(3)], 2, num_workers=1))
    with pytest.raises(ZeroDivisionError) as caught_init:
        list(data.DataLoader(range(3), num_workers=1, worker_init_fn=lambda worker: 1 // worker))
    assert "worker_init_fn of worker 0" in str(caught_init.value.__cause__)
    if sys.version_info >= (3, 11):
        with pytest.raises(KeyError) as here:
            list(data.DataLoader(Bad(lambda: _raise(KeyError("lost"))), 2))
        assert here.value.__notes__ == ["while reading item 5 of the dataset (Bad)"]
    assert set(children()) <= set(before)


def test_persistent_workers_go_on_after_an_exception() -> None:
    loader = data.DataLoader(Bad(lambda: _raise(KeyError("lost"))), 2, num_workers=2, persistent_workers=True)
    for _ in range(2):
        with pytest.raises(KeyError):
            list(loader)
    assert next(iter(loader)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"killed by signal 9 \(SIGKILL\).*batch 2 \(items \[4, 5\]\)"),
        (lambda: os._exit(3), "ended with exit code 3"),
    ],
)
def test_a_worker_that_dies_is_noticed(action: Any, message: str) -> None:
    started, before = time.monotonic(), children()
    loader = data.DataLoader(Bad(action), 2, num_workers=2, persistent_workers=True)
    got = []
    with pytest.raises(gf.errors.WorkerError, match=message):
        for batch in loader:
            got += batch.tolist()
    assert got == [0, 1, 2, 3] and set(children()) <= set(before) and time.monotonic() - started < 20
    assert next(iter(loader)).tolist() == [0, 1]  # with new workers


def test_timeout() -> None:
    loader = data.DataLoader(Bad(lambda: time.sleep(60)), 2, num_workers=2, timeout=0.2)
    started, before = time.monotonic(), children()
    with pytest.raises(gf.errors.WorkerError, match="no batch within timeout=0.2"):
        list(loader)
    assert time.monotonic() - started < 20 and set(children()) <= set(before)


@pytest.mark.parametrize(
    "options",
    [{"num_workers": -1}, {"timeout": -1}, {"prefetch_factor": 2}, {"persistent_workers": True},
     {"num_workers": 1, "prefetch_factor": 0}, {"batch_size": None, "drop_last": True}],
    ids=str,
)  # fmt: skip
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"list\(...\) makes a dataset"):
        data.DataLoader(i for i in range(3))
    with pytest.raises(TypeError, match="whole number"):
        data.DataLoader(range(3), batch_size=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        data.DataLoader(range(3), **options)


_PROGRAM = """
import os, sys, time
import numpy as np
from graphflow import data

class Slow(data.Dataset):
    def __getitem__(self, index):
        time.sleep(0.01)
        return np.zeros(3000, np.float32)
    def __len__(self):
        return 100000

loader = data.DataLoader(Slow(), 4, num_workers=2)
for number, batch in enumerate(loader):
    if number == 1:
        children = open(f"/proc/self/task/{os.getpid()}/children").read()
        print(children, flush=True)
"""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="looks at /proc")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL", "SIGTERM"])
def test_nothing_stays_behind(name: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells let what they put behind ignore it
    )
    assert program.stdout is not None and program.stderr is not None
    workers = list(map(int, program.stdout.readline().split()))
    assert len(workers) == 2 and all(map(_alive, workers))
    if name == "SIGINT":  # Ctrl-C goes to all processes of the terminal
        os.killpg(program.pid, signal.SIGINT)
    else:
        os.kill(program.pid, getattr(signal, name))
    stderr = program.stderr.read().decode()
    program.wait(30)
    deadline = time.monotonic() + 20
    while any(map(_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_alive, workers))
    if name == "SIGINT":
        assert stderr.count("KeyboardInterrupt") == 1 and "Process" not in stderr  # the workers are silent
    program.stdout.close()
    program.stderr.close()


# -- samplers and datasets that came with them ------------------------------------------------------------------------
def test_more_samplers() -> None:
    chosen = list(data.WeightedRandomSampler([1, 0, 3], 4000, generator=0))
    assert set(chosen) == {0, 2} and 0.7 < chosen.count(2) / 4000 < 0.8
    assert sorted(data.WeightedRandomSampler([1, 2, 3], 3, replacement=False)) == [0, 1, 2]
    firsts = [next(iter(data.WeightedRandomSampler([1, 9], 1, False, generator=i))) for i in range(200)]
    assert 0.83 < sum(firsts) / 200 < 0.97
    with pytest.raises(ValueError, match="without replacement"):
        data.WeightedRandomSampler([1, 0], 2, replacement=False)
    with pytest.raises(ValueError, match="not all zero"):
        data.WeightedRandomSampler([0.0], 1)
    sampler = data.SubsetRandomSampler([4, 7, 8], generator=1)
    assert {tuple(sampler) for _ in range(40)} > {(4, 7, 8)} and len(sampler) == 3
    parts = [data.DistributedSampler(range(10), 3, rank, seed=1) for rank in range(3)]
    seen = [list(part) for part in parts]
    assert [len(s) for s in seen] == [4, 4, 4] and {i for s in seen for i in s} == set(range(10))
    parts[0].set_epoch(1)
    assert list(parts[0]) != seen[0]
    assert len(data.DistributedSampler(range(10), 3, 0, drop_last=True)) == 3
    with pytest.raises(ValueError, match="rank"):
        data.DistributedSampler(range(10), 3, 3)


def test_more_datasets() -> None:
    both = Bad(print) + data.TensorDataset(np.arange(3))
    assert len(both) == 11 and both[0] == 0 and both[-1][0].item() == 2
    with pytest.raises(IndexError):
        both[11]
    with pytest.raises(TypeError, match="ChainDataset"):
        data.ConcatDataset([Stream()])
    assert len(list(Stream() + Stream())) == 22
    with pytest.raises(gf.errors.ShapeError, match="one length"):
        data.StackDataset(range(2), range(3))


class Batched(data.Dataset):
    def __getitem__(self, index: int) -> int:
        raise AssertionError("a dataset that can make several samples at once is asked for them at once")

    def __getitems__(self, indices: list[int]) -> list[int]:
        return [10 * i for i in indices]

    def __len__(self) -> int:
        return 4


def test_getitems() -> None:
    assert [b.tolist() for b in data.DataLoader(Batched(), 2)] == [[0, 10], [20, 30]]


# -- going on where one stopped ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("kind", ["own", "default", "stream"])
def test_resume_in_the_middle_of_an_epoch(number: int, kind: str) -> None:
    def make() -> data.DataLoader:
        if kind == "stream":
            return data.DataLoader(Stream(), 2, num_workers=number, generator=4)
        return data.DataLoader(Noisy(), 4, shuffle=True, num_workers=number, generator=9 if kind == "own" else None)

    def draw() -> float:  # as dropout does, from the default generator
        return gf.random.uniform().item()

    gf.random.seed(2)
    loader, want, states = make(), [], []
    for _ in range(2):
        for batch in loader:
            want.append([*_lists(batch), draw()])
            states.append((loader.state_dict(), gf.random.get_state()))
        states[-1] = (loader.state_dict(), gf.random.get_state())  # after the loop: between epochs
    for at in (1, len(want) // 2 - 1, len(want) // 2 + 1):
        gf.random.seed(99)
        again = make()
        again.load_state_dict(states[at][0])
        gf.random.set_state(states[at][1])
        got = []
        while len(got) < len(want) - at - 1:
            got += [[*_lists(batch), draw()] for batch in again]
        assert got == want[at + 1 :]
    with pytest.raises(gf.errors.StateError, match="no state of a DataLoader"):
        make().load_state_dict({"epoch": 1})
