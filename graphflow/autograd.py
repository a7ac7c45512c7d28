"""Reverse-mode differentiation: one sweep over op records, with two callers (the eager tape and graph gradients).

An eager tensor remembers the op that made it (``Tape``); a symbolic tensor's node is that op. Both give the same triple
(op, operands, attrs), so one sweep serves both. Gradient rules are written in graphflow functions: swept with gradients
enabled, their results are differentiable again, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.core import config, dispatch
from graphflow.core.dims import Dim
from graphflow.core.errors import GradientError, at_line, user_origin
from graphflow.core.op import Op
from graphflow.tensor import Operators, Tensor, as_tensor

Producer = tuple[Op, Sequence[Tensor], dict[str, Any]]


def _key(t: Tensor) -> int:
    """Symbolic tensors are wrappers made on demand; their node is what they are."""
    return id(t._node) if t._node is not None else id(t)


def _producer(t: Tensor) -> Producer | None:
    """The op that made t and its operands, or None for a leaf or where no gradient passes."""
    node = t._node
    if node is not None:
        attrs = node.attrs
        if node.op.name == "tuple_get":  # one of several results: the rule of the op that has them takes its number
            whole = node.inputs[0]
            if whole.op.joint:  # the gradients of all results meet there first
                return None if node.stop else (node.op, [Tensor(None, whole)], attrs)
            attrs = {**whole.attrs, "_index": attrs["index"]}
            node = whole
        if node.stop or node.op.vjp is None or not node.inputs:
            return None
        return node.op, [Tensor(None, n) for n in node.inputs], attrs
    tape = t._tape
    if tape is None:
        return None
    if tape is _FREED:
        raise _freed()
    return tape.op, tape.args, tape.attrs


Visit = tuple[int, Tensor, "Producer | None", list[int]]
"""A tensor on the way of the sweep: its key, itself, the op that made it and the keys of its operands."""


def _topological(roots: Sequence[Tensor], relevant: Callable[[Tensor, int], bool]) -> list[Visit]:
    """Tensors that the roots depend on, each after its operands. A loop, not recursion: tapes can be deep."""
    done: set[int] = set()
    order: list[Visit] = []
    stack: list[Any] = list(roots)
    while stack:
        item = stack.pop()
        if type(item) is tuple:  # its operands have been visited
            order.append(item)
            continue
        key = _key(item)
        if key in done:
            continue
        done.add(key)
        producer = _producer(item)
        if producer is None:
            order.append((key, item, None, []))
            continue
        args = producer[1]
        keys = [_key(a) for a in args]
        stack.append((key, item, producer, keys))
        for a, k in zip(args, keys):
            if k not in done and relevant(a, k):
                stack.append(a)
    return order


def unbroadcast(g: Tensor, like: Tensor) -> Tensor:
    """Sum a gradient over the axes along which its operand was broadcast."""
    shape, target = g.shape, like.shape
    if shape == target:
        return g
    lead = len(shape) - len(target)
    axes = tuple(range(lead)) + tuple(
        i + lead for i, s in enumerate(target) if not isinstance(s, Dim) and s == 1 and shape[i + lead] != 1
    )
    if axes:
        g = g.sum(axis=axes)  # type: ignore[attr-defined]
    return g if g.shape == target else g.reshape(target)  # type: ignore[attr-defined]


def sweep(roots: Sequence[Tensor], seeds: Sequence[Tensor], wanted: dict[int, Tensor] | None) -> dict[int, Any]:
    """The gradients of sum(root * seed), by key: of the ``wanted`` tensors, or of all leaves if None."""

    def relevant(t: Tensor, key: int) -> bool:
        return t._node is not None or t.requires_grad or (wanted is not None and key in wanted)

    order = _topological(roots, relevant)
    needed: set[int] = set()
    for key, _, producer, keys in order:  # operands come first: mark what lies between the wanted tensors and the roots
        own = key in wanted if wanted is not None else producer is None
        if own or not needed.isdisjoint(keys):
            needed.add(key)
    grads: dict[int, Any] = {}
    kept: dict[int, Any] = {}
    for root, seed in zip(roots, seeds, strict=True):
        _accumulate(grads, _key(root), seed)
    for key, t, producer, keys in reversed(order):
        g = grads.pop(key, None)
        if g is None or key not in needed:
            continue
        if producer is None or (wanted is not None and key in wanted):
            kept[key] = (t, g)
        if producer is None or needed.isdisjoint(keys):
            continue
        op, args, attrs = producer
        if op.name == "tuple_get":
            _accumulate(grads.setdefault(keys[0], {}), attrs["index"], g)
            continue
        if op.vjp is None:
            continue
        if op.joint:
            slopes = op.vjp(g, [k in needed for k in keys], *args, **attrs)
        else:
            slopes = op.vjp(g, t, *args, **attrs)
        for a, k, slope in zip(args, keys, slopes, strict=True):
            if slope is not None and k in needed:
                _accumulate(grads, k, unbroadcast(slope, a))
    return kept


def _accumulate(grads: dict[int, Any], key: int, g: Tensor) -> None:
    have = grads.get(key)
    grads[key] = g if have is None else have + g


def backward(root: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Accumulate gradients into ``.grad`` of the leaves of ``root`` (see Tensor.backward)."""
    from graphflow.ops.creation import ones_like

    if not root.dtype.is_float:
        raise GradientError(at_line(f"backward needs a floating-point tensor, this is {root.dtype}", user_origin()))
    if root._node is not None and dispatch.state.recorder is None:
        raise GradientError(
            at_line(
                "backward() of a graph's tensor outside the graph has no place to keep gradients; use "
                "gf.gradients(loss, variables) or optimizer.minimize(loss), or call it inside `with graph:`",
                user_origin(),
            )
        )
    if root._node is None and not root.requires_grad:
        raise GradientError(
            at_line(
                "backward: nothing this tensor was computed from requires a gradient; make a leaf with "
                "requires_grad=True, or check for no_grad() and detach()",
                user_origin(),
            )
        )
    if root._node is None and root._tape is _FREED:
        raise _freed()
    seed = _seed(root, gradient)
    found: Any = None
    if root._node is None and config.current.native and not create_graph and dispatch.state.recorder is None:
        from graphflow.runtime.tape import backward as native_backward

        found = native_backward(root, seed)
    with dispatch.enable_grad() if create_graph else dispatch.no_grad():
        if found is None:
            found = sweep([root], [ones_like(root) if seed is None else seed], None).values()
        for t, g in found:
            leaf = _leaf_of(t)
            if leaf is not None:
                have = leaf.grad
                leaf.grad = g if have is None else have + g
    if root._node is None and not (retain_graph or create_graph):
        root._tape = _FREED


