"""Models as files: architecture, weights, ``compile``'s arguments and the optimizer's state. Data only, no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from graphflow.core.errors import FileFormatError, StateError
from graphflow.io.files import load, save
from graphflow.keras import config, optimizers

_KIND = "keras model"


def save_model(model: Any, filepath: Any, overwrite: bool = True, include_optimizer: bool = True) -> None:
    """Write a model to one file; the file is replaced as a whole, never half written.

    Raises FileExistsError with ``overwrite=False``, and TypeError naming what cannot be written as data.

    >>> import graphflow as gf, os, tempfile
    >>> model = gf.keras.Sequential([gf.keras.Input((3,)), gf.keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "m.gf")
    >>> model.save(path)
    >>> gf.keras.models.load_model(path).count_params()
    8
    """
    _refuse_overwrite(filepath, overwrite)
    data = config.serialize(model)
    _check(data, model.name)
    state: dict[str, Any] = {
        "kind": _KIND,
        "model": data,
        "built_from": config.to_data(model.__dict__.get("_built_from")),
        "weights": model.state_dict(),
    }
    if model.compiled:
        arguments = config.to_data(model._compile_arguments)
        _check(arguments, f"{model.name}'s compile")
        state["compile"] = arguments
        if include_optimizer:
            settings = optimizers.serialize(model.optimizer)
            _check(settings, "the optimizer")
            paths = {id(v): path for path, v in model._persistent()}
            order = [paths[id(p)] for group in model.optimizer.param_groups for p in group["params"] if id(p) in paths]
            state["optimizer"] = {"config": settings, "order": order, "state": model.optimizer.state_dict()}
    save(state, filepath)


def load_model(
    filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, **ignored: Any
) -> Any:
    """The model of ``save``, ready to go on training.

    Classes and functions of your own are found if they are registered or in ``custom_objects``. Raises
    FileNotFoundError; FileFormatError for a file that is truncated or no model; ValueError for an unknown class.
    """
    state = load(filepath)
    if not isinstance(state, dict) or state.get("kind") != _KIND:
        raise FileFormatError(
            f"{os.fspath(filepath)} holds no model of gf.keras: it was not written by model.save(path); for weights "
            "alone build the model and use load_weights(path)"
        )
    with config.custom_object_scope(custom_objects or {}):
        model = config.deserialize(state["model"])
        if not model.built and state.get("built_from") is not None:
            model.build(_shapes(state["built_from"]))
        _set_weights(model, state["weights"], filepath)
        if compile and "compile" in state:
            _compile(model, state)
    return model


def _shapes(data: Any) -> Any:
    if isinstance(data, list) and (not data or not isinstance(data[0], (list, dict))):
        return tuple(data)
    if isinstance(data, dict):
        return {k: _shapes(v) for k, v in data.items()}
    return [_shapes(v) for v in data]


def _compile(model: Any, state: Mapping[str, Any]) -> None:
    arguments = config.from_data(state["compile"])
    kept = state.get("optimizer") or {}
    if not kept:
        model.compile(**arguments)
        return
    optimizer = optimizers.deserialize(kept["config"])
    model.compile(optimizer, **arguments)
    if kept["order"]:
        by_path = dict(model._persistent())
        optimizer.param_groups[0]["params"].extend(by_path[path] for path in kept["order"])
        optimizer.load_state_dict(kept["state"])


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights to a safetensors file, by their paths."""
    _refuse_overwrite(filepath, overwrite)
    save(model.state_dict(), filepath)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Read weights from ``save_weights``' file, or from a whole model's."""
    state = load(filepath)
    weights = state["weights"] if isinstance(state, dict) and state.get("kind") == _KIND else state
    if not model.weights and not model.built:
        raise StateError(
            f"{model.name} is not built yet, so it has no weights to load into: call it on data, or build(input_shape)"
        )
    if skip_mismatch:
        own = dict(model._persistent())
        weights = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
        model.load_state_dict(weights, strict=False)
        return
    _set_weights(model, weights, filepath)


def _set_weights(model: Any, weights: Mapping[str, Any], filepath: Any) -> None:
    """By path; names of layers that were counted on differ between processes, so else by order."""
    own = dict(model._persistent())
    if set(own) != set(weights) and [v.shape for v in own.values()] == [w.shape for w in weights.values()]:
        weights = dict(zip(own, weights.values()))
    try:
        model.load_state_dict(weights)
    except StateError as error:
        raise StateError(f"{os.fspath(filepath)} does not fit {model.name}: {error}") from None


def _refuse_overwrite(filepath: Any, overwrite: bool) -> None:
    if not overwrite and os.path.exists(filepath):
        raise FileExistsError(f"{os.fspath(filepath)} exists; remove it, or pass overwrite=True")


def _check(data: Any, where: str) -> None:
    """Raise TypeError for what is no data: functions that nobody registered."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            _check(value, f"{where}.{key}")
    elif isinstance(data, (list, tuple)):
        for item in data:
            _check(item, where)
    elif callable(data):
        name = getattr(data, "__name__", type(data).__name__)
        raise TypeError(
            f"cannot save {where}: {name} is code; define it with def and decorate it with "
            "@gf.keras.utils.register_keras_serializable(), so that its name can stand for it"
        )
