"""How good predictions are, as functions of tensors that work in every mode.

>>> import graphflow as gf
>>> gf.metrics.accuracy(gf.tensor([[0.1, 0.9], [0.8, 0.2]]), gf.tensor([1, 1])).item()
0.5
"""

from __future__ import annotations

from graphflow.metrics.functions import accuracy, mae, mse, rmse
