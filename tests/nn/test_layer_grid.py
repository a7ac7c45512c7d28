"""Every layer: PyTorch's numbers and gradients in every mode and dtype, and derivatives of second order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn
from graphflow.ops.fused import COMPOSITES
from tests.nn.layer_cases import (
    CASES,
    VALUES,
    Case,
    Library,
    by_pytorch,
    number_of,
    parameter_values,
    weights_of,
)

FROZEN = json.loads(VALUES.read_text(encoding="utf-8"))
COMPILED = ["bag max in line", "upsample bilinear", "fold", "multilabel margin"]  # others are slow tests


def made(case: Case, dtype: str) -> Any:
    """The case's layer, with the parameters that PyTorch's has, or its function."""
    layer = case.make(Library(nn, nn.functional, lambda a: gf.tensor(a.astype(dtype))))
    if isinstance(layer, nn.Module):
        layer.to(dtype)
        for number, p in enumerate(layer.parameters()):
            p.set_initial(parameter_values(p.shape, number, dtype))
    return layer


def by_graphflow(case: Case, dtype: str, compiled: bool = False) -> list[Any]:
    """The result, and the gradients of inputs and parameters, as arrays."""
    layer = made(case, dtype)
    parameters = list(layer.parameters()) if isinstance(layer, nn.Module) else []
    arrays = case.arrays(dtype)
    tensors = [gf.tensor(a, requires_grad=i in case.differentiated) for i, a in enumerate(arrays)]

    def results(*tensors: Any) -> list[Any]:
        out = layer(*tensors)
        wanted = [tensors[i] for i in case.differentiated] + parameters
        weights = gf.tensor(weights_of(out.shape, dtype))
        slopes = gf.gradients([(out * weights).sum()], wanted)
        return [out, *(gf.zeros(w.shape) if s is None else s for w, s in zip(wanted, slopes))]

    run = gf.compile(results, dynamic=False) if compiled else results
    found = run(*tensors)
    assert found[0].dtype == dtype
    return [a.numpy() for a in found]


@pytest.mark.parametrize("name", CASES)
def test_frozen_numbers(name: str) -> None:
    found = [number_of(a) for a in by_graphflow(CASES[name], "float64")]
    np.testing.assert_allclose(found, FROZEN[name], rtol=1e-6, atol=1e-6)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "compiled"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_pytorchs_numbers(name: str, dtype: str, compiled: bool) -> None:
    pytest.importorskip("torch")
    found, expected = by_graphflow(CASES[name], dtype, compiled), by_pytorch(CASES[name], dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-7  # PyTorch's weights for resizing are nearer to single precision
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance, atol=tolerance)
    for have, want in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(have, want, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_numbers(name: str) -> None:
    found = [number_of(a) for a in by_graphflow(CASES[name], "float64", compiled=True)]
    np.testing.assert_allclose(found, FROZEN[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [n if n in COMPILED else pytest.param(n, marks=pytest.mark.slow) for n in CASES])
def test_numbers_of_eager_programs(name: str) -> None:
    """Composites as native programs from their first call on."""
    with gf.config(native_after=0):
        found = [number_of(a) for a in by_graphflow(CASES[name], "float64")]
    np.testing.assert_allclose(found, FROZEN[name], rtol=1e-6, atol=1e-6)
    assert [c.failures for c in COMPOSITES if c.failures] == []


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name: str) -> None:
    case = CASES[name]
    layer = made(case, "float64")
    arrays = case.arrays("float64")
    parameters = list(layer.parameters()) if isinstance(layer, nn.Module) else []

    def scalar(*floats: Any) -> Any:
        given = dict(zip(case.differentiated, floats))
        return layer(*(given[i] if i in given else gf.tensor(a) for i, a in enumerate(arrays)))

    floats = [arrays[i] for i in case.differentiated]
    if floats:
        gf.testing.check_grad(scalar, *floats, directions=1)
    elif parameters:  # tables: the gradient of their rows is what there is
        slopes = gf.gradients([(scalar() ** 2).sum()], parameters)
        assert all(np.isfinite(s.numpy()).all() for s in slopes)


@pytest.mark.torch
@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.make.__qualname__.startswith("layer.")])
def test_pytorchs_names(name: str) -> None:
    """The same text, the same names in the state, and the same settings kept as attributes."""
    torch = pytest.importorskip("torch")
    ours = CASES[name].make(Library(nn, nn.functional, gf.tensor))
    theirs = CASES[name].make(Library(torch.nn, torch.nn.functional, torch.tensor))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if name not in ("hardshrink", "softshrink"):  # PyTorch leaves the setting's name out there
        assert repr(ours) == repr(theirs)
    for key, value in vars(theirs).items():
        if not key.startswith("_") and key not in ("training", "inplace", "name", "min_val", "max_val"):
            assert hasattr(ours, key), f"{type(ours).__name__} has no attribute {key!r} (PyTorch: {value!r})"
