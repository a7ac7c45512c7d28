"""An optimizer's state as plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.errors import StateError
from graphflow.nn.state import from_outside
from graphflow.optim.hyperparameters import Hyperparameters
from graphflow.optim.slots import new_counters, new_slot
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.variable import Variable


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


def load_state_dict(optimizer: Any, saved: Mapping[str, Any]) -> bool:
    """Put saved slots and settings in place. Existing slots keep their Variables, so compiled steps see the values.

    Gives whether counters were replaced all the same, because parameters that shared one now count differently.
    """
    own, other = optimizer.param_groups, saved["param_groups"]
    sizes, saved_sizes = ([len(g["params"]) for g in groups] for groups in (own, other))
    if sizes != saved_sizes:
        raise StateError(f"the optimizer has groups of {sizes} parameters, the saved state of {saved_sizes}")
    state = {int(number): values for number, values in saved["state"].items()}
    restored = []
    for group, saved_group in zip(own, other):
        new = {**group, **{k: _setting(v) for k, v in saved_group.items() if k != "params"}}
        h = Hyperparameters(new)
        starts = optimizer.counts(h), optimizer.slots(h)
        found = [state.get(int(number), {}) for number in saved_group["params"]]
        restored.append((group, new, starts, [_checked(p, v, *starts) for p, v in zip(group["params"], found)]))
    replaced = False
    for group, new, (counters, fills), arrays in restored:  # all of it fits
        group.update(new)
        pairs = []
        for p, values in zip(group["params"], arrays):
            if values or p in optimizer.state:
                _restore(optimizer, p, values, fills)
                pairs.append((p, {name: values.get(name, start) for name, start in counters.items()}))
        if counters:
            replaced |= _restore_counters(optimizer, counters, pairs)
    return replaced


def _checked(p: Variable, values: Mapping[str, Any], counters: Any, fills: Any) -> dict[str, Any]:
    """The saved arrays that the optimizer needs for a parameter: all of them, or none at all."""
    if not values:
        return {}
    arrays = {}
    for name in (*counters, *fills):
        if values.get(name) is None:
            raise StateError(f"the saved state of {p.name!r} has no {name!r}; it has: {', '.join(values) or 'nothing'}")
        with dispatch.init_scope():
            arrays[name] = from_outside(values[name]).numpy()
        expected = () if name in counters else p.shape
        if arrays[name].shape != expected:
            raise StateError(f"the saved {name!r} of {p.name!r} has shape {arrays[name].shape}, {expected} is needed")
    return arrays


def _setting(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _restore(optimizer: Any, p: Variable, values: dict[str, Any], fills: Mapping[str, float]) -> None:
    """The slots of a parameter: as saved, or as at the start if it had none when it was saved."""
    own = optimizer.state.setdefault(p, {})
    for name, fill in fills.items():
        if name not in own:
            own[name] = new_slot(p, name, fill)
        own[name]._store(np.array(values[name] if values else np.full(p.shape, fill), dtype=own[name].dtype.np))


def _restore_counters(optimizer: Any, starts: Mapping[str, Any], saved: list[tuple[Variable, dict[str, Any]]]) -> bool:
    """Parameters whose counts agree share their counters; existing ones are kept where all their sharers agree."""
    counts = {p: tuple(type(start)(values[name]) for name, start in starts.items()) for p, values in saved}
    key = next(iter(starts))
    wanted: dict[int, set[Any]] = {}  # by existing counter: what its sharers should count
    for p, count in counts.items():
        wanted.setdefault(id(optimizer.state[p].get(key)), set()).add(count)
    made: dict[Any, dict[str, Variable]] = {}
    replaced = False
    for p, count in counts.items():
        own = optimizer.state[p]
        have = own.get(key)
        if have is None or len(wanted[id(have)]) > 1:
            if count not in made:
                made[count] = new_counters(optimizer, starts)
            own.update(made[count])
            replaced |= have is not None
        for name, value in zip(starts, count):
            own[name]._store(np.asarray(value, own[name].dtype.np))
    return replaced
