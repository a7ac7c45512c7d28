"""The tree of modules: going through it, and finding what stands at a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from graphflow.variable import Parameter, Variable

if TYPE_CHECKING:
    from graphflow.nn.module import Module


class Tree:
    """What a Module holds by name, and what its submodules hold by path."""

    _parameters: dict[str, Variable | None]
    _buffers: dict[str, Variable | None]
    _modules: dict[str, Module | None]

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Every module of the tree with its path, this one (path ``prefix``) first, each once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]  # type: ignore[list-item]
        while stack:
            path, module = stack.pop()
            if remove_duplicate and id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            children = [(join(path, name), m) for name, m in module._modules.items() if m is not None]
            stack.extend(reversed(children))

    def modules(self) -> Iterator[Module]:
        """Every module of the tree, this one first, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules by name, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their paths; one that several modules share comes once."""
        return self._walk("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, for an optimizer."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Variable]]:
        """Buffers with their paths."""
        return self._walk("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Variable]:
        """The state that is no parameter."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def _walk(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]:
            for name, variable in module.__dict__[kind].items():
                if variable is None or (remove_duplicate and id(variable) in seen):
                    continue
                seen.add(id(variable))
                yield join(path, name), variable

    def _named_variables(self) -> Iterator[tuple[str, Variable]]:
        yield from self.named_parameters()
        yield from self.named_buffers()

    def get_submodule(self, target: str) -> Module:
        """The submodule at a path like ``"encoder.0"``. Raises AttributeError naming the part that does not exist."""
        module: Module = self  # type: ignore[assignment]
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r} (looking for {target!r})")
            module = child
        return module

    def get_parameter(self, target: str) -> Variable:
        """The parameter at a path like ``"encoder.0.weight"``."""
        path, _, name = target.rpartition(".")
        parameter = self.get_submodule(path)._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return parameter

    def get_buffer(self, target: str) -> Variable:
        """The buffer at a path like ``"encoder.0.running_mean"``."""
        path, _, name = target.rpartition(".")
        buffer = self.get_submodule(path)._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"{type(self).__name__} has no buffer {target!r}")
        return buffer

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a path like ``"encoder.0"``; with ``strict`` there must be one already."""
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and parent._modules.get(name) is None:
            raise AttributeError(f"{type(parent).__name__} has no submodule {name!r} (looking for {target!r})")
        parent.register_module(name, module)


def join(path: str, name: str) -> str:
    """The path of a name below a path."""
    return f"{path}.{name}" if path else name
