"""Checkpoints: what they hold, what they survive, and training that goes on bit by bit as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn

TRAINING = Path(__file__).parent / "training.py"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")


def objects() -> dict[str, Any]:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return {"model": model, "optimizer": gf.optim.Adam(model.parameters()), "noise": gf.random.Generator(5),
            "count": gf.Variable(np.int64(7), trainable=False)}  # fmt: skip


def values(parts: dict[str, Any]) -> list[list[float]]:
    return [v.tolist() for v in parts["model"].state_dict().values()]


# -- what it holds ----------------------------------------------------------------------------------------------------
def test_save_and_restore(tmp_path: Path) -> None:
    parts = objects()
    checkpoint = gf.train.Checkpoint(tmp_path / "new" / "folder", **parts)
    assert checkpoint.restore() is None and checkpoint.latest is None
    parts["model"](gf.ones((5, 3))).sum().backward()
    parts["optimizer"].step()
    parts["noise"].uniform()
    gf.random.uniform()
    want = values(parts), parts["noise"].get_state(), gf.random.get_state()
    path = checkpoint.save(12, extra={"best": [0.5, np.ones(2)], "name": "x"})
    assert path.endswith("checkpoint-00000012.safetensors") and checkpoint.latest == path
    other = objects()
    gf.random.seed(9)
    restored = gf.train.Checkpoint(tmp_path / "new" / "folder", **other).restore()
    assert restored is not None and restored.step == 12 and restored.extra["name"] == "x" and restored.path == path
    assert restored.extra["best"][1].tolist() == [1, 1]
    assert (values(other), other["noise"].get_state(), gf.random.get_state()) == want
    assert other["optimizer"].state_dict()["state"][0]["step"].item() == 1
    assert "max_to_keep=5, model, optimizer, noise, count" in repr(checkpoint)


def test_old_ones_go(tmp_path: Path) -> None:
    checkpoint = gf.train.Checkpoint(tmp_path, max_to_keep=2, v=gf.Variable(1.0))
    (tmp_path / ".checkpoint-00000001.safetensors.999999999.abcd.tmp").write_bytes(b"of a process that was killed")
    (tmp_path / f".checkpoint-00000002.safetensors.{os.getpid()}.abcd.tmp").write_bytes(b"of one that is at work")
    paths = [checkpoint.save(step) for step in (3, 20, 100)]
    assert checkpoint.paths == paths[1:]
    assert [p.name.split(".")[1] for p in tmp_path.glob(".*.tmp")] == ["checkpoint-00000002"]
    keep_all = gf.train.Checkpoint(tmp_path, max_to_keep=0, v=gf.Variable(1.0))
    keep_all.save(101)
    keep_all.save(102)
    assert len(keep_all.paths) == 4


def test_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    v = gf.Variable([1.0, 2.0])
    checkpoint = gf.train.Checkpoint(tmp_path, v=v)
    for step in (1, 2, 3, 4):
        v.assign([float(step), 0.0])
        checkpoint.save(step)
    one, two, three, four = map(Path, checkpoint.paths)
    four.write_bytes(four.read_bytes()[:-3])  # cut off
    content = bytearray(three.read_bytes())
    content[-1] ^= 1  # one bit
    three.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored = checkpoint.restore()
    assert restored is not None and restored.step == 2 and v.tolist() == [2.0, 0.0]
    assert len(caught) == 2 and caught[0].filename == __file__ and "not a whole" in str(caught[0].message)
    assert "00003.safetensors is damaged: its checksum" in str(caught[1].message)
    with pytest.raises(gf.errors.FileFormatError, match="damaged"):
        checkpoint.restore(three)
    assert checkpoint.restore(one) is not None and v.tolist() == [1.0, 0.0]
    gf.save({"a": 1}, two)
    one.write_bytes(b"")
    with pytest.raises(gf.errors.FileFormatError, match=r"(?s)no checkpoint in .* is whole.*no checkpoint: it was not"):
        checkpoint.restore()


def test_what_does_not_fit(tmp_path: Path) -> None:
    gf.train.Checkpoint(tmp_path, v=gf.Variable([1.0, 2.0]), m=nn.Linear(2, 2)).save(1)
    with pytest.raises(gf.errors.StateError, match=r"missing: \['w'\], not asked for: \['v', 'm'\]"):
        gf.train.Checkpoint(tmp_path, w=gf.Variable(1.0)).restore()
    with pytest.raises(gf.errors.StateError, match=r"v: it is float32 of shape \(3,\)"):
        gf.train.Checkpoint(tmp_path, v=gf.Variable([1.0, 2.0, 3.0]), m=nn.Linear(2, 2)).restore()
    with pytest.raises(gf.errors.StateError, match="m: the state_dict does not fit Linear"):
        gf.train.Checkpoint(tmp_path, v=gf.Variable([1.0, 2.0]), m=nn.Linear(2, 3)).restore()
    with pytest.raises(TypeError, match=r"save\(extra=...\)"):
        gf.train.Checkpoint(tmp_path, epoch=3)
    with pytest.raises(ValueError, match="always saved"):
        gf.train.Checkpoint(tmp_path, random=gf.random.Generator(1))
    with pytest.raises(FileNotFoundError):
        gf.train.Checkpoint(tmp_path, v=gf.Variable(1.0)).restore(tmp_path / "none")


# -- killed -----------------------------------------------------------------------------------------------------------
@needs_fork
@pytest.mark.parametrize("moment", ["write", "sync", "rename", "sync of the folder", "remove"])
def test_killed_at_each_moment_of_saving(tmp_path: Path, moment: str) -> None:
    v = gf.Variable(np.arange(5000.0))
    checkpoint = gf.train.Checkpoint(tmp_path, max_to_keep=1, v=v)
    checkpoint.save(1)
    v.assign(v + 1)
    child = os.fork()
    if child == 0:
        _die_at(moment)
        checkpoint.save(2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = checkpoint.restore()
    step = 1 if moment in ("write", "sync", "rename") else 2
    assert restored is not None and restored.step == step and v.numpy()[0] == step - 1
    checkpoint.save(3)  # cleans up
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-00000003.safetensors"]


def _die_at(moment: str) -> None:
    """Let this process be killed when it comes to that moment."""
    import safetensors

    from graphflow.core import files

    def die(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def half_written(specs: Any, path: str, metadata: Any) -> None:
        whole(specs, path, metadata=metadata)
        os.truncate(path, os.path.getsize(path) // 2)
        die()

    whole, sync, calls = safetensors.serialize_file, files._sync, iter(range(10))
    if moment == "write":
        safetensors.serialize_file = half_written
    elif moment == "sync":
        files._sync = die
    elif moment == "rename":
        os.replace = die
    elif moment == "sync of the folder":
        files._sync = lambda path: die() if next(calls) else sync(path)
    else:
        os.remove = die


def reference(folder: Path, steps: int, native: bool) -> dict[str, str]:
    """The losses of a run that nobody disturbs."""
    folder.mkdir()
    options = ["--native"] if native else []
    subprocess.run(
        [sys.executable, str(TRAINING), str(folder), str(steps), "0", *options], check=True, stdout=subprocess.DEVNULL
    )
    return dict(line.split() for line in (folder / "log").read_text().splitlines())


def kill_again_and_again(tmp_path: Path, kills: int, steps: int, workers: int, native: bool) -> None:
    """Kill a run ``kills`` times while it saves; what it computes is what an undisturbed run computes."""
    want = reference(tmp_path / "reference", steps, native)
    folder, rng = tmp_path / "killed", random.Random(0)
    folder.mkdir()
    command = [sys.executable, str(TRAINING), str(folder), str(steps), str(workers), *(["--native"] if native else [])]
    unfinished, writing = 0, 0.01
    for number in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stderr is not None
        for _ in range(rng.randint(1, 2)):
            line = process.stdout.readline()
            assert line.startswith("saving"), process.stderr.read()
        time.sleep(rng.random() * writing)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        unfinished += any(folder.glob(".checkpoint*.tmp"))
        assert "Warning" not in process.stderr.read()  # no file was ever found damaged
        process.stdout.close()
        process.stderr.close()
        if number % 10 == 9:
            print(f"{number + 1} kills, {unfinished} with a file half written")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    assert {step for step, _ in lines} == set(want)
    assert all(want[step] == loss for step, loss in lines)  # also the steps that were made twice
    assert kills < 10 or unfinished > 0
    print(f"{kills} kills: {unfinished} left a file half written; all {len(lines)} steps gave the same bits")


@needs_fork
def test_killed_while_saving(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, kills=2, steps=8, workers=2, native=False)


@needs_fork
@pytest.mark.slow
def test_killed_while_saving_fifty_times(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, kills=50, steps=110, workers=2, native=True)
