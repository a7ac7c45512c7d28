"""Packages that are installed only where they are wanted: ``pip install 'graphflow[viz]'``."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def need(package: str, what: str) -> Any:
    """The imported package. Raises ImportError that says how to install it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise ImportError(
            f"{what} needs {error.name}, which is not installed: pip install 'graphflow[viz]'", name=error.name
        ) from error
