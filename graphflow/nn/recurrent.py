"""Recurrent layers and cells: RNN, LSTM, GRU, with PyTorch's names, defaults, weight layouts and order of gates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import same_size, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.nn.functional.recurrent import GATES, check_input, inputs_of, recurrent_layer, step_of
from graphflow.nn.linear import new_parameter
from graphflow.nn.module import Module
from graphflow.nn.utils.rnn import PackedSequence, pad_packed_sequence, repack
from graphflow.ops.arrange import squeeze
from graphflow.ops.creation import beside, zeros
from graphflow.ops.movement import concat, expand_dims, permute_dims, stack
from graphflow.tensor import Tensor, as_tensor


class RNNBase(Module):
    """What RNN, LSTM and GRU share: ``num_layers`` layers, each over the results of the one before.

    Weights are ``weight_ih_l0`` (gates * hidden_size, input_size), ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``,
    with the suffix ``_reverse`` for the other direction, all even in +-1 / sqrt(hidden_size) at first. Inputs are
    (steps, batch, features), with ``batch_first`` (batch, steps, features), without batch (steps, features), or a
    PackedSequence. Gives the results of the last layer for all steps, and the last state of every layer.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if mode not in GATES:
            raise ValueError(f"unknown RNN mode {mode!r}; there are: {', '.join(GATES)}")
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError(f"hidden_size and num_layers must be positive, got {hidden_size} and {num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must lie in 0..1, got {dropout}")
        if proj_size and (mode != "LSTM" or not 0 < proj_size < hidden_size):
            raise ValueError(f"proj_size is for LSTM and must be smaller than hidden_size, got {proj_size}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._suffixes = ["", "_reverse"] if bidirectional else [""]
        for layer in range(num_layers):
            for suffix in self._suffixes:
                for name, shape in self._weight_shapes(layer).items():
                    self.register_parameter(f"{name}_l{layer}{suffix}", new_parameter(shape, dtype, device))
        self.reset_parameters()

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _weight_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        rows = GATES[self.mode] * self.hidden_size
        columns = self.input_size if layer == 0 else self._output_size * len(self._suffixes)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, columns), "weight_hh": (rows, self._output_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights of each layer and direction."""
        return [
            [getattr(self, f"{name}_l{layer}{suffix}") for name in self._weight_shapes(layer)]
            for layer in range(self.num_layers)
            for suffix in self._suffixes
        ]

    def flatten_parameters(self) -> None:
        """Nothing: weights need not lie side by side here."""

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        """The results of all steps, and the last state. ``lengths`` (batch,) tells where padded sequences end."""
        if isinstance(input, PackedSequence):
            padded, sizes = pad_packed_sequence(input)
            results, state = self._run(padded, self._initial(hx, padded, 3), sizes)
            return repack(results, input), self._packed(state)
        x = as_tensor(input)
        check_input(type(self).__name__, x, self.input_size, (2, 3))
        rank = x.ndim
        if rank == 2:
            x = expand_dims(x, 1)
        elif self.batch_first:
            x = permute_dims(x, (1, 0, 2))
        ends = None if lengths is None else as_tensor(lengths)
        results, state = self._run(x, self._initial(hx, x, rank), ends)
        if rank == 2:
            return squeeze(results, 1), self._packed([squeeze(s, 1) for s in state])
        return permute_dims(results, (1, 0, 2)) if self.batch_first else results, self._packed(state)

    def _initial(self, hx: Any, x: Tensor, rank: int) -> list[Tensor]:
        """The parts of the initial state, each (layers * directions, batch, size): zeros where none is given."""
        sizes = [self._output_size, self.hidden_size] if self.mode == "LSTM" else [self.hidden_size]
        shapes = [(self.num_layers * len(self._suffixes), x.shape[1], size) for size in sizes]
        if hx is None:
            with beside(x):
                return [zeros(shape, dtype=self.weight_ih_l0.dtype) for shape in shapes]
        given = [as_tensor(h) for h in (hx if self.mode == "LSTM" else [hx])]
        if len(given) != len(sizes):
            raise ShapeError(at_line(f"LSTM takes a state (h, c), got {len(given)} tensors", user_origin()))
        for h, (layers, batch, size) in zip(given, shapes):
            want = (layers, size) if rank == 2 else (layers, batch, size)
            if h.ndim != len(want) or not all(map(same_size, h.shape, want)):
                message = f"{type(self).__name__} takes a state of shape {shape_str(want)}, got {shape_str(h.shape)}"
                raise ShapeError(at_line(message, user_origin()))
        return [expand_dims(h, 1) for h in given] if rank == 2 else given

    def _packed(self, state: list[Tensor]) -> Any:
        return tuple(state) if self.mode == "LSTM" else state[0]

    def _run(self, x: Tensor, state: list[Tensor], lengths: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """All layers over (steps, batch, features)."""
        last: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            directions = []
            for suffix in self._suffixes:
                h, *c = (part[len(last)] for part in state)
                results, *after = self._direction(
                    x, f"_l{layer}{suffix}", h, c[0] if c else None, lengths, bool(suffix)
                )
                directions.append(results)
                last.append(after)
            x = directions[0] if len(directions) == 1 else concat(directions, axis=2)
        return x, [stack(list(parts)) for parts in zip(*last)]

    def _direction(self, x: Tensor, name: str, h: Tensor, c: Any, lengths: Any, reverse: bool) -> list[Tensor]:
        w_ih, w_hh = getattr(self, f"weight_ih{name}"), getattr(self, f"weight_hh{name}")
        b_ih, b_hh = (getattr(self, f"bias_{kind}{name}", None) for kind in ("ih", "hh"))
        w_hr = getattr(self, f"weight_hr{name}", None)
        return recurrent_layer(x, w_ih, w_hh, b_ih, b_hh, w_hr, h, c, lengths, self.mode, reverse)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        defaults["proj_size"] = 0
        shown = [f"{name}={getattr(self, name)}" for name, usual in defaults.items() if getattr(self, name) != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown])


class RNN(RNNBase):
    """``h = tanh(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh)`` over sequences, or relu with ``nonlinearity="relu"``.

    >>> import graphflow as gf
    >>> results, h = gf.nn.RNN(10, 20, 2)(gf.ones((5, 3, 10)))
    >>> results.shape, h.shape
    ((5, 3, 20), (2, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._check_nonlinearity(nonlinearity)
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity = nonlinearity

    @staticmethod
    def _check_nonlinearity(nonlinearity: str) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")


class LSTM(RNNBase):
    """Long short-term memory: gates i, f, g, o, a state (h, c); with ``proj_size`` h is projected to that size.

    >>> import graphflow as gf
    >>> results, (h, c) = gf.nn.LSTM(10, 20, batch_first=True, bidirectional=True)(gf.ones((3, 5, 10)))
    >>> results.shape, h.shape, c.shape
    ((3, 5, 40), (2, 3, 20), (2, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        settings = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__("LSTM", input_size, hidden_size, *settings)


class GRU(RNNBase):
    """Gated recurrent units: gates r, z, n, the reset gate applied after the product with the state.

    >>> import graphflow as gf
    >>> results, h = gf.nn.GRU(10, 20)(gf.ones((5, 3, 10)))
    >>> results.shape, h.shape
    ((5, 3, 20), (1, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        settings = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("GRU", input_size, hidden_size, *settings)


class RNNCellBase(Module):
    """One step of a recurrent layer: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``."""

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = GATES[mode] * hidden_size
        self.weight_ih = new_parameter((rows, input_size), dtype, device)
        self.weight_hh = new_parameter((rows, hidden_size), dtype, device)
        self.register_parameter("bias_ih", new_parameter((rows,), dtype, device) if bias else None)
        self.register_parameter("bias_hh", new_parameter((rows,), dtype, device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, input: Any, hx: Sequence[Any] | None, count: int) -> tuple[Tensor, ...]:
        """The next state, of ``count`` parts, for inputs (batch, features) or (features,)."""
        x = as_tensor(input)
        check_input(type(self).__name__, x, self.input_size, (1, 2))
        shape = (*x.shape[:-1], self.hidden_size)
        if hx is None:
            with beside(x):
                state = tuple(zeros(shape, dtype=self.weight_hh.dtype) for _ in range(count))
        else:
            state = tuple(as_tensor(h) for h in hx)
        for h in state:
            if h.ndim != len(shape) or not all(map(same_size, h.shape, shape)):
                message = f"{type(self).__name__} takes a state of shape {shape_str(shape)}, got {shape_str(h.shape)}"
                raise ShapeError(at_line(message, user_origin()))
        inputs = inputs_of(self.mode, x, self.weight_ih, self.bias_ih, self.bias_hh)
        return step_of(self.mode, self.weight_hh, self.bias_hh)(inputs, state)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of an RNN: ``h = cell(x, h)``.

    >>> import graphflow as gf
    >>> gf.nn.RNNCell(10, 20)(gf.ones((3, 10))).shape
    (3, 20)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        RNN._check_nonlinearity(nonlinearity)
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Tensor:
        return self._step(input, None if hx is None else [hx], 1)[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: ``h, c = cell(x, (h, c))``.

    >>> import graphflow as gf
    >>> h, c = gf.nn.LSTMCell(10, 20)(gf.ones((3, 10)))
    >>> h.shape, c.shape
    ((3, 20), (3, 20))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Tensor, Tensor]:
        h, c = self._step(input, hx, 2)
        return h, c


class GRUCell(RNNCellBase):
    """One step of a GRU: ``h = cell(x, h)``.

    >>> import graphflow as gf
    >>> gf.nn.GRUCell(10, 20)(gf.ones((3, 10))).shape
    (3, 20)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Tensor:
        return self._step(input, None if hx is None else [hx], 1)[0]
