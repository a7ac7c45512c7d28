"""Gradient clipping, the parameters as one vector, weights of given norms, computed parameters, packed sequences."""

from __future__ import annotations

from graphflow.nn.utils import parametrizations, parametrize, rnn
from graphflow.nn.utils.clip import (
    clip_by_global_norm,
    clip_grad_norm_,
    clip_grad_value_,
    get_total_norm,
)
from graphflow.nn.utils.normed import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm
from graphflow.nn.utils.vectors import parameters_to_vector, vector_to_parameters
