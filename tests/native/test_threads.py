"""The benchmark's training steps give the same bits on any number of threads."""

from __future__ import annotations

from typing import Any

import pytest

import graphflow as gf
from graphflow.cli.bench.workloads import WORKLOADS

STEPS = 2


def bits(workload: str, threads: int) -> dict[str, bytes]:
    """The last loss of a few steps, and all that the program keeps in variables, as bytes."""
    record = WORKLOADS[workload]
    compiled: list[Any] = []

    def compile(function: Any, **options: Any) -> Any:
        compiled.append(gf.compile(function, num_threads=threads, **options))
        return compiled[-1]

    gf.random.seed(5)
    step = record.build["graphflow"](record.data(), compile)
    losses = [step() for _ in range(STEPS)]
    (trace,) = compiled[0]._traces
    program = trace.executable.program
    state = {f"variable {i}": v.numpy().tobytes() for i, (v, _) in enumerate(program.updates)}
    assert state, "the step trains nothing"
    return state | {f"loss {i}": loss.numpy().tobytes() for i, loss in enumerate(losses)}


@pytest.mark.parametrize(
    "workload",
    ["mlp_s", "lenet", "gpt", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mlp_m", "res"))],
)
def test_a_training_step_has_the_same_bits_on_any_number_of_threads(workload: str) -> None:
    alone = bits(workload, 1)
    for threads in (2, 3, 4):
        found = bits(workload, threads)
        assert found.keys() == alone.keys()
        different = [name for name in alone if found[name] != alone[name]]
        assert not different, f"{workload}, {threads} threads: {different}"
