"""Parameters computed from others each time they are read: ``register_parametrization``."""

from __future__ import annotations

from typing import Any

from graphflow.core import dispatch
from graphflow.nn.container import ModuleDict, ModuleList
from graphflow.nn.module import Module
from graphflow.variable import Parameter


class ParametrizationList(ModuleList):
    """The parametrizations of one parameter, called one after the other on what they are computed from.

    That is ``original``, or ``original0``, ``original1``, ... if the first one's ``right_inverse`` gives several.
    """

    def __init__(self, first: Module, value: Parameter) -> None:
        super().__init__([first])
        found: Any = value.snapshot().detach()
        if hasattr(first, "right_inverse"):
            with dispatch.no_grad():
                found = first.right_inverse(found)
        self.several = isinstance(found, (tuple, list))
        if not self.several:
            value.set_initial(found.numpy())
            self.register_parameter("original", value)
        for number, part in enumerate(found if self.several else ()):
            self.register_parameter(f"original{number}", Parameter(part.numpy(), value.requires_grad))

    def originals(self) -> list[Any]:
        """What the parameter is computed from."""
        return list(self._parameters.values())

    def forward(self) -> Any:
        first, *others = self
        value = first(*self.originals())
        for other in others:
            value = other(value)
        return value

    def set(self, value: Any) -> None:
        """Go to originals from which ``value`` is computed. Raises TypeError where there is no ``right_inverse``."""
        with dispatch.no_grad():
            for parametrization in reversed(list(self)):
                if not hasattr(parametrization, "right_inverse"):
                    name = type(parametrization).__name__
                    raise TypeError(f"{name} has no right_inverse: the parameter computed by it cannot be set")
                value = parametrization.right_inverse(value)
            for variable, part in zip(self.originals(), value if self.several else [value]):
                variable.assign(part)


class _Parametrized:
    """Mixed into the class of a module whose parameters are computed."""

    def __setattr__(self, name: str, value: Any) -> None:
        parametrizations = self.__dict__.get("parametrizations", {})
        if name in parametrizations:
            parametrizations[name].set(value)
        else:
            super().__setattr__(name, value)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute a parameter of a module by ``parametrization(original)`` whenever it is read; gives the module.

    Several for one parameter are called in the order in which they were registered. A method ``right_inverse`` of the
    parametrization gives the original (or several) to begin with. Names in the state are PyTorch's:
    ``parametrizations.weight.original``. ``unsafe`` lets the shape change. Raises ValueError where there is no such
    parameter or the shape changes.

    >>> import graphflow as gf
    >>> class Symmetric(gf.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(k=1).mT
    >>> layer = gf.nn.Linear(3, 3)
    >>> _ = gf.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> (layer.weight == layer.weight.mT).all().item(), list(layer.state_dict())
    (True, ['bias', 'parametrizations.weight.original'])
    """
    if is_parametrized(module, tensor_name):
        module.parametrizations[tensor_name].append(parametrization)
        return module
    value = module._parameters.get(tensor_name)
    if not isinstance(value, Parameter):
        raise ValueError(f"{type(module).__name__} has no parameter {tensor_name!r} to parametrize")
    made = ParametrizationList(parametrization, value)
    with dispatch.init_scope(), dispatch.no_grad():
        shape = made().shape
    if shape != value.shape and not unsafe:
        name = type(parametrization).__name__
        raise ValueError(f"{name} makes shape {shape} of {tensor_name!r}, which has {value.shape}; unsafe=True lets it")
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.register_module("parametrizations", ModuleDict())
        kind = type(module)
        module.__class__ = type(f"Parametrized{kind.__name__}", (_Parametrized, kind), {"__doc__": kind.__doc__})
    module.parametrizations[tensor_name] = made
    setattr(type(module), tensor_name, property(lambda self: self.parametrizations[tensor_name]()))
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has a parameter (the one of that name) that is computed."""
    found: Any = module._modules.get("parametrizations")
    return found is not None and (tensor_name is None or tensor_name in found)


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a computed parameter an ordinary one again: with its value now, or else with the original's."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"{type(module).__name__} has no parametrization of {tensor_name!r}")
    made = module.parametrizations[tensor_name]
    if not leave_parametrized and made.several:
        raise ValueError(f"{tensor_name!r} is computed from several parameters: there is no one original to leave")
    with dispatch.no_grad():
        value = (made() if leave_parametrized else made.original.read()).numpy()
    trainable = made.originals()[0].requires_grad
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__mro__[2]
    module.register_parameter(tensor_name, Parameter(value, requires_grad=trainable))
    return module
