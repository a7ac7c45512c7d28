"""Recurrent layers, with Keras's names, defaults, weight layouts and order of gates.

SimpleRNN, LSTM (gates i, f, c, o) and GRU (gates z, r, h; ``reset_after=True``) of (batch, steps, features). What does
not depend on the state, the product of inputs and kernel, is computed for all steps at once.
"""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell
from graphflow.keras.layers.loop import Walk
from graphflow.keras.layers.shapes import known
from graphflow.ops import random
from graphflow.ops.creation import beside, zeros
from graphflow.ops.movement import concat, reshape
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


class RNN(Layer):
    """A cell along the steps of (batch, steps, features): the last output, or all of them.

    ``cell`` has ``call(inputs, states)``, which gives the output and the new states, and ``state_size``.

    return_sequences  all outputs: (batch, steps, units)
    return_state      the last states too
    go_backwards      from the last step to the first
    stateful          a batch goes on with the states of the batch before, until ``reset_state()``
    unroll            a step after the other in the program, instead of a loop
    """

    supports_masking = True
    inputs_rank = 3

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(cell, (list, tuple)):
            raise TypeError(at_line("RNN takes one cell; put several RNN layers one after the other", user_origin()))
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.states: list[Variable] | None = None

    @property
    def units(self) -> int:
        return self.cell.units  # type: ignore[no-any-return]

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3:
            raise ShapeError(
                at_line(f"{self.name} takes (batch, steps, features), got shape {input_shape}", user_origin())
            )
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((input_shape[0], *input_shape[2:]))
            self.cell.__dict__["built"] = True
        if self.stateful:
            batch = known(input_shape[0], self, "the batch size of a stateful layer")
            first = self._zeros(batch)
            self.states = [Variable(s, trainable=False, name="state") for s in first]
            for i, state in enumerate(self.states):
                self._buffers[f"state_{i}"] = state
                self._temporary.add(f"state_{i}")

    def _zeros(self, batch: Any) -> list[Any]:
        if hasattr(self.cell, "get_initial_state"):
            return list(self.cell.get_initial_state(batch_size=batch))
        return [zeros((batch, n)) for n in self._sizes()]

    def _sizes(self) -> list[int]:
        size = self.cell.state_size
        return [size] if isinstance(size, int) else list(size)

    def reset_state(self) -> None:
        """Start a stateful layer over from zeros."""
        for state in self.states or ():
            state.assign(0.0 * state.value)

    reset_states = reset_state

    @property
    def weights(self) -> list[Variable]:
        states = {id(s) for s in self.states or ()}
        return [v for v in super().weights if id(v) not in states]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask if self.return_sequences else None

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        x = self._floats(sequences)
        states: list[Any]
        with beside(x):
            if initial_state is not None:
                states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
            else:
                states = [s.value for s in self.states] if self.states is not None else self._zeros(x.shape[0])
        step, x = self._step(x, training)
        with beside(x):
            first = zeros((x.shape[0], getattr(self.cell, "output_size", None) or self._sizes()[0]), dtype=x.dtype)
        walk = Walk(step, None if mask is None else as_tensor(mask), first, self.go_backwards, self.return_sequences)
        outputs, last, states = (walk.unrolled if self.unroll else walk.loop)(x, states)
        for variable, value in zip(self.states or (), states):
            variable.assign(value)
        out = outputs if self.return_sequences else last
        return (out, *states) if self.return_state else out

    def _step(self, x: Tensor, training: bool) -> tuple[Any, Tensor]:
        """What one step does, and what it takes of each step."""
        cell = self.cell
        if not isinstance(cell, Cell):
            return (lambda inputs, states: _output_and_states(cell(inputs, states))), x
        if training and cell.dropout:
            x = x * _kept(x, (x.shape[0], 1, x.shape[2]), cell.dropout)
        dropped = None
        if training and cell.recurrent_dropout:
            dropped = _kept(x, (x.shape[0], cell.units), cell.recurrent_dropout)
        return (lambda projected, states: cell.step(projected, states, dropped)), cell.project(x)


def _output_and_states(made: Any) -> tuple[Any, list[Any]]:
    out, states = made
    return out, list(states) if isinstance(states, (list, tuple)) else [states]


def _kept(x: Tensor, shape: Any, rate: float) -> Any:
    with beside(x):
        return random.default_generator.bernoulli(1.0 - rate, shape, dtype=x.dtype) / (1.0 - rate)


