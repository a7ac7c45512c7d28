"""Settings: process-wide defaults from GRAPHFLOW_* environment variables, overridden for a while with
``gf.config(...)``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_DEFAULTS: dict[str, Any] = {
    "mode": os.environ.get("GRAPHFLOW_MODE", "compiled"),  # "compiled" | "eager": how gf.compile'd functions run
    "check_numerics": os.environ.get("GRAPHFLOW_CHECK_NUMERICS", "0") not in ("", "0"),
    "optimize": True,  # run the graph passes
    "verify": os.environ.get("GRAPHFLOW_VERIFY", "1") not in ("", "0"),  # verify the graph after each pass
    "disabled_passes": (),  # names from gf.passes.names()
    "native_after": int(os.environ.get("GRAPHFLOW_NATIVE_AFTER", "8")),  # eager calls before native code; -1: never
    "autocast_dtype": None,  # in which dtype gf.autocast, which sets it, computes products
}
_CHOICES = {"mode": ("compiled", "eager")}
_COMPILED_IN = ("check_numerics", "optimize", "disabled_passes", "autocast_dtype")  # what a compiled program depends on


class _Settings(threading.local):
    def __init__(self) -> None:
        self.set(dict(_DEFAULTS))

    def set(self, values: dict[str, Any]) -> None:
        self.values = values
        self.eager = values["mode"] == "eager"
        self.native = values["native_after"] >= 0 and values["optimize"]  # whether eager code may get native code
        self.key = tuple(tuple(v) if isinstance(v, list) else v for v in (values[name] for name in _COMPILED_IN))


current = _Settings()  # this thread's; callers in a hurry read its attributes


def get(name: str) -> Any:
    """The value of a setting in this thread."""
    return current.values[name]


@contextmanager
def config(**settings: Any) -> Iterator[None]:
    """Change settings inside a ``with`` block (this thread only).

    ``mode="eager"`` runs compiled functions eagerly; ``check_numerics=True`` reports the first NaN or infinity with
    the line that made it; ``optimize=False`` skips the graph passes; ``disabled_passes=("fold",)`` skips some.
    ``native_after`` is how often eager code does something before native code is made for it (0: at once, -1: never).
    Raises ValueError for a setting or a value that does not exist.

    >>> import graphflow as gf
    >>> with gf.config(mode="eager"):
    ...     pass
    """
    for name, value in settings.items():
        if name not in _DEFAULTS:
            raise ValueError(f"no setting {name!r}; there are: {', '.join(_DEFAULTS)}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"{name} is one of {_CHOICES[name]}, got {value!r}")
    saved = current.values
    current.set({**saved, **settings})
    try:
        yield
    finally:
        current.set(saved)
