"""Metrics: numbers that say how good predictions are. Predictions come first, then targets.

As functions they are about one batch; as classes they go through an epoch, eagerly, compiled or in a graph:

>>> accuracy = gf.metrics.Accuracy()
>>> for p, t in [([0, 1], [0, 1]), ([1, 1], [0, 1])]:
...     accuracy.update(p, t)
>>> accuracy.compute().item(); accuracy.reset()
0.75
"""

from __future__ import annotations

from graphflow.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    TopKAccuracy,
)
from graphflow.metrics.base import Mean, Metric, MetricCollection, Sum
from graphflow.metrics.confusion import ConfusionMatrix, F1Score, FBetaScore, IoU, Precision, Recall
from graphflow.metrics.errors import (
    LogLoss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    Perplexity,
    R2Score,
    RootMeanSquaredError,
)
from graphflow.metrics.functions import accuracy, mae, mse, rmse
from graphflow.metrics.ranking import AUC

MAE, MSE, RMSE, R2, F1 = MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError, R2Score, F1Score
