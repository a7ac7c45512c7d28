"""graphflow bench: the structure of what it reports and its errors; never how long anything took."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphflow.cli import bench, machine, main
from graphflow.cli.bench import memory, parts, plot, probes, report
from graphflow.cli.bench.child import Child, ChildError
from graphflow.cli.bench.ways import OWN, PEERS, WAYS
from graphflow.cli.bench.workloads import WORKLOADS, eagerly
from graphflow.cli.errors import UsageError

BRIEF = ["--quick", "--seconds", "0.03", "--workloads", "infer", "--threads", "1", "--peers", "none"]


def run(*arguments: str, path: Path) -> dict[str, Any]:
    """Run the command; the JSON it writes."""
    assert main(["bench", *BRIEF, *arguments, "--json", str(path)]) == 0
    results: dict[str, Any] = json.loads(path.read_text())
    return results


def test_steps_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = tmp_path / "tables.md"
    options = ["--parts", "limits,steps,session", "--note", "A note.", "--markdown", str(tables)]
    results = run(*options, path=tmp_path / "results.json")
    assert results["format"] == 1 and results["problems"] == []
    assert results["machine"]["cpu"] and results["machine"]["versions"]["numpy"] == np.__version__
    assert results["settings"]["workloads"] == ["infer"] and "growth" not in results
    assert results["others_cpu_share"] is None or 0 <= results["others_cpu_share"] <= 1
    (limit,) = results["limits"]
    assert limit["threads"] == 1 and limit["fma_gflops"] > 0 and limit["copy_gbs"] > 0
    static, eager = results["steps"]
    assert [static["way"], eager["way"]] == ["static", "eager"]
    for row in (static, eager):
        assert (row["workload"], row["threads"], row["limit"]) == ("infer", 1, "fma")
        assert row["calls"] > 0 and 0 < row["min_us"] <= row["q1_us"] <= row["median_us"] <= row["q3_us"]
        assert row["share"] > 0 and "over_best_peer" not in row
    assert static["value"] == pytest.approx(eager["value"], rel=1e-4)
    (overhead,) = results["session"]
    assert min(overhead[name] for name in ("session_us", "callable_us", "compiled_us")) > 0
    for text in (capsys.readouterr().out, tables.read_text()):
        assert "Time of a step, 1 thread" in text and "GraphFlow static" in text and "Session.run us" in text
        assert "A note." in text and ("of the CPUs meanwhile" in text or results["others_cpu_share"] is None)


def test_starts_are_reported(tmp_path: Path) -> None:
    (static, eager) = run("--parts", "starts", path=tmp_path / "results.json")["starts"]
    assert static["cold_numba"] and static["cold_kernels_compiled"] > 0, "the cold start found something in a cache"
    assert not static["warm_numba"] and static["warm_kernels_compiled"] == 0, "the warm start compiled something"
    assert static["temporary_bytes"] > 0 and eager["temporary_bytes"] is None
    assert all(row[f"{kind}_first_s"] > 0 for row in (static, eager) for kind in ("cold", "warm"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workloads", "mlp_s,mlp_x"], "no workload 'mlp_x'; there are: mlp_s, mlp_m"),
        (["--parts", "stairs"], "no part 'stairs'; there are: limits, steps"),
        (["--peers", "theano"], "no peer 'theano'; there are: torch, torch-compile, jax, tf, auto, none"),
        (["--threads", "1,many"], "--threads takes numbers of 1 to 256, got 'many'"),
        (["--threads", "0"], "got '0'"),
        (["--seconds", "-1"], "--seconds is a number above 0"),
        (["--json", "no/such/folder/x.json"], "no folder 'no/such/folder'"),
        (["--plot", "steps.txt"], "--plot writes .svg"),
    ],
)
def test_what_there_is_not(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphflow.cli.bench.ways.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="'torch' needs torch, which is not installed"):
        bench.ways.choose_peers(["torch"])
    assert bench.ways.choose_peers(["auto"]) == bench.ways.choose_peers(["none"]) == []


# -- workloads -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_computes_the_same_compiled_and_eagerly(name: str) -> None:
    import graphflow as gf

    workload = WORKLOADS[name]
    assert workload.name == name and workload.work and bool(workload.flops) != bool(workload.bytes)
    data = workload.data()
    build = workload.build["graphflow"]
    compiled, plain = build(data, gf.compile), build(data, eagerly)
    for _ in range(2):  # the second step starts from what the first has trained
        np.testing.assert_allclose(compiled().numpy(), plain().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("peer", PEERS)
def test_peers_compute_the_same(peer: str) -> None:
    if find_spec(WAYS[peer].module) is None:
        pytest.skip(f"{WAYS[peer].module} is not installed")
    if peer == "torch-compile":
        pytest.skip("half a minute, and the same builders as torch")
    workload = WORKLOADS["mlp_s"]
    assert WAYS[peer].family in workload.build
    with Child(1) as child:
        assert child.ask("load", way=peer, threads=1)["version"]
        for name in WORKLOADS:
            child.ask("build", workload=name)
            value = child.ask("first")["value"]
            step = WORKLOADS[name].build["graphflow"](WORKLOADS[name].data(), eagerly)
            assert value == pytest.approx(float(np.mean(step().numpy(), dtype=np.float64)), rel=1e-3, abs=1e-6), name


# -- processes -------------------------------------------------------------------------------------------------------
def test_a_worker_answers_after_an_error() -> None:
    with Child(1) as child:
        with pytest.raises(ChildError, match="KeyError: 'no such way'"):
            child.ask("load", way="no such way", threads=1)
        child.ask("load", way="eager", threads=1)
        child.ask("build", workload="infer")
        answer = child.ask("burst", seconds=0.01)
        assert len(answer["ns"]) > 0 and answer["idle_cpu"] >= 0
        assert child.ask("peak", workload="infer")["rss"] >= 0


def test_a_worker_that_does_not_answer_is_ended() -> None:
    with Child(1) as child:
        child.ask("load", way="eager", threads=1)
        child.ask("build", workload="infer")
        with pytest.raises(ChildError, match=r"took more than 0 s"):
            child.ask("burst", timeout=0.2, seconds=60)
        with pytest.raises(ChildError, match="the process ended"):
            child.ask("first")


def test_a_failing_way_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = parts.Settings(("infer",), (1,), ("tf",), seconds=0.02, rounds=2)
    ask = Child.ask

    def broken(self: Child, do: str, **arguments: Any) -> dict[str, Any]:
        if arguments.get("way") == "tf":
            raise ChildError("cannot be imported")
        return ask(self, do, **arguments)

    monkeypatch.setattr(Child, "ask", broken)
    rows = parts.steps(settings, lambda text: None)
    assert [row["way"] for row in rows] == [*OWN, "tf"]
    assert rows[2]["error"] == "cannot be imported" and all("median_us" in row for row in rows[:2])
    (table,) = report.tables({"steps": rows})
    assert any("failed: cannot be imported" in cell for row in table.rows for cell in row)


# -- figures ---------------------------------------------------------------------------------------------------------
def step_row(way: str, median: float, value: float = 1.0) -> dict[str, Any]:
    times = {"median_us": median, "min_us": median, "q1_us": median, "q3_us": median}
    return {"workload": "chain", "way": way, "threads": 2, "value": value, "calls": 1, **times}


def test_ratios_are_to_the_best_peer() -> None:
    rows = [step_row("static", 50.0), step_row("torch", 200.0), step_row("jax", 100.0)]
    parts._compare(rows)
    assert [row["over_best_peer"] for row in rows] == [0.5, 2.0, 1.0]
    assert [row["over_torch_eager"] for row in rows] == [0.25, 1.0, 0.5]
    assert rows[0]["best_peer"] == "jax"


def test_shares_are_of_the_limit_of_so_many_threads() -> None:
    row = step_row("static", 1000.0)
    limits = [{"threads": 1, "fma_gflops": 1.0, "copy_gbs": 1.0}, {"threads": 2, "fma_gflops": 2.0, "copy_gbs": 96.0}]
    parts.add_shares([row], limits)
    assert (row["limit"], row["share"]) == ("copy", pytest.approx(0.5))  # 48 MB in 1 ms
    assert parts.better(limits[:1], [{"threads": 1, "fma_gflops": 3.0, "copy_gbs": 0.5}]) == [
        {"threads": 1, "fma_gflops": 3.0, "copy_gbs": 1.0}
    ]


def test_different_results_are_a_problem() -> None:
    rows = [step_row("static", 1.0), step_row("torch", 1.0, value=1.0005), step_row("jax", 1.0, value=1.1)]
    (problem,) = parts.different_results(rows)
    assert "chain: the first step gives 1.1 in JAX jit, 1 in GraphFlow static" in problem
    assert parts.different_results([step_row("static", 1.0), step_row("jax", 1.0, value=float("nan"))])


def test_the_flops_of_training() -> None:
    from graphflow.cli.bench.workloads.mlp import flops

    assert flops((3, 4, 5), 2, training=False) == 2 * 2 * (3 * 4 + 4 * 5)
    assert flops((3, 4, 5), 2) == 2 * 2 * (2 * 3 * 4 + 3 * 4 * 5)


@pytest.mark.parametrize("kind", probes.GRAPHS)
def test_graphs_of_any_size(kind: str) -> None:
    answer = probes.growth(kind, 10)
    assert answer["seconds"] >= answer["compile_seconds"] > 0


def test_batch_sizes_need_one_compilation() -> None:
    answer = probes.batches(5)
    assert (answer["sizes"], answer["traces"], answer["compiles"]) == (5, 1, 1)


def test_the_peak_of_memory_is_seen() -> None:
    if not memory.reset_peak():
        pytest.skip("this system cannot reset the peak")
    memory.give_back()  # what other tests have freed would serve, and nothing grow
    memory.reset_peak()
    before = memory.resident_bytes()
    block = np.ones(64 << 20, np.uint8)
    del block
    assert memory.peak_bytes() - before > 32 << 20


def test_the_machine_is_described() -> None:
    found = machine.describe()
    assert found["cpus"] >= 1 and found["vector_bytes"] >= 16 and "python" in found["versions"]


def test_what_others_use_is_not_what_we_use() -> None:
    seen = machine.Bystanders()
    busy = [(10.0, 100.0, 50.0), (20.0, 100.0 + 10.0 * (os.cpu_count() or 1), 50.0 + 5.0 * (os.cpu_count() or 1))]
    seen._at_start, seen._look = busy[0], lambda: busy[1]  # type: ignore[method-assign]
    assert seen.share() == pytest.approx(0.5)
    seen._look = lambda: (20.0, 100.0, 50.0)  # type: ignore[method-assign]
    assert seen.share() is None


# -- the picture -----------------------------------------------------------------------------------------------------
def test_a_picture_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphflow.cli.bench.plot.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        plot.check("steps.svg")


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
@pytest.mark.filterwarnings("default")
def test_the_picture(tmp_path: Path) -> None:
    rows = [step_row("static", 50.0), step_row("torch", 200.0), {**step_row("jax", 1.0), "threads": 1}]
    path = tmp_path / "steps.svg"
    plot.plot({"steps": rows, "machine": {"cpu": "a CPU"}}, str(path))
    assert "<svg" in path.read_text()
