"""Programs that another process has planned: they run the same, and whatever else is asked of a program works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.codegen import cache as disk
from graphflow.codegen import jit
from graphflow.codegen.image import link
from graphflow.core.errors import IndexingError
from graphflow.core.op import OPS
from graphflow.ops.define import elementwise
from graphflow.runtime import recall
from graphflow.runtime.content import Content, Unnamed
from graphflow.runtime.recall import Recalled
from graphflow.trace.compile import CompiledFunction

ROOT = Path(__file__).resolve().parents[2]
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)

SCRIPT = """
import json, sys
import numpy as np
import graphflow as gf
from graphflow.codegen import jit
from graphflow.codegen.image import link

gf.random.seed(3)
model = gf.nn.Linear(3, 2)
optimizer = gf.optim.Adam(model.parameters(), lr=0.1)

@gf.compile
def step(x):
    optimizer.zero_grad()
    loss = gf.mean(gf.square(model(x)))
    loss.backward()
    optimizer.step()
    return loss

losses = [float(step(np.ones((4, 3), np.float32))) for _ in range(3)]
program = type(step.newest().executable).__name__
loaded = [name for name in ("numba", "llvmlite.binding") if name in sys.modules]
print(json.dumps({"losses": losses, "program": program, "compiled": jit.compiled, "loaded": loaded}))
"""


def start_process(folder: Path) -> subprocess.Popen[str]:
    settings = {"GRAPHFLOW_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", SCRIPT],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(output)  # type: ignore[no-any-return]


def test_two_processes_race_on_an_empty_cache_and_a_third_recalls(tmp_path: Path) -> None:
    first, second = [result_of(p) for p in [start_process(tmp_path) for _ in range(2)]]
    third = result_of(start_process(tmp_path))
    assert first["program"] == "Native" and first["loaded"] == ["numba", "llvmlite.binding"]
    assert first["losses"] == second["losses"] == third["losses"]
    assert (third["program"], third["compiled"]) == ("Recalled", 0)
    assert third["loaded"] == ([] if link([], []) is not None else ["llvmlite.binding"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path))
    return tmp_path


def both(fn: Callable[..., Any], *args: Any) -> tuple[CompiledFunction, CompiledFunction]:
    """A function compiled anew and recalled, called once each."""
    made: list[CompiledFunction] = []
    for kind in (False, True):
        compiled = gf.compile(fn)
        compiled(*args)
        assert isinstance(compiled.newest().executable, Recalled) is kind
        made.append(compiled)
    return made[0], made[1]


def test_variables_random_numbers_and_learning_rates() -> None:
    def training() -> Callable[..., Any]:
        gf.random.seed(1)
        model = gf.nn.Sequential(gf.nn.Linear(3, 4), gf.nn.Dropout(0.5), gf.nn.Linear(4, 1))
        optimizer = gf.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = gf.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = gf.mean(gf.square(model(x) - 1.0))
            loss.backward()
            optimizer.step()
            return loss

        compiled = gf.compile(step)

        def train(x: Any) -> float:
            loss = float(compiled(x))
            schedule.step()
            return loss

        train.compiled = compiled  # type: ignore[attr-defined]
        return train

    runs = [training() for _ in range(2)]
    losses = []
    for train in runs:
        gf.random.seed(2)
        losses.append([train(X) for _ in range(6)])
    assert losses[0] == losses[1]
    assert isinstance(runs[1].compiled.newest().executable, Recalled)  # type: ignore[attr-defined]


def test_loops_branches_and_gradients_of_a_call() -> None:
    w = gf.Variable(np.float32(0.5))

    def f(x: Any) -> Any:
        state, steps = gf.scan(lambda s, row: (s * w + row, gf.tanh(s)), gf.zeros(3), x)
        return gf.cond(gf.sum(x) > 0, lambda: gf.sum(steps), lambda: gf.sum(state))

    new, old = both(f, gf.tensor(X))
    for sign in (1.0, -1.0):
        assert float(new(gf.tensor(X + sign))) == float(old(gf.tensor(X + sign))) == pytest.approx(float(f(X + sign)))
    slopes = []
    for each in (new, old):
        w.grad = None
        each(gf.tensor(X)).backward()
        slopes.append(w.grad.item())
    assert slopes[0] == slopes[1] != 0


def test_reports_after_a_recalled_start(tmp_path: Path) -> None:
    new, old = both(lambda x: gf.sum(gf.exp(x) * 2, axis=1), gf.tensor(X))
    said = [text.explain().partition("-- program --")[2].partition("\ntemporary")[0] for text in (new, old)]
    assert said[0] == said[1] and "exp" in said[0]
    assert "bytes at" in old.explain()
    profile = old.profile(gf.tensor(X))
    assert [e.name for e in profile] == [e.name for e in new.profile(gf.tensor(X))]
    assert old.newest().executable.peak_bytes == new.newest().executable.peak_bytes
    old.draw(tmp_path / "picture.svg")
    assert "exp" in (tmp_path / "picture.svg").read_text()
    assert np.array_equal(old(gf.tensor(X)), new(gf.tensor(X)))


def test_other_sizes_are_planned_and_recorded_where_they_come_first() -> None:
    def f(x: Any) -> Any:
        return gf.softmax(x, axis=0)

    new, old = both(f, gf.tensor(X))
    wide = gf.tensor(np.concatenate([X, X]))
    assert np.array_equal(old(wide), new(wide)) and np.array_equal(old(gf.tensor(X)), new(gf.tensor(X)))
    again = gf.compile(f)
    again(gf.tensor(X))  # sizes that came second have not replaced those that came first
    assert again.newest().executable._whole is None
    first = gf.compile(f)
    assert np.array_equal(first(wide), new(wide)) and first.newest().executable._whole is not None
    second = gf.compile(f)
    assert np.array_equal(second(wide), new(wide)) and second.newest().executable._whole is None


def test_a_failing_kernel_says_what_is_wrong_and_changes_nothing() -> None:
    count = gf.Variable(0)

    def f(x: Any, i: Any) -> Any:
        count.assign_add(1)
        return gf.take(x, i, axis=0)

    _, old = both(f, gf.tensor(X), gf.tensor([1, 2]))
    with pytest.raises(IndexingError, match=r"(?s)take.*out of range.*test_recall"):
        old(gf.tensor(X), gf.tensor([1, 4]))
    assert count.item() == 2
    assert old(gf.tensor(X), gf.tensor([0, 3])).shape == (2, 3) and count.item() == 3


@pytest.mark.parametrize("lost", ["record", "kernels", "kernels that a record only names"])
def test_files_that_cannot_be_used_count_as_absent(own_cache: Path, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return gf.log1p(gf.abs(x)) * 3

    if lost == "kernels that a record only names":
        monkeypatch.setattr(recall, "link_units", lambda keys: None)
    monkeypatch.setattr(jit, "_addresses", {})
    want = both(f, gf.tensor(X))[0](gf.tensor(X))
    for path in (own_cache / "objects").iterdir():
        data = path.read_bytes()
        if (b".text" in data) is not (lost == "record"):
            path.write_bytes(data[: len(data) // 2])
    monkeypatch.setattr(jit, "_addresses", {})  # as in a new process
    made = _again(f)
    complete = lost == "kernels" and link([], []) is not None  # where records hold their kernels
    assert isinstance(made.newest().executable, Recalled) is complete
    assert np.array_equal(made(gf.tensor(X)), want)
    assert isinstance(_again(f).newest().executable, Recalled)


def _again(f: Callable[..., Any]) -> CompiledFunction:
    compiled = gf.compile(f)
    compiled(gf.tensor(X))
    return compiled


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str, data: bytes) -> None:
        raise PermissionError(f"cannot write {path}")

    monkeypatch.setattr(disk, "_write", denied)
    monkeypatch.setattr(disk, "_caches", {})
    with pytest.warns(RuntimeWarning, match="GRAPHFLOW_CACHE_DIR"):
        made = _again(lambda x: x * 2 + 7)
    assert not isinstance(made.newest().executable, Recalled)
    assert np.array_equal(made(gf.tensor(X)), X * 2 + 7)


def name_of(fn: Callable[..., Any], *specs: Any) -> str:
    graph = gf.trace(fn, *(specs or [gf.TensorSpec((4, 3), name="x")]))
    return Content(graph, graph.inputs).name()


def test_names_tell_programs_apart() -> None:
    v, w = gf.Variable(1.0), gf.Variable([1.0])
    functions: list[Callable[[Any], Any]] = [
        lambda x: x + 0.0,
        lambda x: x + -0.0,
        lambda x: x + 1,
        lambda x: x - 1,
        lambda x: 1 - x,
        lambda x: gf.sum(x, axis=0),
        lambda x: gf.sum(x, axis=1),
        lambda x: x + np.arange(3, dtype=np.float32),
        lambda x: x + np.arange(100, 103, dtype=np.float32),
        lambda x: x + v,
        lambda x: x + w,
        lambda x: x + v.assign_add(1.0),
        lambda x: gf.cond(v > 0, lambda: x, lambda: x * 2),
        lambda x: gf.cond(v > 0, lambda: x, lambda: x * 3),
    ]
    names = [name_of(f) for f in functions]
    assert len(set(names)) == len(names)
    assert names == [name_of(f) for f in functions]
    double = functions[2]
    others = [((None, 3), gf.float32), ((4, None), gf.float32), ((4, 3), gf.float64), ((3, 4), gf.float32)]
    different = {name_of(double, gf.TensorSpec(shape, dtype, name="x")) for shape, dtype in others}
    assert len(different) == 4 and names[2] not in different
    with gf.config(disabled_passes=("fold",)):
        assert name_of(double) != names[2]


def test_equal_functions_of_other_variables_have_one_name() -> None:
    names = set()
    for _ in range(2):
        v = gf.Variable(np.ones(3, np.float32))
        names.add(name_of(lambda x, v=v: v.assign(gf.sum(x * v, axis=0))))
    assert len(names) == 1


def test_what_another_process_cannot_know_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphflow.core.op.OPS", dict(OPS))
    mine = elementwise("test_recall_mine", np.positive, lambda b, x: x + x, None, dtypes="float", doc="Mine.")
    theirs = gf.custom_op(lambda x: x * 2, name="test_recall_theirs")
    for f in (mine, theirs):
        with pytest.raises(Unnamed):
            name_of(lambda x, f=f: f(x))


def test_prints_are_not_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        made = _again(lambda x: gf.print(gf.sum(x)) * 2)
        assert not isinstance(made.newest().executable, Recalled)
    assert capsys.readouterr().out.count("\n") == 2
