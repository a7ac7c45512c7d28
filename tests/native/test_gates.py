"""Steps of recurrent layers as one kernel: the gates are the epilogue of the product that makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn, optim
from graphflow.schedule.kernels import ContractKernel
from graphflow.schedule.marks import Mark
from tests.native.common import native

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def inside(executable: Any) -> list[Any]:
    """The kernels of the only loop's steps."""
    kernels = executable.program.kernels
    begin, end = (
        next(i for i, k in enumerate(kernels) if isinstance(k, Mark) and k.what == w) for w in ("begin", "again")
    )
    return kernels[begin + 1 : end]


def layer(kind: str, hidden: int, dtype: Any = gf.float32) -> Any:
    gf.random.seed(0)
    return getattr(nn, kind)(8, hidden, dtype=dtype)


def inputs(batch: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, batch, 8)).astype(dtype)


@pytest.mark.parametrize("kind, dtype", [("LSTM", "float32"), ("GRU", "float32"), ("LSTM", "float64")])
def test_gates_are_the_epilogue_of_their_product(kind: str, dtype: str) -> None:
    recurrent = layer(kind, 32, gf.float32 if dtype == "float32" else gf.float64)
    for lengths in (None, gf.tensor(np.arange(21) % 4)):
        executable = native(lambda x, ends=lengths: recurrent(x, lengths=ends)[0], inputs(21, dtype))
        (step,) = inside(executable)
        assert isinstance(step, ContractKernel) and step.parts == GATES[kind]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_sizes_that_fill_no_vectors_have_a_kernel_for_the_gates(kind: str) -> None:
    recurrent = layer(kind, 10)
    executable = native(lambda x: recurrent(x)[0], inputs(12))
    assert [k.kind for k in inside(executable)] == ["Contract", "Map"]


def train(kind: str, threads: int) -> list[bytes]:
    model = layer(kind, 32)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def step(x: gf.Tensor) -> gf.Tensor:
        optimizer.zero_grad()
        loss = (model(x)[0] ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    compiled = gf.compile(step, num_threads=threads, dynamic=(0, 1))
    out = [compiled(gf.tensor(inputs(batch))).numpy().tobytes() for batch in (20, 32, 20)]
    return out + [p.numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_have_the_same_bits_on_any_number_of_threads(kind: str) -> None:
    alone = train(kind, 1)
    for threads in (2, 3, 4):
        assert train(kind, threads) == alone, f"{threads} threads"
