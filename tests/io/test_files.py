"""Files: what goes in comes out, as a whole or not at all."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn


def same(a: Any, b: Any) -> None:
    """Equal nesting, types and values; tensors bit by bit."""
    if isinstance(a, gf.Tensor):
        assert isinstance(b, gf.Tensor) and a.dtype is b.dtype and a.shape == b.shape
        assert a.numpy().tobytes() == b.numpy().tobytes()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert type(a) is type(b) and a == b


def test_nested_data(tmp_path: Path) -> None:
    state = {
        "model": {"w": gf.ones((2, 3)), "a.b": gf.arange(4), "empty": gf.zeros((0, 2))},
        "model.w": gf.tensor(2.0),
        "numbers": [1, 2.5, -1e300, True, None, "text with ünicode", (3, gf.tensor([True, False]))],
        7: {1.5: "key", False: [], None: {}},
        "inf": float("inf"),
    }
    gf.save(state, tmp_path / "file.safetensors")
    same(state, gf.load(tmp_path / "file.safetensors"))
    assert os.listdir(tmp_path) == ["file.safetensors"]


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    + ["float16", "bfloat16", "float32", "float64"],
)
def test_every_dtype(tmp_path: Path, dtype: str) -> None:
    x = gf.tensor([[0, 1], [1, 0]]).astype(dtype)
    gf.save([x, x.T], tmp_path / "x")
    same([x, gf.tensor(x.T.numpy())], gf.load(tmp_path / "x"))


def test_one_value_variables_and_arrays(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    gf.save(gf.tensor(3), path)
    assert gf.load(path).item() == 3
    gf.save({"v": gf.Variable([1.0]), "a": np.float64(2.0), "n": np.arange(3)}, path)
    back = gf.load(path)
    assert back["v"].tolist() == [1.0] and back["a"] == 2.0 and back["n"].tolist() == [0, 1, 2]


def test_a_model_and_its_optimizer(tmp_path: Path) -> None:
    def made() -> tuple[Any, Any]:
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        return model, gf.optim.Adam(model.parameters(), lr=0.1)

    def train(model: Any, optimizer: Any) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            (model(x) ** 2).mean().backward()
            optimizer.step()

    x = gf.random.normal((8, 3))
    with gf.config(native_after=-1):  # the same bits need the same code in both runs
        model, optimizer = made()
        train(model, optimizer)
        gf.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "run")
        train(model, optimizer)
        other, other_optimizer = made()
        state = gf.load(tmp_path / "run")
        other.load_state_dict(state["model"])
        other_optimizer.load_state_dict(state["optimizer"])
        train(other, other_optimizer)
    same(model.state_dict(), other.state_dict())


def test_files_of_and_for_other_programs(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    arrays = {"b": np.arange(3.0), "a": np.ones((2, 2), "int8")}
    save_file(arrays, tmp_path / "theirs", metadata={"format": "np"})
    loaded = gf.load(tmp_path / "theirs")
    assert {k: v.tolist() for k, v in loaded.items()} == {k: v.tolist() for k, v in arrays.items()}
    gf.save({k: gf.tensor(v) for k, v in arrays.items()}, tmp_path / "ours")
    assert {k: v.tolist() for k, v in load_file(tmp_path / "ours").items()} == {
        k: v.tolist() for k, v in arrays.items()
    }


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    gf.save({"a": 1}, path)
    with pytest.raises(TypeError, match=r"cannot save model.layers.1: it is a Linear; save its state_dict\(\)"):
        gf.save({"model": {"layers": [1, nn.Linear(2, 2)]}}, path)
    with pytest.raises(TypeError, match=r"cannot save a: its key \(1, 2\) is a tuple"):
        gf.save({"a": {(1, 2): 3}}, path)

    def full(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        gf.save({"a": 2}, path)
    assert gf.load(path) == {"a": 1} and os.listdir(tmp_path) == ["x"]


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file .*nothing"):
        gf.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        gf.save({}, tmp_path / "no" / "file")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    gf.save({"a": gf.ones(3), "b": [1, 2]}, path)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(gf.errors.FileFormatError, match=rf"x \({size} bytes\) is not a whole safetensors file"):
            gf.load(path)


@pytest.mark.parametrize("structure", ["{", "[1]", '{"tensor": "none"}', '{"class": "os.system"}', "[" * 100000])
def test_a_file_with_a_wrong_structure(tmp_path: Path, structure: str) -> None:
    header = json.dumps({"__metadata__": {"graphflow": structure}}).encode()
    path = tmp_path / "x"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(gf.errors.FileFormatError):
        gf.load(path)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"", b"\x80\x04\x95 a pickle", b"PK\x03\x04 a zip file, as torch.save writes it", bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a whole safetensors file"):
            gf.load(path)
