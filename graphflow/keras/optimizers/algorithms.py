"""Keras's optimizers: their settings, defaults and formulas, for example an epsilon beside the uncorrected root."""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import at_line, user_origin
from graphflow.keras.optimizers.base import Optimizer


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's variant.

    >>> import graphflow as gf
    >>> w = gf.Variable([1.0, 2.0])
    >>> gf.keras.optimizers.SGD(0.1).apply([gf.tensor([1.0, 1.0])], [w]); w.numpy()
    array([0.9, 1.9], dtype=float32)
    """

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(at_line(f"momentum lies between 0 and 1, got {momentum}", user_origin()))
        super().__init__(learning_rate, **kwargs, momentum=momentum, nesterov=nesterov)

    def slots(self, h: Any) -> dict[str, float]:
        return {"momentum": 0.0} if h.on("momentum") else {}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        return {"lr": lr, "momentum": h.optional("momentum"), "nesterov": h.on("nesterov")}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        move = g * s.lr
        if s.momentum is None:
            return p - move
        slots.momentum = m = slots.momentum * s.momentum - move
        return p + m * s.momentum - move if s.nesterov else p + m


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with AMSGrad (Reddi et al. 2018) on request."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs, betas=(beta_1, beta_2), eps=epsilon, amsgrad=amsgrad)

    def slots(self, h: Any) -> dict[str, float]:
        return {"momentum": 0.0, "velocity": 0.0, **({"velocity_hat": 0.0} if h.on("amsgrad") else {})}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        rate = lr * xp.sqrt(1 - b2**step) / (1 - b1**step)
        return {"rate": rate, "fresh1": 1 - b1, "fresh2": 1 - b2, "eps": h.eps, "amsgrad": h.on("amsgrad")}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.momentum = slots.momentum + (g - slots.momentum) * s.fresh1
        slots.velocity = v = slots.velocity + (g * g - slots.velocity) * s.fresh2
        if s.amsgrad:
            slots.velocity_hat = v = xp.maximum(slots.velocity_hat, v)
        return p - slots.momentum * s.rate / (xp.sqrt(v) + s.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)


class RMSprop(Optimizer):
    """RMSprop (Hinton, lecture notes 2012); ``centered`` divides by the variance (Graves 2013)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs, rho=rho, momentum=momentum, eps=epsilon, centered=centered)

    def slots(self, h: Any) -> dict[str, float]:
        kept = ["velocity", *(["momentum"] * h.on("momentum")), *(["average_gradient"] * h.on("centered"))]
        return dict.fromkeys(kept, 0.0)

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        settings = {"momentum": h.optional("momentum"), "centered": h.on("centered")}
        return {"lr": lr, "rho": h.rho, "fresh": 1 - h.rho, "eps": h.eps, **settings}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.velocity = spread = slots.velocity * s.rho + g * g * s.fresh
        if s.centered:
            slots.average_gradient = mean = slots.average_gradient * s.rho + g * s.fresh
            spread = spread - mean * mean
        move = g * s.lr / xp.sqrt(spread + s.eps)
        if s.momentum is not None:
            slots.momentum = move = slots.momentum * s.momentum + move
        return p - move


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs, initial_accumulator_value=initial_accumulator_value, eps=epsilon)

    def slots(self, h: Any) -> dict[str, float]:
        return {"accumulator": h.fixed("initial_accumulator_value")}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        return {"lr": lr, "eps": h.eps}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.accumulator = slots.accumulator + g * g
        return p - g * s.lr / xp.sqrt(slots.accumulator + s.eps)


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012)."""

    def __init__(self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs, rho=rho, eps=epsilon)

    def slots(self, h: Any) -> dict[str, float]:
        return {"accumulated_grad": 0.0, "accumulated_delta": 0.0}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        return {"lr": lr, "rho": h.rho, "fresh": 1 - h.rho, "eps": h.eps}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.accumulated_grad = slots.accumulated_grad * s.rho + g * g * s.fresh
        move = xp.sqrt(slots.accumulated_delta + s.eps) * g / xp.sqrt(slots.accumulated_grad + s.eps)
        slots.accumulated_delta = slots.accumulated_delta * s.rho + move * move * s.fresh
        return p - move * s.lr


class Adamax(Optimizer):
    """Adamax: Adam with the infinity norm (Kingma and Ba 2015)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs, betas=(beta_1, beta_2), eps=epsilon)

    def slots(self, h: Any) -> dict[str, float]:
        return {"momentum": 0.0, "norm": 0.0}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        return {"rate": lr / (1 - b1**step), "fresh1": 1 - b1, "b2": b2, "eps": h.eps}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.momentum = slots.momentum + (g - slots.momentum) * s.fresh1
        slots.norm = xp.maximum(slots.norm * s.b2, xp.abs(g))
        return p - slots.momentum * s.rate / (slots.norm + s.eps)


