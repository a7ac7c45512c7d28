"""An optimizer's state as plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.errors import StateError
from graphflow.tensor import Operators, Tensor, as_tensor


def state_dict(optimizer: Any) -> dict[str, Any]:
    """``{"state": {number: {slot: tensor}}, "param_groups": [...]}``; parameters are numbered through the groups."""
    state: dict[int, dict[str, Tensor]] = {}
    groups = []
    number = 0
    for group in optimizer.param_groups:
        numbers = []
        for p in group["params"]:
            own = optimizer.state.get(p)
            if own:
                state[number] = {name: Tensor(v.snapshot()._data) for name, v in own.items()}
            numbers.append(number)
            number += 1
        settings = {k: as_tensor(v).item() if isinstance(v, Operators) else v for k, v in group.items()}
        groups.append({**settings, "params": numbers})
    return {"state": state, "param_groups": groups}


def load_state_dict(optimizer: Any, saved: Mapping[str, Any]) -> None:
    """Put saved slots and settings in place; existing slots keep their Variables, so compiled steps see the values."""
    own, other = optimizer.param_groups, saved["param_groups"]
    sizes, saved_sizes = ([len(g["params"]) for g in groups] for groups in (own, other))
    if sizes != saved_sizes:
        raise StateError(f"the optimizer has groups of {sizes} parameters, the saved state of {saved_sizes}")
    slots = {int(number): values for number, values in saved["state"].items()}
    pairs = [
        (p, slots.get(int(number), {}))
        for group, saved_group in zip(own, other)
        for p, number in zip(group["params"], saved_group["params"])
    ]
    arrays = [(p, {name: _array(v) for name, v in values.items() if v is not None}) for p, values in pairs]
    _check(optimizer, arrays)
    for p, values in arrays:
        _restore(optimizer, p, {name: v for name, v in values.items() if name not in optimizer.counters})
    _restore_counters(optimizer, arrays)
    for group, saved_group in zip(own, other):
        group.update({k: _setting(v) for k, v in saved_group.items() if k != "params"})


def _array(value: Any) -> np.ndarray[Any, Any]:
    with dispatch.init_scope():
        return as_tensor(value).numpy()


def _setting(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check(optimizer: Any, arrays: list[tuple[Any, dict[str, Any]]]) -> None:
    for p, values in arrays:
        for name, value in values.items():
            if name not in optimizer.counters and value.shape != p.shape:
                raise StateError(f"slot {name!r} of {p.name!r} has shape {value.shape}, the variable {p.shape}")
            if name in optimizer.counters and value.size != 1:
                raise StateError(f"{name!r} of {p.name!r} must be one number, got shape {value.shape}")


def _restore(optimizer: Any, p: Any, values: dict[str, Any]) -> None:
    from graphflow.optim.optimizer import new_variable

    own = optimizer.state.setdefault(p, {})
    for name, value in values.items():
        if name in own:
            own[name]._store(np.array(value, dtype=own[name].dtype.np))
        else:
            own[name] = new_variable(np.array(value, dtype=p.dtype.np), f"{p.name}.{name}")


def _restore_counters(optimizer: Any, arrays: list[tuple[Any, dict[str, Any]]]) -> None:
    """Parameters whose counts agree share their counters; existing ones are kept where all their sharers agree."""
    names = list(optimizer.counters)
    if not names:
        return
    from graphflow.optim.optimizer import new_variable

    wanted: dict[int, set[tuple[Any, ...]]] = {}  # by existing counter: what its sharers should count
    counted = []
    for p, values in arrays:
        if not all(name in values for name in names):
            continue
        key = tuple(values[name].item() for name in names)
        counted.append((p, key))
        have = optimizer.state[p].get(names[0])
        wanted.setdefault(id(have), set()).add(key)
    made: dict[Any, dict[str, Any]] = {}
    for p, key in counted:
        own = optimizer.state[p]
        have = own.get(names[0])
        keep = have is not None and len(wanted[id(have)]) == 1
        for name, value in zip(names, key):
            start = optimizer.counters[name]
            if keep:
                own[name]._store(np.asarray(value, own[name].dtype.np))
            else:
                shared = made.setdefault(key, {})
                if name not in shared:
                    kind = np.int64 if isinstance(start, int) else np.float64
                    shared[name] = new_variable(np.asarray(value, kind), f"{type(optimizer).__name__.lower()}.{name}")
                own[name] = shared[name]
