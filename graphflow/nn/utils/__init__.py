"""Gradient clipping, and the parameters as one vector."""

from __future__ import annotations

from graphflow.nn.utils import rnn
from graphflow.nn.utils.clip import (
    clip_by_global_norm,
    clip_grad_norm_,
    clip_grad_value_,
    get_total_norm,
)
from graphflow.nn.utils.vectors import parameters_to_vector, vector_to_parameters
