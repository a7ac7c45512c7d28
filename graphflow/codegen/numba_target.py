"""Numba as the JIT: a target of Numba's own kind for the program that runs kernels, which is emitted as LLVM IR.

The program's parts are one compilation of the function ``program`` below, whose only call is the intrinsic
``emit_batch``: while Numba lowers it, every part is emitted into a module that Numba's context makes for it.
What this target leaves out of Numba's CPU target is what such code never uses and what costs time: the library of
NumPy functions (0.2 s at first use), the reference-counting run time, wrappers for calls from Python, and a second
optimisation. ``lower_python`` is for kernels written in Python: those need the full target.

Importing this module imports Numba: only a process that compiles does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import codegen, compiler, cpu, dispatcher, target_extension, types, typing
from numba.core.bytecode import get_function_object
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.imputils import builtin_registry as lowering_registry
from numba.core.registry import CPUTarget, cpu_target
from numba.core.runtime import rtsys
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
)
from numba.core.typing.templates import builtin_registry as typing_registry
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode
from numba.extending import intrinsic

from graphflow.codegen.host import process_host
from graphflow.codegen.llvm import empty_module, target_machine
from graphflow_kernels.cpu.shared import Module

TARGET = "graphflow"
MAY_RAISE = "raise_in_a_native_kernel"
Batch = Callable[[Callable[[str], Module]], None]
"""Emits units into modules that the function it is given makes."""

_batches: list[Batch] = []
# What is being lowered; Numba's compiler lock guards it.


class TextLibrary(codegen.CodeLibrary):
    """What Numba lowers for one function: modules kept as text, for LLVM to compile in any thread."""

    def __init__(self, owner: Any, name: str) -> None:
        super().__init__(owner, name)
        self.texts: list[str] = []

    def add_ir_module(self, ir_module: ir.Module) -> None:
        self._raise_if_finalized()
        self.texts.append(str(ir_module))

    def add_linking_library(self, library: Any) -> None:
        if library is rtsys.library:
            self.texts.append(_no_reference_counts())
        elif isinstance(library, TextLibrary):
            self.texts.extend(library.texts)
        else:
            self.texts.append(str(library._get_module_for_linking()))

    def finalize(self) -> None:
        self._finalized = True

    def get_function(self, name: str) -> Any:
        raise KeyError(name)

    def get_llvm_str(self) -> str:
        return "\n".join(self.texts)

    def get_asm_str(self) -> str:
        raise RuntimeError("kernels are compiled after lowering: there is no assembly here")


class TextCodegen(codegen.Codegen):
    """Makes empty modules for this process's triple and data layout, and libraries of text."""

    _library_class = TextLibrary

    def __init__(self) -> None:
        self._machine = target_machine(process_host())
        self._target_data = self._machine.target_data

    def _create_empty_module(self, name: str) -> Module:
        return empty_module(name)

    def _add_module(self, module: Any) -> None:
        pass

    def magic_tuple(self) -> tuple[str, str]:
        return (process_host().triple, str(self._target_data))


class KernelTypingContext(typing.Context):
    """Knows what is registered already (the intrinsic among it); loads no more."""

    def refresh(self) -> None:
        self.install_registry(typing_registry)

    def resolve_value_type(self, val: Any) -> Any:
        """What is registered comes first: of what it does not know, Numba asks cffi, which takes 50 ms to import."""
        return self._get_global_type(val) or super().resolve_value_type(val)


class KernelContext(cpu.CPUContext):
    """Numba's CPU context with our code generator and without the libraries."""

    def init(self) -> None:
        self.is32bit = False
        self._internal_codegen: Any = TextCodegen()

    def refresh(self) -> None:
        self.install_registry(lowering_registry)

    def post_lowering(self, mod: Any, library: Any) -> None:
        pass  # no run time to link


class KernelCompiler(compiler.CompilerBase):
    """The passes that a function made of one intrinsic call needs."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("graphflow_kernels")
        passes.add_pass(TranslateByteCode, "analyzing bytecode")
        passes.add_pass(FixupArgs, "fix up args")
        passes.add_pass(IRProcessing, "processing IR")
        passes.add_pass(NopythonTypeInference, "nopython frontend")
        passes.add_pass(IRLegalization, "ensure IR is legal prior to lowering")
        passes.add_pass(AnnotateTypes, "annotate types")
        passes.add_pass(NativeLowering, "native lowering")
        passes.add_pass(NoPythonBackend, "nopython mode backend")
        passes.finalize()
        return [passes]


class KernelCPU(target_extension.CPU):
    """The target's name in Numba's registry."""


target_extension.target_registry[TARGET] = KernelCPU


class KernelTarget(CPUTarget):
    """Numba's description of the target: its two contexts."""

    typing_context = KernelTypingContext()
    target_context = KernelContext(typing_context, TARGET)


