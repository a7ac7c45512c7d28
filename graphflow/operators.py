"""Operators: what Tensor and Variable have in common. The op records (graphflow/ops) attach methods and operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphflow.core.count import count_of
from graphflow.core.dims import product
from graphflow.core.errors import ImmutableError, at_line, user_origin

if TYPE_CHECKING:
    from graphflow.tensor import Tensor

    Unary = Callable[[Any], Tensor]
    Binary = Callable[[Any, Any], Tensor]


class Operators:
    """What Tensor and Variable can do; the op records attach the methods (see graphflow/ops/define.py)."""

    __slots__ = ()
    __array_priority__ = 1000  # numpy_array * tensor calls the tensor's __rmul__
    __hash__ = object.__hash__

    if TYPE_CHECKING:  # attached from the op records, where no type checker sees them
        __add__: Binary
        __radd__: Binary
        __sub__: Binary
        __rsub__: Binary
        __mul__: Binary
        __rmul__: Binary
        __truediv__: Binary
        __rtruediv__: Binary
        __floordiv__: Binary
        __rfloordiv__: Binary
        __mod__: Binary
        __rmod__: Binary
        __pow__: Binary
        __rpow__: Binary
        __matmul__: Binary
        __rmatmul__: Binary
        __and__: Binary
        __rand__: Binary
        __or__: Binary
        __ror__: Binary
        __xor__: Binary
        __rxor__: Binary
        __lshift__: Binary
        __rlshift__: Binary
        __rshift__: Binary
        __rrshift__: Binary
        __lt__: Binary
        __le__: Binary
        __gt__: Binary
        __ge__: Binary
        __neg__: Unary
        __pos__: Unary
        __abs__: Unary
        __invert__: Unary
        __getitem__: Binary

        def __eq__(self, other: Any) -> Any: ...
        def __ne__(self, other: Any) -> Any: ...
        def __getattr__(self, name: str) -> Any: ...

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        import graphflow

        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ValueError(f"the Array API version {api_version!r} is not supported; the newest that is: 2024.12")
        return graphflow

    @property
    def ndim(self) -> int:
        return len(self.shape)  # type: ignore[attr-defined]

    @property
    def size(self) -> Any:
        """The number of elements (Array API; symbolic if the shape is). Called, PyTorch's ``x.size(dim)``."""
        return count_of(self.shape)  # type: ignore[attr-defined]

    def numel(self) -> Any:
        """The number of elements (PyTorch's spelling)."""
        return product(self.shape)  # type: ignore[attr-defined]

    @property
    def device(self) -> str:
        return "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> Any:
        """This tensor on a device; there is the ``"cpu"``."""
        if device != "cpu":
            raise ValueError(f"no device {device!r}; there is: 'cpu'")
        return self

    def _repr_html_(self) -> str:
        from graphflow.viz.notebook import tensor_html

        return tensor_html(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ImmutableError(
            at_line(
                "tensors are immutable: use x = x.at[index].set(value), or keep state in a gf.Variable", user_origin()
            )
        )