class _Recurrent(RNN):
    """A recurrent layer of a kind of cell: takes the cell's arguments and its own."""

    cell_type: Any = None
    _OWN = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")

    def _start(self, cell_settings: dict[str, Any], kwargs: dict[str, Any]) -> None:
        own = {name: kwargs.pop(name) for name in self._OWN if name in kwargs}
        for name in ("implementation", "use_cudnn", "time_major", "zero_output_for_mask"):  # how, not what
            kwargs.pop(name, None)
        for name in _CELL_ARGUMENTS:
            if name in kwargs:
                cell_settings[name] = kwargs.pop(name)
        RNN.__init__(self, type(self).cell_type(**cell_settings), **own, **kwargs)


_CELL_ARGUMENTS = (
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
    "dropout",
    "recurrent_dropout",
    "seed",
    "unit_forget_bias",
    "reset_after",
)


class SimpleRNN(_Recurrent):
    """The simplest recurrent layer: ``h = activation(x @ kernel + h @ recurrent_kernel + bias)``.

    >>> import graphflow as gf
    >>> gf.keras.layers.SimpleRNN(4)(gf.ones((2, 5, 3))).shape
    (2, 4)
    """

    cell_type = SimpleRNNCell

    def __init__(self, units: int, activation: Any = "tanh", use_bias: bool = True, **kwargs: Any) -> None:
        self._start({"units": units, "activation": activation, "use_bias": use_bias}, kwargs)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997).

    >>> import graphflow as gf
    >>> layer = gf.keras.layers.LSTM(4, return_sequences=True)
    >>> layer(gf.ones((2, 5, 3))).shape, [w.shape for w in layer.weights]
    ((2, 5, 4), [(3, 16), (4, 16), (16,)])
    """

    cell_type = LSTMCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        settings = {"units": units, "activation": activation, "use_bias": use_bias}
        self._start({**settings, "recurrent_activation": recurrent_activation}, kwargs)


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al. 2014)."""

    cell_type = GRUCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        settings = {"units": units, "activation": activation, "use_bias": use_bias}
        self._start({**settings, "recurrent_activation": recurrent_activation}, kwargs)


class Bidirectional(Layer):
    """A recurrent layer forwards and a copy of it backwards, joined: "concat", "sum", "mul", "ave", or None for both.

    >>> import graphflow as gf
    >>> gf.keras.layers.Bidirectional(gf.keras.layers.LSTM(4))(gf.ones((2, 5, 3))).shape
    (2, 8)
    """

    supports_masking = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        if merge_mode not in ("concat", "sum", "mul", "ave", None):
            raise ValueError(
                at_line(f"merge_mode is 'concat', 'sum', 'mul', 'ave' or None, got {merge_mode!r}", user_origin())
            )
        super().__init__(**kwargs)
        self.merge_mode = merge_mode
        self.forward_layer = layer
        if backward_layer is None:
            settings = {**layer.get_config(), "go_backwards": not layer.go_backwards}
            backward_layer = type(layer).from_config({**settings, "name": f"backward_{layer.name}"})
        self.backward_layer = backward_layer

    @property
    def return_sequences(self) -> bool:
        return self.forward_layer.return_sequences  # type: ignore[no-any-return]

    def build(self, input_shape: Any) -> None:
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(input_shape)
                layer.__dict__["built"] = True

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask if self.return_sequences else None

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        half = len(initial_state) // 2 if initial_state is not None else 0
        given = (initial_state[:half], initial_state[half:]) if half else (None, None)
        there = self.forward_layer(sequences, initial_state=given[0], mask=mask, training=training)
        back = self.backward_layer(sequences, initial_state=given[1], mask=mask, training=training)
        states: tuple[Any, ...] = ()
        if self.forward_layer.return_state:
            states = (*there[1:], *back[1:])
            there, back = there[0], back[0]
        if self.return_sequences:
            back = back.flip(1)
        out = self._merge(there, back)
        return (*(out if isinstance(out, tuple) else (out,)), *states) if states else out

    def _merge(self, a: Any, b: Any) -> Any:
        if self.merge_mode is None:
            return a, b
        if self.merge_mode == "concat":
            return concat([a, b], axis=-1)
        if self.merge_mode == "mul":
            return a * b
        return a + b if self.merge_mode == "sum" else (a + b) / 2


class TimeDistributed(Layer):
    """A layer on every step of (batch, steps, ...), with the same weights."""

    supports_masking = True

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build((input_shape[0], *input_shape[2:]))
            self.layer.__dict__["built"] = True

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        x = as_tensor(inputs)
        if x.ndim < 3:
            raise ShapeError(at_line(f"{self.name} takes (batch, steps, ...), got shape {x.shape}", user_origin()))
        steps: Any = x.shape[1]
        flat = reshape(x, (x.shape[0] * steps, *x.shape[2:]))
        out = self.layer(flat, training=training)
        return reshape(out, (x.shape[0], steps, *out.shape[1:]))
