"""What can be written down as data and made again from it: layers, losses, optimizers, initializers and so on.

A configured object is ``{"class_name": "layers.Dense", "config": {...}}``. Names are looked up among GraphFlow's own
classes and those that were registered, never imported.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from graphflow.core.dtypes import DType

CLASSES: dict[str, Any] = {}  # "layers.Dense" and what it names; users' objects as "Custom>Name"
FUNCTIONS: dict[str, Callable[..., Any]] = {}  # functions that configs may name
_counts: dict[str, int] = {}


@cache
def snake_case(name: str) -> str:
    """``Conv2DTranspose`` as ``conv2d_transpose``.

    >>> from graphflow.keras.config import snake_case
    >>> snake_case("MaxPooling2D"), snake_case("BatchNormalization"), snake_case("LSTM")
    ('max_pooling2d', 'batch_normalization', 'lstm')
    """
    spread = re.sub(r"\W+", "", name)
    spread = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", spread)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spread).lower()


def unique_name(prefix: str) -> str:
    """A name that no object of this process has yet: dense, dense_1, ..."""
    count = _counts.get(prefix, 0)
    _counts[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def reset_names() -> None:
    """Count from the start again."""
    _counts.clear()


class Configurable:
    """Base of what has a config: the arguments that it was made with, as data.

    Every subclass inside ``graphflow.keras`` is known by ``kind`` and name. ``get_config`` gives the constructor's
    arguments; a class that takes others than it shows overrides it, and ``from_config``.
    """

    kind = ""
    _arguments: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind and cls.__module__.startswith("graphflow.keras.") and not cls.__name__.startswith("_"):
            CLASSES[f"{cls.kind}.{cls.__name__}"] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind_partial(made, *args, **kwargs)
        except TypeError:  # __init__ will say what is wrong
            bound = None
        found: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:] if bound is not None else ():
            if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:  # type: ignore[union-attr]
                found.update(value)
            else:
                found[name] = value
        object.__setattr__(made, "_arguments", found)
        return made

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as data."""
        return {name: to_data(value) for name, value in self._arguments.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A new object from ``get_config()``."""
        return cls(**{name: from_data(value) for name, value in config.items()})


# -- to data and back --------------------------------------------------------------------------------------------------
def to_data(value: Any) -> Any:
    """A value as numbers, strings, lists and dicts; functions that nobody registered stay as they are."""
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, DType):
        return value.name
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [to_data(v) for v in value]
    if isinstance(value, dict):
        return {k: to_data(v) for k, v in value.items()}
    if callable(value):
        name = next((n for n, f in FUNCTIONS.items() if f is value), None)
        return value if name is None else {"function": name}
    return value


def from_data(value: Any) -> Any:
    """What ``to_data`` wrote down."""
    if isinstance(value, list):
        return [from_data(v) for v in value]
    if isinstance(value, dict):
        if set(value) == {"class_name", "config"}:
            return deserialize(value)
        if set(value) == {"function"}:
            return find_function(value["function"])
        if set(value) == {"array", "dtype"}:
            return np.array(value["array"], value["dtype"])
        return {k: from_data(v) for k, v in value.items()}
    return value


def serialize(item: Any) -> dict[str, Any]:
    """An object as ``{"class_name": ..., "config": ...}``."""
    cls = type(item)
    name = next((n for n, c in CLASSES.items() if c is cls), f"Custom>{cls.__name__}")
    return {"class_name": name, "config": item.get_config()}


def serialize_layer(layer: Any) -> dict[str, Any]:
    """As ``serialize``, and with the layer's name, by which models refer to it, if its get_config() leaves that out."""
    data = serialize(layer)
    return {**data, "config": {"name": layer.name, **data["config"]}}


def deserialize(data: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The object of ``serialize``. Raises ValueError for a class that is not known here."""
    with custom_object_scope(custom_objects or {}):
        return find_class(data["class_name"]).from_config(data["config"])


def find_class(name: str) -> Any:
    """The class of a config's ``class_name``."""
    if name not in CLASSES:
        plain = name.removeprefix("Custom>")
        raise ValueError(
            f"the class {plain!r} is not known: decorate it with @gf.keras.utils.register_keras_serializable(), or "
            f"pass custom_objects={{{plain!r}: {plain}}}"
        )
    return CLASSES[name]


def find_function(name: str) -> Callable[..., Any]:
    """The function of a config. Raises ValueError for one that is not known here."""
    found = FUNCTIONS.get(name, CLASSES.get(f"Custom>{name}"))
    if found is None:
        raise ValueError(
            f"the function {name!r} is not known: decorate it with @gf.keras.utils.register_keras_serializable(), or "
            f"pass custom_objects={{{name!r}: {name}}}"
        )
    return found  # type: ignore[no-any-return]


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """A decorator: the class or function may stand in saved models, and is found by its name when they are loaded."""

    def register(item: Any) -> Any:
        _register(name or item.__name__, item)
        return item

    return register


def _register(name: str, item: Any) -> None:
    if isinstance(item, type):
        CLASSES[f"Custom>{name}"] = item
    else:
        FUNCTIONS[name] = item


@contextmanager
def custom_object_scope(objects: Mapping[str, Any]) -> Iterator[None]:
    """Inside the block these names may stand in configs."""
    classes, functions = dict(CLASSES), dict(FUNCTIONS)
    for name, item in objects.items():
        _register(name, item)
    try:
        yield
    finally:
        for table, saved in ((CLASSES, classes), (FUNCTIONS, functions)):
            table.clear()
            table.update(saved)


# -- strings for objects -----------------------------------------------------------------------------------------------
def look_up(what: str, table: Mapping[str, Any], name: str) -> Any:
    """The entry for a name as users write it: ``Adam``, ``adam``. Raises ValueError with the names that are close."""
    for key in (name, snake_case(name), name.lower()):
        if key in table:
            return table[key]
    close = difflib.get_close_matches(name.lower(), table, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are: {', '.join(sorted(table))}"
    raise ValueError(f"there is no {what} named {name!r}; {hint}")


def names_of(kind: str) -> dict[str, Any]:
    """The classes of a kind by their names in snake case, as strings may give them."""
    prefix = f"{kind}."
    return {snake_case(key.removeprefix(prefix)): cls for key, cls in CLASSES.items() if key.startswith(prefix)}


def get(what: str, kind: str, identifier: Any, aliases: Mapping[str, Any]) -> Any:
    """The object for what users pass: None, a name, a config, a class or an object."""
    if identifier is None:
        return None
    if isinstance(identifier, str):
        identifier = look_up(what, {**names_of(kind), **aliases, **_custom()}, identifier)
    elif isinstance(identifier, Mapping):
        identifier = from_data(dict(identifier))
    if isinstance(identifier, type):
        identifier = identifier()
    if not callable(identifier):
        raise TypeError(f"a {what} is a name, a function or an object, got a {type(identifier).__name__}")
    return identifier


def _custom() -> dict[str, Any]:
    return {n.removeprefix("Custom>"): c for n, c in CLASSES.items() if n.startswith("Custom>")}
