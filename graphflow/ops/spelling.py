"""The ways in which users, coming from several libraries, write arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from graphflow.core.dims import Dim, Shape

F = TypeVar("F", bound=Callable[..., Any])


def takes_dim(function: F) -> F:
    """Let PyTorch's ``dim=`` and ``dims=`` stand for ``axis=``, and ``keepdim=`` for ``keepdims=``."""

    @wraps(function)
    def with_dim(*args: Any, **options: Any) -> Any:
        for name in ("dim", "dims"):
            if name in options:
                options["axis"] = options.pop(name)
        if "keepdim" in options:
            options["keepdims"] = options.pop("keepdim")
        return function(*args, **options)

    return with_dim  # type: ignore[return-value]


def as_shape(shape: Any, more: tuple[Any, ...] = ()) -> Shape:
    """A shape given as a sequence, as one size, or as separate arguments; sizes may be symbolic."""
    if more or not isinstance(shape, (tuple, list)):
        shape = (shape, *more)
    return tuple(s if isinstance(s, (int, Dim)) else operator.index(s) for s in shape)
