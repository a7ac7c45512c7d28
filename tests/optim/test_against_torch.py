"""Optimizers and schedules follow PyTorch's step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.optim import lr_scheduler

pytestmark = pytest.mark.torch

rng = np.random.default_rng(0)
STARTS = [rng.standard_normal(s).astype("float32") for s in ((4, 3), (3,), ())]
GRADIENTS = [[rng.standard_normal(p.shape).astype("float32") for p in STARTS] for _ in range(20)]


@pytest.fixture(scope="module")
def torch() -> Any:
    import torch

    return torch


OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "centered": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.8), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (1e-3, 0.2), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 5, "weight_decay": 0.1}),
]
IDS = [f"{name}-{'-'.join(settings)}" for name, settings in OPTIMIZERS]


def both(torch: Any, name: str, settings: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    ours = [gf.nn.Parameter(p) for p in STARTS]
    theirs = [torch.nn.Parameter(torch.tensor(p)) for p in STARTS]
    optimizers = getattr(gf.optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    return ours, theirs, *optimizers


def step(torch: Any, ours: Any, theirs: Any, optimizers: Any, gradients: list[Any]) -> None:
    for p, q, g in zip(ours, theirs, gradients):
        p.grad, q.grad = (None, None) if g is None else (gf.tensor(g), torch.tensor(g))
    for optimizer in optimizers:
        optimizer.step()


@pytest.mark.parametrize("name, settings", OPTIMIZERS, ids=IDS)
def test_trajectory(torch: Any, name: str, settings: dict[str, Any]) -> None:
    ours, theirs, *optimizers = both(torch, name, settings)
    for gradients in GRADIENTS:
        step(torch, ours, theirs, optimizers, gradients)
        for p, q in zip(ours, theirs):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name, settings", OPTIMIZERS, ids=IDS)
def test_the_state_moves_between_them(torch: Any, name: str, settings: dict[str, Any]) -> None:
    ours, theirs, mine, other = both(torch, name, settings)
    for gradients in GRADIENTS[:5]:
        step(torch, ours, theirs, (mine, other), gradients)
    saved = other.state_dict()
    again = getattr(gf.optim, name)(ours, lr=123.0)
    again.load_state_dict(saved)
    if name != "SGD" or "dampening" not in settings:  # that one counts its steps, which PyTorch does not
        for number, slots in saved["state"].items():
            kept = again.state_dict()["state"][number]
            assert set(kept) == {key for key, value in slots.items() if value is not None}
    known = {k: v for k, v in saved["param_groups"][0].items() if k in mine.param_groups[0]}
    assert known == {k: v for k, v in again.state_dict()["param_groups"][0].items() if k in known}
    for gradients in GRADIENTS[5:10]:
        step(torch, ours, theirs, (again, other), gradients)
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_a_parameter_that_joins_late(torch: Any) -> None:
    """Unfrozen after some steps, it starts its bias correction then."""
    ours, theirs, *optimizers = both(torch, "Adam", {"lr": 0.1})
    for i, gradients in enumerate(GRADIENTS):
        step(torch, ours, theirs, optimizers, [gradients[0], gradients[1] if i > 9 else None, None])
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_groups(torch: Any) -> None:
    ours = [gf.nn.Parameter(p) for p in STARTS]
    theirs = [torch.nn.Parameter(torch.tensor(p)) for p in STARTS]
    optimizers = []
    for params, module in ((ours, gf.optim), (theirs, torch.optim)):
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.5, "momentum": 0.5}]
        optimizers.append(module.SGD(groups, lr=0.1))
    for gradients in GRADIENTS:
        step(torch, ours, theirs, optimizers, gradients)
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-5)


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9 + 0.001 * epoch}),
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.5}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 4}),
    ("LinearLR", {"start_factor": 0.1, "total_iters": 7}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("PolynomialLR", {"total_iters": 8, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 6, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3}),
    ("CyclicLR", {"base_lr": [0.1], "max_lr": 1.0, "step_size_up": 2, "step_size_down": 4, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4, "mode": "exp_range", "gamma": 0.9}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3, "scale_fn": lambda x: 1 / x, "cycle_momentum": False},
    ),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 20}),
    ("OneCycleLR", {"max_lr": 1.0, "epochs": 4, "steps_per_epoch": 5, "three_phase": True}),
    ("OneCycleLR", {"max_lr": [1.0], "total_steps": 20, "anneal_strategy": "linear", "cycle_momentum": False}),
]


def walk(optimizer: Any, schedule: Any, steps: int) -> list[tuple[float, float]]:
    seen = []
    for _ in range(steps):
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize("name, settings", SCHEDULES, ids=[name for name, _ in SCHEDULES])
def test_schedule(torch: Any, name: str, settings: dict[str, Any]) -> None:
    *_, mine, other = both(torch, "SGD", {"lr": 0.5, "momentum": 0.9})
    ours, theirs = (
        getattr(lr_scheduler, name)(mine, **settings),
        getattr(torch.optim.lr_scheduler, name)(other, **settings),
    )
    np.testing.assert_allclose(walk(mine, ours, 15), walk(other, theirs, 15), rtol=1e-9)
    assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr())


def test_schedules_together(torch: Any) -> None:
    seen = []
    *_, mine, other = both(torch, "SGD", {"lr": 0.5, "momentum": 0.9})
    for optimizer, module in ((mine, lr_scheduler), (other, torch.optim.lr_scheduler)):
        first, second = module.LinearLR(optimizer, total_iters=4), module.ExponentialLR(optimizer, gamma=0.9)
        sequence = []
        for _ in range(10):
            optimizer.step()
            first.step()
            second.step()
            sequence.append(optimizer.param_groups[0]["lr"])
        seen.append(sequence)
    np.testing.assert_allclose(*seen, rtol=1e-9)


def test_schedules_as_one(torch: Any) -> None:
    seen, last = [], []
    *_, mine, other = both(torch, "SGD", {"lr": 0.5, "momentum": 0.9})
    for optimizer, module in ((mine, lr_scheduler), (other, torch.optim.lr_scheduler)):
        parts = [module.ConstantLR(optimizer, factor=0.1, total_iters=5), module.ExponentialLR(optimizer, gamma=0.9)]
        chain = module.ChainedScheduler(parts, optimizer)
        seen.append(walk(optimizer, chain, 12))
        last.append(chain.get_last_lr())
    np.testing.assert_allclose(*seen, rtol=1e-9)
    np.testing.assert_allclose(*last, rtol=1e-9)


def test_schedules_one_after_the_other(torch: Any) -> None:
    seen = []
    *_, mine, other = both(torch, "SGD", {"lr": 0.5, "momentum": 0.9})
    for optimizer, module in ((mine, lr_scheduler), (other, torch.optim.lr_scheduler)):
        parts = [
            module.LinearLR(optimizer, total_iters=4),
            module.CosineAnnealingLR(optimizer, T_max=5),
            module.StepLR(optimizer, step_size=2),
        ]
        seen.append(walk(optimizer, module.SequentialLR(optimizer, parts, milestones=[4, 9]), 15))
    np.testing.assert_allclose(*seen, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau(torch: Any, mode: str, threshold_mode: str) -> None:
    metrics = [1.0, 0.9, 0.95, 0.9, 0.91, 0.89999, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    seen = []
    settings = {"mode": mode, "threshold_mode": threshold_mode, "patience": 1, "cooldown": 1, "min_lr": 0.001}
    *_, mine, other = both(torch, "SGD", {"lr": 0.5})
    for optimizer, module in ((mine, lr_scheduler), (other, torch.optim.lr_scheduler)):
        schedule = module.ReduceLROnPlateau(optimizer, **settings)
        rates = []
        for metric in metrics:
            schedule.step(metric)
            rates.append(optimizer.param_groups[0]["lr"])
        seen.append(rates)
    np.testing.assert_allclose(*seen)


def rosenbrock(x: Any) -> Any:
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


@pytest.mark.parametrize("settings", [{"lr": 0.01}, {"line_search_fn": "strong_wolfe"}, {"history_size": 2}])
def test_lbfgs(torch: Any, settings: dict[str, Any]) -> None:
    """Step by step, also from PyTorch's state on; without a search the steps of a history of 2 run away, as there."""
    start = np.array([-1.2, 1.0, -0.5, 0.8])
    a, b = gf.Variable(start), torch.nn.Parameter(torch.tensor(start))
    mine, other = gf.optim.LBFGS([a], **settings), torch.optim.LBFGS([b], **settings)
    for number in range(4 if "history_size" not in settings else 1):
        if number == 2:
            mine = gf.optim.LBFGS([a])
            mine.load_state_dict(other.state_dict())
        losses = []
        for x, optimizer in ((a, mine), (b, other)):

            def closure(x: Any = x, optimizer: Any = optimizer) -> Any:
                optimizer.zero_grad()
                loss = rosenbrock(x * 1.0)
                loss.backward()
                return loss

            losses.append(optimizer.step(closure).item())
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-5)
        assert mine.state_dict()["state"][0]["func_evals"] == other.state_dict()["state"][0]["func_evals"]
