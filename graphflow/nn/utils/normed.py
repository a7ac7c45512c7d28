"""Weight normalisation and spectral normalisation under their older names, which many saved models have."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.nn.module import Module
from graphflow.nn.utils.parametrizations import norm_except_dim, outputs_axis, over_norm, random_directions, with_norm
from graphflow.variable import Parameter

_KEPT = "_normed"  # by name of the parameter: (the hook's handle, the parameters it is computed from)


def _computed(module: Module, name: str, parameters: dict[str, Any], compute: Any) -> Module:
    """Replace a parameter by others, and compute it before each forward."""
    kept = module.__dict__.setdefault(_KEPT, {})
    trainable = module.get_parameter(name).requires_grad
    delattr(module, name)
    for key, value in parameters.items():
        module.register_parameter(key, Parameter(value, requires_grad=trainable))

    def set_weight(module: Any, args: Any = None) -> None:
        module.__dict__[name] = compute(module)

    kept[name] = module.register_forward_pre_hook(set_weight), tuple(parameters)
    set_weight(module)
    return module


def _ordinary(module: Module, name: str) -> Module:
    """Make a computed parameter an ordinary one again, with its value now."""
    kept = module.__dict__.get(_KEPT, {})
    if name not in kept:
        raise ValueError(f"{name!r} of {type(module).__name__} is not normalised")
    handle, parameters = kept.pop(name)
    handle.remove()
    value = module.__dict__.pop(name).numpy()
    trainable = module.get_parameter(parameters[0]).requires_grad
    for key in parameters:
        delattr(module, key)
    module.register_parameter(name, Parameter(value, requires_grad=trainable))
    return module


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """A weight as lengths ``weight_g`` times directions ``weight_v`` (Salimans and Kingma 2016); gives the module.

    >>> import graphflow as gf
    >>> list(gf.nn.utils.weight_norm(gf.nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = module.get_parameter(name).numpy()
    g, v = f"{name}_g", f"{name}_v"
    parameters = {g: norm_except_dim(weight, dim).numpy(), v: weight}
    return _computed(module, name, parameters, lambda m: with_norm(getattr(m, g), getattr(m, v), dim))


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight an ordinary parameter again."""
    return _ordinary(module, name)


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """A weight ``weight_orig`` over its greatest singular value (Miyato et al. 2018); gives the module.

    >>> import graphflow as gf
    >>> list(gf.nn.utils.spectral_norm(gf.nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    axis = outputs_axis(module) if dim is None else dim
    weight = module.get_parameter(name).numpy()
    u, v = random_directions(weight, axis, eps)
    original, rows, columns = f"{name}_orig", f"{name}_u", f"{name}_v"
    module.register_buffer(rows, np.array(u))
    module.register_buffer(columns, np.array(v))

    def compute(m: Any) -> Any:
        vectors = getattr(m, rows), getattr(m, columns)
        return over_norm(getattr(m, original), *vectors, m.training, n_power_iterations, axis, eps, from_rows=True)

    return _computed(module, name, {original: weight}, compute)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight an ordinary parameter again."""
    _ordinary(module, name)
    for key in (f"{name}_u", f"{name}_v"):
        delattr(module, key)
    return module
