"""Recurrence: one direction of one RNN, LSTM or GRU layer, and one step of each.

The product of the inputs with their weights does not depend on the state: it is computed for all steps at once, and the
loop over time (``gf.scan``) begins with it. So a step is one product, of the state with its weights, for all gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.creation import arange, zeros
from graphflow.ops.elementwise import relu, where
from graphflow.ops.fused import fused
from graphflow.ops.linalg import matmul
from graphflow.ops.loops import scan
from graphflow.ops.mathematical import sigmoid, tanh
from graphflow.ops.movement import expand_dims, part
from graphflow.tensor import Tensor

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]
"""``step(inputs, state)``: the next state; ``inputs`` is the inputs' share of the gates. The state's first part is the
result of the step."""


def projected(inputs: Any, weight: Any, bias: Any = None) -> Tensor:
    """``inputs @ weight.T + bias``."""
    out = matmul(inputs, weight.T)
    return out if bias is None else out + bias


def step_of(mode: str, w_hh: Any, b_hh: Any, w_hr: Any = None) -> Step:
    """The step of a kind of cell, with the state's weights."""
    make = {"LSTM": _lstm_step, "GRU": _gru_step}.get(mode) or _rnn_step(mode)
    return make(w_hh, b_hh, w_hr)


def inputs_of(mode: str, x: Any, w_ih: Any, b_ih: Any, b_hh: Any) -> Tensor:
    """The inputs' share of the gates, with the biases that are simply added."""
    inputs = projected(x, w_ih, b_ih)
    return inputs if b_hh is None or mode == "GRU" else inputs + b_hh


def _rnn_step(mode: str) -> Callable[..., Step]:
    def make(w_hh: Any, b_hh: Any, w_hr: Any) -> Step:
        activation = tanh if mode == "RNN_TANH" else relu
        return lambda x, state: (activation(x + matmul(state[0], w_hh.T)),)

    return make


def _lstm_step(w_hh: Any, b_hh: Any, w_hr: Any) -> Step:
    """Hochreiter and Schmidhuber, 1997; with ``w_hr`` the result is projected (Sak et al., 2014)."""

    def step(x: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = split_gates(x + matmul(h, w_hh.T), 4)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h if w_hr is None else matmul(h, w_hr.T)), c

    return step


def _gru_step(w_hh: Any, b_hh: Any, w_hr: Any) -> Step:
    """Cho et al., 2014, with the reset gate after the product."""

    def step(x: Tensor, state: State) -> State:
        (h,) = state
        xr, xz, xn = split_gates(x, 3)
        hr, hz, hn = split_gates(projected(h, w_hh, b_hh), 3)
        z = sigmoid(xz + hz)
        n = tanh(xn + sigmoid(xr + hr) * hn)
        return (n + z * (h - n),)

    return step


def split_gates(gates: Tensor, count: int) -> list[Tensor]:
    """The last axis in equal parts."""
    size = gates.shape[-1] // count
    return [part(gates, gates.ndim - 1, i * size, size) for i in range(count)]


@fused("batch", "x")
def recurrent_layer(
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    w_hr: Any,
    h: Any,
    c: Any,
    lengths: Any,
    mode: str,
    reverse: bool,
) -> list[Tensor]:
    """One direction of one layer over (steps, batch, features): the results of all steps, and the last state.

    ``c`` is None but for the LSTM. With ``lengths`` (batch,), what is past a sequence's end leaves its state as it is,
    and gives zeros.
    """
    step = step_of(mode, w_hh, b_hh, w_hr)
    inputs = inputs_of(mode, x, w_ih, b_ih, b_hh)
    initial: State = (h,) if c is None else (h, c)
    if lengths is None:

        def body(state: State, x: Any) -> Any:
            state = step(x, state)
            return state, state[0]

        last, results = scan(body, initial, inputs, reverse=reverse)
        return [results, *last]
    steps = arange(x.shape[0], dtype=lengths.dtype)
    valid = expand_dims(expand_dims(steps, 1) < expand_dims(lengths, 0), -1)
    zero = zeros((), dtype=inputs.dtype)

    def masked(state: State, xs: Any) -> Any:
        x, here = xs
        after = step(x, state)
        state = tuple(where(here, new, old) for new, old in zip(after, state))
        return state, where(here, state[0], zero)

    last, results = scan(masked, initial, (inputs, valid), reverse=reverse)
    return [results, *last]


def check_input(name: str, x: Tensor, size: int, ranks: tuple[int, ...]) -> None:
    """Raise ShapeError for inputs of another rank or number of features."""
    if x.ndim not in ranks or x.shape[-1] != size:
        raise ShapeError(
            at_line(
                f"{name} needs {' or '.join(f'{r}-d' for r in ranks)} inputs with {size} features in the last axis, "
                f"got shape {shape_str(x.shape)}",
                user_origin(),
            )
        )
