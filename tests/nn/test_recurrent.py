"""RNN, LSTM, GRU and their cells: PyTorch's numbers, gradients, sequences of different lengths, every mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn
from graphflow.core.errors import ShapeError
from graphflow.nn.utils import rnn

# kind, settings: every option at least once with each kind, and pairs of them
FEW: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"batch_first": True}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
    ("RNN", {"bias": False, "nonlinearity": "relu"}),
]
MANY: list[tuple[str, dict[str, Any]]] = [
    (kind, {**settings, **more})
    for kind, more in (
        ("RNN", {}),
        ("RNN", {"nonlinearity": "relu"}),
        ("LSTM", {}),
        ("LSTM", {"proj_size": 2}),
        ("GRU", {}),
    )
    for settings in (
        {},
        {"bias": False, "bidirectional": True},
        {"num_layers": 2, "batch_first": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
        {"num_layers": 3, "bias": False},
    )
]
LENGTHS = [2, 5, 1]


def named(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *(f"{k}={v}" for k, v in case[1].items())])


def weights(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The same for both libraries, whatever they draw at first."""
    rng = np.random.default_rng(0)
    layer = getattr(nn, kind)(4, 3, **settings)
    return {k: rng.uniform(-0.6, 0.6, v.shape) for k, v in layer.state_dict().items()}


