"""gf.train.Saver: variables to safetensors files and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf


@pytest.fixture
def trained() -> tuple[gf.Graph, Any, Any, Any, Any]:
    with gf.Graph() as graph:
        x = gf.placeholder((None, 2), name="x")
        w, b = gf.Variable(np.zeros((2, 1), np.float32), name="w"), gf.Variable([0.5], name="b")
        loss = gf.square(x @ w + b - 1.0).mean()
        train = gf.optim.Adam(lr=0.1).minimize(loss)
    return graph, x, w, loss, train


def test_save_and_restore_with_optimizer_state(trained: Any, tmp_path: Path) -> None:
    graph, x, w, loss, train = trained
    saver = gf.train.Saver()
    data = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)

    def continue_training() -> list[float]:
        return [session.run([train, loss], {x: data})[1] for _ in range(5)]

    with gf.Session(graph) as session:
        continue_training()
        path = saver.save(session, tmp_path / "model", global_step=5)
        assert path == str(tmp_path / "model-5.safetensors") and os.path.exists(path)
        want = continue_training()
        w.assign(np.ones((2, 1), np.float32))
        saver.restore(session, path)
        assert continue_training() == want
    names = set(gf.load(path))
    assert {"w", "b"} <= names and any("exp_avg" in n for n in names)
    assert gf.train.latest_checkpoint(tmp_path) == path


def test_old_files_go_and_names_are_unique(tmp_path: Path) -> None:
    a, b = gf.Variable(1.0, name="v"), gf.Variable(2.0, name="v")
    saver = gf.train.Saver([a, b], max_to_keep=2)
    session = gf.Session(gf.Graph())
    paths = [saver.save(session, tmp_path / "model.safetensors", step) for step in (1, 2, 10)]
    assert [os.path.exists(p) for p in paths] == [False, True, True] and saver.last_checkpoints == paths[1:]
    assert gf.train.latest_checkpoint(tmp_path) == paths[2]
    assert {k: v.item() for k, v in gf.load(paths[1]).items()} == {"v": 1.0, "v_1": 2.0}


def test_the_step_may_be_a_variable(tmp_path: Path) -> None:
    with gf.Graph().as_default() as graph:  # as TensorFlow 1's programs are: all of it inside
        step = gf.Variable(0, trainable=False, name="global_step")
        count = gf.assign_add(step, 1)
        with gf.Session(graph) as session:
            assert session.run(count) == 1 and step.eval() == 1
            path = gf.train.Saver().save(session, tmp_path / "model", global_step=step)
    assert path.endswith("model-1.safetensors")


def test_nothing_changes_unless_all_fits(tmp_path: Path) -> None:
    v, w = gf.Variable([1.0, 2.0]), gf.Variable([3.0])
    session = gf.Session(gf.Graph())
    path = gf.train.Saver({"v": v, "w": w}).save(session, tmp_path / "m")
    v.assign([0.0, 0.0])
    wrong = gf.train.Saver({"v": v, "w": gf.Variable([1.0, 2.0]), "z": gf.Variable(1)})
    with pytest.raises(gf.errors.StateError, match=r"(?s)missing: z.*w: the file has float32 of shape \(1,\)"):
        wrong.restore(session, path)
    assert v.tolist() == [0.0, 0.0]
    gf.train.Saver({"v": v}).restore(session, tmp_path / "m")  # the suffix may be left out; other entries do not matter
    assert v.tolist() == [1.0, 2.0]
    with pytest.raises(FileNotFoundError):
        gf.train.Saver({"v": v}).restore(session, tmp_path / "none")
