"""Optimizer: parameter groups, slots, and one update rule that every mode runs.

A rule is written once, with the operators and the functions of a namespace ``xp``. Eager steps run it on the bare
arrays (``xp`` is NumPy), recorded steps on symbolic tensors (``xp`` holds GraphFlow's functions), where it becomes part
of the compiled program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from graphflow.autograd import sweep
from graphflow.core import config, dispatch
from graphflow.core.errors import GradientError, ShapeError, at_line, user_origin
from graphflow.ops.creation import ones_like
from graphflow.ops.define import FUNCTIONS, cast
from graphflow.optim import checkpoint
from graphflow.optim.hyperparameters import Hyperparameters
from graphflow.optim.native import NativeSteps
from graphflow.optim.slots import Slots, new_counters, new_slot
from graphflow.tensor import Operators, Tensor
from graphflow.variable import Variable

Group = dict[str, Any]

_GRAPH_FUNCTIONS = SimpleNamespace(**FUNCTIONS)


class Optimizer:
    """Base of the optimizers: a subclass says which slots it keeps and how one parameter is updated.

    params    Variables, or dicts of them with settings of their own (``{"params": [...], "lr": 0.1}``); None lets
              ``minimize`` take every trainable Variable that the loss depends on
    defaults  the settings of groups that do not say otherwise

    ``param_groups`` holds the settings; each step reads them, recorded or not, so they may change between steps.
    """

    counters: dict[str, int | float] = {}
    decoupled_weight_decay = False  # whether weight decay shrinks the parameter rather than adding to the gradient

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        _check_settings(type(self).__name__, defaults)
        self.defaults = defaults
        self.state: dict[Variable, Slots] = {}
        self.param_groups: list[Group] = []
        self._takes_all = params is None
        self._native_steps = NativeSteps()
        self._replaced = 0
        for group in _as_groups(params):
            self.add_param_group(group)

    # -- what subclasses write ----------------------------------------------------------------------------------------
    def slots(self, h: Hyperparameters) -> dict[str, float]:
        """The slots that a parameter needs under these settings, each with the number that fills it at first."""
        return {}

    def counts(self, h: Hyperparameters) -> dict[str, int | float]:
        """The counters and where they start; parameters that are first updated together share theirs."""
        return self.counters

    def scalars(self, xp: Any, h: Hyperparameters, count: SimpleNamespace) -> dict[str, Any]:
        """The numbers of one step, computed once for all parameters, in float64. ``count`` holds the counters."""
        return {"lr": h.lr}

    def update(self, xp: Any, p: Any, g: Any, slots: SimpleNamespace, s: SimpleNamespace) -> Any:
        """The new value of parameter ``p`` for gradient ``g``; new slot values are set as attributes of ``slots``."""
        raise TypeError(f"{type(self).__name__} does not define update()")

    # -- what users call ----------------------------------------------------------------------------------------------
    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with their own settings. Raises ValueError for a parameter that is in a group already."""
        own = dict(group)
        params = own.pop("params")
        own = {**self.defaults, **own, "params": _as_variables(params)}
        _check_settings(type(self).__name__, own)
        present = {id(p) for other in self.param_groups for p in other["params"]}
        for p in own["params"]:
            if id(p) in present:
                raise ValueError(f"{type(self).__name__}: parameter {p.name!r} is given twice")
            present.add(id(p))
        self.param_groups.append(own)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters."""
        for p in self._parameters():
            p.grad = None if set_to_none or p.grad is None else p.grad * 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        ``closure``, if given, computes the loss and its gradients first; its result is returned. Inside ``with graph:``
        the operation that updates is returned. Raises ValueError if the optimizer has no parameters.
        """
        loss = None
        if closure is not None:
            with dispatch.enable_grad():
                loss = closure()
        if not any(group["params"] for group in self.param_groups):
            raise ValueError(
                f"{type(self).__name__} has no parameters: give it model.parameters(), or use minimize(loss)"
            )
        pairs = {p: g for p in self._parameters() if (g := p.grad) is not None}
        done = self._apply(pairs)
        return loss if closure is not None else done

    def minimize(self, loss: Any, var_list: Iterable[Variable] | None = None) -> Any:
        """Compute the gradients of ``loss`` and update the variables (of ``var_list``, or all the optimizer has).

        In a graph it gives the operation that does so, for ``Session.run``. Eagerly ``loss`` is a tensor or a function
        that computes it, and the update happens at once. Raises GradientError if the loss depends on no such variable.
        """
        return self.apply_gradients(self.compute_gradients(loss, var_list))

    def compute_gradients(self, loss: Any, var_list: Iterable[Variable] | None = None) -> list[tuple[Any, Variable]]:
        """Pairs of gradient and variable, for changing gradients before ``apply_gradients``."""
        if callable(loss):
            with dispatch.enable_grad():
                loss = loss()
        wanted = list(var_list) if var_list is not None else None if self._takes_all else list(self._parameters())
        with _recording_of(loss), dispatch.no_grad():
            found = _variable_gradients(loss)
        chosen = list(found) if wanted is None else [v for v in wanted if v in found]
        if not chosen:
            raise GradientError(
                at_line(
                    f"{type(self).__name__}.minimize: the loss depends on no trainable variable"
                    + ("" if wanted is None else " of those to be updated"),
                    user_origin(),
                )
            )
        return [(found[v], v) for v in chosen]

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """Update variables by the given gradients; in a graph it gives the operation that does so."""
        pairs = {v: g for g, v in grads_and_vars if g is not None}
        present = {id(p) for p in self._parameters()}
        new = [v for v in pairs if id(v) not in present]
        if new and not self._takes_all:
            raise ValueError(
                f"{type(self).__name__} was given other parameters than {new[0].name!r}; add it with add_param_group"
            )
        self.param_groups[0]["params"].extend(new)
        with _recording_of(*pairs.values()):
            return self._apply(pairs)

    def state_dict(self) -> dict[str, Any]:
        """Slots and settings, in PyTorch's form: parameters are numbered in the order of the groups."""
        return checkpoint.state_dict(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take slots and settings from ``state_dict()`` (or PyTorch's). Raises StateError if the groups do not fit."""
        self._replaced += checkpoint.load_state_dict(self, state_dict)

    @property
    def layout(self) -> tuple[int, ...]:
        """What a compiled step depends on: the groups' sizes, and how often other counters were put in place."""
        return (self._replaced, *(len(group["params"]) for group in self.param_groups))

    def __repr__(self) -> str:
        groups = [", ".join(f"{k}={v}" for k, v in g.items() if k != "params") for g in self.param_groups]
        return f"{type(self).__name__}({'; '.join(groups)})"

    # -- the step -----------------------------------------------------------------------------------------------------
    def _parameters(self) -> Iterator[Variable]:
        return (p for group in self.param_groups for p in group["params"])

    def _apply(self, grads: Mapping[Variable, Any]) -> Any:
        recorder: Any = dispatch.state.recorder
        if getattr(recorder, "guard", None) is not None:
            recorder.guard(self, "layout", self.layout)
        for p, g in grads.items():  # before anything changes
            if g.shape != p.shape:
                raise ShapeError(f"the gradient of {p.name!r} has shape {g.shape}, the variable {p.shape}")
        if recorder is None and config.current.native and grads and self._native_steps.take(self, grads):
            return None
        assigned: list[Any] = []
        with dispatch.no_grad():
            for group in self.param_groups:
                params = [p for p in group["params"] if p in grads]
                if not params:
                    continue
                h = Hyperparameters(group)
                needed, counters = self.slots(h), self.counts(h)
                names = list(needed)
                self._make_state(params, needed, counters)
                for shared, members in self._by_counters(params, list(counters)):
                    slots = [[self.state[p][name] for name in names] for p in members]
                    own = [grads[p] for p in members]
                    run = self._compute if recorder is None else self._record
                    assigned += run(h, shared, members, own, slots, names)
        if recorder is None or hasattr(recorder, "guard"):  # eager and traced steps have happened
            return None
        from graphflow.trace.tracing import group as group_operation

        return group_operation(*assigned)

    def _compute(
        self, h: Hyperparameters, counters: Slots, params: Any, grads: Any, slots: Any, names: Any
    ) -> list[Any]:
        """The eager step: the rule on the variables' arrays."""
        count = SimpleNamespace(**{name: v._data.item() for name, v in counters.items()})
        with np.errstate(all="ignore"):
            s = self._scalars(np, h, count)
            by_dtype: dict[Any, SimpleNamespace] = {}
            for p, g, own in zip(params, grads, slots):
                dtype = p.dtype.np
                if dtype not in by_dtype:
                    by_dtype[dtype] = SimpleNamespace(**{k: _scalar(v, dtype.type) for k, v in s.items()})
                g = g._data if g._data.dtype == dtype else g._data.astype(dtype)
                at = SimpleNamespace(**dict(zip(names, (v._data for v in own))))
                new = self._rule(np, p._data, g, at, by_dtype[dtype])
                p._store(_owned(new, dtype))
                for name, v in zip(names, own):
                    v._store(_owned(getattr(at, name), v.dtype.np))
        for name, v in counters.items():
            v._store(np.asarray(getattr(count, name), v.dtype.np))
        return []

    def _record(
        self, h: Hyperparameters, counters: Slots, params: Any, grads: Any, slots: Any, names: Any
    ) -> list[Any]:
        """The recorded step: the rule on the variables' symbolic values, and an assignment for each."""
        consume = getattr(dispatch.state.recorder, "consume_grad", None)
        count = SimpleNamespace(**{name: v._read_now() for name, v in counters.items()})
        s = self._scalars(_GRAPH_FUNCTIONS, h, count)
        assigned = [v.assign(getattr(count, name)) for name, v in counters.items()]
        by_dtype: dict[Any, SimpleNamespace] = {}
        for p, g, own in zip(params, grads, slots):
            if p.dtype not in by_dtype:
                by_dtype[p.dtype] = SimpleNamespace(
                    **{k: cast(v, p.dtype) if isinstance(v, Tensor) else v for k, v in s.items()}
                )
            at = SimpleNamespace(**{name: v._read_now() for name, v in zip(names, own)})
            new = self._rule(_GRAPH_FUNCTIONS, p._read_now(), cast(g, p.dtype), at, by_dtype[p.dtype])
            assigned.append(p.assign(new))
            assigned += [v.assign(getattr(at, name)) for name, v in zip(names, own)]
            if consume is not None:
                consume(p)
        return assigned

    def _scalars(self, xp: Any, h: Hyperparameters, count: SimpleNamespace) -> dict[str, Any]:
        if hasattr(count, "step"):
            count.step = count.step + 1
        decay = h.optional("weight_decay")
        decoupled = self.decoupled_weight_decay or h.on("decoupled_weight_decay")
        return {
            **self.scalars(xp, h, count),
            "maximize": h.on("maximize"),
            "l2": None if decoupled else decay,
            "shrink": 1 - h.lr * decay if decoupled and decay is not None else None,
        }

    def _rule(self, xp: Any, p: Any, g: Any, slots: SimpleNamespace, s: SimpleNamespace) -> Any:
        if s.maximize:
            g = -g
        if s.l2 is not None:
            g = g + p * s.l2
        if s.shrink is not None:
            p = p * s.shrink
        return self.update(xp, p, g, slots, s)

    # -- slots --------------------------------------------------------------------------------------------------------
    def _make_state(self, params: Sequence[Variable], slots: Mapping[str, float], counters: Mapping[str, Any]) -> None:
        fresh: Slots = {}
        for p in params:
            own = self.state.setdefault(p, {})
            if not counters.keys() <= own.keys():
                fresh = fresh or new_counters(self, counters)
                own.update(fresh)
            for name, fill in slots.items():
                if name not in own:
                    own[name] = new_slot(p, name, fill)

    def _by_counters(self, params: list[Variable], names: list[str]) -> list[tuple[Slots, list[Variable]]]:
        """The parameters in parts that share their counters."""
        parts: dict[int, tuple[Slots, list[Variable]]] = {}
        for p in params:
            shared = {name: self.state[p][name] for name in names}
            key = id(shared[names[0]]) if names else 0
            parts.setdefault(key, (shared, []))[1].append(p)
        return list(parts.values())


def _scalar(value: Any, kind: Any) -> Any:
    """A number of the step in the parameters' dtype; flags and None stay."""
    return value if value is None or isinstance(value, bool) else kind(value)


def _owned(new: Any, dtype: Any) -> Any:
    return np.ascontiguousarray(new, dtype).reshape(np.shape(new))


def _as_groups(params: Any) -> list[Mapping[str, Any]]:
    if isinstance(params, (int, float)):
        raise TypeError(f"the first argument is the parameters, not the learning rate: write lr={params}")
    if params is None:
        return [{"params": []}]
    if isinstance(params, (Operators, Mapping)):
        raise TypeError(f"parameters come as a list, such as model.parameters(); got one {type(params).__name__}")
    params = list(params)
    if not params:
        raise ValueError(
            "the optimizer got an empty parameter list (a Module finds layers in attributes, nn.ModuleList and "
            "nn.ModuleDict, but not in plain lists and dicts)"
        )
    return params if isinstance(params[0], Mapping) else [{"params": params}]


def _as_variables(params: Any) -> list[Variable]:
    found: list[Any] = [params] if isinstance(params, Operators) else list(params)
    found = [p[1] if isinstance(p, tuple) else p for p in found]  # named_parameters() will do, too
    for p in found:
        if not isinstance(p, Variable):
            hint = "; tensors are immutable, keep it in a gf.Variable" if isinstance(p, Tensor) else ""
            raise TypeError(f"an optimizer updates Variables (Parameters), got a {type(p).__name__}{hint}")
    return found


_LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": (lambda v: v >= 0, "at least 0"),
    "eps": (lambda v: v >= 0, "at least 0"),
    "weight_decay": (lambda v: v >= 0, "at least 0"),
    "momentum": (lambda v: v >= 0, "at least 0"),
    "lr_decay": (lambda v: v >= 0, "at least 0"),
    "alpha": (lambda v: v >= 0, "at least 0"),
    "rho": (lambda v: 0 <= v <= 1, "between 0 and 1"),
    "betas": (lambda v: 0 <= v < 1, "in [0, 1)"),
}


def _check_settings(owner: str, settings: Mapping[str, Any]) -> None:
    for name, (fits, wanted) in _LIMITS.items():
        value = settings.get(name)
        for v in value if isinstance(value, (tuple, list)) else (value,):
            if v is not None and not isinstance(v, Operators) and not fits(v):
                raise ValueError(f"{owner}: {name} must be {wanted}, got {v}")


def _recording_of(*tensors: Any) -> Any:
    """Record into the tensors' graph, also outside its ``with`` block."""
    for t in tensors:
        if isinstance(t, Tensor) and t._node is not None and dispatch.state.recorder is None:
            return dispatch.recording(t._node.graph.recorder)
    return dispatch.recording(dispatch.state.recorder)


def _variable_gradients(loss: Tensor) -> dict[Variable, Tensor]:
    """The gradient of a scalar in every trainable Variable that it depends on."""
    if loss.shape != () or not loss.dtype.is_float:
        raise GradientError(
            at_line(f"minimize needs a floating-point scalar, got {loss.aval.describe()}", user_origin())
        )
    found: dict[Variable, Tensor] = {}
    for leaf, gradient in sweep([loss], [ones_like(loss)], None).values():
        variable = leaf._variable if leaf._node is None else leaf._node.attrs.get("variable")
        if variable is not None and variable.trainable:
            found[variable] = found[variable] + gradient if variable in found else gradient
    return found
