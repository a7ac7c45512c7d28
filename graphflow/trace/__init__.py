"""Recording Python code into graphs: the recorders, gf.trace and gf.compile."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from graphflow.trace.compile import CompiledFunction, compile
from graphflow.trace.tracing import (
    Initializer,
    Operation,
    TensorSpec,
    constant,
    control_dependencies,
    get_default_graph,
    global_variables_initializer,
    group,
    no_op,
    placeholder,
    reset_default_graph,
    trace,
)


class _CallableModule(ModuleType):
    """``gf.trace`` is a function, and it is this package: importing a part of a package binds its name there."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return trace(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
sys.modules[__name__].__doc__ = trace.__doc__
