"""The user's own Numba kernels as instructions of a program. Numba compiles them in full, in each process anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.codegen.jit import Unit
from graphflow.codegen.loops import Work
from graphflow.core.dims import evaluate
from graphflow.core.errors import CompileError, at_line
from graphflow.schedule.kernels import LibraryKernel

_kept: list[Any] = []  # compiled functions, which programs hold the addresses of


class UserPlan:
    """How a user's kernel is called: with the shapes of its operands and its result, in one piece."""

    def __init__(self, kernel: LibraryKernel) -> None:
        self.node = kernel.nodes[0]

    def work(self, sizes: Mapping[str, int]) -> Work:
        return Work(1, [evaluate(s, sizes) for n in (*self.node.inputs, self.node) for s in n.aval.shape])


def user_unit(kernel: LibraryKernel, key: str) -> Unit:
    """The compile unit of a user's kernel."""
    node = kernel.nodes[0]
    dtypes = [b.dtype.name for b in (*kernel.inputs, kernel.output)]
    ranks = [len(n.aval.shape) for n in (*node.inputs, node)]

    def address() -> int:
        try:
            return _compiled(kernel.params.function, kernel.params.settings, dtypes, ranks)
        except Exception as error:  # whatever Numba says of the user's code
            raise CompileError(
                at_line(f"the kernel of {node.op.name}: Numba cannot compile it: {error}", node.origin)
            ) from error

    return Unit(key, None, node.op.name, address=address)


def _compiled(function: Any, settings: Mapping[str, Any], dtypes: Sequence[str], ranks: Sequence[int]) -> int:
    """The address of ``kernel(table, args, begin, end, scratch)`` that calls the function on arrays."""
    import numba

    from graphflow_kernels.cpu.library import pointer_at

    scope: dict[str, Any] = {
        "at": pointer_at(),
        "carray": numba.carray,
        "word": numba.types.int64,
        "function": function if hasattr(function, "py_func") else numba.njit(function),
    }
    count = len(dtypes)
    scope |= {f"t{i}": getattr(numba.types, "boolean" if d == "bool" else d) for i, d in enumerate(dtypes)}
    scope |= {f"s_{name}": value for name, value in settings.items()}
    lines = ["def kernel(table, args, begin, end, scratch):", "    a = at(args, word)", "    t = at(table, word)"]
    size = count
    for i, rank in enumerate(ranks):
        shape = "".join(f"a[{size + axis}], " for axis in range(rank))
        lines.append(f"    x{i} = carray(at(t[a[{i}]], t{i}), ({shape}))")
        size += rank
    operands = ", ".join([f"x{count - 1}", *(f"x{i}" for i in range(count - 1)), *(f"{n}=s_{n}" for n in settings)])
    lines.append(f"    function({operands})")
    exec("\n".join(lines), scope)
    word = numba.types.intp
    made = numba.cfunc(numba.types.void(word, word, word, word, word))(scope["kernel"])
    _kept.append(made)
    address: Any = made.address
    return int(address)