class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016)."""

    counters = {"step": 0, "product": 1.0}

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs, betas=(beta_1, beta_2), eps=epsilon)

    def slots(self, h: Any) -> dict[str, float]:
        return {"momentum": 0.0, "velocity": 0.0}

    def _scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        b1, _ = h.betas
        now = b1 * (1 - 0.5 * 0.96 ** (count.step + 1))
        following = b1 * (1 - 0.5 * 0.96 ** (count.step + 2))
        count.product = count.product * now
        shares = (1 - now) / (1 - count.product), following / (1 - count.product * following)
        return {**super()._scalars(xp, h, count), "of_gradient": shares[0], "of_momentum": shares[1]}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        correction = 1 / xp.sqrt(1 - b2**step)
        return {"lr": lr, "fresh1": 1 - b1, "fresh2": 1 - b2, "eps": h.eps, "correction": correction}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.momentum = slots.momentum + (g - slots.momentum) * s.fresh1
        slots.velocity = slots.velocity + (g * g - slots.velocity) * s.fresh2
        move = slots.momentum * s.of_momentum + g * s.of_gradient
        return p - move * s.lr / (xp.sqrt(slots.velocity) * s.correction + s.eps)


class Lion(Optimizer):
    """Lion: the sign of an interpolated momentum (Chen et al. 2023)."""

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs, betas=(beta_1, beta_2))

    def slots(self, h: Any) -> dict[str, float]:
        return {"momentum": 0.0}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        return {"lr": lr, "b1": b1, "fresh1": 1 - b1, "b2": b2, "fresh2": 1 - b2}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        direction = xp.sign(slots.momentum * s.b1 + g * s.fresh1)
        slots.momentum = slots.momentum * s.b2 + g * s.fresh2
        return p - direction * s.lr


class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan et al. 2013): weights that l1 makes exactly zero."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **kwargs: Any,
    ) -> None:
        strengths: dict[str, Any] = {"l1": l1_regularization_strength, "l2": l2_regularization_strength}
        more: dict[str, Any] = {
            "shrinkage": l2_shrinkage_regularization_strength,
            "beta": beta,
            "power": -learning_rate_power,
        }
        super().__init__(
            learning_rate, **kwargs, **strengths, **more, initial_accumulator_value=initial_accumulator_value
        )

    def slots(self, h: Any) -> dict[str, float]:
        return {"accumulator": h.fixed("initial_accumulator_value"), "linear": 0.0}

    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        l2 = h.l2 + h.beta / (2.0 * lr)
        return {"inverse": 1 / lr, "limit": h.l1, "penalty": 2 * l2, "shrinkage": 2 * h.shrinkage, "power": h.power}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        new = slots.accumulator + g * g
        after, before = new**s.power, slots.accumulator**s.power
        slots.linear = slots.linear + g + p * s.shrinkage - (after - before) * s.inverse * p
        slots.accumulator = new
        return (xp.clip(slots.linear, -s.limit, s.limit) - slots.linear) / (after * s.inverse + s.penalty)
