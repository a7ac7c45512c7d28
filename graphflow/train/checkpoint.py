"""Checkpoints: all that training needs to go on exactly where it stopped, safe from being killed at any moment."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from graphflow.core.errors import FileFormatError, StateError
from graphflow.io import load, save
from graphflow.io.files import digest
from graphflow.ops.random import Generator, default_generator
from graphflow.variable import Variable

_NAME = re.compile(r"checkpoint-(\d+)\.safetensors")
_TEMPORARY = re.compile(r"\.checkpoint-\d+\.safetensors\.(\d+)\.[0-9a-f]+\.tmp")
_RANDOM = "random"  # the default generator's entry
_VERSION = 1


class Restored(NamedTuple):
    """What ``Checkpoint.restore`` gives."""

    step: int
    extra: Any
    path: str


class Checkpoint:
    """Saves the state of a training run into a folder, and takes it up again.

    folder       where the files are; it is made if it is not there
    max_to_keep  how many of the latest to keep (0 keeps all)
    objects      by name: whatever has ``state_dict`` and ``load_state_dict`` (modules, optimizers, schedules, loaders,
                 metrics, ...), generators and Variables. ``gf.random``'s default generator is always among them

    A file is written under another name, flushed to the disk and then renamed, so it is there as a whole or not at all,
    whenever the process or the machine stops. Each holds a checksum of its content; ``restore`` passes over damaged
    ones with a warning. Taken between two steps, a checkpoint has all that the next steps depend on: weights, the
    optimizer's slots and counters, random counters, and the place in the epoch of a ``DataLoader``; a compiled step
    then gives the same bits as if it had never stopped. (Eagerly they may differ in the last one, as the moment when
    composites turn native is not saved: ``gf.config(native_after=-1)``.)

    >>> import tempfile
    >>> model = gf.nn.Linear(2, 3)
    >>> checkpoint = gf.train.Checkpoint(tempfile.mkdtemp(), model=model, optimizer=gf.optim.Adam(model.parameters()))
    >>> checkpoint.restore() is None  # nothing there yet
    True
    >>> _ = checkpoint.save(step=10, extra={"best": 0.5})
    >>> checkpoint.restore().step, checkpoint.restore().extra
    (10, {'best': 0.5})
    """

    def __init__(self, folder: Any, max_to_keep: int = 5, **objects: Any) -> None:
        if max_to_keep < 0:
            raise ValueError(f"max_to_keep must not be negative, got {max_to_keep}; 0 keeps all")
        for name, value in objects.items():
            if not isinstance(value, (Generator, Variable)) and not _has_state(value):
                raise TypeError(
                    f"cannot save {name!r}: a {type(value).__name__} has no state_dict() and load_state_dict(); "
                    f"plain numbers and arrays go into save(extra=...)"
                )
        if _RANDOM in objects:
            raise ValueError(f"{_RANDOM!r} is the name of the default generator, which is always saved; take another")
        self.folder = os.fspath(folder)
        self.max_to_keep = max_to_keep
        self.objects = {**objects, _RANDOM: default_generator}
        os.makedirs(self.folder, exist_ok=True)

    # -- saving -------------------------------------------------------------------------------------------------------
    def save(self, step: int, extra: Any = None) -> str:
        """Write ``checkpoint-<step>.safetensors``; gives its path.

        ``extra`` is nested data for yourself (numbers, strings, arrays), which ``restore`` gives back. Raises OSError
        where the disk is full; the checkpoints that are there stay.
        """
        content = {
            "objects": {name: _state_of(value) for name, value in self.objects.items()},
            "extra": extra,
            "step": int(step),
        }
        manifest = {"version": _VERSION, "time": time.time(), "sha256": digest(content)}
        path = os.path.join(self.folder, f"checkpoint-{int(step):08d}.safetensors")
        save({"manifest": manifest, "content": content}, path)
        self._clean(path)
        return path

    def _clean(self, newest: str) -> None:
        """Remove old checkpoints, and what killed processes left."""
        if self.max_to_keep:
            kept = [newest] + [path for path in reversed(self.paths) if path != newest]
            for path in kept[self.max_to_keep :]:
                _remove(path)
        for name in os.listdir(self.folder):
            unfinished = _TEMPORARY.fullmatch(name)
            if unfinished and not _is_running(int(unfinished[1])):
                _remove(os.path.join(self.folder, name))

    # -- what is there ------------------------------------------------------------------------------------------------
    @property
    def paths(self) -> list[str]:
        """The checkpoints in the folder, by their steps."""
        found = [(int(m[1]), name) for name in os.listdir(self.folder) if (m := _NAME.fullmatch(name))]
        return [os.path.join(self.folder, name) for _, name in sorted(found)]

    @property
    def latest(self) -> str | None:
        """The checkpoint of the greatest step, damaged or not; None if there is none."""
        return self.paths[-1] if self.paths else None

    # -- restoring ----------------------------------------------------------------------------------------------------
    def restore(self, path: Any = None) -> Restored | None:
        """Set all objects to a checkpoint's state: to the latest that is whole, or to the one at ``path``.

        Gives its step and extra data; None where there is no checkpoint, so that a program can begin with it. Damaged
        files are passed over with a warning. Raises FileFormatError where all are damaged (or the one asked for), and
        StateError where the state does not fit the objects.
        """
        candidates = self.paths[::-1] if path is None else [os.fspath(path)]
        problems = []
        for candidate in candidates:
            try:
                content = _read(candidate)
            except (FileFormatError, OSError) as error:
                if path is not None:
                    raise
                problems.append(str(error))
                continue
            for problem in problems:
                warnings.warn(f"{problem}; restored {candidate} instead", RuntimeWarning, stacklevel=2)
            self._set(candidate, content["objects"])
            return Restored(content["step"], content["extra"], candidate)
        if problems:
            listed = "\n  ".join(problems)
            raise FileFormatError(f"no checkpoint in {self.folder} is whole:\n  {listed}")
        return None

    def _set(self, path: str, states: Mapping[str, Any]) -> None:
        missing = [name for name in self.objects if name not in states]
        unknown = [name for name in states if name not in self.objects]
        if missing or unknown:
            raise StateError(
                f"{path} holds the state of {', '.join(states)}; "
                f"asked for: {', '.join(self.objects)} (missing: {missing}, not asked for: {unknown})"
            )
        for name, value in self.objects.items():
            if name != _RANDOM:
                try:
                    _set_state(value, states[name])
                except StateError as error:
                    raise StateError(f"{path}, {name}: {error}") from error
        default_generator.set_state(tuple(states[_RANDOM]))  # last: loading may draw

    def __repr__(self) -> str:
        return f"Checkpoint({self.folder!r}, max_to_keep={self.max_to_keep}, {', '.join(self.objects)})"


def _read(path: str) -> Any:
    """The content of a checkpoint. Raises FileFormatError unless it is whole and its checksum is right."""
    state = load(path)
    if not isinstance(state, dict) or set(state) != {"manifest", "content"}:
        raise FileFormatError(f"{path} is no checkpoint: it was not written by Checkpoint.save")
    if state["manifest"]["version"] != _VERSION:
        raise FileFormatError(f"{path} is a checkpoint of version {state['manifest']['version']}; this is {_VERSION}")
    found = digest(state["content"])
    if found != state["manifest"]["sha256"]:
        raise FileFormatError(f"{path} is damaged: its checksum is {found}, not {state['manifest']['sha256']}")
    return state["content"]


def _has_state(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def _state_of(value: Any) -> Any:
    if isinstance(value, Generator):
        return list(value.get_state())
    return value.snapshot() if isinstance(value, Variable) else value.state_dict()


def _set_state(value: Any, state: Any) -> None:
    if isinstance(value, Generator):
        value.set_state(tuple(state))
    elif isinstance(value, Variable):
        array = np.array(state.numpy())
        if array.shape != value.shape or array.dtype != value.dtype.np:
            raise StateError(f"it is {value.dtype} of shape {value.shape}, the saved one {array.dtype} {array.shape}")
        value._store(array)
    else:
        value.load_state_dict(state)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):  # another process was quicker
        os.remove(path)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is no question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True
