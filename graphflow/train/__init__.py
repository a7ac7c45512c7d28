"""Around a training loop: checkpoints, averaged weights, mixed precision, gradient accumulation, early stopping."""

from __future__ import annotations

from graphflow.train.averaging import EMA, EarlyStopping
from graphflow.train.checkpoint import Checkpoint, Restored
from graphflow.train.precision import GradScaler, Policy, autocast
from graphflow.train.saver import Saver, latest_checkpoint
from graphflow.train.steps import GradientAccumulation
from graphflow.train.tensorflow import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdamOptimizer,
    GradientDescentOptimizer,
    MomentumOptimizer,
    RMSPropOptimizer,
)

__all__ = [
    "EMA",
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "Checkpoint",
    "EarlyStopping",
    "GradScaler",
    "GradientAccumulation",
    "GradientDescentOptimizer",
    "MomentumOptimizer",
    "Policy",
    "RMSPropOptimizer",
    "Restored",
    "Saver",
    "autocast",
    "latest_checkpoint",
]
