"""The checkers themselves: right functions pass, and each kind of mistake is found and named."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.op import OPS
from graphflow.testing import assert_close, check_grad, check_parity

X = np.linspace(-1.0, 1.0, 12).reshape(3, 4).astype(np.float32)


@contextmanager
def op_changed(name: str, **fields: Any) -> Iterator[None]:
    """Put a mistake into an op's record. Records are frozen; this is the test's own way round that."""
    op = OPS[name]
    saved = {field: getattr(op, field) for field in fields}
    assert fields.keys() <= {f.name for f in dataclasses.fields(op)}
    try:
        for field, value in fields.items():
            object.__setattr__(op, field, value)
        yield
    finally:
        for field, value in saved.items():
            object.__setattr__(op, field, value)


# -- check_grad --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_right_gradients_pass(mode: str) -> None:
    check_grad(
        lambda p, s: gf.tanh(p["w"] @ p["b"]) * s, {"w": gf.tensor(X), "b": np.ones((4, 2))}, 2.0, mode=mode, order=3
    )


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_wrong_rule_is_found(mode: str) -> None:
    with op_changed("sin", vjp=lambda g, out, x: (g * gf.sin(x),)), pytest.raises(AssertionError) as caught:
        check_grad(lambda y, x: gf.sin(x) * y, 2.0, X, mode=mode)
    total, first, second = str(caught.value).splitlines()
    assert "order 1" in total
    right, wrong = first.split("): ")[1].split(", numeric "), second.split("): ")[1].split(", numeric ")
    assert right[0] == right[1] and wrong[0] != wrong[1]


def test_a_rule_that_is_wrong_in_second_order_only_is_found() -> None:
    with op_changed("sin", vjp=lambda g, out, x: (g * gf.stop_gradient(gf.cos(x)),)):
        check_grad(gf.sin, X, order=1)
        with pytest.raises(AssertionError, match="order 2"):
            check_grad(gf.sin, X, order=2)


def test_a_missing_gradient_is_found() -> None:
    with pytest.raises(AssertionError, match="order 1"):
        check_grad(lambda x: x * gf.stop_gradient(x), X)


def test_a_nan_gradient_is_found() -> None:
    with pytest.raises(AssertionError, match="nan"):
        check_grad(lambda x: gf.where(x > 0, gf.sqrt(x), 0.0), X)


def test_check_grad_needs_something_to_differentiate() -> None:
    with pytest.raises(ValueError, match="floating-point"):
        check_grad(lambda x: x, gf.tensor([1, 2]))
    with pytest.raises(ValueError, match="no floating-point result"):
        check_grad(lambda x: x > 0, X)
    with pytest.raises(ValueError, match="mode"):
        check_grad(gf.sin, X, mode="jit")


# -- check_parity ------------------------------------------------------------------------------------------------------
def test_modes_that_agree_pass() -> None:
    weights = gf.Variable(np.ones((4, 2)), dtype=gf.float32)
    check_parity(lambda x: {"y": gf.softmax(x @ weights), "z": x.sum()}, gf.tensor(X), symbolic=True)


@pytest.mark.parametrize(
    "mode, mistake",
    [
        ("native code", {"emit": lambda b, x: b.cos(x)}),
        ("the recorded graph", {"ref": None}),
    ],
    ids=["emit", "ref"],
)
def test_a_difference_names_mode_node_and_line(mode: str, mistake: dict[str, Any]) -> None:
    calls = iter(range(100))
    if "ref" in mistake:  # right the first time, which is the eager run
        mistake = {"ref": lambda x: np.sin(x) if next(calls) == 0 else np.cos(x)}
    with op_changed("sin", **mistake), pytest.raises(AssertionError) as caught:
        check_parity(lambda x: gf.exp(gf.sin(x) * 0.5), X, grad=False)
    message = str(caught.value)
    assert message.startswith(mode) and "test_testing.py" in message
    if mode == "native code":
        assert "<node sin = sin(" in message.split("first node that differs")[1]


def test_a_wrong_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphflow.passes import pipeline

    def confuse(graph: gf.Graph, seen: set[Any]) -> bool:
        wrong = [n for n in graph.nodes if n.op.name == "tanh"]
        for node in wrong:
            node.op = OPS["sin"]
        return bool(wrong)

    bad = pipeline.Pass("confuse", "a mistake", confuse)
    monkeypatch.setattr(pipeline, "PIPELINE", [*pipeline.PIPELINE, bad])
    with pytest.raises(AssertionError, match=r"(?s)after pass 'confuse'.*<node tanh = sin.*test_testing.py"):
        check_parity(lambda x: gf.exp(gf.tanh(x)), X, grad=False)


def test_wrong_gradients_differ_between_modes() -> None:
    from graphflow.core import dispatch

    def rule(g: Any, out: Any, x: Any) -> tuple[Any]:
        return (g * (gf.cos(x) if dispatch.is_recording() else gf.sin(x)),)

    with op_changed("sin", vjp=rule), pytest.raises(AssertionError, match="the recorded graph: result 1"):
        check_parity(gf.sin, X)


def test_state_is_put_back() -> None:
    count = gf.Variable(np.zeros((), np.float32))
    before = gf.random.get_state()
    check_parity(lambda x: gf.dropout(x) * count.assign_add(1.0), X, grad=False)
    assert count.numpy() == 0 and gf.random.get_state() == before


# -- assert_close ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "a, b, message",
    [
        (np.zeros(3), np.zeros(4), "shape"),
        (np.zeros(3), np.zeros(3, np.float32), "dtype"),
        (np.array([1, 2]), np.array([1, 3]), r"1 of 2 elements differ, the first at \(1,\): 2, expected 3"),
        (np.array([np.nan, 1.0]), np.array([1.0, 1.0]), "nan, expected 1"),
        (np.array([np.inf]), np.array([-np.inf]), "inf"),
        (np.float32([1.0, 1e-3]), np.float32([1.0, 1.1e-3]), "0.001"),
    ],
)
def test_what_differs_is_said(a: Any, b: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_close(a, b)


def test_rounding_is_no_difference() -> None:
    assert_close(np.float32([1.0, np.nan, np.inf]), np.float32([1.0 + 1e-6, np.nan, np.inf]))
    assert_close(gf.tensor([0.1]) * 3, gf.tensor([0.3]))
