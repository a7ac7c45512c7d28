"""Convolutional networks, described once as lists of layers: training steps.

GraphFlow's and PyTorch's layers have the same names and arguments, so one function builds the model of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphflow.cli.bench.workloads.record import Compile, Step, Workload

Shape = tuple[int, ...]


class Layer(NamedTuple):
    """One layer; ``inside`` are those that a shortcut leads around, ``shape`` is the weight's."""

    kind: str
    shape: Shape = ()
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = True
    inside: tuple[Layer, ...] = ()  # type: ignore[misc]  # mypy has no recursive tuples


class Data(NamedTuple):
    layers: tuple[Layer, ...]
    weights: list[np.ndarray]
    """Of all layers in order: the weight, then the bias if there is one."""
    x: np.ndarray
    y: np.ndarray | None
    """Classes; None to learn the input itself."""
    adam: bool
    """Adam(1e-3) rather than SGD(0.01, momentum=0.9)."""


def conv(inputs: int, outputs: int, size: int, *, depthwise: bool = False, **settings: Any) -> Layer:
    groups = inputs if depthwise else 1
    return Layer("conv", (outputs, inputs // groups, size, size), groups=groups, **settings)


def linear(inputs: int, outputs: int) -> Layer:
    return Layer("linear", (outputs, inputs))


RELU, POOL, MEAN, FLATTEN = Layer("relu"), Layer("pool"), Layer("mean"), Layer("flatten")


def every(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with those inside of others."""
    return [each for layer in layers for each in ([layer] if not layer.inside else every(layer.inside))]


def data(layers: tuple[Layer, ...], shape: Shape, classes: int | None = 10, adam: bool = False) -> Data:
    """Weights as PyTorch draws them, normal inputs (even ones from 0 to 1 if they are to be learned), any classes."""
    rng = np.random.default_rng(0)
    weights = []
    for layer in every(layers):
        if layer.shape and layer.kind != "norm":
            bound = math.prod(layer.shape[1:]) ** -0.5
            outputs = layer.shape[1 if layer.kind == "transposed" else 0]
            weights.append(rng.uniform(-bound, bound, layer.shape).astype(np.float32))
            if layer.bias:
                weights.append(rng.uniform(-bound, bound, outputs).astype(np.float32))
    if classes is None:
        return Data(layers, weights, rng.uniform(size=shape).astype(np.float32), None, adam)
    x = rng.normal(size=shape).astype(np.float32)
    return Data(layers, weights, x, rng.integers(0, classes, shape[0]), adam)


def flops(layers: Sequence[Layer], shape: Shape) -> int:
    """Of products and convolutions: forward; gradients of weights; gradients of inputs, but for the first layer's."""
    total, first, at = 0, 0, shape
    for layer in every(layers):
        if layer.kind in ("conv", "transposed"):
            size, up = layer.shape[2], layer.kind == "transposed"
            places = [
                (n - 1) * layer.stride - 2 * layer.padding + size
                if up
                else (n + 2 * layer.padding - size) // layer.stride + 1
                for n in at[2:]
            ]
            positions = math.prod(at[2:] if up else places)
            products = 2 * at[0] * positions * math.prod(layer.shape)
            at = (at[0], layer.shape[1] * layer.groups if up else layer.shape[0], *places)
        elif layer.kind == "linear":
            products, at = 2 * at[0] * math.prod(layer.shape), (at[0], layer.shape[0])
        else:
            products = 0
            if layer.kind == "pool":
                at = (*at[:2], at[2] // 2, at[3] // 2)
            elif layer.kind in ("mean", "flatten"):
                at = (at[0], at[1] if layer.kind == "mean" else math.prod(at[1:]))
        first = first or products
        total += 3 * products
    return total - first


# -- GraphFlow and PyTorch -------------------------------------------------------------------------------------------
def _model(nn: Any, layers: Sequence[Layer]) -> Any:
    """The layers as modules of ``graphflow.nn`` or ``torch.nn``."""

    class Shortcut(nn.Module):  # type: ignore[misc]
        def __init__(self, inside: Sequence[Layer]) -> None:
            super().__init__()
            self.inside = _model(nn, inside)

        def forward(self, x: Any) -> Any:
            return x + self.inside(x)

    class Mean(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3))

    def module(layer: Layer) -> Any:
        shape, settings = layer.shape, {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
        if layer.kind == "conv":
            return nn.Conv2d(shape[1] * layer.groups, *shape[0::2], **settings, bias=layer.bias)
        if layer.kind == "transposed":
            return nn.ConvTranspose2d(shape[0], shape[1] * layer.groups, shape[2], **settings, bias=layer.bias)
        if layer.kind == "linear":
            return nn.Linear(shape[1], shape[0])
        if layer.kind == "norm":
            return nn.BatchNorm2d(shape[0])
        if layer.kind == "shortcut":
            return Shortcut(layer.inside)
        plain = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "flatten": nn.Flatten, "mean": Mean}
        return nn.MaxPool2d(2) if layer.kind == "pool" else plain[layer.kind]()

    return nn.Sequential(*map(module, layers))


def graphflow_train(d: Data, compile: Compile) -> Step:
    import graphflow as gf
    from graphflow import nn
    from graphflow.nn import functional as F

    model = _model(nn, d.layers)
    drawn = iter(d.weights)
    for module in model.modules():
        if not isinstance(module, nn.BatchNorm2d):
            for parameter in module.parameters(recurse=False):
                parameter.assign(next(drawn))
    parameters = model.parameters()
    optimizer = gf.optim.Adam(parameters, lr=1e-3) if d.adam else gf.optim.SGD(parameters, lr=0.01, momentum=0.9)

    @compile
    def step(x: gf.Tensor, y: Any) -> gf.Tensor:
        loss = F.mse_loss(model(x), x) if y is None else F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x, y = gf.asarray(d.x), None if d.y is None else gf.asarray(d.y)
    return lambda: step(x, y)


def torch_train(d: Data, compile: Compile) -> Step:
    import torch
    import torch.nn.functional as F
    from torch import nn

    model = _model(nn, d.layers)
    drawn = iter(d.weights)
    with torch.no_grad():
        for module in model.modules():
            if not isinstance(module, nn.BatchNorm2d):
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(torch.from_numpy(next(drawn)))
    parameters = list(model.parameters())
    optimizer: Any = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    if d.adam:
        optimizer = torch.optim.Adam(parameters, lr=1e-3)
    compiled = compile(model)
    x, y = torch.from_numpy(d.x), None if d.y is None else torch.from_numpy(d.y)

    def step() -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(compiled(x), x) if y is None else F.cross_entropy(compiled(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


# -- JAX -------------------------------------------------------------------------------------------------------------
def _jax_convolution(layer: Layer, x: Any, weight: Any) -> Any:
    from jax import lax

    settings: dict[str, Any] = {"feature_group_count": layer.groups}
    pad, numbers = layer.padding, ("NCHW", "OIHW", "NCHW")
    if layer.kind == "transposed":  # the gradient of a convolution: zeros between the elements, the kernel turned
        weight = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
        settings["lhs_dilation"] = (layer.stride, layer.stride)
        pad = layer.shape[2] - 1 - layer.padding
        strides = (1, 1)
    else:
        strides = (layer.stride, layer.stride)
    return lax.conv_general_dilated(x, weight, strides, [(pad, pad)] * 2, dimension_numbers=numbers, **settings)


def _jax_forward(layers: Sequence[Layer], take: Any, x: Any) -> Any:
    """``take()`` gives the parameters one after the other."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    for layer in layers:
        if layer.kind in ("conv", "transposed"):
            x = _jax_convolution(layer, x, take())
            x = x + take()[:, None, None] if layer.bias else x
        elif layer.kind == "linear":
            x = x @ take().T + take()
        elif layer.kind == "norm":
            mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
            x = (x - mean) * lax.rsqrt(variance + 1e-5) * take()[:, None, None] + take()[:, None, None]
        elif layer.kind == "shortcut":
            x = x + _jax_forward(layer.inside, take, x)
        elif layer.kind == "pool":
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        elif layer.kind == "mean":
            x = x.mean((2, 3))
        else:
            x = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "flatten": lambda x: x.reshape(len(x), -1)}[
                layer.kind
            ](x)
    return x


def jax_train(d: Data, compile: Compile) -> Step:
    import jax
    import jax.numpy as jnp

    drawn, start = iter(d.weights), []
    for layer in every(d.layers):
        if layer.kind == "norm":
            start += [np.ones(layer.shape, np.float32), np.zeros(layer.shape, np.float32)]
        elif layer.shape:
            start += [next(drawn) for _ in range(1 + layer.bias)]

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        taken = iter(weights)
        out = _jax_forward(d.layers, lambda: next(taken), x)
        if d.y is None:
            return ((out - x) ** 2).mean()
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1))

    each = jax.tree_util.tree_map

    def momentum(weights: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(weights, x, y)
        state = each(lambda a, g: 0.9 * a + g, state, gradient)
        return each(lambda p, a: p - 0.01 * a, weights, state), state, loss

    def adam(weights: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(weights, x, y)
        m, v, t = state
        t = t + 1
        m = each(lambda a, g: 0.9 * a + 0.1 * g, m, gradient)
        v = each(lambda a, g: 0.999 * a + 0.001 * g * g, v, gradient)

        def update(p: Any, m: Any, v: Any) -> Any:
            return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return each(update, weights, m, v), (m, v, t), loss

    weights = [jnp.asarray(w) for w in start]
    zeros = each(jnp.zeros_like, weights)
    kept = [weights, (zeros, each(jnp.zeros_like, weights), jnp.zeros(())) if d.adam else zeros]
    step = compile(adam if d.adam else momentum, donate_argnums=(0, 1))
    x, y = jnp.asarray(d.x), None if d.y is None else jnp.asarray(d.y)

    def run() -> Any:
        kept[0], kept[1], loss = step(kept[0], kept[1], x, y)
        return loss.block_until_ready()

    return run


TRAIN = {"graphflow": graphflow_train, "torch": torch_train, "jax": jax_train}

_LENET = (
    *(conv(1, 6, 5), RELU, POOL, conv(6, 16, 5), RELU, POOL, FLATTEN),
    *(linear(256, 120), RELU, linear(120, 84), RELU, linear(84, 10)),
)


def _norm(channels: int) -> Layer:
    return Layer("norm", (channels,))


def _three(channels: int, outputs: int, **settings: Any) -> Layer:
    return conv(channels, outputs, 3, padding=1, **settings)


_RES = (
    Layer("shortcut", inside=(_three(64, 64, bias=False), _norm(64), RELU, _three(64, 64, bias=False), _norm(64))),
    *(RELU, MEAN, linear(64, 10)),
)
_VGG = (
    *(_three(3, 64), RELU, _three(64, 64), RELU, POOL, _three(64, 128), RELU, _three(128, 128), RELU, POOL),
    *(MEAN, linear(128, 10)),
)
_DEPTHWISE = (
    _three(3, 32, bias=False, stride=2),
    *(_norm(32), RELU),
    Layer(
        "shortcut",
        inside=(
            *(conv(32, 192, 1, bias=False), _norm(192), RELU),
            *(_three(192, 192, depthwise=True, bias=False), _norm(192), RELU),
            *(conv(192, 32, 1, bias=False), _norm(32)),
        ),
    ),
    *(MEAN, linear(32, 10)),
)
_AUTOENCODER = (
    *(_three(1, 16, stride=2), RELU, _three(16, 32, stride=2), RELU),
    *(Layer("transposed", (32, 16, 4, 4), 2, 1), RELU, Layer("transposed", (16, 1, 4, 4), 2, 1), Layer("sigmoid")),
)


def _workload(
    name: str, work: str, layers: tuple[Layer, ...], shape: Shape, static: float, eager: float, **more: Any
) -> Workload:
    goals = {"static": static, "eager": eager}
    return Workload(name, work, lambda: data(layers, shape, **more), TRAIN, flops=flops(layers, shape), goals=goals)


CONVOLUTIONAL = (
    _workload(
        "lenet",
        "conv 5x5x6, pool, conv 5x5x16, pool, 256-120-84-10, batch 100, momentum SGD",
        *(_LENET, (100, 1, 28, 28), 0.35, 0.80),
    ),
    _workload(
        "res",
        "residual block of two 3x3 64-channel convolutions with BatchNorm, 32x32, batch 16, momentum SGD",
        *(_RES, (16, 64, 32, 32), 0.85, 1.00),
    ),
    _workload(
        "vgg",
        "3x3 convolutions to 64, 64, pool, 128, 128 channels, pool, 32x32, batch 8, momentum SGD",
        *(_VGG, (8, 3, 32, 32), 0.85, 1.00),
    ),
    _workload(
        "depthwise",
        "inverted residual 32-192-32 around a 3x3 depthwise convolution, BatchNorm, 32x32, batch 8, momentum SGD",
        *(_DEPTHWISE, (8, 3, 64, 64), 0.85, 1.00),
    ),
    _workload(
        "autoencoder",
        "28x28 to 7x7x32 and back by convolutions with stride 2, batch 64, mean squared error, Adam",
        *(_AUTOENCODER, (64, 1, 28, 28), 0.85, 1.00),
        classes=None,
        adam=True,
    ),
)
