"""Module: a named tree of Variables with a ``forward``, which runs eagerly, compiled and in a Session's graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from graphflow.core import dispatch
from graphflow.core.dtypes import as_dtype
from graphflow.nn.hooks import Hooks, RemovableHandle
from graphflow.nn.state import Buffer, LoadResult, load_into
from graphflow.nn.tree import Tree, join
from graphflow.tensor import Operators, Tensor
from graphflow.variable import Parameter, Variable


class Module(Tree):
    """Base of all layers and models: assign parameters and submodules as attributes, write ``forward``.

    A Parameter or a trainable Variable assigned as an attribute is listed by ``parameters()``, any other Variable by
    ``buffers()``, a Module by ``children()``. Parameters are created with their values at once, also inside
    ``with graph:`` or under tracing.

    >>> import graphflow as gf
    >>> class Net(gf.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = gf.nn.Linear(3, 2)
    ...     def forward(self, x):
    ...         return self.fc(x).relu()
    >>> net = Net()
    >>> net(gf.ones((5, 3))).shape, list(net.state_dict())
    ((5, 2), ['fc.weight', 'fc.bias'])
    """

    _training: bool
    _hooks: Hooks | None = None
    _temporary: set[str]  # names of buffers that are not saved

    def __init__(self) -> None:
        # What is registered also stands in __dict__, so that reading an attribute is a plain dict lookup.
        set_plain = super().__setattr__
        set_plain("_parameters", {})
        set_plain("_buffers", {})
        set_plain("_modules", {})
        set_plain("_temporary", set())
        set_plain("_training", True)

    if TYPE_CHECKING:  # parameters, buffers and submodules are attributes that only run time knows

        def __getattr__(self, name: str) -> Any: ...

    # -- running ----------------------------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass writes it."""
        raise TypeError(f"{type(self).__name__} has no forward(); define forward(self, ...) in the class")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if dispatch.state.recorder is None and args and getattr(args[0], "_node", None) is not None:
            with dispatch.recording(args[0]._node.graph.recorder):  # outside `with graph:`, buffers are read in it, too
                return self(*args, **kwargs)
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._hooks.call(self, args, kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, if not None, replaces the arguments.

        ``prepend`` calls it before the hooks there are; ``with_kwargs`` as ``hook(module, args, kwargs)``, which
        returns both.
        """
        return self._own_hooks().add("before", hook, with_kwargs, prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, if not None, replaces the output.

        ``prepend`` calls it before the hooks there are; ``with_kwargs`` as ``hook(module, args, kwargs, output)``.
        """
        return self._own_hooks().add("after", hook, with_kwargs, prepend)

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    # -- building ---------------------------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Variable):
            if isinstance(value, Parameter) or value.trainable:
                self.register_parameter(name, value)
            else:
                kept = (
                    value.persistent if isinstance(value, Buffer) else name not in self.__dict__.get("_temporary", ())
                )
                self.register_buffer(name, value, persistent=kept)
            return
        if isinstance(value, Module):
            self.register_module(name, value)
            return
        registry = self._registry_of(name)
        if registry is None:
            super().__setattr__(name, value)
        elif value is None:
            registry[name] = None
            super().__setattr__(name, None)
        elif registry is self.__dict__["_buffers"] and registry[name] is not None:
            registry[name].assign(value)  # `self.count = self.count + 1` is an assignment of state, in every mode
        elif isinstance(value, Operators) and registry is self.__dict__["_buffers"]:
            self.register_buffer(name, value)
        else:
            kind = "module" if registry is self.__dict__["_modules"] else "parameter"
            raise TypeError(
                f"cannot set the {kind} {name!r} of {type(self).__name__} to a {type(value).__name__}"
                + (f"; change its value with .{name}.assign(...)" if kind == "parameter" else "")
            )

    def __delattr__(self, name: str) -> None:
        registry = self._registry_of(name)
        if registry is not None:
            del registry[name]
            self.__dict__["_temporary"].discard(name)
        super().__delattr__(name)

    def _registry_of(self, name: str) -> dict[str, Any] | None:
        for kind in ("_parameters", "_buffers", "_modules"):
            registry: dict[str, Any] | None = self.__dict__.get(kind)
            if registry is not None and name in registry:
                return registry
        return None

    def _register(self, kind: str, name: str, value: Any) -> None:
        if kind not in self.__dict__:
            raise AttributeError(f"call super().__init__() in {type(self).__name__}.__init__ before assigning {name!r}")
        if not isinstance(name, str) or "." in name or not name:
            raise KeyError(f"a name without dots is needed, got {name!r}")
        if hasattr(Module, name):
            raise KeyError(f"{name!r} is an attribute of every Module already; choose another name")
        old = self._registry_of(name)
        if old is not None and old is not self.__dict__[kind]:
            del old[name]
        self.__dict__[kind][name] = value
        super().__setattr__(name, value)

    def register_parameter(self, name: str, param: Variable | None) -> None:
        """Add a parameter (or None: a place that a subclass or user may fill). Raises TypeError for other values."""
        if param is not None and not isinstance(param, Variable):
            raise TypeError(f"parameter {name!r} must be a Parameter or None, got {type(param).__name__}")
        self._register("_parameters", name, param)
        if param is not None and param.name == _UNNAMED:
            param.name = name

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add state that is no parameter (running statistics); ``persistent=False`` keeps it out of ``state_dict``.

        A tensor, array or number becomes a Variable with ``trainable=False``; assigning to the attribute later assigns
        to that Variable.
        """
        if tensor is not None and not isinstance(tensor, Variable):
            tensor = Variable(tensor, name=name, trainable=False)
        self._register("_buffers", name, tensor)
        (self._temporary.discard if persistent else self._temporary.add)(name)
        if tensor is not None and tensor.name == _UNNAMED:
            tensor.name = name

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name. Raises TypeError if it is not a Module."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"submodule {name!r} must be a Module, got {type(module).__name__}")
        self._register("_modules", name, module)
        if module is not None:
            for path, variable in module._named_variables():  # "weight" becomes "fc.weight" as the tree grows
                if variable.name == path:
                    variable.name = f"{name}.{path}"

    add_module = register_module

    # -- state ------------------------------------------------------------------------------------------------------
    def state_dict(self, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Parameters and persistent buffers by path, as tensors that later training does not change.

        With ``keep_vars`` the Parameters and Variables themselves.
        """
        found = self._persistent(prefix)
        return dict(found) if keep_vars else {path: Tensor(variable.snapshot()._data) for path, variable in found}

    def _persistent(self, prefix: str = "") -> Iterator[tuple[str, Variable]]:
        """What is saved, in PyTorch's order: a module's parameters, then its buffers, then its submodules."""
        for path, module in self.named_modules(prefix.rstrip("."), remove_duplicate=False):
            for name, variable in (*module._parameters.items(), *module._buffers.items()):
                if variable is not None and name not in module._temporary:
                    yield join(path, name), variable

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> LoadResult:
        """Set parameters and buffers from tensors or arrays by path (PyTorch's too), in their own dtypes.

        With ``assign`` they get the dtypes of the values. Nothing changes unless everything fits. Raises StateError
        listing every missing and unexpected key (unless ``strict`` is False) and every shape that differs.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict takes a dict (gf.load(path) gives it), got a {type(state_dict).__name__}")
        return load_into(type(self).__name__, dict(self._persistent()), state_dict, strict, assign)

    # -- changing everything at once --------------------------------------------------------------------------------
    @property
    def training(self) -> bool:
        """Whether the module is in training mode; a compiled function that asks is traced anew when it changes."""
        recorder = dispatch.state.recorder
        if recorder is not None:
            guard = getattr(recorder, "guard", None)
            if guard is not None:
                guard(self, "training", self._training)
        return self._training

    @training.setter
    def training(self, value: bool) -> None:
        self.__dict__["_training"] = bool(value)

    def train(self, mode: bool = True) -> Any:
        """Switch training mode on (dropout drops, batch normalisation uses the batch) for all submodules."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        """Switch training mode off."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Freeze (False) or unfreeze all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters."""
        for parameter in self.parameters():
            clear_grad(parameter, set_to_none)

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Call ``fn`` with every submodule and then this module, for example to initialise weights."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Any:
        """Convert floating-point parameters and buffers to a dtype, in place; the only device is ``"cpu"``."""
        for value in args:
            if value == "cpu" if isinstance(value, str) else value is None:
                device = value
            else:
                dtype = value
        if device not in (None, "cpu"):
            raise ValueError(f"no device {device!r}; there is: 'cpu'")
        if dtype is not None:
            target = as_dtype(dtype)
            if not target.is_float:
                raise TypeError(f"modules are converted to floating-point dtypes only, got {target}")
            for _, variable in self._named_variables():
                if variable.dtype.is_float and variable.dtype is not target:
                    variable.convert(target)
        return self

    def float(self) -> Any:
        """``to("float32")``."""
        return self.to(dtype="float32")

    def double(self) -> Any:
        """``to("float64")``."""
        return self.to(dtype="float64")

    def half(self) -> Any:
        """``to("float16")``."""
        return self.to(dtype="float16")

    def bfloat16(self) -> Any:
        """``to("bfloat16")``."""
        return self.to(dtype="bfloat16")

    def type(self, dst_type: Any) -> Any:
        """``to(dtype)``."""
        return self.to(dtype=dst_type)

    def cpu(self) -> Any:
        """``to("cpu")``."""
        return self

    # -- printing ---------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands between the parentheses in ``repr``: the layer's settings."""
        return ""

    def _repr_html_(self) -> str:
        from graphflow.viz.summary import summary

        return summary(self)._repr_html_()

    def __repr__(self) -> str:
        lines = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        body = "\n  ".join(([extra] if extra else []) + lines)
        return f"{type(self).__name__}(\n  {body}\n)"


_UNNAMED = "variable"  # the name of a Variable that was given none


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def clear_grad(variable: Any, set_to_none: bool = True) -> None:
    """Forget a variable's gradient, or make it zeros."""
    if set_to_none or variable.grad is None:
        variable.grad = None
    else:
        variable.grad = variable.grad * 0
