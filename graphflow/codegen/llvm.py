"""LLVM's part of the work: text of modules -> object code -> addresses. Uses llvmlite only, never Numba.

``object_code`` optimises and compiles; ``load`` links object code into this process. A warm start needs ``load`` alone.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from graphflow.codegen.host import Host, process_host

_FORBIDDEN = ("NRT_", "numba_", "Py", "_Py")
_lock = threading.Lock()
_linker: Any = None
_loaded = 0


def _initialize() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def preload() -> None:
    """Have the system load LLVM's library while Python does something else: llvmlite then finds it in memory."""
    spec = find_spec("llvmlite") if "llvmlite.binding" not in sys.modules else None
    if not sys.platform.startswith("linux") or spec is None or spec.origin is None:
        return
    import ctypes

    library = os.path.join(os.path.dirname(spec.origin), "binding", "libllvmlite.so")
    # Called as a function of C's: ctypes would keep Python's lock meanwhile. Where it fails, llvmlite will say why.
    load = getattr(ctypes.CDLL(None), "dlopen", None)
    if load is not None:
        arguments = (library.encode(), ctypes.c_int(os.RTLD_NOW))
        threading.Thread(target=load, args=arguments, name="graphflow-preload", daemon=True).start()


def target_machine(host: Host) -> Any:
    """An LLVM target machine that generates position-independent code for `host`."""
    target = _initialize().Target.from_triple(host.triple)
    return target.create_target_machine(cpu=host.cpu, features=host.features, opt=2, reloc="pic", codemodel="default")


def empty_module(name: str) -> Any:
    """A module for kernels, of this process's triple and data layout."""
    from graphflow_kernels.cpu.shared import Module

    module = Module(name)
    module.triple, module.data_layout = _process_kind()
    return module


@cache
def _process_kind() -> tuple[str, str]:
    host = process_host()
    return host.triple, str(target_machine(host).target_data)


class Assembly(NamedTuple):
    """Kernels as LLVM assembly: their symbols, and the modules that together define them.

    `imports` are the symbols of shared functions that they call.
    """

    symbols: Sequence[str]
    texts: Sequence[str]
    imports: Sequence[str] = ()
    python: bool = False  # lowered by Numba from Python: everything is still to be optimised

    @property
    def size(self) -> int:
        """Lines: a measure of the work to compile it."""
        return sum(text.count("\n") for text in self.texts)


def object_code(kernels: Sequence[Assembly], machine: Any) -> bytes:
    """Optimise and compile kernels together, for a target machine that no other thread uses.

    Raises RuntimeError where LLVM rejects a module. May run in several threads at once: each call has an LLVM context
    of its own.
    """
    llvm = _initialize()
    # Closed here and in this order: the garbage collector might free the context before its modules.
    with llvm.create_context() as context, llvm.parse_assembly("", context) as whole:
        whole.triple = machine.triple
        whole.data_layout = str(machine.target_data)
        for kernel in kernels:
            if not kernel.python:
                whole.link_in(llvm.parse_assembly(kernel.texts[0], context))
        whole.verify()
        _optimise(llvm, machine, whole, _PASSES)
        for kernel in kernels:
            if kernel.python:
                with _link_python(llvm, kernel, context) as module:
                    _optimise(llvm, machine, module)
                    check_calls(f.name for f in module.functions if f.is_declaration)
                    whole.link_in(module)
        return _emit(llvm, machine, whole)


def _link_python(llvm: Any, kernel: Assembly, context: Any) -> Any:
    """One module of what Numba has lowered for one function; its symbols are external, all else internal."""
    module = llvm.parse_assembly(kernel.texts[0], context)
    for text in kernel.texts[1:]:
        with llvm.parse_assembly(text, context) as other:
            for function in other.functions:
                if function.linkage == llvm.Linkage.linkonce_odr:
                    function.linkage = "weak_odr"  # linked even if its caller comes later
            module.link_in(other)
    module.verify()
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration:
            value.linkage = "external" if value.name in kernel.symbols else "internal"
    return module


def check_calls(names: Iterable[str]) -> None:
    """RuntimeError with those of the names of called functions that nothing defines (the linker's error has no names).

    Numba's and Python's own count as undefined: a process that loads the kernel from the cache may lack them.
    """
    outside = [name for name in names if not name.startswith("llvm.")]
    unknown = [name for name in outside if name.startswith(_FORBIDDEN) or not _is_in_process(name)]
    if unknown:
        raise RuntimeError(f"it calls {', '.join(unknown)}, which native kernels do not have")


@cache
def _is_in_process(name: str) -> bool:
    """Whether this process has a function of that name; where that cannot be told, the linker will say."""
    import ctypes

    return os.name != "posix" or hasattr(ctypes.CDLL(None), name)


_PASSES = ("sroa", "instruction_combine", "simplify_cfg", "loop_rotate")
"""For kernels that are emitted: they run as fast after these as after O2, which takes ten times as long.

They are vectors already, nothing is computed twice, and the order of a matrix kernel's instructions, which keeps the
registers full, is best left alone.
"""


def _optimise(llvm: Any, machine: Any, module: Any, passes: Sequence[str] = ()) -> None:
    """Run the named passes; without names LLVM's standard pipeline.

    That is O2, not O3, without vectorisers: library kernels gain nothing by them.
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


def load(code: bytes, symbols: Iterable[str], imports: Mapping[str, int] | None = None) -> dict[str, int]:
    """Link object code into this process and return the addresses of `symbols`. It stays for the process's life.

    `imports` are the addresses of shared functions that it calls. Raises RuntimeError if the code is malformed, lacks
    a symbol, or calls a function that this process has not.
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
        for name, address in (imports or {}).items():
            library.import_symbol(name, address)
        tracker = library.link(_linker, f"graphflow{_loaded}")
    addresses = {name: tracker[name] for name in names}
    tracker.detach()  # never unload: workers of the thread gang may sit in this code until the process ends
    return addresses


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
