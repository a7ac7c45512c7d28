"""One step of a recurrent layer: the cells of SimpleRNN, LSTM and GRU, with Keras's weights and order of gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.errors import at_line, user_origin
from graphflow.keras import activations, constraints, initializers, regularizers
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.shapes import known
from graphflow.ops.creation import zeros
from graphflow.ops.linalg import matmul
from graphflow.ops.movement import part
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable

States = Sequence[Any]


class Cell(Layer):
    """One step of a recurrent layer: ``call(inputs, states)`` gives the output and the new states."""

    gates = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(units, int) or units < 1:
            raise ValueError(at_line(f"a positive number of units is needed, got {units!r}", user_origin()))
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.settings = {
            "kernel": (kernel_initializer, kernel_regularizer, kernel_constraint),
            "recurrent_kernel": (recurrent_initializer, recurrent_regularizer, recurrent_constraint),
            "bias": (bias_initializer, bias_regularizer, bias_constraint),
        }
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.bias: Any = None
        self.state_size: Any = units
        self.output_size = units

    def _add(self, name: str, shape: Any) -> Variable:
        initializer, regularizer, constraint = self.settings[name]
        return self.add_weight(
            shape,
            initializers.get(initializer),
            regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
            name=name,
        )

    def build(self, input_shape: Any) -> None:
        features = known(input_shape[-1], self, "the number of features")
        self.kernel = self._add("kernel", (features, self.gates * self.units))
        self.recurrent_kernel = self._add("recurrent_kernel", (self.units, self.gates * self.units))
        if self.use_bias:
            self.bias = self._add("bias", self._bias_shape())

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def get_initial_state(self, batch_size: Any) -> list[Tensor]:
        """Zeros for each state."""
        sizes = [self.state_size] if isinstance(self.state_size, int) else self.state_size
        return [zeros((batch_size, size), dtype=self.compute_dtype) for size in sizes]

    def project(self, inputs: Any) -> Tensor:
        """What the gates get of the inputs, for one step or for many."""
        out = matmul(inputs, self.kernel)
        return out if self.bias is None else out + self._input_bias()  # type: ignore[no-any-return]

    def _input_bias(self) -> Any:
        return self.bias

    def step(self, projected: Any, states: States, dropped: Any = None) -> tuple[Any, list[Any]]:
        """One step, from ``project(inputs)``; ``dropped`` masks the state."""
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    def _part(self, x: Tensor, gate: int, count: int = 1) -> Tensor:
        return part(x, x.ndim - 1, gate * self.units, count * self.units)

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        return self.step(self.project(self._floats(inputs)), states)

    def _build_for(self, args: Any, kwargs: Any) -> None:
        super()._build_for(args[:1], kwargs)


class SimpleRNNCell(Cell):
    """``activation(inputs @ kernel + state @ recurrent_kernel + bias)``."""

    def step(self, projected: Any, states: States, dropped: Any = None) -> tuple[Any, list[Any]]:
        h = states[0] if dropped is None else states[0] * dropped
        out = self.activation(projected + matmul(h, self.recurrent_kernel))
        return out, [out]


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997): states h and c."""

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        made = (kernel_initializer, recurrent_initializer, bias_initializer)
        super().__init__(units, activation, use_bias, *made, *args, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [units, units]

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if self.bias is not None and self.unit_forget_bias:  # at first nothing is forgotten
            import numpy as np

            value = np.array(self.bias.numpy())
            value[self.units : 2 * self.units] = 1.0
            self.bias.set_initial(value)

    def step(self, projected: Any, states: States, dropped: Any = None) -> tuple[Any, list[Any]]:
        h, c = states
        z = projected + matmul(h if dropped is None else h * dropped, self.recurrent_kernel)
        opened = self.recurrent_activation(self._part(z, 0, 2))
        i, f = self._part(opened, 0), self._part(opened, 1)
        c = f * c + i * self.activation(self._part(z, 2))
        h = self.recurrent_activation(self._part(z, 3)) * self.activation(c)
        return h, [h, c]


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014); ``reset_after`` applies the reset gate after the product, as cuDNN."""

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *args: Any,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, use_bias, *args, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _input_bias(self) -> Any:
        return self.bias[0] if self.reset_after else self.bias  # type: ignore[index]

    def step(self, projected: Any, states: States, dropped: Any = None) -> tuple[Any, list[Any]]:
        before = states[0]
        h = before if dropped is None else before * dropped
        if self.reset_after:
            inner = matmul(h, self.recurrent_kernel)
            if self.bias is not None:
                inner = inner + self.bias[1]
            gates = self.recurrent_activation(self._part(projected, 0, 2) + self._part(inner, 0, 2))
            z, r = self._part(gates, 0), self._part(gates, 1)
            candidate = self.activation(self._part(projected, 2) + r * self._part(inner, 2))
        else:
            weights = as_tensor(self.recurrent_kernel)
            gates = self.recurrent_activation(self._part(projected, 0, 2) + matmul(h, self._part(weights, 0, 2)))
            z, r = self._part(gates, 0), self._part(gates, 1)
            candidate = self.activation(self._part(projected, 2) + matmul(r * h, self._part(weights, 2)))
        out = z * before + (1.0 - z) * candidate
        return out, [out]
