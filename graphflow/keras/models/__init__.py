"""Models: Sequential, functional and subclassed, copied and loaded."""

from __future__ import annotations

from typing import Any

from graphflow.keras import config
from graphflow.keras.models.cloning import clone_model
from graphflow.keras.models.model import Model
from graphflow.keras.models.sequential import Sequential
from graphflow.keras.saving import load_model, save_model


def model_from_json(text: str, custom_objects: Any = None) -> Any:
    """The model of ``to_json``, with new weights."""
    import json

    return config.deserialize(json.loads(text), custom_objects)
