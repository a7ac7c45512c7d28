"""The recording interpreter: ops become nodes of a graph, reads and assignments of variables become ordered nodes.

``Recorder`` serves graphs that users build by hand (``with graph:``): variables are read as they are at the start of a
run. ``FunctionRecorder`` serves traced functions, where Python's order is the program's order, and also follows
``.grad`` of the variables, so that ``loss.backward(); opt.step()`` can be traced.
"""

from __future__ import annotations

from typing import Any

from graphflow.core import config, dispatch
from graphflow.core.aval import AVal
from graphflow.core.errors import GradientError, GraphError, TraceError, at_line, user_origin
from graphflow.core.op import Op
from graphflow.ir.graph import Graph, Node
from graphflow.ops import special
from graphflow.tensor import Tensor


class Recorder:
    """Records into one graph."""

    by_hand = True  # whether users build this graph, and may add placeholders

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        graph._recorder = self
        self.finished: str | None = None  # the traced function, once its tracing is over: nothing is added any more
        self.reads: dict[Any, Node] = {}
        self.grads: dict[Any, Any] = {}  # .grad of variables, while recording
        self.consumed: set[Any] = set()  # variables whose gradient an optimizer step used up
        self.leaves: dict[Node, Tensor] = {}  # inputs that require a gradient
        self._constants: dict[int, tuple[Any, Node]] = {}
        self._replayed: dict[int, tuple[Tensor, Node]] = {}
        self._captured: set[Node] = set()  # constants that, as eager tensors, require a gradient

    # -- the interpreter --------------------------------------------------------------------------------------------
    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        nodes = [self.lift(a) for a in args]
        origin = user_origin()
        stop = not dispatch.state.grad_enabled
        if self.finished is not None:
            raise self._leaked(nodes[0] if nodes else None)
        try:
            node = self.graph.add(op, nodes, attrs, origin=origin, stop=stop)
        except GraphError:
            raise
        except Exception as error:
            if not error.args or not isinstance(error.args[0], str) or "\n  at " in error.args[0]:
                raise
            raise type(error)(at_line(f"{op.name}: {error.args[0]}", origin)) from None
        if type(node.aval) is tuple:
            return tuple(self._wrap(self._part(node, i), args, op) for i in range(len(node.aval)))
        if config.get("check_numerics") and op.kind not in ("view", "source", "effect") and node.aval.dtype.is_float:
            node = self.graph.add(
                special.CHECK_NUMERICS, (node,), {"label": node.name, "origin": origin}, origin=origin, stop=stop
            )
        return self._wrap(node, args)

    def _part(self, node: Node, index: int) -> Node:
        return self.graph.add(special.TUPLE_GET, (node,), {"index": index}, origin=node.origin, stop=node.stop)

    def _wrap(self, node: Node, args: tuple[Any, ...], op: Op | None = None) -> Tensor:
        """The symbolic tensor of a node; ``op`` is the one whose result it is, if that has several."""
        out = Tensor(None, node)
        if not node.stop and (op or node.op).vjp is not None:
            out.requires_grad = any(a.requires_grad for a in args)
        return out

    # -- concrete tensors in the graph --------------------------------------------------------------------------------
    def lift(self, t: Tensor) -> Node:
        """The node for a tensor: its own; for a concrete tensor, a constant.

        Outside ``with graph:`` ops on variables alone run eagerly. When such a result meets the graph, the ops behind
        it are recorded again, so that the graph follows the variables, as it reads.
        """
        node: Node | None = t._node
        if node is not None:
            if node.graph is not self.graph and (reason := node.graph.recorder.finished) is not None:
                raise _leak(node, reason)
            return node
        if t.requires_grad and dispatch.state.recorder is None:
            return self._replay(t)
        return self._constant(t)

    def constant_of(self, t: Tensor) -> Node | None:
        """The constant that stands for a concrete tensor, if the graph has met it."""
        have = self._constants.get(id(t._data)) or self._replayed.get(id(t))
        return have[1] if have is not None else None

    def _constant(self, t: Tensor) -> Node:
        key = id(t._data)
        if key not in self._constants:
            node = self.graph.add(special.CONSTANT, (), {"value": t._data}, origin=user_origin())
            self._constants[key] = (t._data, node)  # holding the array keeps its id from being used again
        node = self._constants[key][1]
        if t.requires_grad and dispatch.state.grad_enabled:
            self._captured.add(node)
        return node

    def _replay(self, root: Tensor) -> Node:
        """Record the ops that made an eager tensor from variables. A loop: tapes can be deep."""
        stack = [root]
        while stack:
            t = stack[-1]
            tape = t._tape
            if id(t) in self._replayed:
                stack.pop()
            elif tape is None or tape.op is None or not t.requires_grad:
                node = self.read_variable(t._variable)._node if t._variable is not None else self._constant(t)
                self._replayed[id(t)] = (t, node)
            elif waiting := [a for a in tape.args if a._node is None and id(a) not in self._replayed]:
                stack.extend(waiting)
            else:
                nodes = [a._node or self._replayed[id(a)][1] for a in tape.args]
                if tape.op.kind == "composite":  # a native call of eager mode: record what it is made of
                    with dispatch.recording(self):
                        operands = [Tensor(None, n, a.requires_grad) for n, a in zip(nodes, tape.args)]
                        made = tape.op.function(*operands)
                    made = made if isinstance(made, Tensor) else made[tape.attrs["_index"]]
                    self._replayed[id(t)] = (t, made._node)
                    continue
                attrs = {k: v for k, v in tape.attrs.items() if k != "_index"}
                node = self.graph.add(tape.op, nodes, attrs, origin=user_origin())
                node = self._part(node, tape.attrs["_index"]) if type(node.aval) is tuple else node
                self._replayed[id(t)] = (t, node)
        return self._replayed[id(root)][1]

    # -- state ------------------------------------------------------------------------------------------------------
    def read_variable(self, variable: Any) -> Tensor:
        """The value at the start of the run; after control dependencies, the value at this place in the program."""
        if self.graph._control:
            return self.read_variable_now(variable)
        node = self.reads.get(variable)
        if node is None:
            node = self._read(variable, "start")
            self.reads[variable] = node
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

    def variable_made(self, variable: Any) -> None:
        """Called by a Variable that is made while this records."""
        self.graph.created.append(variable)

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
        """The input whose ``.grad`` a node's gradient goes to."""
        if node in self._captured:
            raise GradientError(
                at_line(
                    f"backward reaches {node.aval.describe()}, an eager tensor from outside the graph that requires a "
                    "gradient; pass it as an argument, make it a gf.Variable, or .detach() it",
                    node.origin,
                )
            )
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

    # -- the end of tracing -------------------------------------------------------------------------------------------
    def finish(self, function: str) -> None:
        """Tracing is over: symbolic tensors that the function left somewhere raise TraceError when they are used."""
        self.finished = function

    def _leaked(self, node: Node | None) -> TraceError:
        return _leak(node, self.finished or self.graph.name)


