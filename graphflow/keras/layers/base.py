"""Layer: a ``gf.nn.Module`` that makes its weights when it first sees the shape of its input."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.dtypes import as_dtype, float32
from graphflow.core.errors import StateError, at_line, user_origin
from graphflow.core.tree import flatten
from graphflow.keras import config, constraints, initializers, regularizers
from graphflow.keras.layers.shapes import as_tensors, batch_count, places_for, shapes_of
from graphflow.keras.symbolic import KerasTensor, call_symbolically, infer, is_symbolic
from graphflow.nn.module import Module
from graphflow.ops.define import cast
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Parameter, Variable


class _Call(threading.local):
    """What layers inside a call need to know of the call around them."""

    training: bool | None = None
    losses: list[Any] | None = None  # what add_loss was given since the outermost call began


_call = _Call()


class Layer(Module, config.Configurable):
    """Base of layers: a subclass writes ``call(inputs)``, and ``build(input_shape)`` if it has weights.

    ``call`` may also take ``training`` and ``mask``. A layer trains if it is called with ``training=True``, or inside
    such a call, or after ``train()`` as any ``gf.nn.Module``.

    >>> import graphflow as gf
    >>> class Scale(gf.keras.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> layer = Scale()
    >>> layer(gf.ones((2, 3))).shape, layer.count_params()
    ((2, 3), 3)
    """

    kind = "layers"
    supports_masking = False

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        input_shape: Any = None,
        input_dim: int | None = None,
        batch_input_shape: Any = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown:
            raise TypeError(f"{type(self).__name__} takes no argument {', '.join(map(repr, unknown))}")
        given = (input_dim,) if input_shape is None and input_dim is not None else input_shape
        batch = (None, *((given,) if isinstance(given, int) else given)) if given is not None else batch_input_shape
        plain = self.__dict__
        plain["_training"] = False
        plain["_lists"] = {}  # attributes that are lists or dicts of layers
        plain["name"] = name or config.unique_name(config.snake_case(type(self).__name__))
        plain["built"] = False
        plain["nodes"] = []
        plain["given_input_shape"] = batch  # what Sequential builds from
        plain["activity_regularizer"] = regularizers.get(activity_regularizer)
        plain["compute_dtype"] = as_dtype(dtype) if dtype is not None else float32
        plain["_trainable"] = bool(trainable)
        plain["_call_losses"] = []

    # -- what subclasses write -------------------------------------------------------------------------------------
    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (with the batch axis, None for open sizes)."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(self, inputs)")

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the output, for the layers after it."""
        return previous_mask if self.supports_masking else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape that comes out for a shape that goes in; found by tracing the layer."""
        out = infer(self, (places_for(input_shape),), {})
        return out.shape if isinstance(out, KerasTensor) else [t.shape for t in flatten(out)[0]]

    # -- weights ---------------------------------------------------------------------------------------------------
    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
        **ignored: Any,
    ) -> Variable:
        """A new weight of the layer. ``initializer`` is Glorot's uniform one for numbers by default."""
        shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        kind = as_dtype(dtype) if dtype is not None else self.compute_dtype
        make = initializers.get(initializer or ("glorot_uniform" if kind.is_float else "zeros"))
        with dispatch.init_scope():
            value = np.asarray(as_tensor(make(shape, dtype=kind)).numpy(), kind.np)
            made = Parameter(value) if trainable and kind.is_float else Variable(value, trainable=False)
        name = name or f"weight_{len(self._parameters) + len(self._buffers)}"
        made.name = name
        made.regularizer, made.constraint = regularizers.get(regularizer), constraints.get(constraint)  # type: ignore[attr-defined]
        made.trainable = made.trainable and self._trainable
        # Registered at once, so that weights come in the order in which they were made, whatever attribute they get.
        (self._parameters if isinstance(made, Parameter) else self._buffers)[name] = made
        return made

    add_variable = add_weight

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Variable):  # one of add_weight keeps the place it has; its name becomes the attribute's
            for table in (self.__dict__.get("_parameters", {}), self.__dict__.get("_buffers", {})):
                old = next((n for n, v in table.items() if v is value), None)
                if old is not None:
                    kept = {name if n == old else n: v for n, v in table.items()}
                    table.clear()
                    table.update(kept)
                    object.__setattr__(self, name, value)
                    return
        if isinstance(value, (list, tuple, dict)) and "_lists" in self.__dict__:
            self._lists[name] = value
            self._track()
        if isinstance(value, Module) or (name in self.__dict__.get("_modules", {}) and value is not None):
            super().__setattr__(name, value)
            return
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
            return
        super().__setattr__(name, value)

    def _track(self) -> None:
        """Layers in lists and dicts become submodules, also those that were added to them since."""
        for name, container in self.__dict__.get("_lists", {}).items():
            for i, item in enumerate(flatten(container)[0]):
                if isinstance(item, Module) and all(item is not m for m in self._modules.values()):
                    self._modules[f"{name}_{i}"] = item

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        for layer in _tree(self):
            if isinstance(layer, Layer):
                layer._track()
        return super().named_modules(prefix, remove_duplicate)

    @property
    def weights(self) -> list[Variable]:
        """All weights, layer by layer."""
        found: dict[int, Variable] = {}
        for module in self.modules():
            for v in (*module._parameters.values(), *module._buffers.values()):
                if v is not None:
                    found.setdefault(id(v), v)
        return list(found.values())

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        return [v for v in self.weights if v.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that gradients do not change: statistics, and those of frozen layers."""
        return [v for v in self.weights if not v.trainable]

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The weights' values as NumPy arrays."""
        return [np.array(v.numpy()) for v in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Put values into the weights, in the order of ``get_weights``. Raises StateError where they do not fit."""
        own = self.weights
        arrays = [np.asarray(w) for w in weights]
        if [a.shape for a in arrays] != [v.shape for v in own]:
            unbuilt = "" if own or self.built else "; it is not built yet: call it, or build(input_shape), first"
            raise StateError(
                f"{self.name} has weights of shapes {[v.shape for v in own]}, got {[a.shape for a in arrays]}{unbuilt}"
            )
        with dispatch.no_grad():
            for v, a in zip(own, arrays):
                v.assign(a.astype(v.dtype.np))

    def count_params(self) -> int:
        """How many numbers the weights have. Raises StateError before they are made."""
        if not self.built and not self.weights:
            raise StateError(f"{self.name} is not built yet: call it on data, or build(input_shape), first")
        return sum(v._data.size for v in self.weights)

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it freezes or unfreezes all layers inside."""
        guard = getattr(dispatch.state.recorder, "guard", None)
        if guard is not None:
            guard(self, "trainable", self._trainable)
        return self._trainable  # type: ignore[no-any-return]

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for module in self.modules():
            if isinstance(module, Layer):
                module.__dict__["_trainable"] = bool(value)
            for v in module._parameters.values():
                if v is not None:
                    v.requires_grad_(bool(value))

    # -- losses of its own -----------------------------------------------------------------------------------------
    def add_loss(self, loss: Any) -> None:
        """Inside ``call``: a number that is added to the model's loss."""
        if _call.losses is None:
            raise RuntimeError(at_line("add_loss is for the inside of call()", user_origin()))
        _call.losses.extend(loss if isinstance(loss, (list, tuple)) else [loss])

    @property
    def losses(self) -> list[Any]:
        """The weights' regularizers now, and what the last call added."""
        own = [r(v) for v in self.trainable_weights if (r := getattr(v, "regularizer", None)) is not None]
        return own + list(self._call_losses)

    # -- calling ---------------------------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_symbolic(args) or is_symbolic(kwargs):
            return call_symbolically(self, args, kwargs)
        has_training, has_mask = call_takes(type(self))  # type: ignore[arg-type]
        args = tuple(as_tensors(a) for a in args)
        if not self.built:
            self._build_for(args, kwargs)
        training = kwargs.pop("training", None)
        if training is None:
            training = _call.training
        if has_training:
            kwargs["training"] = self.training if training is None else bool(training)
        if not has_mask:
            kwargs.pop("mask", None)
        outer = _call.training, _call.losses
        _call.training, _call.losses = training, [] if _call.losses is None else _call.losses
        try:
            out = super().__call__(*args, **kwargs)
            self._regularize_activity(out)
            if outer[1] is None:
                self.__dict__["_call_losses"] = _call.losses
            return out
        finally:
            _call.training, _call.losses = outer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def _build_for(self, args: Any, kwargs: Any) -> None:
        """Make the weights outside of whatever is being recorded: they are made once."""
        if args:
            shapes = shapes_of(args[0])
            with dispatch.init_scope():
                self.build(shapes)
        self.__dict__["built"] = True

    def _regularize_activity(self, out: Any) -> None:
        if self.activity_regularizer is not None:
            for t in flatten(out)[0]:
                penalty = self.activity_regularizer(t)
                self.add_loss(penalty / batch_count(t) if t.ndim else penalty)

    def _floats(self, x: Any) -> Tensor:
        """The input as numbers that weights can be multiplied with."""
        x = as_tensor(x)
        return x if x.dtype.is_float else cast(x, self.compute_dtype)

    # -- description -----------------------------------------------------------------------------------------------
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "name": self.name, **({} if self._trainable else {"trainable": False})}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A new layer from ``get_config()``; name and ``trainable`` need not be arguments of the class."""
        names = inspect.signature(cls.__init__).parameters
        takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in names.values())
        later = {} if takes_all else {k: config[k] for k in ("name", "trainable") if k in config and k not in names}
        made = super().from_config({k: v for k, v in config.items() if k not in later})
        for name, value in later.items():
            setattr(made, name, value)
        return made

    @property
    def input(self) -> Any:
        """The symbolic input of the first call in a functional model."""
        node = self._only_node()
        return node.inputs[0] if len(node.inputs) == 1 else node.inputs

    @property
    def output(self) -> Any:
        """The symbolic output of the first call in a functional model."""
        return self._only_node().outputs

    def _only_node(self) -> Any:
        if not self.nodes:
            raise AttributeError(f"{self.name} was not called on a symbolic tensor (gf.keras.Input) yet")
        return self.nodes[0]

    @property
    def path(self) -> str:
        return self.name  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        return self.compute_dtype

    def extra_repr(self) -> str:
        return f"name={self.name}"


@cache
def call_takes(cls: type) -> tuple[bool, bool]:
    """Whether ``call`` has the parameters ``training`` and ``mask``."""
    names = inspect.signature(cls.call).parameters  # type: ignore[attr-defined]
    return "training" in names, "mask" in names


def _tree(root: Module) -> Iterator[Module]:
    """Every module that can be reached, also through lists that are not tracked yet."""
    stack, seen = [root], set()
    while stack:
        module = stack.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield module
        stack.extend(m for m in module._modules.values() if m is not None)
