"""Normalisation layers, with Keras's names and defaults: channels last, epsilon 1e-3, momentum 0.99."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core import dispatch
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.keras import constraints, initializers, regularizers
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.shapes import known
from graphflow.nn.functional.normalization import after, batch_norm
from graphflow.ops.creation import beside
from graphflow.ops.define import cast
from graphflow.ops.elementwise import maximum, rsqrt, sqrt, square
from graphflow.ops.movement import permute_dims, reshape
from graphflow.ops.reduce import mean
from graphflow.ops.reduce import sum as total
from graphflow.ops.special import identity
from graphflow.tensor import Tensor, as_tensor


class _Scaled(Layer):
    """A layer with a factor (gamma) and a summand (beta)."""

    supports_masking = True

    def _take(self, center: bool, scale: bool, beta: tuple[Any, ...], gamma: tuple[Any, ...]) -> None:
        self.center, self.scale = center, scale
        self._settings = {"gamma": gamma, "beta": beta}
        self.gamma = self.beta = None

    def _add(self, name: str, shape: Any) -> Any:
        initializer, regularizer, constraint = self._settings[name]
        return self.add_weight(
            shape,
            initializers.get(initializer),
            regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
            name=name,
        )


class BatchNormalization(_Scaled):
    """Channels with mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015), times gamma, plus beta.

    While it trains it uses the batch's statistics and moves its own towards them by ``1 - momentum``; otherwise, and
    when ``trainable`` is False, it uses its own. ``axis`` is the channels'.

    >>> import graphflow as gf
    >>> layer = gf.keras.layers.BatchNormalization()
    >>> layer(gf.tensor([[1.0], [3.0]]), training=True).numpy().round(2).ravel(), layer.moving_mean.numpy().round(3)
    (array([-1.,  1.], dtype=float32), array([0.02], dtype=float32))
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        gamma = (gamma_initializer, gamma_regularizer, gamma_constraint)
        self._take(center, scale, (beta_initializer, beta_regularizer, beta_constraint), gamma)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def build(self, input_shape: Any) -> None:
        shape = (known(input_shape[self.axis], self, "the number of channels"),)
        if self.scale:
            self.gamma = self._add("gamma", shape)
        if self.center:
            self.beta = self._add("beta", shape)
        self.moving_mean = self.add_weight(shape, self.moving_mean_initializer, trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Tensor:
        x = self._floats(inputs)
        axis = self.axis % x.ndim
        order = (0, axis, *(i for i in range(1, x.ndim) if i != axis)) if axis else (axis, *range(1, x.ndim))
        first = x if axis == 1 else permute_dims(x, order)
        if training and self.trainable:
            out = self._with_statistics_of(first, mask)
        else:
            statistics = self.moving_mean, self.moving_variance
            out = batch_norm(first, *statistics, self.gamma, self.beta, False, 0.0, self.epsilon)
        return out if axis == 1 else permute_dims(out, tuple(order.index(i) for i in range(x.ndim)))

    def _with_statistics_of(self, x: Tensor, mask: Any) -> Tensor:
        """x (batch, channels, ...) normalised by its own statistics, which the moving ones follow."""
        axes = (0, *range(2, x.ndim))
        spread = (1, -1, *(1,) * (x.ndim - 2))
        if mask is None:
            center = mean(x, axis=axes, keepdims=True)
            centered = x - center
            variance = mean(square(centered), axis=axes, keepdims=True)
        else:
            kept = reshape(cast(as_tensor(mask), x.dtype), (x.shape[0], 1, *x.shape[2:]))
            count = total(kept, axis=axes, keepdims=True) + 1e-7
            center = total(x * kept, axis=axes, keepdims=True) / count
            centered = x - center
            variance = total(square(centered) * kept, axis=axes, keepdims=True) / count
        out = centered * rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            out = out * reshape(self.gamma, spread)
        if self.beta is not None:
            out = out + reshape(self.beta, spread)
        with dispatch.no_grad(), beside(x):
            updates = []
            for moving, now in ((self.moving_mean, center), (self.moving_variance, variance)):
                old = moving._read_now()
                new = cast(reshape(now, moving.shape), old.dtype)
                updates.append(moving.assign(old * self.momentum + new * (1.0 - self.momentum)))
        with after(updates):  # in a Session's graph, what fetches the output makes the updates
            return identity(out)


class LayerNormalization(_Scaled):
    """Each sample with mean 0 and variance 1 along an axis (Ba et al. 2016), times gamma, plus beta.

    >>> import graphflow as gf
    >>> gf.keras.layers.LayerNormalization(epsilon=0.0)(gf.tensor([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis, self.epsilon = axis, epsilon
        gamma = (gamma_initializer, gamma_regularizer, gamma_constraint)
        self._take(center, scale, (beta_initializer, beta_regularizer, beta_constraint), gamma)

    def _axes(self, rank: int) -> tuple[int, ...]:
        given = (self.axis,) if isinstance(self.axis, int) else self.axis
        return tuple(sorted(a % rank for a in given))

    def build(self, input_shape: Any) -> None:
        axes = self._axes(len(input_shape))
        shape = tuple(known(input_shape[a], self, "a normalised size") for a in axes)
        if self.scale:
            self.gamma = self._add("gamma", shape)
        if self.center:
            self.beta = self._add("beta", shape)

    def call(self, inputs: Any) -> Tensor:
        x = self._floats(inputs)
        axes = self._axes(x.ndim)
        centered = x - mean(x, axis=axes, keepdims=True)
        out = centered * rsqrt(mean(square(centered), axis=axes, keepdims=True) + self.epsilon)
        spread = tuple(x.shape[a] if a in axes else 1 for a in range(x.ndim))
        if self.gamma is not None:
            out = out * reshape(self.gamma, spread)
        return out if self.beta is None else out + reshape(self.beta, spread)


class RMSNormalization(Layer):
    """Each sample over the root of its mean square along an axis (Zhang and Sennrich 2019), times a factor."""

    supports_masking = True

    def __init__(self, axis: int = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis, self.epsilon = axis, epsilon

    def build(self, input_shape: Any) -> None:
        size = known(input_shape[self.axis], self, "the normalised size")
        self.scale = self.add_weight((size,), "ones", name="scale")

    def call(self, inputs: Any) -> Tensor:
        x = self._floats(inputs)
        axis = self.axis % x.ndim
        out = x * rsqrt(mean(square(x), axis=axis, keepdims=True) + self.epsilon)
        return out * reshape(self.scale, tuple(x.shape[axis] if a == axis else 1 for a in range(x.ndim)))


class GroupNormalization(_Scaled):
    """Groups of channels with mean 0 and variance 1, each with all places (Wu and He 2018); -1: a group a channel."""

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.groups, self.axis, self.epsilon = groups, axis, epsilon
        gamma = (gamma_initializer, gamma_regularizer, gamma_constraint)
        self._take(center, scale, (beta_initializer, beta_regularizer, beta_constraint), gamma)

    def build(self, input_shape: Any) -> None:
        channels = known(input_shape[self.axis], self, "the number of channels")
        self._groups = channels if self.groups == -1 else self.groups
        if channels % self._groups:
            raise ShapeError(
                at_line(f"{self.name}: {channels} channels are not {self._groups} equal groups", user_origin())
            )
        if self.scale:
            self.gamma = self._add("gamma", (channels,))
        if self.center:
            self.beta = self._add("beta", (channels,))

    def call(self, inputs: Any) -> Tensor:
        x = self._floats(inputs)
        axis = self.axis % x.ndim
        split = (*x.shape[:axis], self._groups, x.shape[axis] // self._groups, *x.shape[axis + 1 :])
        grouped = reshape(x, split)
        axes = tuple(a for a in range(1, grouped.ndim) if a != axis)
        centered = grouped - mean(grouped, axis=axes, keepdims=True)
        out = reshape(centered * rsqrt(mean(square(centered), axis=axes, keepdims=True) + self.epsilon), x.shape)
        spread = tuple(x.shape[a] if a == axis else 1 for a in range(x.ndim))
        if self.gamma is not None:
            out = out * reshape(self.gamma, spread)
        return out if self.beta is None else out + reshape(self.beta, spread)


class UnitNormalization(Layer):
    """Each sample with length 1 along an axis."""

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any) -> Tensor:
        x = self._floats(inputs)
        axes = self.axis if isinstance(self.axis, int) else tuple(self.axis)
        return x * rsqrt(maximum(total(square(x), axis=axes, keepdims=True), 1e-12))


class Normalization(Layer):
    """``(x - mean) / sqrt(variance)`` of each feature; ``adapt(data)`` takes both from data.

    >>> import graphflow as gf
    >>> layer = gf.keras.layers.Normalization()
    >>> layer.adapt(np.array([[1.0], [3.0]])); layer(np.array([[3.0]])).tolist()
    [[1.0]]
    """

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (mean is None) != (variance is None):
            raise ValueError(at_line("give both mean and variance, or neither and call adapt(data)", user_origin()))
        self.axis, self.invert = axis, invert
        self._given = (mean, variance)

    def _kept(self, rank: int) -> tuple[int, ...]:
        given = () if self.axis is None else (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        return tuple(sorted(a % rank for a in given))

    def build(self, input_shape: Any) -> None:
        self._shape = tuple(
            known(n, self, "a kept size") if a in self._kept(len(input_shape)) else 1 for a, n in enumerate(input_shape)
        )
        self.mean = self.add_weight(self._shape, "zeros", trainable=False, name="mean")
        self.variance = self.add_weight(self._shape, "ones", trainable=False, name="variance")
        if self._given[0] is not None:
            for weight, value in zip((self.mean, self.variance), self._given):
                flat = as_tensor(value).astype("float32")  # type: ignore[attr-defined]
                weight.assign(flat.broadcast_to(self._shape) if flat.ndim == 0 else reshape(flat, self._shape))

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Take mean and variance of each feature of an array."""
        import numpy as np

        array = np.asarray(data, np.float64)
        array = array[:, None] if array.ndim == 1 else array
        if not self.built:
            self.build((None, *array.shape[1:]))
            self.__dict__["built"] = True
        over = tuple(a for a in range(array.ndim) if a not in self._kept(array.ndim))
        for weight, value in ((self.mean, array.mean(over)), (self.variance, array.var(over))):
            weight.assign(np.asarray(value, np.float32).reshape(weight.shape))

    def call(self, inputs: Any) -> Tensor:
        x = self._floats(inputs)
        scale = maximum(sqrt(self.variance.value), 1e-7)
        return x * scale + self.mean if self.invert else (x - self.mean) / scale  # type: ignore[operator, return-value]