def _seed(root: Tensor, gradient: Any) -> Tensor | None:
    """The weights of the root's elements; None for a single element of weight 1."""
    if gradient is not None:
        seed = as_tensor(gradient, root.dtype)
        if seed.shape != root.shape:
            raise GradientError(f"the gradient has shape {seed.shape}, the tensor {root.shape}")
        return seed
    if root.shape != ():
        size = root.size
        if isinstance(size, Dim) or size != 1:
            raise GradientError(
                at_line(
                    f"backward of a tensor of shape {root.shape} needs gradient=..., or a .sum() or .mean() first",
                    user_origin(),
                )
            )
    return None


def _leaf_of(t: Tensor) -> Any:
    """What keeps a leaf's ``.grad``: its Variable, or the tensor itself if it requires one."""
    if t._node is not None:
        variable = t._node.attrs.get("variable")
        if variable is not None:
            return variable if variable.requires_grad and not t._node.stop else None
        recorder = dispatch.state.recorder or t._node.graph.recorder
        return recorder.leaf(t._node) if hasattr(recorder, "leaf") else None
    if t._variable is not None:
        return t._variable if t._variable.requires_grad else None
    return t if t.requires_grad and t._tape is None else None


class _Freed:
    """Marks the tape of a root after backward; sweeping it again is an error, as in PyTorch."""

    op = None
    args: tuple[Any, ...] = ()
    attrs: dict[str, Any] = {}


_FREED: Any = _Freed()


def _freed() -> GradientError:
    message = "backward through operations that an earlier backward freed; use backward(retain_graph=True)"
    return GradientError(at_line(message, user_origin()))


