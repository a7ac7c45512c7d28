"""Multilayer perceptrons with ReLU on 784 pixels and ten classes: training steps, and the forward pass alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphflow.cli.bench.workloads.record import Compile, Step, Workload

Layer = tuple[np.ndarray, np.ndarray]
"""Weight (outputs, inputs) and bias (outputs,)."""


class Data(NamedTuple):
    layers: list[Layer]
    x: np.ndarray
    y: np.ndarray
    adam: bool
    """Adam(1e-3) rather than SGD(0.01)."""


def data(sizes: Sequence[int], batch: int, adam: bool = False) -> Data:
    """Weights as PyTorch draws them, normal inputs, any classes."""
    rng = np.random.default_rng(0)

    def layer(inputs: int, outputs: int) -> Layer:
        bound = inputs**-0.5
        weight, bias = rng.uniform(-bound, bound, (outputs, inputs)), rng.uniform(-bound, bound, outputs)
        return weight.astype(np.float32), bias.astype(np.float32)

    layers = [layer(*pair) for pair in zip(sizes, sizes[1:])]
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    return Data(layers, x, rng.integers(0, sizes[-1], batch), adam)


def flops(sizes: Sequence[int], batch: int, training: bool = True) -> int:
    """Of the products: forward; gradients of the weights; gradients of the inputs, but for the first layer's."""
    products = [2 * batch * inputs * outputs for inputs, outputs in zip(sizes, sizes[1:])]
    return sum(products) * 2 + sum(products[1:]) if training else sum(products)


# -- GraphFlow -------------------------------------------------------------------------------------------------------
def _graphflow_model(layers: list[Layer]) -> Any:
    from graphflow import nn

    modules: list[Any] = []
    for weight, bias in layers:
        linear = nn.Linear(*reversed(weight.shape))
        linear.load_state_dict({"weight": weight, "bias": bias})
        modules += [nn.ReLU(), linear] if modules else [linear]
    return nn.Sequential(*modules)


def graphflow_train(d: Data, compile: Compile) -> Step:
    import graphflow as gf
    from graphflow.nn import functional as F

    model = _graphflow_model(d.layers)
    parameters = model.parameters()
    optimizer = gf.optim.Adam(parameters, lr=1e-3) if d.adam else gf.optim.SGD(parameters, lr=0.01)

    @compile
    def step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x, y = gf.asarray(d.x), gf.asarray(d.y)
    return lambda: step(x, y)


def graphflow_infer(d: Data, compile: Compile) -> Step:
    import graphflow as gf

    model = _graphflow_model(d.layers)

    @compile
    def forward(x: gf.Tensor) -> gf.Tensor:
        with gf.no_grad():
            return model(x)

    x = gf.asarray(d.x)
    return lambda: forward(x)


# -- PyTorch ---------------------------------------------------------------------------------------------------------
def _torch_model(layers: list[Layer]) -> Any:
    import torch
    from torch import nn

    modules: list[Any] = []
    for weight, bias in layers:
        linear = nn.Linear(*reversed(weight.shape))
        linear.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        modules += [nn.ReLU(), linear] if modules else [linear]
    return nn.Sequential(*modules)


