"""TensorFlow 1's optimizers under its names, arguments and defaults; each gives one of ``gf.optim``'s.

>>> import graphflow as gf
>>> with gf.Graph() as graph:
...     w = gf.Variable(3.0)
...     train = gf.train.GradientDescentOptimizer(0.25).minimize(w * w)
>>> gf.Session(graph).run(train); w.item()
1.5
"""

from __future__ import annotations

from typing import Any

from graphflow import optim


def GradientDescentOptimizer(learning_rate: Any, name: str | None = None) -> optim.SGD:
    """``gf.optim.SGD(lr=learning_rate)``."""
    return optim.SGD(lr=learning_rate)


def MomentumOptimizer(
    learning_rate: Any, momentum: float, name: str | None = None, use_nesterov: bool = False
) -> optim.SGD:
    """``gf.optim.SGD`` with momentum."""
    return optim.SGD(lr=learning_rate, momentum=momentum, nesterov=use_nesterov)


def AdamOptimizer(
    learning_rate: Any = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    name: str | None = None,
) -> optim.Adam:
    """``gf.optim.Adam``."""
    return optim.Adam(lr=learning_rate, betas=(beta1, beta2), eps=epsilon)


def RMSPropOptimizer(
    learning_rate: Any,
    decay: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-10,
    centered: bool = False,
    name: str | None = None,
) -> optim.RMSprop:
    """``gf.optim.RMSprop`` with TensorFlow's defaults."""
    return optim.RMSprop(lr=learning_rate, alpha=decay, momentum=momentum, eps=epsilon, centered=centered)


def AdagradOptimizer(
    learning_rate: Any, initial_accumulator_value: float = 0.1, name: str | None = None
) -> optim.Adagrad:
    """``gf.optim.Adagrad`` with TensorFlow's first accumulator."""
    return optim.Adagrad(lr=learning_rate, initial_accumulator_value=initial_accumulator_value)


def AdadeltaOptimizer(
    learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-8, name: str | None = None
) -> optim.Adadelta:
    """``gf.optim.Adadelta`` with TensorFlow's defaults."""
    return optim.Adadelta(lr=learning_rate, rho=rho, eps=epsilon)
