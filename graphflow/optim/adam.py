"""Adam and what was made of it: each one update rule, for every mode."""

from __future__ import annotations

from typing import Any

from graphflow.optim.optimizer import Optimizer

Betas = tuple[float, float]


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
