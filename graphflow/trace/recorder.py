"""The recording interpreter: ops become nodes of a graph, reads and assignments of variables become ordered nodes.

``Recorder`` serves graphs that users build by hand (``with graph:``): variables are read as they are at the start of a
run. ``FunctionRecorder`` serves traced functions, where Python's order is the program's order, and also follows
``.grad`` of the variables, so that ``loss.backward(); opt.step()`` can be traced.
"""

from __future__ import annotations

from typing import Any

from graphflow.core import config, dispatch
from graphflow.core.aval import AVal
from graphflow.core.errors import GraphError, at_line, user_origin
from graphflow.core.op import Op
from graphflow.ir.graph import Graph, Node
from graphflow.ops import special
from graphflow.tensor import Tensor


class Recorder:
    """Records into one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        graph._recorder = self
        self._reads: dict[Any, Node] = {}
        self._constants: dict[int, tuple[Any, Node]] = {}
        self.grads: dict[Any, Any] = {}  # .grad of variables, while recording
        self.consumed: set[Any] = set()  # variables whose gradient an optimizer step used up
        self.leaves: dict[Node, Tensor] = {}  # inputs that require a gradient

    # -- the interpreter --------------------------------------------------------------------------------------------
    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        nodes = [self.lift(a) for a in args]
        origin = user_origin()
        stop = not dispatch.state.grad_enabled
        try:
            node = self.graph.add(op, nodes, attrs, origin=origin, stop=stop)
        except GraphError:
            raise
        except Exception as error:
            if not error.args or not isinstance(error.args[0], str) or "\n  at " in error.args[0]:
                raise
            raise type(error)(at_line(f"{op.name}: {error.args[0]}", origin)) from None
        if type(node.aval) is tuple:
            return tuple(self._wrap(self._part(node, i), args) for i in range(len(node.aval)))
        if config.get("check_numerics") and op.kind not in ("view", "source", "effect") and node.aval.dtype.is_float:
            node = self.graph.add(
                special.CHECK_NUMERICS, (node,), {"label": node.name, "origin": origin}, origin=origin, stop=stop
            )
        return self._wrap(node, args)

    def _part(self, node: Node, index: int) -> Node:
        return self.graph.add(special.TUPLE_GET, (node,), {"index": index}, origin=node.origin, stop=node.stop)

    def _wrap(self, node: Node, args: tuple[Any, ...] = ()) -> Tensor:
        out = Tensor(None, node)
        if not node.stop and node.op.vjp is not None:
            out.requires_grad = any(a.requires_grad for a in args)
        return out

    def lift(self, t: Tensor) -> Node:
        """The node for a tensor: its own, or a constant for a concrete one."""
        if t._node is not None:
            return t._node  # type: ignore[no-any-return]
        key = id(t._data)
        if key not in self._constants or self._constants[key][0] is not t._data:
            node = self.graph.add(special.CONSTANT, (), {"value": t._data}, origin=user_origin())
            self._constants[key] = (t._data, node)
        return self._constants[key][1]

    # -- state ------------------------------------------------------------------------------------------------------
    def read_variable(self, variable: Any) -> Tensor:
        """The value at the start of the run; after control dependencies, the value at this place in the program."""
        if self.graph._control:
            return self.read_variable_now(variable)
        node = self._reads.get(variable)
        if node is None:
            node = self._read(variable, "start")
            self._reads[variable] = node
        return self._variable_tensor(node)

    def read_variable_now(self, variable: Any) -> Tensor:
        return self._variable_tensor(self._read(variable, "now"))

    def _read(self, variable: Any, when: str) -> Node:
        attrs = {"variable": variable, "when": when}
        return self.graph.add(special.VARIABLE_READ, (), attrs, name=variable.name, origin=user_origin())

    def _variable_tensor(self, node: Node) -> Tensor:
        out = Tensor(None, node)
        out.requires_grad = node.attrs["variable"].requires_grad
        return out

    def assign_variable(self, variable: Any, value: Tensor) -> Tensor:
        node = self.graph.add(
            special.VARIABLE_ASSIGN,
            (self.lift(value),),
            {"variable": variable},
            name=f"{variable.name}.assign",
            origin=user_origin(),
            stop=True,
        )
        return Tensor(None, node)

    # -- gradients kept by variables ----------------------------------------------------------------------------------
    def read_grad(self, variable: Any) -> Any:
        return self.grads.get(variable)

    def write_grad(self, variable: Any, value: Any) -> None:
        self.grads[variable] = value
        self.consumed.discard(variable)

    def consume_grad(self, variable: Any) -> None:
        """Called by optimizers: the gradient has done its work and need not outlive the compiled step."""
        self.consumed.add(variable)

    def leaf(self, node: Node) -> Tensor | None:
        return self.leaves.get(node)

    # -- inputs -----------------------------------------------------------------------------------------------------
    def placeholder(self, aval: AVal, name: str, requires_grad: bool = False) -> Tensor:
        node = self.graph.add(
            special.PLACEHOLDER, (), {"shape": aval.shape, "dtype": aval.dtype}, name=name, origin=user_origin()
        )
        out = Tensor(None, node, requires_grad=requires_grad)
        if requires_grad:
            self.leaves[node] = out
        return out

    def host_scalar(self, source: Any, dtype: Any, name: str) -> Tensor:
        """A number that Python code supplies at each run, such as a learning rate."""
        node = self.graph.add(
            special.HOST_SCALAR, (), {"source": source, "dtype": dtype}, name=name, origin=user_origin()
        )
        return Tensor(None, node)


class FunctionRecorder(Recorder):
    """Records one call of a Python function; reads and assignments follow Python's order."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.grad_inputs: dict[Any, Node] = {}  # gradients that existed before the call: hidden inputs
        self.guards: list[Any] = []  # (object, attribute, value) facts of Python state the trace depends on
        self._assigned: set[Any] = set()

    def read_variable(self, variable: Any) -> Tensor:
        node = self._reads.get(variable)
        if node is None:
            node = self._read(variable, "now" if variable in self._assigned else "start")
            self._reads[variable] = node
        return self._variable_tensor(node)

    read_variable_now = read_variable

    def assign_variable(self, variable: Any, value: Tensor) -> Tensor:
        out = super().assign_variable(variable, value)
        self._assigned.add(variable)
        self._reads.pop(variable, None)
        return out

    def read_grad(self, variable: Any) -> Any:
        if variable not in self.grads:
            have = variable._grad
            self.guards.append(("grad", variable, have is not None))
            if have is None:
                self.grads[variable] = None
            else:
                aval = AVal(variable.shape, variable.dtype)
                self.grads[variable] = self.placeholder(aval, f"{variable.name}.grad")
                self.grad_inputs[variable] = self.grads[variable]._node
        return self.grads[variable]

    def guard(self, owner: Any, attribute: str, value: Any) -> None:
        """Note that the trace depends on ``owner.attribute == value`` (a module's training flag)."""
        if (owner, attribute, value) not in self.guards:
            self.guards.append((owner, attribute, value))
