"""LLVM's part of the work: text of modules -> object code -> addresses. Uses llvmlite only, never Numba.

``object_code`` optimises and compiles; ``load`` links object code into this process. A warm start needs ``load`` alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from graphflow.codegen.host import Host

_FORBIDDEN = ("NRT_", "numba_", "Py", "_Py")
_lock = threading.Lock()
_linker: Any = None
_loaded = 0


def _initialize() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def target_machine(host: Host) -> Any:
    """An LLVM target machine that generates position-independent code for `host`."""
    target = _initialize().Target.from_triple(host.triple)
    return target.create_target_machine(cpu=host.cpu, features=host.features, opt=2, reloc="pic", codemodel="default")


class Assembly(NamedTuple):
    """Kernels as LLVM assembly: their symbols, and the modules that together define them."""

    symbols: Sequence[str]
    texts: Sequence[str]
    tuned: bool = False  # emitted in the order that keeps the registers full, see _PASSES_FOR_TUNED

    @property
    def size(self) -> int:
        """Characters: a measure of the work to compile it."""
        return sum(map(len, self.texts))


def object_code(kernels: Sequence[Assembly], host: Host) -> bytes:
    """Optimise and compile kernels together.

    The symbols are external in the object code, all other functions internal to it. Raises RuntimeError where LLVM
    rejects a module. May run in several threads at once: each call has an LLVM context of its own.
    """
    llvm = _initialize()
    machine = target_machine(host)
    # Closed here and in this order: the garbage collector might free the context before its modules.
    with llvm.create_context() as context, llvm.parse_assembly("", context) as whole:
        whole.triple = host.triple
        whole.data_layout = str(machine.target_data)
        for tuned in (False, True):  # the standard pipeline must not see tuned kernels
            mine = [k for k in kernels if k.tuned is tuned]
            for kernel in mine:
                with _linked(llvm, kernel, context) as module:
                    if tuned:
                        _optimise(llvm, machine, module, _PASSES_FOR_TUNED)
                    whole.link_in(module)
            if mine and not tuned:
                _optimise(llvm, machine, whole)
        _check_calls(whole)
        return _emit(llvm, machine, whole)


def _linked(llvm: Any, kernel: Assembly, context: Any) -> Any:
    """One module of a kernel's parts; its symbols are external, all else internal."""
    module = llvm.parse_assembly(kernel.texts[0], context)
    for text in kernel.texts[1:]:
        with llvm.parse_assembly(text, context) as other:
            for function in other.functions:
                if function.linkage == llvm.Linkage.linkonce_odr:
                    function.linkage = "weak_odr"  # linked even if its caller comes later
            module.link_in(other)
    module.verify()
    # Internal, so that helpers of the same name in two kernels do not meet.
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration:
            value.linkage = "external" if value.name in kernel.symbols else "internal"
    return module


def _check_calls(module: Any) -> None:
    """RuntimeError naming the functions that the module calls and nothing defines (the linker's error has no names).

    Numba's and Python's own count as undefined: a process that loads the kernel from the cache may lack them.
    """
    import ctypes

    process = ctypes.CDLL(None) if os.name == "posix" else None
    called = (f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm."))
    unknown = [name for name in called if name.startswith(_FORBIDDEN) or (process and not hasattr(process, name))]
    if unknown:
        raise RuntimeError(f"it calls {', '.join(unknown)}, which native kernels do not have")


_PASSES_FOR_TUNED = ("sroa", "instruction_combine", "simplify_cfg")
"""Matrix kernels run as fast after these as after O2, which takes three times as long to compile them."""


def _optimise(llvm: Any, machine: Any, module: Any, passes: Sequence[str] = ()) -> None:
    """Run the named passes; without names LLVM's standard pipeline.

    That is O2, not O3, without vectorisers: kernels are emitted as vectors, and library kernels gain nothing by them.
    """
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    if passes:
        manager = llvm.create_new_module_pass_manager()
        for name in passes:
            getattr(manager, f"add_{name}_pass")()
    else:
        manager = builder.getModulePassManager()
    _without_lock("LLVMPY_RunNewModulePassManager")(manager, module, builder)


def _emit(llvm: Any, machine: Any, module: Any) -> bytes:
    from ctypes import string_at

    from llvmlite.binding import ffi

    with ffi.OutputString() as error:
        buffer = _without_lock("LLVMPY_TargetMachineEmitToMemory")(machine, module, 1, error)
        if not buffer:
            raise RuntimeError(str(error))
    try:
        return string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _without_lock(name: str) -> Callable[..., Any]:
    """A function of LLVM's without llvmlite's process-wide lock around it.

    llvmlite lets one thread at a time into LLVM, but LLVM itself only wants one thread at a time in a context. The
    two long calls of a compilation go without the lock, so that parts of a program compile in parallel.
    """
    from llvmlite.binding import ffi

    function = getattr(ffi.lib, name)
    return getattr(function, "_cfn", function)


def load(code: bytes, symbols: Iterable[str]) -> dict[str, int]:
    """Link object code into this process and return the addresses of `symbols`. It stays for the process's life.

    Raises RuntimeError if the code is malformed, lacks a symbol, or calls a function that this process has not.
    """
    global _linker, _loaded
    llvm = _initialize()
    with _lock:
        if _linker is None:
            triple = llvm.get_process_triple()
            machine = llvm.Target.from_triple(triple).create_target_machine(reloc="pic")
            # JITLink places an object's sections together, so that short-range addresses always reach. LLVM has it
            # for ELF and Mach-O; on Windows the older linker stays.
            modern = "windows" not in triple
            _linker = llvm.create_lljit_compiler(machine, use_jit_link=modern, suppress_errors=True)
        _loaded += 1
        library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        names = list(symbols)
        for name in names:
            library.export_symbol(name)
        tracker = library.link(_linker, f"graphflow{_loaded}")
    addresses = {name: tracker[name] for name in names}
    tracker.detach()  # never unload: workers of the thread gang may sit in this code until the process ends
    return addresses


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
