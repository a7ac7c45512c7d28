"""See ``gf.keras.utils``."""

from __future__ import annotations

from graphflow.keras.utils.arrays import pad_sequences

__all__ = ["pad_sequences"]
