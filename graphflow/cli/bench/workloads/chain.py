"""A chain of elementwise operations over arrays much larger than the caches: bound by memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.cli.bench.workloads.record import Compile, Step, Workload

SIZE = 4_000_000

Data = tuple[np.ndarray, np.ndarray]


def data() -> Data:
    rng = np.random.default_rng(0)
    return rng.standard_normal(SIZE, np.float32), rng.standard_normal(SIZE, np.float32)


def graphflow_chain(d: Data, compile: Compile) -> Step:
    import graphflow as gf

    @compile
    def chain(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        return gf.sigmoid(x * y + 1.0) * gf.tanh(x - y) + gf.relu(x) * 0.5

    x, y = map(gf.asarray, d)
    return lambda: chain(x, y)


def torch_chain(d: Data, compile: Compile) -> Step:
    import torch

    @compile
    def chain(x: Any, y: Any) -> Any:
        return torch.sigmoid(x * y + 1.0) * torch.tanh(x - y) + torch.relu(x) * 0.5

    x, y = map(torch.from_numpy, d)
    return lambda: chain(x, y)


def jax_chain(d: Data, compile: Compile) -> Step:
    import jax
    import jax.numpy as jnp

    @compile
    def chain(x: Any, y: Any) -> Any:
        return jax.nn.sigmoid(x * y + 1.0) * jnp.tanh(x - y) + jax.nn.relu(x) * 0.5

    x, y = map(jnp.asarray, d)
    return lambda: chain(x, y).block_until_ready()


def tf_chain(d: Data, compile: Compile) -> Step:
    import tensorflow as tf

    @compile
    def chain(x: Any, y: Any) -> Any:
        return tf.sigmoid(x * y + 1.0) * tf.tanh(x - y) + tf.nn.relu(x) * 0.5

    x, y = map(tf.constant, d)
    return lambda: chain(x, y)


CHAIN = Workload(
    "chain",
    "sigmoid(x*y+1) * tanh(x-y) + relu(x)*0.5 on 4M float32, no gradient",
    data,
    {"graphflow": graphflow_chain, "torch": torch_chain, "jax": jax_chain, "tf": tf_chain},
    bytes=3 * 4 * SIZE,
    goals={"static": 0.65, "eager": 1.00},
)
