"""Eager recurrent layers: the call that keeps what its gradient needs runs in place of the plain one."""

from __future__ import annotations

import numpy as np

import graphflow as gf


def test_programs_that_do_not_run_are_not_made() -> None:
    with gf.config(native_after=0):
        layer = gf.nn.GRU(3, 4)
        x = gf.tensor(np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 2, 3))
        results, _ = layer(x)
        call = results._tape.op
        results.sum().backward()  # a native sweep of its own
        programs = [call.pure, *(pure for pure, _ in call._backward if pure is not None)]
        assert call._forward is not call.pure
        assert ["executable" in pure.__dict__ for pure in programs] == [False, False, False]
        with gf.no_grad():
            plain, _ = layer(x)
        assert "executable" in call.pure.__dict__
    np.testing.assert_allclose(plain.numpy(), results.numpy(), rtol=1e-6, atol=1e-7)
    with gf.config(native_after=-1):
        other = gf.nn.GRU(3, 4)
        other.load_state_dict(layer.state_dict())
        expected, _ = other(x)
        expected.sum().backward()
    np.testing.assert_allclose(plain.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    for a, b in zip(layer.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-6)
