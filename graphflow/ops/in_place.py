"""PyTorch's methods that change in place, for Variables and Parameters: each computes a value and assigns it.

Tensors are immutable and have none of these. In compiled functions and graphs they are ordered like any assignment.
"""

from __future__ import annotations

from typing import Any

from graphflow.core.dispatch import is_grad_enabled, no_grad
from graphflow.core.errors import ImmutableError, at_line, user_origin
from graphflow.ops import random
from graphflow.ops.creation import filled_like
from graphflow.ops.define import FUNCTIONS
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable

_NAMES = (
    "abs addcdiv addcmul ceil clamp clamp_max clamp_min clip div exp floor index_add lerp masked_fill mul neg pow "
    "reciprocal remainder round scatter scatter_add sigmoid sqrt square tanh"
)


def _attach(name: str, function: Any) -> None:
    def method(self: Variable, *args: Any, **settings: Any) -> Variable:
        with no_grad():
            self.assign(function(self._read_now(), *args, **settings))
        return self

    method.__name__, method.__qualname__ = name, f"Variable.{name}"
    method.__doc__ = f"Assign what ``{name[:-1]}`` gives for the value; gives the Variable."
    setattr(Variable, name, method)


def _added(x: Tensor, other: Any, alpha: float = 1.0, sign: float = 1.0) -> Tensor:
    return x + other * (sign * alpha) if alpha != 1.0 else x + other if sign > 0 else x - other


for _name in _NAMES.split():
    _attach(f"{_name}_", FUNCTIONS[_name])
_attach("add_", lambda x, other, *, alpha=1.0: _added(x, other, alpha))
_attach("sub_", lambda x, other, *, alpha=1.0: _added(x, other, alpha, -1.0))
_attach("copy_", lambda x, source: source)
_attach("fill_", lambda x, value: filled_like(x, 0) + value)
_attach("zero_", lambda x: filled_like(x, 0))
_attach("normal_", lambda x, mean=0.0, std=1.0: random.normal(x.shape, mean, std, dtype=x.dtype))
_attach("uniform_", lambda x, low=0.0, high=1.0: random.uniform(x.shape, low, high, dtype=x.dtype))


# -- tensors -----------------------------------------------------------------------------------------------------------
def _rebinding(name: str, plain: str) -> None:
    """``x -= y`` makes another tensor, which is not what training by hand needs: a parameter among tensors is told."""

    def method(self: Tensor, other: Any) -> Any:
        if self.requires_grad and self._node is None and self._tape is None and not is_grad_enabled():
            message = "this would make another tensor, not change the parameter: tensors are immutable; keep it in a "
            message += "gf.Variable (w = gf.Variable(w)), which -= and the like change under no_grad"
            raise ImmutableError(at_line(message, user_origin()))
        return getattr(self, plain)(other)

    setattr(Tensor, name, method)


for _name in ("add", "sub", "mul", "truediv"):
    _rebinding(f"__i{_name}__", f"__{_name}__")


# -- .data -----------------------------------------------------------------------------------------------------------
def _assign_data(self: Variable, value: Any) -> None:
    with no_grad():
        self.assign(as_tensor(value, None if isinstance(value, (Tensor, Variable)) else self.dtype))


Tensor.data = property(lambda self: self.detach(), doc="The value, cut off from the gradient.")  # type: ignore[attr-defined]
Variable.data = property(  # type: ignore[attr-defined]
    lambda self: self.detach(), _assign_data, doc="The value, cut off from the gradient; ``v.data = x`` assigns."
)
