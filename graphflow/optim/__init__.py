"""Optimizers, learning-rate schedules and gradient clipping.

>>> import graphflow as gf
>>> w = gf.Variable([1.0])
>>> optimizer = gf.optim.Adam([w], lr=0.1)
>>> loss = (w * w).sum()
>>> loss.backward(); optimizer.step(); w.numpy().round(4)
array([0.9], dtype=float32)
"""

from __future__ import annotations

from graphflow.nn.utils import clip_grad_norm_, clip_grad_value_
from graphflow.optim import lr_scheduler
from graphflow.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from graphflow.optim.algorithms import ASGD, SGD, Adadelta, Adagrad, Lion, RMSprop, Rprop
from graphflow.optim.lbfgs import LBFGS
from graphflow.optim.optimizer import Optimizer
