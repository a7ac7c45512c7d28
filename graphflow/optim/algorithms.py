"""The optimizers: each one update rule, for every mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.optim.optimizer import Optimizer

Betas = tuple[float, float]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964; Nesterov 1983) as in PyTorch.

    >>> import graphflow as gf
    >>> w = gf.Variable([1.0, 2.0])
    >>> optimizer = gf.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy()
    array([0.8, 1.6], dtype=float32)
    """

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        settings = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {"lr": lr, **settings, "maximize": maximize})

    def slots(self, h: Any) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if h.on("momentum") else {}

    def counts(self, h: Any) -> dict[str, int | float]:
        # The first step takes the whole gradient into the momentum, dampening or not; that needs a count.
        return {"step": 0} if h.on("dampening") else {}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        return {
            "lr": h.lr,
            "momentum": h.optional("momentum"),
            "nesterov": h.on("nesterov"),
            "fresh": 1 - h.dampening * (count.step > 1) if h.on("dampening") else None,
        }

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        if s.momentum is not None:
            fresh = g if s.fresh is None else g * s.fresh
            slots.momentum_buffer = slots.momentum_buffer * s.momentum + fresh
            g = g + slots.momentum_buffer * s.momentum if s.nesterov else slots.momentum_buffer
        return p - g * s.lr

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        # PyTorch's SGD does not count, but a momentum tells that steps were made.
        state = {number: {"step": 1, **slots} for number, slots in state_dict["state"].items()}
        super().load_state_dict({**state_dict, "state": state})


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), with AMSGrad (Reddi et al. 2018) on request."""

    counters = {"step": 0}

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize}
        super().__init__(params, {"lr": lr, **settings, "decoupled_weight_decay": decoupled_weight_decay})

    def slots(self, h: Any) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0, **({"max_exp_avg_sq": 0.0} if h.on("amsgrad") else {})}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        return {
            "fresh1": 1 - b1,
            "b2": b2,
            "fresh2": 1 - b2,
            "eps": h.eps,
            "rate": h.lr / (1 - b1**count.step),
            "correction": 1 / xp.sqrt(1 - b2**count.step),
            "amsgrad": h.on("amsgrad"),
        }

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.exp_avg = slots.exp_avg + (g - slots.exp_avg) * s.fresh1
        slots.exp_avg_sq = v = slots.exp_avg_sq * s.b2 + g * g * s.fresh2
        if s.amsgrad:
            slots.max_exp_avg_sq = v = xp.maximum(slots.max_exp_avg_sq, v)
        return p - slots.exp_avg * s.rate / (xp.sqrt(v) * s.correction + s.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class RMSprop(Optimizer):
    """RMSprop (Hinton, lecture notes 2012); ``centered`` divides by the variance (Graves 2013, arXiv:1308.0850)."""

    counters = {"step": 0}  # not used; PyTorch's state has it

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {"lr": lr, **settings, "centered": centered, "maximize": maximize})

    def slots(self, h: Any) -> dict[str, float]:
        kept = ["square_avg", *(["momentum_buffer"] * h.on("momentum")), *(["grad_avg"] * h.on("centered"))]
        return dict.fromkeys(kept, 0.0)

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        numbers = {"lr": h.lr, "alpha": h.alpha, "fresh": 1 - h.alpha, "eps": h.eps}
        return {**numbers, "momentum": h.optional("momentum"), "centered": h.on("centered")}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.square_avg = spread = slots.square_avg * s.alpha + g * g * s.fresh
        if s.centered:
            slots.grad_avg = mean = slots.grad_avg + (g - slots.grad_avg) * s.fresh
            spread = spread - mean * mean
        move = g / (xp.sqrt(spread) + s.eps)
        if s.momentum is not None:
            slots.momentum_buffer = move = slots.momentum_buffer * s.momentum + move
        return p - move * s.lr


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011)."""

    counters = {"step": 0}

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {"lr": lr, **settings, "initial_accumulator_value": initial_accumulator_value})

    def slots(self, h: Any) -> dict[str, float]:
        return {"sum": h.fixed("initial_accumulator_value")}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        return {"rate": h.lr / (1 + (count.step - 1) * h.lr_decay), "eps": h.eps}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.sum = slots.sum + g * g
        return p - g * s.rate / (xp.sqrt(slots.sum) + s.eps)


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, arXiv:1212.5701)."""

    counters = {"step": 0}  # not used; PyTorch's state has it

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def slots(self, h: Any) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        return {"lr": h.lr, "rho": h.rho, "fresh": 1 - h.rho, "eps": h.eps}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.square_avg = slots.square_avg * s.rho + g * g * s.fresh
        move = xp.sqrt(slots.acc_delta + s.eps) / xp.sqrt(slots.square_avg + s.eps) * g
        slots.acc_delta = slots.acc_delta * s.rho + move * move * s.fresh
        return p - move * s.lr


class Adamax(Optimizer):
    """Adamax: Adam with the infinity norm (Kingma and Ba 2015, arXiv:1412.6980)."""

    counters = {"step": 0}

    def __init__(
        self,
        params: Any = None,
        lr: Any = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {"lr": lr, **settings})

    def slots(self, h: Any) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        return {"fresh1": 1 - b1, "b2": b2, "eps": h.eps, "rate": h.lr / (1 - b1**count.step)}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.exp_avg = slots.exp_avg + (g - slots.exp_avg) * s.fresh1
        slots.exp_inf = xp.maximum(slots.exp_inf * s.b2, xp.abs(g) + s.eps)
        return p - slots.exp_avg * s.rate / slots.exp_inf


class NAdam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016)."""

    counters = {"step": 0, "mu_product": 1.0}

    def __init__(
        self,
        params: Any = None,
        lr: Any = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        flags = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {"lr": lr, **settings, **flags})

    def slots(self, h: Any) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        now = b1 * (1 - 0.96 ** (count.step * h.momentum_decay) * 0.5)
        following = b1 * (1 - 0.96 ** ((count.step + 1) * h.momentum_decay) * 0.5)
        count.mu_product = count.mu_product * now
        return {
            "fresh1": 1 - b1,
            "b2": b2,
            "fresh2": 1 - b2,
            "eps": h.eps,
            "correction": 1 / xp.sqrt(1 - b2**count.step),
            "gradient_rate": h.lr * (1 - now) / (1 - count.mu_product),
            "momentum_rate": h.lr * following / (1 - count.mu_product * following),
        }

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.exp_avg = slots.exp_avg + (g - slots.exp_avg) * s.fresh1
        slots.exp_avg_sq = slots.exp_avg_sq * s.b2 + g * g * s.fresh2
        spread = xp.sqrt(slots.exp_avg_sq) * s.correction + s.eps
        return p - (g * s.gradient_rate + slots.exp_avg * s.momentum_rate) / spread


