"""Callbacks with Keras's names."""

from __future__ import annotations

from graphflow.keras.callbacks.base import Callback, CallbackList, History
from graphflow.keras.callbacks.control import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from graphflow.keras.callbacks.logging import CSVLogger, LambdaCallback, TensorBoard
from graphflow.keras.callbacks.progress import ProgbarLogger