def data(kind: str, settings: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Inputs, and an initial state."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 5, 4) if settings.get("batch_first") else (5, 3, 4))
    layers = settings.get("num_layers", 1) * (1 + settings.get("bidirectional", False))
    sizes = [settings.get("proj_size", 3), 3] if kind == "LSTM" else [3]
    return x, [rng.normal(size=(layers, 3, size)) for size in sizes]


def run(lib: Any, kind: str, settings: dict[str, Any], dtype: str, packed: bool, wrap: Any = lambda f: f) -> list[Any]:
    """Results, last state, and the gradients of inputs, state and weights, of graphflow or torch."""
    is_torch = lib.__name__ == "torch"
    make = (lambda a: lib.tensor(a.astype(dtype), requires_grad=True)) if is_torch else None
    tensor = make or (lambda a: gf.tensor(a.astype(dtype), requires_grad=True))
    layer = getattr(lib.nn, kind)(4, 3, dtype=getattr(lib, dtype), **settings)
    state = {k: v.astype(dtype) for k, v in weights(kind, settings).items()}
    layer.load_state_dict({k: lib.tensor(v) for k, v in state.items()} if is_torch else state)
    x, h = data(kind, settings)
    leaves = [tensor(x), *map(tensor, h)]
    utils = lib.nn.utils.rnn

    def forward(x: Any, *h: Any) -> Any:
        hx = h if kind == "LSTM" else h[0]
        first = settings.get("batch_first", False)
        if packed:
            sequence = utils.pack_padded_sequence(x, LENGTHS, batch_first=first, enforce_sorted=False)
            results, last = layer(sequence, hx)
            results = utils.pad_packed_sequence(results, batch_first=first)[0]
        else:
            results, last = layer(x, hx)
        last = last if kind == "LSTM" else (last,)
        return (
            sum(((i + 1.0) * (t * t).sum() + t.sum() for i, t in enumerate(last)), (results**3).sum()),
            results,
            *last,
        )

    loss, *results = wrap(forward)(*leaves)
    loss.backward()
    found = [*results, *(t.grad for t in leaves), *(p.grad for _, p in sorted(layer.named_parameters()))]
    return [t.detach().numpy() for t in found]


def compare(
    kind: str, settings: dict[str, Any], dtype: str = "float64", packed: bool = False, mode: str = "eager"
) -> None:
    import torch

    wrap = gf.compile if mode == "compiled" else lambda f: f
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    want = run(torch, kind, settings, dtype, packed)
    for a, b in zip(run(gf, kind, settings, dtype, packed, wrap), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.torch
@pytest.mark.parametrize("case", FEW, ids=named)
def test_same_as_pytorch(case: tuple[str, dict[str, Any]]) -> None:
    compare(*case, mode="compiled")
    compare(*case, packed=True)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", MANY, ids=named)
def test_grid_against_pytorch(case: tuple[str, dict[str, Any]], dtype: str, packed: bool, mode: str) -> None:
    compare(*case, dtype=dtype, packed=packed, mode=mode)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(x: Any, h: Any, c: Any, w: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The formulas of the paper, step by step."""
    results = []
    for xt in x:
        gates = xt @ w["weight_ih_l0"].T + w["bias_ih_l0"] + h @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        i, f, g, o = np.split(gates, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        results.append(h)
    return np.stack(results), h, c


def gru_by_hand(x: Any, h: Any, w: dict[str, Any]) -> tuple[Any, Any]:
    results = []
    for xt in x:
        xr, xz, xn = np.split(xt @ w["weight_ih_l0"].T + w["bias_ih_l0"], 3, axis=-1)
        hr, hz, hn = np.split(h @ w["weight_hh_l0"].T + w["bias_hh_l0"], 3, axis=-1)
        z = sigmoid(xz + hz)
        h = (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h
        results.append(h)
    return np.stack(results), h


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_the_formulas(mode: str) -> None:
    compiled = gf.compile if mode == "compiled" else lambda f: f
    x, (h, c) = data("LSTM", {})
    lstm, gru = nn.LSTM(4, 3, dtype=gf.float64), nn.GRU(4, 3, dtype=gf.float64)
    lstm.load_state_dict(w := weights("LSTM", {}))
    results, (hn, cn) = compiled(lstm)(gf.tensor(x), (gf.tensor(h), gf.tensor(c)))
    for got, want in zip((results, hn[0], cn[0]), lstm_by_hand(x, h[0], c[0], w)):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-10)
    gru.load_state_dict(w := weights("GRU", {}))
    results, hn = compiled(gru)(gf.tensor(x), gf.tensor(h))
    for got, want in zip((results, hn[0]), gru_by_hand(x, h[0], w)):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-10)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_cells_are_single_steps_of_layers(kind: str) -> None:
    x, h = data(kind, {})
    layer = getattr(nn, kind)(4, 3, dtype=gf.float64)
    cell = getattr(nn, f"{kind}Cell")(4, 3, dtype=gf.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v.numpy() for k, v in layer.state_dict().items()})
    parts = [gf.tensor(p) for p in h]
    hx = tuple(parts) if kind == "LSTM" else parts[0]
    results, _ = layer(gf.tensor(x[:1]), hx)
    first = tuple(p[0] for p in parts) if kind == "LSTM" else parts[0][0]
    stepped = cell(gf.tensor(x[0]), first)
    stepped = stepped[0] if kind == "LSTM" else stepped
    np.testing.assert_allclose(results[0].numpy(), stepped.numpy(), rtol=1e-12)
    assert (cell(gf.tensor(x[0]))[0] if kind == "LSTM" else cell(gf.tensor(x[0]))).shape == (3, 3)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_gradients_to_second_order(kind: str) -> None:
    layer = getattr(nn, kind)(2, 2, dtype=gf.float64)

    def f(x: Any, *w: Any) -> Any:
        from graphflow.nn.functional.recurrent import recurrent_layer

        zero = gf.zeros((2, 2), dtype=gf.float64)
        c = zero if kind == "LSTM" else None
        return recurrent_layer(x, *w, None, zero, c, None, layer.mode, False)

    rng = np.random.default_rng(0)
    args = [gf.tensor(rng.normal(size=(3, 2, 2))), *(gf.tensor(p.numpy()) for p in layer.parameters())]
    gf.testing.check_grad(f, *args, directions=1)
    gf.testing.check_grad(f, *args, mode="graph", directions=1)


def test_packing_turns_back() -> None:
    x = gf.tensor(np.arange(24.0).reshape(3, 4, 2))
    sequences = rnn.unpad_sequence(x, [2, 4, 1], batch_first=True)
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    for a, b in zip(rnn.unpack_sequence(packed), sequences):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    padded, lengths = rnn.pad_packed_sequence(packed, padding_value=-1.0, total_length=5)
    assert (padded.shape, lengths.tolist()) == ((5, 3, 2), [2, 4, 1])
    assert padded[2:, 0].numpy().max() == -1


def test_lengths_are_what_packing_does() -> None:
    x, h = data("LSTM", {})
    layer = nn.LSTM(4, 3, bidirectional=True, dtype=gf.float64)
    packed, last = layer(rnn.pack_padded_sequence(gf.tensor(x), LENGTHS, enforce_sorted=False))
    want = rnn.pad_packed_sequence(packed)[0].numpy()
    step = gf.compile(lambda x, n: layer(x, lengths=n))
    for n in (LENGTHS, [5, 5, 5]):
        results, (hn, _) = step(gf.tensor(x), gf.tensor(n))
        if n is LENGTHS:
            np.testing.assert_allclose(results.numpy(), want, rtol=1e-12)
            np.testing.assert_allclose(hn.numpy(), last[0].numpy(), rtol=1e-12)
    assert step.cache_info().compiles == 1


def test_other_lengths_and_batches_do_not_compile_again() -> None:
    layer = nn.GRU(4, 3, batch_first=True)
    step = gf.compile(lambda x: layer(x)[0].sum(), dynamic=(0, 1))
    for batch, steps in ((2, 5), (3, 5), (2, 9), (4, 1)):
        x = gf.random.normal((batch, steps, 4))
        np.testing.assert_allclose(step(x).item(), layer(x)[0].sum().item(), rtol=1e-4, atol=1e-5)
    assert step.cache_info().compiles == 1


def test_dropout_lies_between_layers_in_training_only() -> None:
    layer = nn.LSTM(4, 8, num_layers=2, dropout=0.5)
    x = gf.random.normal((5, 3, 4))
    assert not np.array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())


def test_eager_layers_turn_native() -> None:
    from graphflow.nn.functional.recurrent import recurrent_layer

    layer = nn.LSTM(4, 3, dtype=gf.float64)
    x, h = data("LSTM", {})

    def once() -> tuple[Any, Any]:
        layer.zero_grad()
        results, _ = layer(gf.tensor(x), tuple(map(gf.tensor, h)))
        (results * results).sum().backward()
        return results.numpy(), layer.weight_hh_l0.grad.numpy()

    with gf.config(native_after=-1):
        want = once()
    with gf.config(native_after=0):
        recurrent_layer.composite.calls.clear()
        for _ in range(2):
            for got, value in zip(once(), want):
                np.testing.assert_allclose(got, value, rtol=1e-10)
    assert not recurrent_layer.composite.failures


def test_errors() -> None:
    layer = nn.LSTM(4, 3)
    with pytest.raises(ShapeError, match="4 features"):
        layer(gf.ones((5, 3, 6)))
    with pytest.raises(ShapeError, match=r"\(1, 3, 3\), got \(2, 3, 3\)"):
        layer(gf.ones((5, 3, 4)), (gf.ones((2, 3, 3)), gf.ones((2, 3, 3))))
    with pytest.raises(ValueError, match="enforce_sorted"):
        rnn.pack_padded_sequence(gf.ones((5, 2, 4)), [2, 5])
    with pytest.raises(ShapeError, match="lengths in 1..5"):
        rnn.pack_padded_sequence(gf.ones((5, 2, 4)), [6, 5])
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.RNN(4, 3, nonlinearity="sin")
    with pytest.raises(ValueError, match="proj_size"):
        nn.LSTM(4, 3, proj_size=3)
