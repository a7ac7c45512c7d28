"""Graphs written to files and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn


def test_a_trained_graph_gives_the_same_answers_after_a_round_trip(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 4), name="x")
        y = gf.identity(gf.softmax(model(x), axis=-1), name="y")
    graph.save(tmp_path / "model.gf")
    again = gf.load_graph(tmp_path / "model.gf")
    data = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    want = gf.Session(graph).run(y, {x: data})
    session = gf.Session(again)
    assert np.array_equal(session.run("y", {"x": data}), want)
    for v in again.variables():
        v.assign(v.value * 0.0)
    session.run(gf.Graph.find(again, "y").name, {"x": data})
    assert np.array_equal(gf.Session(graph).run(y, {x: data}), want), "the loaded graph has variables of its own"


def test_other_files_are_refused(tmp_path: Path) -> None:
    gf.save({"w": gf.ones(3)}, tmp_path / "weights")
    with pytest.raises(ValueError, match="holds no graph"):
        gf.load_graph(tmp_path / "weights")
    with pytest.raises(FileNotFoundError):
        gf.load_graph(tmp_path / "nothing")
    whole = (tmp_path / "weights").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="half"):
        gf.load_graph(tmp_path / "half")
