"""The normal distribution function, and GELU, which is made of it.

GELU is a record so that its gradient can be: the slope does not depend on what comes from behind, so a compiled program
computes it beside the value, where both share the distribution function, and stores it in place of the argument.
"""

from __future__ import annotations

import math
from typing import Any

from graphflow.ops import _numpy_special as special
from graphflow.ops.define import elementwise
from graphflow.ops.elementwise import square
from graphflow.ops.mathematical import exp
from graphflow.tensor import Tensor

_DENSITY_AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)
DISTRIBUTION_COST = 65  # so much that it is not computed again where it is needed again


def _density(x: Tensor) -> Any:
    return exp(square(x) * -0.5) * _DENSITY_AT_ZERO


def _distribution(x: Any) -> Any:
    kind = x.dtype.type
    return kind(0.5) * (kind(1.0) + special.erf(x * kind(math.sqrt(0.5))))


ndtr = elementwise(
    "ndtr",
    _distribution,
    lambda b, x: b.ndtr(x),
    lambda g, out, x: (g * _density(x),),
    dtypes="float",
    cost=DISTRIBUTION_COST,
    doc="The distribution function of the standard normal distribution (PyTorch's ``torch.special.ndtr``).",
)

gelu = elementwise(
    "gelu",
    lambda x: x * _distribution(x),
    lambda b, x: x * b.ndtr(x),
    lambda g, out, x: (g * (ndtr(x) + x * _density(x)),),
    dtypes="float",
    cost=DISTRIBUTION_COST,
    doc="x * ndtr(x) (Hendrycks and Gimpel 2016).",
)
