"""Mixed precision: products in bfloat16 or float16, weights and everything delicate in float32.

>>> model = gf.nn.Linear(4, 2)
>>> with gf.autocast(dtype=gf.bfloat16):
...     y = gf.ones((3, 4)) @ gf.ones((4, 2))
...     loss = model(gf.ones((3, 4))).sum()
>>> y.dtype, loss.dtype, model.weight.dtype
(graphflow.bfloat16, graphflow.float32, graphflow.float32)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.config import config
from graphflow.core.dtypes import DType, as_dtype, bfloat16, float16, float32
from graphflow.core.errors import StateError, at_line, user_origin
from graphflow.core.op import Op
from graphflow.ops.define import cast
from graphflow.ops.elementwise import where
from graphflow.ops.logic import isfinite, logical_and
from graphflow.ops.reduce import all as all_of
from graphflow.tensor import Eager, as_tensor
from graphflow.trace.recorder import Recorder
from graphflow.train.steps import step_where
from graphflow.variable import Variable

_LOWERED = frozenset({"matmul", "conv"})
_RAISED = frozenset(
    ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "pow", "rsqrt", "reciprocal"]
    + ["sum", "prod", "cumsum", "cumprod"]
)


# -- autocast ---------------------------------------------------------------------------------------------------------
class _Casting(threading.local):
    dtype: DType | None = None


_casting = _Casting()
_lock = threading.Lock()
_users = 0  # how many autocast blocks are open, in all threads
_originals: dict[type, Any] = {}


class autocast:
    """Inside the block (or the decorated function) matrix products and convolutions take and give ``dtype``.

    dtype    bfloat16 or float16; None for bfloat16
    enabled  False changes nothing; inside another block it switches that off

    Exponentials, logarithms, powers and sums are computed in float32, everything else in the dtypes that come:
    parameters stay float32, and so do layers' results where a float32 bias is added. Gradients reach float32 parameters
    in float32; ``backward`` belongs behind the block. A compiled function may have the block inside, or be called
    inside it. PyTorch's ``device_type`` may come first.
    """

    def __init__(
        self, device_type: str = "cpu", dtype: Any = None, enabled: bool = True, cache_enabled: bool = True
    ) -> None:
        if not isinstance(device_type, str) or device_type != "cpu":
            raise ValueError(f"the only device_type is 'cpu', got {device_type!r}; give dtype by its name")
        self.dtype = bfloat16 if dtype is None else as_dtype(dtype)
        self.enabled = enabled
        if enabled and self.dtype not in (bfloat16, float16):
            raise ValueError(f"autocast computes in bfloat16 or float16, got {self.dtype}")
        self._outer: list[Any] = []

    def __enter__(self) -> autocast:
        # Eager composites run as written, so that their products are seen; compiled functions are traced anew.
        settings = config(native_after=-1, autocast_dtype=self.dtype.name if self.enabled else None)
        settings.__enter__()
        self._outer.append((_casting.dtype, settings))
        _casting.dtype = self.dtype if self.enabled else None
        _open()
        return self

    def __exit__(self, *exc: Any) -> None:
        _close()
        _casting.dtype, settings = self._outer.pop()
        settings.__exit__(*exc)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return inside


def _open() -> None:
    """Let the interpreters look at operands while a block is open; at other times they are as fast as ever."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for kind in (Eager, Recorder):
                _originals[kind] = kind.apply
                kind.apply = _with_casts(kind.apply)  # type: ignore[method-assign]


def _close() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            for kind, original in _originals.items():
                kind.apply = original  # type: ignore[attr-defined]