def gradients(ys: Any, xs: Any, grad_ys: Any = None) -> Any:
    """The gradients of the sum of ``ys`` with respect to ``xs``, in both modes (TensorFlow's ``tf.gradients``).

    ``ys`` and ``xs`` are tensors (``xs`` also Variables) or lists of them; ``grad_ys`` weighs the elements of each y.
    Gives a tensor for a single x, a list for a list; None for an x that the ys do not depend on. The results are
    differentiable themselves. Raises GradientError for integer tensors.

    >>> import graphflow as gf
    >>> x = gf.tensor(3.0, requires_grad=True)
    >>> dy = gf.gradients(x * x * x, x); dy.item(), gf.gradients(dy, x).item()
    (27.0, 18.0)
    """
    single = isinstance(xs, Operators)
    roots = [as_tensor(y) for y in ([ys] if isinstance(ys, Operators) else ys)]
    graph = next((y._node.graph for y in roots if y._node is not None), None)
    if graph is not None and dispatch.state.recorder is None:  # outside `with graph:` variables are read in it, too
        with dispatch.recording(graph.recorder):
            return gradients(ys, xs, grad_ys)
    targets = [as_tensor(x) for x in ([xs] if single else xs)]
    if graph is not None:
        targets = [t if t._node is not None else _constant_in(graph, t) for t in targets]
    weights = [None] * len(roots) if grad_ys is None else [grad_ys] if isinstance(ys, Operators) else list(grad_ys)
    for t in (*targets, *roots):
        if not t.dtype.is_float:
            raise GradientError(
                at_line(f"gradients exist for floating-point tensors only, got {t.dtype}", user_origin())
            )
    from graphflow.ops.creation import ones_like

    seeds = [ones_like(y) if w is None else as_tensor(w, y.dtype) for y, w in zip(roots, weights, strict=True)]
    with dispatch.enable_grad():
        kept = sweep(roots, seeds, {_key(t): t for t in targets})
    out = [kept[_key(t)][1] if _key(t) in kept else None for t in targets]
    return out[0] if single else out


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function giving ``(f(*args), gradient)``: the gradient of a scalar result in the arguments ``argnums``.

    An argument may be a tensor or a nested list, tuple or dict of tensors; its gradient nests the same way.

    >>> import graphflow as gf
    >>> value, slope = gf.value_and_grad(lambda x: x * x)(gf.tensor(3.0))
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """
    from graphflow.core.tree import flatten, unflatten

    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def run(*args: Any, **kwargs: Any) -> Any:
        args = tuple(args)
        trees, leaves = [], []
        new_args = list(args)
        for n in numbers:
            flat, tree = flatten(args[n])
            inputs = [_differentiable_input(x) for x in flat]
            trees.append((tree, len(inputs)))
            leaves.extend(inputs)
            new_args[n] = unflatten(tree, inputs)
        with dispatch.enable_grad():
            result = f(*new_args, **kwargs)
            value = result[0] if has_aux else result
            if value.shape != ():
                raise GradientError(
                    at_line(f"grad needs a function with a scalar result, got shape {value.shape}", user_origin())
                )
            slopes = gradients(value, leaves)
        from graphflow.ops.creation import zeros_like

        slopes = [zeros_like(x) if s is None else s for x, s in zip(leaves, slopes, strict=True)]
        out, at = [], 0
        for tree, count in trees:
            out.append(unflatten(tree, slopes[at : at + count]))
            at += count
        return result, (out[0] if isinstance(argnums, int) else tuple(out))

    return run


def grad(f: Any = None, argnums: Any = 0, has_aux: Any = False, **settings: Any) -> Any:
    """A function giving the gradient of ``f`` (which returns a scalar) in its arguments ``argnums``.

    Given tensors in place of a function it is PyTorch's ``torch.autograd.grad(outputs, inputs, grad_outputs=None)``,
    with its keywords: the gradients as a tuple.

    >>> import graphflow as gf
    >>> gf.grad(gf.grad(lambda x: x * x * x))(gf.tensor(2.0)).item()
    12.0
    >>> x = gf.tensor(3.0, requires_grad=True)
    >>> gf.autograd.grad(x * x, x, create_graph=True)[0].item()
    6.0
    """
    if not callable(f):
        weights = None if has_aux is False else has_aux
        return _grad_of_tensors(**{"outputs": f, "inputs": argnums, "grad_outputs": weights, **settings})
    if settings:
        raise TypeError(f"grad of a function takes argnums and has_aux, not {next(iter(settings))!r}")
    both = value_and_grad(f, argnums, has_aux)

    def run(*args: Any, **kwargs: Any) -> Any:
        result, slopes = both(*args, **kwargs)
        return (slopes, result[1]) if has_aux else slopes

    return run


def _grad_of_tensors(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """PyTorch's ``grad``. Its graphs need no keeping: results are differentiable whether asked for or not."""
    if not isinstance(inputs, (Operators, list, tuple)) or not isinstance(outputs, (Operators, list, tuple)):
        raise TypeError(
            at_line("grad takes a function, or tensors: grad(outputs, inputs); see also gf.gradients", user_origin())
        )
    found = gradients(outputs, [inputs] if isinstance(inputs, Operators) else list(inputs), grad_outputs)
    for number, slope in enumerate(found):
        if slope is None and not allow_unused:
            message = f"grad: the outputs do not depend on input {number}; allow_unused=True gives None for it"
            raise GradientError(at_line(message, user_origin()))
    return tuple(found)


def _differentiable_input(x: Any) -> Tensor:
    """A tensor of its own for an argument, so that its gradient is not mixed with other uses of the same tensor."""
    t = as_tensor(x)
    if not t.dtype.is_float:
        raise GradientError(at_line(f"gradients exist for floating-point tensors only, got {t.dtype}", user_origin()))
    if t._node is None and not t.requires_grad and not dispatch.is_recording():
        return Tensor(t._data, requires_grad=True)
    from graphflow.ops.special import identity

    with dispatch.enable_grad():
        return identity(t)


def _constant_in(graph: Any, t: Tensor) -> Tensor:
    """What stands for a concrete tensor in a graph (itself, if the graph does not use it)."""
    node = graph.recorder.constant_of(t)
    return t if node is None else Tensor(None, node)
