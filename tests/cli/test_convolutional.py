"""The convolutional workloads: twenty steps of training agree between modes, and with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.cli.bench.workloads import WORKLOADS, eagerly

NAMES = ("lenet", "res", "vgg", "depthwise", "autoencoder")


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_twenty_steps(name: str) -> None:
    workload = WORKLOADS[name]
    data = workload.data()
    data = data._replace(x=data.x[:6], y=None if data.y is None else data.y[:6])
    build = workload.build["graphflow"]
    steps = [build(data, gf.compile), build(data, eagerly), workload.build["torch"](data, eagerly)]
    losses = np.array([[float(step().item()) for step in steps] for _ in range(20)])
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(losses[:, 0], losses[:, 2], rtol=2e-3, atol=1e-4)
    assert losses[-1, 0] < losses[0, 0]