def _leak(node: Node | None, function: str) -> TraceError:
    made = f"\n  it was made at {node.origin}" if node is not None and node.origin else ""
    what = f" ({node.aval.describe()})" if node is not None else ""
    return TraceError(
        at_line(
            f"this symbolic tensor{what} exists only while {function} is traced, but was kept outside it; "
            "return it from the function, or keep state in a gf.Variable",
            user_origin(),
        )
        + made
    )


class ConsumedGradient:
    """Stands in ``.grad`` for a gradient that a compiled step used up without keeping it; any use is an error."""

    def __init__(self, function: str) -> None:
        self._function = function

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise GradientError(
            at_line(
                f"the compiled {self._function} used this gradient up in the optimizer's step and did not keep it; "
                "return it from the function, or call zero_grad() before the next backward()",
                user_origin(),
            )
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()

    def __repr__(self) -> str:
        return f"<gradient used up by the compiled {self._function}>"

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _refuse
    __array__ = __float__ = __bool__ = __len__ = __iter__ = __getitem__ = __pow__ = __matmul__ = _refuse


class FunctionRecorder(Recorder):
    """Records one call of a Python function; reads and assignments follow Python's order."""

    by_hand = False

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.grad_inputs: dict[Any, Node] = {}  # gradients that existed before the call: hidden inputs
        self.had_grad: dict[Any, bool] = {}  # variables whose gradient from before the call was asked for
        self.guards: dict[tuple[Any, str], Any] = {}  # (object, attribute): facts of Python state the trace depends on
        self.differentiated = False  # whether backward() ran inside
        self._assigned: set[Any] = set()

    def read_variable(self, variable: Any) -> Tensor:
        node = self.reads.get(variable)
        if node is None:
            node = self._read(variable, "now" if variable in self._assigned else "start")
            self.reads[variable] = node
        return self._variable_tensor(node)

    read_variable_now = read_variable

    def assign_variable(self, variable: Any, value: Tensor) -> Tensor:
        super().assign_variable(variable, value)
        self._assigned.add(variable)
        self.reads.pop(variable, None)
        return self.read_variable(variable)  # as eagerly: the variable's value, through which gradients reach it

    def variable_made(self, variable: Any) -> None:
        raise TraceError(
            at_line(
                f"variable {variable.name!r} was made inside a traced function: every call would make it anew; make it "
                "outside, or once, under gf.init_scope()",
                user_origin(),
            )
        )

    def read_grad(self, variable: Any) -> Any:
        if variable not in self.grads:
            have = variable._grad
            self.had_grad[variable] = have is not None
            if have is None:
                self.grads[variable] = None
            elif isinstance(have, ConsumedGradient):
                return have
            else:
                aval = AVal(variable.shape, variable.dtype)
                self.grads[variable] = self.placeholder(aval, f"{variable.name}.grad")
                self.grad_inputs[variable] = self.grads[variable]._node
        return self.grads[variable]

    def write_grad(self, variable: Any, value: Any) -> None:
        super().write_grad(variable, value)
        self.differentiated = self.differentiated or value is not None

    def guard(self, owner: Any, attribute: str, value: Any) -> None:
        """Note that the trace depends on ``owner.attribute == value`` (a module's training flag)."""
        self.guards.setdefault((owner, attribute), value)
