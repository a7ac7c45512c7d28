"""The op records, by family. Importing this package registers all of them, each exactly once."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

# From the ground up: a family may use those before it at import, and any of them inside its functions.
FAMILIES = (
    "movement",
    "arrange",
    "padding",
    "elementwise",
    "logic",
    "mathematical",
    "gamma",
    "special",
    "reduce",
    "creation",
    "picking",
    "masks",
    "indexing",
    "matrices",
    "linalg",
    "sorting",
    "random",
    "composite",
    "losses",
    "namespace",
)

for _family in FAMILIES:
    if find_spec(f"{__name__}.{_family}") is not None:
        import_module(f"{__name__}.{_family}")
