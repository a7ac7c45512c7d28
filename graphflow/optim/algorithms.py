"""The optimizers but those of Adam's family: each one update rule, for every mode."""

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


class Rprop(Optimizer):
    """Resilient backpropagation (Riedmiller and Braun 1993): steps by sign alone, for gradients of whole batches.

    >>> import graphflow as gf
    >>> w = gf.Variable([1.0, -2.0])
    >>> optimizer = gf.optim.Rprop([w], lr=0.5)
    >>> (w * w).sum().backward(); optimizer.step(); w.tolist()
    [0.5, -1.5]
    """

    counters = {"step": 0}  # not used; PyTorch's state has it

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ) -> None:
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Rprop: etas are a factor below 1 and one above, got {etas}")
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def slots(self, h: Any) -> dict[str, float]:
        return {"prev": 0.0, "step_size": h.fixed("lr")}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        (shrink, grow), (least, most) = h.etas, h.step_sizes
        return {"fewer": shrink, "more": grow, "least": least, "most": most}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        turn = g * slots.prev  # positive where the sign stayed
        size = slots.step_size
        size = xp.where(turn > 0, size * s.more, xp.where(turn < 0, size * s.fewer, size))
        slots.step_size = size = xp.minimum(xp.maximum(size, s.least), s.most)
        slots.prev = g = xp.where(turn < 0, 0.0, g)  # after a jump over a minimum it waits for one step
        return p - xp.sign(g) * size


class ASGD(Optimizer):
    """Averaged SGD (Polyak and Juditsky 1992): the state ``ax`` is the average of the parameters."""

    def __init__(
        self,
        params: Any = None,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
        super().__init__(params, {"lr": lr, **settings, "maximize": maximize})

    def slots(self, h: Any) -> dict[str, float]:
        return {"ax": 0.0}

    def counts(self, h: Any) -> dict[str, int | float]:
        return {"step": 0, "eta": float(h.fixed("lr")), "mu": 1.0}

    def scalars(self, xp: Any, h: Any, count: Any) -> dict[str, Any]:
        rate, share = count.eta, count.mu
        count.eta = h.lr / (1 + h.lambd * h.lr * count.step) ** h.alpha
        count.mu = 1 / xp.maximum(count.step - h.t0, 1.0)
        return {"rate": rate, "share": share, "shrink_by": 1 - h.lambd * rate}

    def update(self, xp: Any, p: Any, g: Any, slots: Any, s: Any) -> Any:
        p = p * s.shrink_by - g * s.rate
        slots.ax = slots.ax + (p - slots.ax) * s.share
        return p
