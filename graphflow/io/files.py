"""Saving and loading nested data as one safetensors file: tensors as they are, all else as JSON in its metadata.

No code is ever loaded: a file holds numbers, strings and their nesting, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.errors import FileFormatError
from graphflow.core.files import replacing
from graphflow.tensor import Operators, Tensor, as_tensor

_KEY = "graphflow"  # the metadata entry that holds the nesting; files of other programs have none
_PLAIN = (bool, int, float, str, type(None))


def save(state: Any, path: Any) -> None:
    """Save nested dicts, lists and tuples of tensors, Variables, arrays, numbers, strings and None.

    A flat dict of tensors makes a plain safetensors file, which other programs read. The file is replaced as a whole:
    it is never seen half written. Raises TypeError naming the entry that cannot be saved.

    >>> import graphflow as gf, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> gf.save({"weights": {"w": gf.ones(2)}, "epoch": 3}, path)
    >>> gf.load(path)
    {'weights': {'w': tensor([1., 1.])}, 'epoch': 3}
    """
    from safetensors import SafetensorError, TensorSpec, serialize_file

    arrays: dict[str, Any] = {}
    structure = json.dumps(_encode(state, "", arrays), ensure_ascii=False)
    specs = {
        name: TensorSpec(dtype=a.dtype.name, shape=a.shape, data_ptr=a.ctypes.data, data_len=a.nbytes)
        for name, a in arrays.items()
    }
    with replacing(path) as temporary:
        try:
            serialize_file(specs, temporary, metadata={_KEY: structure})
        except SafetensorError as error:
            raise OSError(f"cannot save {os.fspath(path)}: {error}") from error


def digest(state: Any) -> str:
    """The SHA-256 of nested state, in hexadecimal: the same for what ``save`` saves and what ``load`` gives back.

    >>> import graphflow as gf
    >>> from graphflow.io.files import digest
    >>> digest({"w": gf.ones(2)}) == digest({"w": np.ones(2, np.float32)}) != digest({"w": gf.zeros(2)})
    True
    """
    arrays: dict[str, Any] = {}
    found = hashlib.sha256(json.dumps(_encode(state, "", arrays)).encode())
    for name, array in arrays.items():
        found.update(f"{name} {array.dtype.name} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def load(path: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """What ``save`` saved; a safetensors file of another program gives a dict of its tensors.

    ``map_location`` and ``weights_only`` change nothing: there is one device, and files hold no code. Raises
    FileNotFoundError, or FileFormatError (a ValueError) for a file that is truncated, damaged or another kind.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    if not os.path.isfile(name):
        raise FileNotFoundError(f"there is no file {name}")
    try:
        with safe_open(name, framework="numpy") as file:
            structure = (file.metadata() or {}).get(_KEY)
            tensors = {key: Tensor(np.asarray(file.get_tensor(key))) for key in file.keys()}  # noqa: SIM118 - no dict
        for tensor in tensors.values():
            _ = tensor.dtype  # a dtype that GraphFlow has not is noticed here
        return tensors if structure is None else _decode(json.loads(structure), tensors)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        size = os.path.getsize(name)
        raise FileFormatError(
            f"{name} ({size} bytes) is not a whole safetensors file: {error}; it may be truncated or of another kind"
        ) from error


def _encode(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """The nesting as JSON; tensors go to ``arrays`` under their path."""
    if isinstance(value, (Operators, np.ndarray)):
        with dispatch.init_scope():
            array = as_tensor(value).numpy()
        name = _free(path or "tensor", arrays)
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {"tensor": name}
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in _PLAIN:
                raise TypeError(f"cannot save {path or 'the state'}: its key {key!r} is a {type(key).__name__}")
        return {"dict": [[key, _encode(v, f"{path}.{key}" if path else str(key), arrays)] for key, v in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(v, f"{path}.{i}" if path else str(i), arrays) for i, v in enumerate(value)]}
    hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
    raise TypeError(f"cannot save {path or 'the state'}: it is a {type(value).__name__}{hint}")


def _free(name: str, arrays: dict[str, Any]) -> str:
    unique, count = name, 1
    while unique in arrays or unique == "__metadata__":
        count += 1
        unique = f"{name}#{count}"
    return unique


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    if type(node) in _PLAIN:
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decode(v, tensors) for key, v in content}
    if kind in ("list", "tuple"):
        items = [_decode(v, tensors) for v in content]
        return items if kind == "list" else tuple(items)
    raise ValueError(f"unknown kind of entry {kind!r}")