class RAdam(Optimizer):
    """Rectified Adam (Liu et al. 2020, arXiv:1908.03265): no adaptive step until its variance can be estimated."""

    counters = {"step": 0}

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {"lr": lr, **settings, "decoupled_weight_decay": decoupled_weight_decay})

    def slots(self, h: Any) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        power = b2**count.step
        limit = 2 / (1 - b2) - 1
        length = limit - 2 * count.step * power / (1 - power)  # of the moving average, in steps
        ready = length > 5
        ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * xp.maximum(length, 1.0))
        rectified = xp.sqrt(xp.maximum(ratio, 0.0)) * xp.sqrt(1 - power)
        rate = h.lr / (1 - b1**count.step)
        # p - rate * m * (rectified / (sqrt(v) + eps)), or p - rate * m while not ready
        adaptive, plain = xp.where(ready, rate * rectified, 0.0), xp.where(ready, 0.0, rate)
        return {"fresh1": 1 - b1, "b2": b2, "fresh2": 1 - b2, "eps": h.eps, "adaptive": adaptive, "plain": plain}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        slots.exp_avg = slots.exp_avg + (g - slots.exp_avg) * s.fresh1
        slots.exp_avg_sq = slots.exp_avg_sq * s.b2 + g * g * s.fresh2
        return p - slots.exp_avg * (s.adaptive / (xp.sqrt(slots.exp_avg_sq) + s.eps) + s.plain)


class Lion(Optimizer):
    """Lion: the sign of an interpolated momentum (Chen et al. 2023, arXiv:2302.06675)."""

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-4,
        betas: Betas = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def slots(self, h: Any) -> dict[str, float]:
        return {"exp_avg": 0.0}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        b1, b2 = h.betas
        return {"lr": h.lr, "fresh1": 1 - b1, "fresh2": 1 - b2}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        direction = slots.exp_avg + (g - slots.exp_avg) * s.fresh1
        slots.exp_avg = slots.exp_avg + (g - slots.exp_avg) * s.fresh2
        return p - xp.sign(direction) * s.lr