class KernelDispatcher(dispatcher.Dispatcher):
    """Never called; through it Numba finds the target that an intrinsic belongs to."""

    targetdescr = KernelTarget(TARGET)


target_extension.dispatcher_registry[KernelCPU] = KernelDispatcher


@intrinsic(target=TARGET)
def emit_batch(typing_context: Any) -> Any:
    """Emits the parts of the current batch."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        for batch in _batches:
            batch(context.create_module)
        return context.get_dummy_value()

    return types.void(), generate


def program() -> None:
    """The function that Numba compiles for every batch."""
    emit_batch()  # type: ignore[call-arg]  # Numba passes the typing context


def _flags() -> Any:
    flags: Any = compiler.Flags()
    flags.no_compile = True  # LLVM's part is ours, see graphflow.codegen.llvm
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    return flags


@global_compiler_lock
def lower_batch(batch: Batch) -> None:
    """Lower ``program`` with Numba, which calls `batch` on the way."""
    target = KernelDispatcher.targetdescr
    _batches.append(batch)
    try:
        with target_extension.target_override(TARGET):
            compiler.compile_extra(
                target.typing_context,
                target.target_context,
                program,
                (),
                types.void,
                _flags(),
                {},
                pipeline_class=KernelCompiler,
            )
    finally:
        _batches.clear()


@cache
def _no_reference_counts() -> str:
    """A stand-in for Numba's run time.

    Kernels work in memory that is not Numba's, to which nobody counts references; one that allocates is rejected.
    """
    module = ir.Module()
    for name in ("NRT_incref", "NRT_decref"):
        signature = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        function = ir.Function(module, signature, name)
        function.attributes.add("alwaysinline")
        ir.IRBuilder(function.append_basic_block()).ret_void()
    return str(module)


@cache
def _full_context() -> Any:
    """Numba's own CPU context, lowering to text."""
    cpu_target.target_context.refresh()  # loads Numba's libraries and its run time, by the rules of the original
    return cpu_target.target_context.subtarget(_internal_codegen=TextCodegen())


@global_compiler_lock
def lower_python(symbol: str, pyfunc: Callable[..., None]) -> list[str]:
    """Lower a kernel written in Python; the modules, as LLVM assembly, that it and what it calls are made of."""
    pyfunc = get_function_object(pyfunc)  # which may be made only now, before the contexts look for new intrinsics
    context = _full_context()
    flags = _flags()
    flags.nrt = True  # arrays are made of parts that count references
    result = compiler.compile_extra(
        cpu_target.typing_context, context, pyfunc, (types.intp,) * 5, types.void, flags, {}
    )
    result.library.add_ir_module(_wrapper(context, result.fndesc, symbol))
    return result.library.texts


def _wrapper(context: Any, function: Any, symbol: str) -> ir.Module:
    """Define the kernel `symbol`, which hands its arguments as integers to a function that Numba lowered.

    A native kernel has nobody to raise to. Where the function might, the kernel calls what does not exist: the
    optimiser removes the call if it can show that nothing is raised, otherwise the kernel is rejected.
    """
    module = context.create_module(symbol)
    callee = ir.Function(
        module, context.call_conv.get_function_type(function.restype, function.argtypes), function.llvm_func_name
    )
    integer, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
    signature = [pointer.as_pointer(), integer.as_pointer(), integer, integer, pointer]
    kernel = ir.Function(module, ir.FunctionType(ir.VoidType(), signature), symbol)
    builder = ir.IRBuilder(kernel.append_basic_block())
    values = [value if value.type == integer else builder.ptrtoint(value, integer) for value in kernel.args]
    status, _ = context.call_conv.call_function(builder, callee, function.restype, function.argtypes, values)
    with builder.if_then(status.is_error, likely=False):
        builder.call(ir.Function(module, ir.FunctionType(ir.VoidType(), []), MAY_RAISE), [])
    builder.ret_void()
    return module
