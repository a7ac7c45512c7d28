"""Around a training loop: checkpoints, averaged weights, mixed precision, gradient accumulation, early stopping."""

from __future__ import annotations

from graphflow.train.checkpoint import Checkpoint, Restored
from graphflow.train.saver import Saver, latest_checkpoint

__all__ = ["Checkpoint", "Restored", "Saver", "latest_checkpoint"]