def _with_casts(original: Callable[..., Any]) -> Callable[..., Any]:
    def apply(self: Any, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        dtype = _casting.dtype
        if dtype is not None:
            if op.name in _LOWERED:
                args = _cast_all(args, float32, dtype)
            elif op.name in _RAISED:
                args = _cast_all(args, dtype, float32)
        return original(self, op, args, attrs)

    return apply


def _cast_all(args: tuple[Any, ...], source: DType, target: DType) -> tuple[Any, ...]:
    """Operands of one dtype in another, unless there are wider ones among them."""
    if not any(a.dtype is source for a in args) or not all(a.dtype in (source, target) for a in args):
        return args
    return tuple(cast(a, target) if a.dtype is source else a for a in args)


# -- loss scaling -----------------------------------------------------------------------------------------------------
class GradScaler:
    """Keeps float16 gradients from vanishing: the loss is scaled up, and the gradients down before the step.

    Steps with an infinite or NaN gradient are left out, and the scale is lowered by ``backoff_factor``; after
    ``growth_interval`` good steps in a row it is raised by ``growth_factor``. Works eagerly and in compiled functions.

    >>> w = gf.Variable([2.0]); optimizer = gf.optim.SGD([w], lr=0.1); scaler = gf.train.GradScaler(init_scale=8.0)
    >>> scaler.scale((w * w).sum()).backward(); w.grad.item()
    32.0
    >>> scaler.step(optimizer); scaler.update(); w.numpy().round(4)
    array([1.6], dtype=float32)
    """

    def __init__(
        self,
        device: str = "cpu",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if growth_factor <= 1 or not 0 < backoff_factor < 1 or growth_interval < 1 or init_scale <= 0:
            raise ValueError("growth_factor must be above 1, backoff_factor between 0 and 1, the others positive")
        self.growth_factor = growth_factor
        self.backoff_factor = backoff_factor
        self.growth_interval = growth_interval
        self.enabled = enabled
        with dispatch.init_scope():
            self._scale = Variable(np.float32(init_scale), name="loss_scale", trainable=False)
            self._good_steps = Variable(np.int64(0), name="good_steps", trainable=False)
        self._finite: dict[int, Any] = {}  # by optimizer: whether the gradients of this step are

    def scale(self, outputs: Any) -> Any:
        """The loss (or a list or tuple of losses) times the scale."""
        if not self.enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(o) for o in outputs)
        return cast(as_tensor(outputs), float32) * self._scale._read_now()

    def unscale_(self, optimizer: Any) -> None:
        """Divide the optimizer's gradients by the scale: before clipping them, say. ``step`` does it otherwise."""
        if not self.enabled:
            return
        if id(optimizer) in self._finite:
            raise StateError(at_line("unscale_() was called already since the last update()", user_origin()))
        finite: Any = as_tensor(True)
        with dispatch.no_grad():
            inverse = 1.0 / self._scale._read_now()
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.grad = cast(p.grad, float32) * inverse if p.dtype is not float32 else p.grad * inverse
                        finite = logical_and(finite, all_of(isfinite(p.grad)))
        self._finite[id(optimizer)] = finite

    def step(self, optimizer: Any) -> None:
        """``optimizer.step()``, unless a gradient is infinite or NaN."""
        if not self.enabled:
            optimizer.step()
            return
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        step_where(optimizer, self._finite[id(optimizer)])

    def update(self, new_scale: Any = None) -> None:
        """Adapt the scale, after the steps of all optimizers."""
        if not self.enabled:
            return
        if not self._finite and new_scale is None:
            raise StateError(at_line("update() comes after step(): no gradients were looked at", user_origin()))
        with dispatch.no_grad():
            if new_scale is not None:
                self._scale.assign(cast(as_tensor(new_scale), float32))
            else:
                self._adapt()
        self._finite = {}

    def _adapt(self) -> None:
        finite: Any = as_tensor(True)
        for each in self._finite.values():
            finite = logical_and(finite, each)
        scale, good = self._scale._read_now(), self._good_steps._read_now() + 1
        due = logical_and(finite, good >= self.growth_interval)
        grown = where(due, scale * self.growth_factor, scale)
        # A scale that has grown to infinity would never come back.
        grown = where(isfinite(grown), grown, scale)
        self._scale.assign(where(finite, grown, scale * self.backoff_factor))
        self._good_steps.assign(where(logical_and(finite, due == False), good, 0))  # noqa: E712 - of tensors

    def get_scale(self) -> float:
        """The scale now."""
        return self._scale.item() if self.enabled else 1.0  # type: ignore[no-any-return]

    def is_enabled(self) -> bool:
        return self.enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale and settings."""
        return {
            "scale": self.get_scale(),
            "growth_factor": self.growth_factor,
            "backoff_factor": self.backoff_factor,
            "growth_interval": self.growth_interval,
            "good_steps": self._good_steps.item(),
        }

    def load_state_dict(self, state: Any) -> None:
        """Take scale and settings from ``state_dict()``."""
        for name in ("growth_factor", "backoff_factor", "growth_interval"):
            setattr(self, name, state[name])
        self._scale._store(np.array(state["scale"], np.float32))
        self._good_steps._store(np.array(state["good_steps"], np.int64))


# -- policies ---------------------------------------------------------------------------------------------------------
class Policy:
    """Which dtypes a training step uses, by Keras's names: "float32", "mixed_bfloat16", "mixed_float16".

    >>> policy = gf.train.Policy("mixed_bfloat16")
    >>> policy.compute_dtype, policy.variable_dtype
    (graphflow.bfloat16, graphflow.float32)
    """

    def __init__(self, name: str = "float32") -> None:
        compute = {"float32": float32, "mixed_bfloat16": bfloat16, "mixed_float16": float16}.get(name)
        if compute is None:
            raise ValueError(f"a policy is 'float32', 'mixed_bfloat16' or 'mixed_float16', got {name!r}")
        self.name = name
        self.compute_dtype = compute
        self.variable_dtype = float32

    def autocast(self) -> autocast:
        """The block for the forward pass."""
        mixed = self.compute_dtype is not float32
        return autocast(dtype=self.compute_dtype if mixed else None, enabled=mixed)

    def scaler(self, **settings: Any) -> GradScaler:
        """A GradScaler, which does something for float16 only: bfloat16 has float32's range."""
        return GradScaler(enabled=self.compute_dtype is float16, **settings)

    def __repr__(self) -> str:
        return f"Policy({self.name!r})"
