"""GraphFlow: deep learning with eager and static graphs from one set of ops, compiled to native code.

>>> import graphflow as gf
>>> x = gf.tensor([[1.0, 2.0]], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad.tolist()
[[2.0, 4.0]]
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import Any as _Any

from graphflow import ops as _ops
from graphflow.autograd import grad, gradients, value_and_grad
from graphflow.core import errors
from graphflow.core.config import config
from graphflow.core.dims import Dim
from graphflow.core.dispatch import enable_grad, init_scope, is_grad_enabled, no_grad
from graphflow.core.dtypes import DType as dtype
from graphflow.core.dtypes import (
    bfloat16,
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from graphflow.core.elsewhere import hint as _hint
from graphflow.ops import random
from graphflow.ops.define import FUNCTIONS as _FUNCTIONS
from graphflow.ops.namespace import e, inf, nan, newaxis, pi
from graphflow.ops.random import Generator
from graphflow.tensor import Tensor
from graphflow.variable import Parameter, Variable

__version__ = "0.1.0"
__array_api_version__ = "2024.12"

# Every op family registers its public functions; the names stand here because they are registered, nowhere else.
globals().update(_FUNCTIONS)
bool = bool_

# Parts that are imported when first used: `import graphflow` stays nearly as quick as `import numpy`.
_MODULES = (
    "data",
    "datasets",
    "io",
    "keras",
    "metrics",
    "models",
    "nn",
    "optim",
    "passes",
    "testing",
    "train",
    "viz",
)
# Public names that live in such parts.
_PLACES = {
    "Graph": "graphflow.ir.graph",
    "InteractiveSession": "graphflow.runtime.session",
    "Operation": "graphflow.trace",
    "Session": "graphflow.runtime.session",
    "TensorSpec": "graphflow.trace",
    "autocast": "graphflow.train",
    "compile": "graphflow.trace",
    "constant": "graphflow.trace",
    "control_dependencies": "graphflow.trace",
    "get_default_graph": "graphflow.trace",
    "get_default_session": "graphflow.runtime.session",
    "global_variables_initializer": "graphflow.trace",
    "group": "graphflow.trace",
    "load": "graphflow.io",
    "load_graph": "graphflow.io",
    "no_op": "graphflow.trace",
    "placeholder": "graphflow.trace",
    "register_session_run_conversion_functions": "graphflow.runtime.session",
    "reset_default_graph": "graphflow.trace",
    "save": "graphflow.io",
    "trace": "graphflow.trace",
}


# PyTorch's other names of data types. (Not in globals(): there, some would stand for Python's own.)
_DTYPES = {"float": float32, "double": float64, "half": float16, "long": int64, "int": int32, "short": int16}


def __getattr__(name: str) -> _Any:
    if name in _DTYPES:
        return _DTYPES[name]
    if name in _MODULES:
        return _import_module(f"graphflow.{name}")
    if name in _PLACES:
        value = getattr(_import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
    if name in _FUNCTIONS:  # defined since: a user's op
        return _FUNCTIONS[name]
    raise AttributeError(f"module 'graphflow' has no attribute {name!r}{_hint(name, __dir__())}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_PLACES, *_DTYPES})
