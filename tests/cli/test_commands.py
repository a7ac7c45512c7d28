"""The graphflow command: what it prints, its exit status, and what it says when asked for what there is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import graphflow as gf
from graphflow.cli import COMMANDS, main

MODEL = """
import graphflow as gf

net = gf.nn.Sequential(gf.nn.Linear(6, 5), gf.nn.ReLU(), gf.nn.Linear(5, 3))
number = 3

class Net(gf.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = gf.nn.Linear(6, 2)

    def forward(self, x):
        return gf.tanh(self.inner(x))

@gf.compile
def loss(x, y):
    return gf.nn.functional.cross_entropy(net(x), y)

def decides(x):
    if x.sum() > 0:
        return x
    return -x
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with models, imported afresh by each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("inspected_model",):
        monkeypatch.delitem(sys.modules, name, raising=False)
    path = tmp_path / "inspected_model.py"
    path.write_text(MODEL)
    return str(path)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """Run a command that must fail; what it says."""
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


# -- the command itself ----------------------------------------------------------------------------------------------
def test_python_m_graphflow_prints_the_version() -> None:
    command = [sys.executable, "-m", "graphflow", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(gf.__file__).parents[1])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"graphflow {gf.__version__}\n", "")


def test_without_a_command_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0 and f"graphflow {command}" in capsys.readouterr().out


def test_an_unknown_command_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["benchmark"])
    text = capsys.readouterr().err
    assert ended.value.code == 2 and all(name in text for name in COMMANDS)


# -- info and cache --------------------------------------------------------------------------------------------------
def test_info(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHFLOW_NUM_THREADS", "3")
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert gf.__version__ in text and "numpy " in text and "GRAPHFLOW_NUM_THREADS=3" in text
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["threads"] == "3" and facts["devices"] == "cpu"
    assert facts["target"].startswith(("avx512", "avx2", "sse2", "neon", "generic"))


def test_cache(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from graphflow.codegen.cache import disk_cache

    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path / "kernels"))
    cache = disk_cache()
    assert cache is not None
    cache.store(b"code", ["a", "b"])
    assert main(["cache", "info"]) == 0
    assert "kernels: 2 kernels in 1 files" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "deleted 2 kernels" in capsys.readouterr().out and cache.info()["objects"] == 0
    monkeypatch.setenv("GRAPHFLOW_CACHE_SIZE_MB", "0")
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "no cache: GRAPHFLOW_CACHE_SIZE_MB is 0\n"


# -- inspect ---------------------------------------------------------------------------------------------------------
def test_inspect_a_compiled_function(model: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "loss.svg"
    shapes = ["--shape", "None,6", "--shape", "None:int64"]
    assert main(["inspect", f"{model}:loss", *shapes, "--size", "7", "--draw", str(picture)]) == 0
    text = capsys.readouterr().out
    before, optimized, kernels = text.split("\n-- ")
    assert "stop_gradient" in before and "stop_gradient" not in optimized
    assert "Contract" in kernels and ": 7}" in kernels and "built in" in kernels
    assert "<svg" in picture.read_text()


@pytest.mark.parametrize(("name", "op"), [("net", "relu"), ("Net", "tanh")])
def test_inspect_a_module_or_its_class(model: str, name: str, op: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"{model}:{name}", "--shape", "4, 6:float32"]) == 0
    assert f"matmul add {op}" in capsys.readouterr().out


def test_inspect_a_graph_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "graph.txt"
    path.write_text(gf.trace(lambda x: (x * 2 + 1).sum(), gf.TensorSpec((None, 3), name="x")).to_text())
    assert main(["inspect", str(path)]) == 0
    assert "Reduce" in capsys.readouterr().out
    assert "knows its shapes" in fails(capsys, "inspect", str(path), "--shape", "3")


@pytest.mark.parametrize(
    ("what", "shapes", "message"),
    [
        ("{model}:nothing", ["3"], "has nothing called 'nothing'"),
        ("{model}:number", ["3"], "number is a int"),
        ("{model}:net", [], "--shape 32,784"),
        ("{model}:net", ["3,x"], "--shape '3,x': expected sizes and a dtype"),
        ("{model}:net", ["3,6:float31"], "--shape '3,6:float31': expected sizes and a dtype"),
        ("no_such_file.py:net", ["3"], "there is no file 'no_such_file.py'"),
        ("no_such_module:net", ["3"], "there is no module 'no_such_module'"),
        ("no_such_graph.txt", [], "neither a readable file with a graph nor module:name"),
    ],
)
def test_inspect_says_what_is_wrong(
    model: str, what: str, shapes: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [part for shape in shapes for part in ("--shape", shape)]
    assert message in fails(capsys, "inspect", what.format(model=model), *options)


def test_inspect_reports_errors_of_the_model_with_its_line(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = fails(capsys, "inspect", f"{model}:decides", "--shape", "None", status=1)
    assert "TraceError" in text and f"{model}:20" in text
    assert "ShapeError" in fails(capsys, "inspect", f"{model}:net", "--shape", "4,5", status=1)


def test_inspect_draws_svg_only(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ".svg" in fails(capsys, "inspect", f"{model}:net", "--shape", "4,6", "--draw", "net.png")
