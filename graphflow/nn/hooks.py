"""Forward hooks of modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Table = dict[int, tuple[Callable[..., Any], bool]]  # hook and whether it takes the keyword arguments


class RemovableHandle:
    """Takes a hook away again: ``handle.remove()``, or at the end of a ``with`` block."""

    def __init__(self, table: Table, key: int) -> None:
        self._table = table
        self._key = key

    def remove(self) -> None:
        """Remove the hook; a second call does nothing."""
        self._table.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one module, called in the order in which they were added."""

    def __init__(self) -> None:
        self.before: Table = {}
        self.after: Table = {}
        self._count = 0

    def add(self, when: str, hook: Callable[..., Any], with_kwargs: bool, first: bool = False) -> RemovableHandle:
        """Add a hook ``"before"`` or ``"after"`` the forward, behind the others or ``first``."""
        table: Table = getattr(self, when)
        self._count += 1
        others = dict(table) if first else {}
        if first:
            table.clear()
        table[self._count] = (hook, with_kwargs)
        table.update(others)
        return RemovableHandle(table, self._count)

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run ``module.forward`` with the hooks around it."""
        for hook, with_kwargs in list(self.before.values()):
            if with_kwargs:
                changed = hook(module, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook(module, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        output = module.forward(*args, **kwargs)
        for hook, with_kwargs in list(self.after.values()):
            changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
            if changed is not None:
                output = changed
        return output
