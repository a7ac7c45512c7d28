"""Reshaping, joining, cutting, padding: values against NumPy, gradients to second order, symbolic sizes, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, collecting_assumptions
from graphflow.core.dtypes import float32
from graphflow.core.errors import AxisError, ShapeError
from graphflow.core.op import OPS
from graphflow.testing import check_grad, check_parity

SHAPE = (2, 3, 4)
X = np.arange(24.0).reshape(SHAPE)

# (name, with graphflow, with NumPy), each of one array of shape (2, 3, 4)
SAME: list[tuple[str, Any, Any]] = [
    ("reshape", lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1)),
    ("reshape to a tuple", lambda x: gf.reshape(x, (6, 4)), lambda x: x.reshape(6, 4)),
    ("view", lambda x: x.view(-1, 2), lambda x: x.reshape(-1, 2)),
    ("flatten", lambda x: x.flatten(1), lambda x: x.reshape(2, 12)),
    ("flatten some", lambda x: x.flatten(0, 1), lambda x: x.reshape(6, 4)),
    ("unflatten", lambda x: x.unflatten(-1, (2, -1)), lambda x: x.reshape(2, 3, 2, 2)),
    ("ravel", lambda x: x.ravel(), np.ravel),
    ("permute", lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
    ("permute_dims", lambda x: gf.permute_dims(x, (1, 0, 2)), lambda x: x.transpose(1, 0, 2)),
    ("transpose of two", lambda x: x.transpose(0, 1), lambda x: x.swapaxes(0, 1)),
    ("transpose of all", lambda x: x.transpose(), np.transpose),
    ("mT", lambda x: x.mT, lambda x: x.swapaxes(-1, -2)),
    ("swapaxes", lambda x: x.swapaxes(0, -1), lambda x: x.swapaxes(0, -1)),
    ("moveaxis", lambda x: gf.moveaxis(x, (0, 1), (-1, 0)), lambda x: np.moveaxis(x, (0, 1), (-1, 0))),
    ("expand_dims", lambda x: gf.expand_dims(x, axis=(0, -1)), lambda x: np.expand_dims(x, (0, -1))),
    ("squeeze", lambda x: x.unsqueeze(1).squeeze(1), lambda x: x),
    ("squeeze all", lambda x: x[:, :1, :1].squeeze(), lambda x: x[:, 0, 0]),
    ("broadcast_to", lambda x: x.broadcast_to((5, 2, 3, 4)), lambda x: np.broadcast_to(x, (5, 2, 3, 4))),
    ("expand", lambda x: x.unsqueeze(1).expand(-1, 5, -1, -1), lambda x: np.repeat(x[:, None], 5, 1)),
    ("broadcast_arrays", lambda x: gf.broadcast_arrays(x[0], x)[0], lambda x: np.broadcast_arrays(x[0], x)[0]),
    ("concat", lambda x: gf.concat([x, x[:, :1], x], axis=1), lambda x: np.concatenate([x, x[:, :1], x], 1)),
    ("concat flat", lambda x: gf.concat([x, x[0]], axis=None), lambda x: np.concatenate([x, x[0]], None)),
    ("stack", lambda x: gf.stack([x, -x], axis=-1), lambda x: np.stack([x, -x], -1)),
    ("split", lambda x: x.split(3, axis=2)[1], lambda x: x[..., 3:]),
    ("split by sizes", lambda x: x.split([1, 2], axis=1)[1], lambda x: x[:, 1:]),
    ("chunk", lambda x: x.chunk(2, axis=2)[1], lambda x: x[..., 2:]),
    ("unbind", lambda x: x.unbind(1)[2], lambda x: x[:, 2]),
    ("narrow", lambda x: x.narrow(2, -3, 2), lambda x: x[..., 1:3]),
    ("flip", lambda x: x.flip((0, 2)), lambda x: np.flip(x, (0, 2))),
    ("flip all", lambda x: gf.flip(x), np.flip),
    ("roll", lambda x: gf.roll(x, (1, -2), (0, 2)), lambda x: np.roll(x, (1, -2), (0, 2))),
    ("roll flat", lambda x: gf.roll(x, 5), lambda x: np.roll(x, 5)),
    ("tile", lambda x: gf.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3))),
    ("tile to more axes", lambda x: gf.tile(x, (2, 1, 1, 2)), lambda x: np.tile(x, (2, 1, 1, 2))),
    ("repeat", lambda x: gf.repeat(x, 2, axis=1), lambda x: np.repeat(x, 2, 1)),
    ("repeat flat", lambda x: x.repeat(2), lambda x: np.repeat(x, 2)),
    ("repeat by counts", lambda x: x.repeat_interleave([2, 0, 1], 1), lambda x: np.repeat(x, [2, 0, 1], 1)),
    ("pad", lambda x: gf.pad(x, ((0, 1), (2, 0), (0, 0)), constant_values=7.0),
     lambda x: np.pad(x, ((0, 1), (2, 0), (0, 0)), constant_values=7.0)),
    ("pad by edges", lambda x: gf.pad(x, 2, mode="edge"), lambda x: np.pad(x, 2, mode="edge")),
    ("pad by reflection", lambda x: gf.pad(x, 1, mode="reflect"), lambda x: np.pad(x, 1, mode="reflect")),
    ("pad by wrapping", lambda x: gf.pad(x, (1, 2), mode="wrap"), lambda x: np.pad(x, (1, 2), mode="wrap")),
]  # fmt: skip
IDS = [name for name, *_ in SAME]


@pytest.mark.parametrize(("function", "expected"), [case[1:] for case in SAME], ids=IDS)
def test_values_and_gradients(function: Any, expected: Any) -> None:
    np.testing.assert_array_equal(function(gf.tensor(X)).numpy(), expected(X))
    check_grad(lambda x: function(x) ** 3, X / 24, order=2, directions=1)


@pytest.mark.parametrize("symbolic", [False, True])
def test_all_modes_agree(symbolic: bool) -> None:
    # rolling and wrapping a symbolic axis by more than one would need its size
    leave_out = ("flat", "roll", "repeat by counts", "wrap", "unbind") if symbolic else ()
    chosen = [function for name, function, _ in SAME if not any(word in name for word in leave_out)]
    check_parity(lambda x: [function(x) * 2 for function in chosen], X.astype(np.float32), symbolic=symbolic)


def test_empty_and_scalar_tensors() -> None:
    empty = gf.zeros((0, 3))
    assert empty.reshape(3, 0).shape == (3, 0)
    assert empty.reshape(-1, 3).shape == (0, 3)
    assert gf.concat([empty, gf.ones((1, 3))]).shape == (1, 3)
    assert gf.flip(empty).shape == gf.roll(empty, 1).shape == (0, 3)
    assert gf.tensor(1.0).reshape(1, 1).shape == (1, 1)
    assert gf.stack([gf.tensor(1.0), gf.tensor(2.0)]).tolist() == [1.0, 2.0]
    assert gf.tensor(3.0).flatten().shape == (1,)
    assert [t.shape for t in gf.split(empty, 2)] == [(0, 3)]


def test_concat_promotes_dtypes() -> None:
    assert gf.concat([gf.ones(1, dtype=gf.int32), gf.ones(1, dtype=gf.float32)]).dtype == gf.float32
    assert gf.stack([gf.tensor(1), gf.tensor(2.5)]).dtype == gf.float32


def test_symbolic_sizes_divide_exactly() -> None:
    n = Dim("n")
    reshaped = OPS["reshape"].infer(AVal((n, 28, 28), float32), shape=(n, 784))
    assert reshaped == AVal((n, 784), float32)
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 28, 28), name="x")
        batch = x.shape[0]
        assert x.reshape(-1, 28).shape == (28 * batch, 28)
        assert x.flatten(1).shape == (batch, 784)
        assert x.reshape(batch, -1).shape == (batch, 784)
        assert gf.concat([x, x]).shape == (2 * batch, 28, 28)
    assert not graph.assumptions


def test_unequal_symbolic_sizes_become_assumptions() -> None:
    n, m = Dim("n"), Dim("m")
    assumptions: list[Any] = []
    with collecting_assumptions(assumptions):
        out = OPS["concat"].infer(AVal((n, 2), float32), AVal((m, 3), float32), axis=1)
        OPS["concat"].infer(AVal((n, 2), float32), AVal((5, 3), float32), axis=1)
    assert out.shape[1] == 5
    assert assumptions == [(n, m), (n, 5)]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x.reshape(5, 5), ShapeError, r"\(2, 3, 4\).*24 elements.*\(5, 5\)"),
        (lambda x: x.reshape(-1, 5), ShapeError, "do not divide"),
        (lambda x: x.reshape(-1, -1), ShapeError, "only one size may be -1"),
        (lambda x: x.permute(0, 1), ShapeError, "each of its axes once"),
        (lambda x: x.permute(0, 1, 3), AxisError, "axis 3 is out of range"),
        (lambda x: x.squeeze(1), ShapeError, "axis 1 of size 3"),
        (lambda x: x.broadcast_to((2, 3, 5)), ShapeError, r"\(2, 3, 4\)"),
        (lambda x: gf.concat([x, x[0]]), ShapeError, "differ only on axis 0"),
        (lambda x: gf.concat([x, x[:, :2]]), ShapeError, "operand 1"),
        (lambda x: gf.concat([]), ShapeError, "at least one"),
        (lambda x: gf.stack([x, x[0]]), ShapeError, "operand 1"),
        (lambda x: x.split([1, 1], axis=1), ShapeError, "do not add up to 3"),
        (lambda x: x.narrow(1, 2, 2), ShapeError, "axis 1 of size 3"),
        (lambda x: x.T, ShapeError, "use .mT"),
        (lambda x: gf.pad(x, ((1, 2), (0, 0))), ShapeError, "for each of 3 axes"),
        (lambda x: gf.pad(x, -1), ShapeError, "cannot be negative"),
        (lambda x: gf.pad(x, 4, mode="reflect"), ShapeError, "axis 0"),
        (lambda x: gf.pad(x, 1, mode="mirror"), ValueError, "'reflect'"),
        (lambda x: gf.roll(x, (1, 2, 3), (0, 1)), ShapeError, "as many shifts"),
    ],
)
def test_errors(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(gf.tensor(X))


def test_errors_name_the_users_line() -> None:
    with pytest.raises(ShapeError, match=r"test_movement\.py:\d+"):
        gf.ones((2, 3)).reshape(4, 4)


def test_pytorchs_name_for_axis() -> None:
    x = gf.tensor(X)
    assert gf.cat([x, x], dim=1).shape == (2, 6, 4)
    assert gf.stack([x, x], dim=-1).shape == (2, 3, 4, 2)
    assert x.unsqueeze(dim=1).squeeze(dim=1).shape == SHAPE
    assert x.flip(dims=(0,)).shape == gf.roll(x, 1, dims=0).shape == SHAPE
    assert len(x.split(2, dim=2)) == len(x.chunk(2, dim=2)) == 2
    assert len(x.unbind(dim=1)) == 3
    assert x.topk(2, dim=0).values.shape == SHAPE
    assert x.cumsum(dim=1).argsort(dim=0).shape == SHAPE
