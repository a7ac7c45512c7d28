"""Functions that kernels share: emitted once for each content, whichever kernel asks first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hashlib import blake2b

from llvmlite import ir

Define = Callable[[ir.Module, str], None]
"""``define(module, symbol)`` emits a function of that name."""


class Module(ir.Module):
    """A module that leaves its shared functions to be compiled apart from it: it declares them only.

    In a plain ``ir.Module`` they are defined, for use in that module.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.shared: dict[str, Define] = {}
        """What this module calls and must be linked with, by symbol."""


def shared_function(
    module: ir.Module,
    name: str,
    kinds: list[ir.Type],
    body: Callable[..., None],
    content: Hashable = None,
) -> ir.Function:
    """The function `name`, without result; ``body(builder, *arguments)`` emits it where it is made.

    `content` is everything that the body depends on: equal contents must emit equal code, in any module. Without a
    content, the function is the module's own, one for each name.
    """
    if content is not None:
        name = f"gf_{name}.{blake2b(repr(content).encode(), digest_size=16).hexdigest()}"
    function = module.globals.get(name)
    if function is not None:
        return function
    if content is not None and isinstance(module, Module):
        module.shared[name] = lambda other, symbol: _define(ir.Function(other, function.ftype, symbol), body)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        return function
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    function.linkage = "internal"
    # Inlining the parts into the loop nest would compile them several times and gain nothing.
    function.attributes.add("noinline")
    _define(function, body)
    return function


def _define(function: ir.Function, body: Callable[..., None]) -> None:
    builder = ir.IRBuilder(function.append_basic_block())
    body(builder, *function.args)
    if not builder.block.is_terminated:
        builder.ret_void()
