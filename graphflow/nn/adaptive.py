"""The adaptive softmax: many classes, of which few are frequent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from graphflow.core.dims import shape_str
from graphflow.core.errors import IndexingError, ShapeError, at_line, user_origin
from graphflow.nn.container import ModuleList, Sequential
from graphflow.nn.linear import Linear
from graphflow.nn.module import Module
from graphflow.ops.composite import log_softmax
from graphflow.ops.elementwise import clip, where
from graphflow.ops.movement import concat, expand_dims, reshape
from graphflow.ops.picking import as_index, gather
from graphflow.ops.reduce import argmax, mean
from graphflow.tensor import Tensor, as_tensor


class AdaptiveLoss(NamedTuple):
    """The log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of many classes, ordered by how frequent they are (Grave et al. 2017, arXiv:1609.04309).

    The head tells the classes below ``cutoffs[0]`` and one cluster for each of the intervals between cutoffs; each
    cluster has a projection of its own, to ``in_features / div_value**(its number + 1)`` features. Called with
    input (batch, in_features) and target (batch,) of class numbers; ``log_prob`` and ``predict`` take the input alone.
    The clusters are computed for the whole batch, so that its size alone decides about shapes.

    >>> import graphflow as gf
    >>> layer = gf.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[5, 10], div_value=2.0)
    >>> layer(gf.ones((3, 8)), gf.tensor([0, 7, 19])).output.shape, layer.log_prob(gf.ones((3, 8))).shape
    ((3,), (3, 20))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = list(cutoffs)
        if not given or given != sorted(set(given)) or given[0] < 1 or given[-1] >= n_classes:
            raise ValueError(f"cutoffs are increasing numbers from 1 to {n_classes - 1}, got {given}")
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*given, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = given[0]
        self.n_clusters = len(given)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for number, (low, high) in enumerate(self._intervals(), 1):
            narrow = int(in_features // div_value**number)
            if narrow < 1:
                raise ValueError(f"cluster {number} would have no features: give fewer cutoffs, or a smaller div_value")
            first, second = (
                Linear(a, b, False, device, dtype) for a, b in ((in_features, narrow), (narrow, high - low))
            )
            self.tail.append(Sequential(first, second))

    def _intervals(self) -> list[tuple[int, int]]:
        return list(zip(self.cutoffs, self.cutoffs[1:]))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input: Any, target: Any) -> AdaptiveLoss:
        x, classes = as_tensor(input), as_index(target)
        if x.shape[:-1] != classes.shape or x.ndim not in (1, 2):
            message = (
                f"AdaptiveLogSoftmaxWithLoss takes input (batch, {self.in_features}) and target (batch,), "
                f"got {shape_str(x.shape)} and {shape_str(classes.shape)}"
            )
            raise ShapeError(at_line(message, user_origin()))
        numbers = classes._data
        if numbers is not None and numbers.size and not 0 <= numbers.min() <= numbers.max() < self.n_classes:
            wrong = int(numbers.min() if numbers.min() < 0 else numbers.max())
            raise IndexingError(at_line(f"target {wrong} is none of {self.n_classes} classes", user_origin()))
        if x.ndim == 1:
            alone = self.forward(expand_dims(x, 0), expand_dims(classes, 0))
            return AdaptiveLoss(reshape(alone.output, ()), alone.loss)
        head = log_softmax(self.head(x), axis=1)
        out = _of_class(head, classes, 0, self.shortlist_size)
        for number, (low, high) in enumerate(self._intervals()):
            own = _of_class(log_softmax(self.tail[number](x), axis=1), classes, low, high)
            out = where(classes >= low, own + head[:, self.shortlist_size + number], out)
        return AdaptiveLoss(out, -mean(out))

    def log_prob(self, input: Any) -> Tensor:
        """The log-probabilities (batch, n_classes) of all classes."""
        x = as_tensor(input)
        head = log_softmax(self.head(x), axis=1)
        parts = [head[:, : self.shortlist_size]]
        for number, cluster in enumerate(self.tail, self.shortlist_size):
            parts.append(log_softmax(cluster(x), axis=1) + head[:, number : number + 1])
        return concat(parts, 1)

    def predict(self, input: Any) -> Tensor:
        """The most probable class of each sample."""
        return argmax(self.log_prob(input), axis=1)


def _of_class(scores: Tensor, classes: Tensor, low: int, high: int) -> Tensor:
    """Each sample's score of its class, for classes from ``low`` on; anything for others."""
    place = expand_dims(clip(classes - low, 0, high - low - 1), 1)
    return reshape(gather(scores, 1, place), classes.shape)
