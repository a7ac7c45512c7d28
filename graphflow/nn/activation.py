"""Activation layers: each is a function of ``nn.functional`` with its settings kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.nn.linear import new_parameter
from graphflow.nn.module import Module
from graphflow.tensor import Tensor, as_tensor

_REQUIRED = object()  # a setting that has no default


class Activation(Module):
    """Base of the activation layers: ``function(input, **settings)``.

    ``inplace`` is accepted as in PyTorch and changes nothing: tensors are immutable.
    """

    function: Callable[..., Tensor]
    defaults: dict[str, Any]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__()
        name = type(self).__name__
        accepted = {**self.defaults, "inplace": False}
        if len(args) > len(accepted):
            raise TypeError(f"{name} takes at most {len(accepted)} arguments, got {len(args)}")
        given = {**dict(zip(accepted, args)), **settings}
        unknown = [key for key in given if key not in accepted]
        missing = [key for key, value in accepted.items() if value is _REQUIRED and key not in given]
        if unknown or missing:
            wrong = f"no setting {unknown[0]!r}" if unknown else f"the setting {missing[0]!r} is missing"
            raise TypeError(f"{name}: {wrong}; there are: {', '.join(accepted)}")
        for key, value in {**accepted, **given}.items():
            setattr(self, key, value)

    def forward(self, input: Any) -> Tensor:
        return type(self).function(input, **{key: getattr(self, key) for key in self.defaults})

    def extra_repr(self) -> str:
        shown = [f"{key}={getattr(self, key)!r}" for key in self.defaults]
        return ", ".join(shown + ["inplace=True"] * self.inplace)


def _activation(name: str, function: Callable[..., Tensor], **defaults: Any) -> type[Activation]:
    doc = f"{(function.__doc__ or name).splitlines()[0]} (See ``nn.functional.{function.__name__}``.)"
    body = {"function": staticmethod(function), "defaults": defaults, "__doc__": doc, "__module__": __name__}
    return type(name, (Activation,), body)


ReLU = _activation("ReLU", F.relu)
ReLU6 = _activation("ReLU6", F.relu6)
LeakyReLU = _activation("LeakyReLU", F.leaky_relu, negative_slope=0.01)
ELU = _activation("ELU", F.elu, alpha=1.0)
CELU = _activation("CELU", F.celu, alpha=1.0)
SELU = _activation("SELU", F.selu)
GELU = _activation("GELU", F.gelu, approximate="none")
SiLU = _activation("SiLU", F.silu)
Mish = _activation("Mish", F.mish)
Sigmoid = _activation("Sigmoid", F.sigmoid)
LogSigmoid = _activation("LogSigmoid", F.logsigmoid)
Hardsigmoid = _activation("Hardsigmoid", F.hardsigmoid)
Hardswish = _activation("Hardswish", F.hardswish)
Tanh = _activation("Tanh", F.tanh)
Hardtanh = _activation("Hardtanh", F.hardtanh, min_val=-1.0, max_val=1.0)
Softplus = _activation("Softplus", F.softplus, beta=1.0, threshold=20.0)
Softsign = _activation("Softsign", F.softsign)
Tanhshrink = _activation("Tanhshrink", F.tanhshrink)
Hardshrink = _activation("Hardshrink", F.hardshrink, lambd=0.5)
Softshrink = _activation("Softshrink", F.softshrink, lambd=0.5)
Threshold = _activation("Threshold", F.threshold, threshold=_REQUIRED, value=_REQUIRED)
GLU = _activation("GLU", F.glu, dim=-1)
Softmax = _activation("Softmax", F.softmax, dim=-1)
LogSoftmax = _activation("LogSoftmax", F.log_softmax, dim=-1)
Softmin = _activation("Softmin", F.softmin, dim=-1)


class RReLU(Module):
    """``input`` where positive, else times a slope: drawn for each element in training, the middle one otherwise.

    (Xu et al. 2015: ``F.rrelu``.) ``inplace`` changes nothing.
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + ", inplace=True" * self.inplace


class Softmax2d(Module):
    """The softmax over the channels at each place of (batch, channels, height, width), or without batch."""

    def forward(self, input: Any) -> Tensor:
        x = as_tensor(input)
        if x.ndim not in (3, 4):
            message = f"Softmax2d takes (batch, channels, height, width), or without batch, got {shape_str(x.shape)}"
            raise ShapeError(at_line(message, user_origin()))
        return F.softmax(x, -3)


class PReLU(Module):
    """``input`` where positive, else ``weight * input`` with a learned weight, one or one for each channel."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = new_parameter((num_parameters,), dtype, device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Go back to the slope ``init``."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Any) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