def torch_train(d: Data, compile: Compile) -> Step:
    import torch
    import torch.nn.functional as F

    model = _torch_model(d.layers)
    parameters = model.parameters()
    optimizer = torch.optim.Adam(parameters, lr=1e-3) if d.adam else torch.optim.SGD(parameters, lr=0.01)
    compiled = compile(model)
    x, y = torch.from_numpy(d.x), torch.from_numpy(d.y)

    def step() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(compiled(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_infer(d: Data, compile: Compile) -> Step:
    import torch

    model = compile(_torch_model(d.layers))
    x = torch.from_numpy(d.x)

    def step() -> Any:
        with torch.inference_mode():
            return model(x)

    return step


# -- JAX -------------------------------------------------------------------------------------------------------------
def _jax_forward(layers: Any, x: Any) -> Any:
    import jax

    for i, (weight, bias) in enumerate(layers):
        x = (jax.nn.relu(x) if i else x) @ weight + bias
    return x


def _jax_layers(layers: list[Layer]) -> Any:
    import jax.numpy as jnp

    return [(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in layers]


def jax_train(d: Data, compile: Compile) -> Step:
    import jax
    import jax.numpy as jnp

    def loss_of(layers: Any, x: Any, y: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(_jax_forward(layers, x)), y[:, None], 1))

    each = jax.tree_util.tree_map

    def sgd(layers: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(layers, x, y)
        return each(lambda p, g: p - 0.01 * g, layers, gradient), state, loss

    def adam(layers: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(layers, x, y)
        m, v, t = state
        t = t + 1
        m = each(lambda a, g: 0.9 * a + 0.1 * g, m, gradient)
        v = each(lambda a, g: 0.999 * a + 0.001 * g * g, v, gradient)

        def update(p: Any, m: Any, v: Any) -> Any:
            return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return each(update, layers, m, v), (m, v, t), loss

    layers = _jax_layers(d.layers)
    zeros = each(jnp.zeros_like, layers)
    kept = [layers, (zeros, each(jnp.zeros_like, layers), jnp.zeros(())) if d.adam else ()]
    step = compile(adam if d.adam else sgd, donate_argnums=(0, 1))
    x, y = jnp.asarray(d.x), jnp.asarray(d.y)

    def run() -> Any:
        kept[0], kept[1], loss = step(kept[0], kept[1], x, y)
        return loss.block_until_ready()

    return run


def jax_infer(d: Data, compile: Compile) -> Step:
    import jax.numpy as jnp

    forward = compile(lambda x, layers: _jax_forward(layers, x))
    layers, x = _jax_layers(d.layers), jnp.asarray(d.x)
    return lambda: forward(x, layers).block_until_ready()


# -- TensorFlow ------------------------------------------------------------------------------------------------------
def _tf_forward(layers: list[Layer], x: Any) -> Any:
    import tensorflow as tf

    for i, (weight, bias) in enumerate(layers):
        x = tf.matmul(tf.nn.relu(x) if i else x, tf.Variable(weight.T)) + tf.Variable(bias)
    return x


def tf_train(d: Data, compile: Compile) -> Step:
    """A Session of TensorFlow 1, which is faster here than tf.function, XLA and eager."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, d.x.shape), v1.placeholder(tf.int64, d.y.shape)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=_tf_forward(d.layers, x))
        loss = tf.reduce_mean(losses)
        optimizer = v1.train.AdamOptimizer(1e-3) if d.adam else v1.train.GradientDescentOptimizer(0.01)
        train = optimizer.minimize(loss)
        session = v1.Session()
        session.run(v1.global_variables_initializer())
    return lambda: session.run([train, loss], {x: d.x, y: d.y})[1]


def tf_infer(d: Data, compile: Compile) -> Step:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, d.x.shape)
        logits = _tf_forward(d.layers, x)
        session = v1.Session()
        session.run(v1.global_variables_initializer())
        call = session.make_callable(logits, [x])
    return lambda: call(d.x)


TRAIN = {"graphflow": graphflow_train, "torch": torch_train, "jax": jax_train, "tf": tf_train}
INFER = {"graphflow": graphflow_infer, "torch": torch_infer, "jax": jax_infer, "tf": tf_infer}

SMALL, MIDDLE = (784, 128, 10), (784, 512, 512, 10)

MLP_S = Workload(
    "mlp_s",
    "784-128-10 ReLU, batch 32, cross-entropy, SGD: forward, backward, update",
    lambda: data(SMALL, 32),
    TRAIN,
    flops=flops(SMALL, 32),
    goals={"static": 0.50, "eager": 0.80},
)
MLP_M = Workload(
    "mlp_m",
    "784-512-512-10 ReLU, batch 256, cross-entropy, Adam: forward, backward, update",
    lambda: data(MIDDLE, 256, adam=True),
    TRAIN,
    flops=flops(MIDDLE, 256),
    goals={"static": 0.80, "eager": 0.60},
)
INFER_S = Workload(
    "infer",
    "forward of 784-128-10 ReLU, batch 1, no gradient",
    lambda: data(SMALL, 1),
    INFER,
    flops=flops(SMALL, 1, training=False),
    goals={"static": 0.30, "eager": 1.00},
)
PRIMER = Workload("primer", "a step so small that its memory does not count", lambda: data((4, 3, 2), 2), TRAIN)
"""Run first where memory is measured: it loads what a framework loads at its first step, whatever the step."""
