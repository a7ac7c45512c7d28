"""Learning-rate schedules, as in PyTorch: each ``step()`` sets the learning rates of the optimizer's groups.

Call ``step()`` outside compiled functions: those read the learning rate anew at each run and are not traced again.

>>> import graphflow as gf
>>> optimizer = gf.optim.SGD([gf.Variable([1.0])], lr=1.0)
>>> schedule = gf.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
>>> schedule.step(); schedule.step(); optimizer.param_groups[0]["lr"]
0.25
"""

from __future__ import annotations

from graphflow.optim.lr_scheduler.base import LRScheduler
from graphflow.optim.lr_scheduler.control import ChainedScheduler, ReduceLROnPlateau, SequentialLR
from graphflow.optim.lr_scheduler.cycles import CosineAnnealingLR, CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from graphflow.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
