"""Dense, Embedding and the small ones: Activation, Masking, Identity, and the start of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.dtypes import float32, int32, int64
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.keras import activations, constraints, initializers, regularizers
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.shapes import known
from graphflow.ops.define import cast
from graphflow.ops.linalg import einsum, matmul
from graphflow.ops.logic import not_equal
from graphflow.ops.picking import take
from graphflow.ops.reduce import any as any_true
from graphflow.tensor import Tensor, as_tensor


class Dense(Layer):
    """``activation(inputs @ kernel + bias)`` along the last axis; kernel (inputs, units).

    >>> import graphflow as gf
    >>> layer = gf.keras.layers.Dense(4, activation="relu")
    >>> layer(gf.ones((2, 3))).shape, layer.kernel.shape, layer.bias.shape
    ((2, 4), (3, 4), (4,))
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if not isinstance(units, int) or units < 1:
            raise ValueError(at_line(f"Dense needs a positive number of units, got {units!r}", user_origin()))
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        inputs = known(input_shape[-1], self, "the size of the last axis")
        self.kernel = self.add_weight(
            (inputs, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Any) -> Tensor:
        x = self._floats(inputs)
        if x.ndim < 1 or x.shape[-1] != self.kernel.shape[0]:
            raise ShapeError(
                at_line(
                    f"{self.name} was built for inputs with {self.kernel.shape[0]} numbers in the last axis, got shape "
                    f"{x.shape}",
                    user_origin(),
                )
            )
        out = matmul(x, self.kernel)
        return self.activation(out if self.bias is None else out + self.bias)  # type: ignore[no-any-return]


class EinsumDense(Layer):
    """``activation(einsum(equation, inputs, kernel) + bias)``: "abc,cd->abd"; ``bias_axes`` have one."""

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation.replace(" ", "")
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_settings = (kernel_initializer, kernel_regularizer, kernel_constraint)
        self.bias_settings = (bias_initializer, bias_regularizer, bias_constraint)
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        operands, result = self.equation.split("->")
        inputs, kernel = (part.replace("...", "") for part in operands.split(","))
        result = result.replace("...", "")
        own = self.partial_output_shape
        sizes = dict(zip(reversed(result), reversed(own)))
        sizes.update({k: v for k, v in zip(reversed(inputs), reversed(input_shape)) if v is not None})
        settings = dict(zip(("initializer", "regularizer", "constraint"), self.kernel_settings))
        shape = [known(sizes.get(label), self, f"the size of {label!r}") for label in kernel]
        self.kernel = self.add_weight(shape, name="kernel", **settings)
        if self.bias_axes:
            settings = dict(zip(("initializer", "regularizer", "constraint"), self.bias_settings))
            first = min(result.index(label) for label in self.bias_axes)
            spread = [sizes[label] if label in self.bias_axes else 1 for label in result[first:]]
            self.bias = self.add_weight(spread, name="bias", **settings)

    def call(self, inputs: Any) -> Tensor:
        out = einsum(self.equation, self._floats(inputs), self.kernel)
        return self.activation(out if self.bias is None else out + self.bias)  # type: ignore[no-any-return]


class Embedding(Layer):
    """Whole numbers from 0 to ``input_dim - 1`` as vectors of ``output_dim`` numbers; ``mask_zero`` masks the zeros.

    >>> import graphflow as gf
    >>> gf.keras.layers.Embedding(1000, 16)(gf.zeros((2, 7), dtype="int64")).shape
    (2, 7, 16)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        input_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        if input_length is not None:
            kwargs.setdefault("input_shape", (input_length,))
        super().__init__(**kwargs)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self._given_weights = weights

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            name="embeddings",
        )
        if self._given_weights is not None:
            given = self._given_weights
            self.set_weights(given if isinstance(given, (list, tuple)) else [given])

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "weights"}

    def call(self, inputs: Any) -> Tensor:
        numbers = as_tensor(inputs)
        if numbers.dtype not in (int32, int64):
            numbers = cast(numbers, int32)
        return take(self.embeddings, numbers, axis=0)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return not_equal(as_tensor(inputs), 0) if self.mask_zero else None


class Activation(Layer):
    """An activation function as a layer: ``Activation("relu")``."""

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Tensor:
        return self.activation(self._floats(inputs))  # type: ignore[no-any-return]


class Identity(Layer):
    """The input."""

    supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs


class Masking(Layer):
    """Time steps whose numbers are all ``mask_value`` are skipped by the layers after it."""

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return any_true(not_equal(as_tensor(inputs), self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Tensor:
        x = as_tensor(inputs)
        return x * cast(any_true(not_equal(x, self.mask_value), axis=-1, keepdims=True), x.dtype)


class InputLayer(Layer):
    """The start of a Sequential model: ``InputLayer(shape=(784,))``, the same as ``Input``."""

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Any = None,
        input_shape: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        shape = shape if shape is not None else input_shape
        if batch_shape is None and shape is None:
            raise ValueError(at_line("InputLayer needs shape=..., the sizes of one sample", user_origin()))
        self.batch_shape = tuple(batch_shape) if batch_shape is not None else (batch_size, *tuple(shape or ()))
        self.input_dtype = dtype or float32
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs
