"""Saving and restoring the variables of a graph (TensorFlow 1's ``tf.train``)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from graphflow.core.errors import StateError
from graphflow.io import load
from graphflow.io import save as save_file
from graphflow.trace.tracing import get_default_graph
from graphflow.variable import Variable

_SUFFIX = ".safetensors"


class Saver:
    """Saves variables to safetensors files and restores them.

    var_list     the variables, or a dict of names and variables; None takes those of the Session's graph
    max_to_keep  how many of the latest files of this Saver to keep (0 keeps all)

    >>> import os, tempfile
    >>> with gf.Graph() as graph:
    ...     v = gf.Variable([1.0, 2.0], name="v")
    >>> session, saver = gf.Session(graph), gf.train.Saver([v])
    >>> path = saver.save(session, os.path.join(tempfile.mkdtemp(), "model"), global_step=10)
    >>> os.path.basename(path), v.assign([0.0, 0.0]).tolist()
    ('model-10.safetensors', [0.0, 0.0])
    >>> saver.restore(session, path); v.numpy()
    array([1., 2.], dtype=float32)
    """

    def __init__(
        self, var_list: Iterable[Variable] | Mapping[str, Variable] | None = None, max_to_keep: int = 5
    ) -> None:
        self._given = None if var_list is None else _named(var_list)
        self.max_to_keep = max_to_keep
        self._files: list[str] = []

    def save(self, session: Any, path: Any, global_step: Any = None) -> str:
        """Write the variables' values to ``path-step.safetensors``; gives the file's name."""
        name = os.fspath(path).removesuffix(_SUFFIX)
        global_step = global_step.numpy() if isinstance(global_step, Variable) else global_step  # also in a graph
        step = "" if global_step is None else f"-{int(global_step)}"
        file = f"{name}{step}{_SUFFIX}"
        save_file({key: v.snapshot() for key, v in self._variables(session).items()}, file)
        if file in self._files:
            self._files.remove(file)
        self._files.append(file)
        while self.max_to_keep and len(self._files) > self.max_to_keep:
            old = self._files.pop(0)
            if os.path.exists(old):
                os.remove(old)
        return file

    def restore(self, session: Any, path: Any) -> None:
        """Set the variables to the values in a file. Nothing changes unless all fit.

        Raises FileNotFoundError, and StateError listing every variable that is missing or has another shape or dtype.
        """
        name = os.fspath(path)
        file = name if os.path.exists(name) else name + _SUFFIX
        values = load(file)
        variables = self._variables(session)
        problems = [f"missing: {key}" for key in variables if key not in values]
        for key, v in variables.items():
            if key in values and (values[key].shape, values[key].dtype) != (v.shape, v.dtype):
                have = values[key].aval.describe()
                problems.append(f"{key}: the file has {have}, the variable is {v.dtype} of shape {v.shape}")
        if problems:
            raise StateError(f"{file} does not fit the variables:\n  " + "\n  ".join(problems))
        for key, v in variables.items():
            v._store(values[key].numpy().copy())

    @property
    def last_checkpoints(self) -> list[str]:
        """The files that this Saver wrote and kept, the oldest first."""
        return list(self._files)

    def _variables(self, session: Any) -> dict[str, Variable]:
        if self._given is not None:
            return self._given
        graph = session.graph if session is not None else get_default_graph()
        return _named(graph.variables())


def _named(variables: Iterable[Variable] | Mapping[str, Variable]) -> dict[str, Variable]:
    """The variables by name; equal names get a number behind them, in order."""
    if isinstance(variables, Mapping):
        return dict(variables)
    out: dict[str, Variable] = {}
    for v in variables:
        name, count = v.name, 0
        while name in out:
            count += 1
            name = f"{v.name}_{count}"
        out[name] = v
    return out


def latest_checkpoint(folder: Any) -> str | None:
    """The newest file that a Saver wrote into a folder (the greatest step, then the latest), or None."""
    found = []
    for entry in os.scandir(folder):
        if entry.name.endswith(_SUFFIX) and entry.is_file():
            step = re.search(r"-(\d+)$", entry.name.removesuffix(_SUFFIX))
            found.append((int(step[1]) if step else -1, entry.stat().st_mtime_ns, entry.path))
    return max(found)[2] if found else None
