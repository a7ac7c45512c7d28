"""What the code generator must know about a CPU: vector width, registers, and the names LLVM uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from graphflow_kernels.cpu.types import ITEMSIZE

CAP_VARIABLE = "GRAPHFLOW_CPU"
"""Environment variable that caps the features used: avx512, avx2, sse2, neon or generic."""


@dataclass(frozen=True)
class Target:
    """One instruction set to generate code for.

    >>> named("avx2").lanes("float32"), named("avx512").lanes("float64")
    (8, 8)
    """

    name: str
    cpu: str
    """LLVM's name of the processor."""
    features: str
    """LLVM's feature string, such as ``+avx2,+fma``."""
    vector_bytes: int
    registers: int
    """Number of vector registers."""
    has_fma: bool
    has_rounding: bool
    """Whether floor, ceil, trunc and round are instructions (SSE2 has none)."""
    has_f16c: bool
    """Whether float16 converts to float32 in one instruction."""
    has_masks: bool
    """Whether masked vector loads and stores are instructions."""
    triple: str = ""
    """LLVM's target triple; empty for the host's."""

    def lanes(self, dtype: str) -> int:
        """Elements of `dtype` in one vector register (16-bit floats are computed as float32)."""
        return max(1, self.vector_bytes // max(ITEMSIZE[dtype], 4 if "float" in dtype else 1))

    def machine(self, opt: int = 3) -> Any:
        """An ``llvmlite.binding.TargetMachine`` that generates code for this target."""
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        if self.triple:
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
        description = llvm.Target.from_triple(self.triple or llvm.get_process_triple())
        return description.create_target_machine(cpu=self.cpu, features=self.features, opt=opt, reloc="pic")


_V3 = "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe"
_NAMED = {
    target.name: target
    for target in (
        Target(
            "avx512",
            "x86-64-v4",
            _V3 + ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,-prefer-256-bit",
            vector_bytes=64,
            registers=32,
            has_fma=True,
            has_rounding=True,
            has_f16c=True,
            has_masks=True,
        ),
        Target("avx2", "x86-64-v3", _V3, 32, 16, has_fma=True, has_rounding=True, has_f16c=True, has_masks=True),
        Target("sse2", "x86-64", "", 16, 16, has_fma=False, has_rounding=False, has_f16c=False, has_masks=False),
        Target(
            "neon",
            "generic",
            "+neon,+fp-armv8",
            vector_bytes=16,
            registers=32,
            has_fma=True,
            has_rounding=True,
            has_f16c=True,
            has_masks=False,
            triple="aarch64-unknown-linux-gnu",
        ),
        Target("generic", "generic", "", 16, 16, has_fma=False, has_rounding=False, has_f16c=False, has_masks=False),
    )
}


def named(name: str) -> Target:
    """The target called `name`: avx512, avx2, sse2, neon or generic. ValueError for any other name."""
    try:
        return _NAMED[name]
    except KeyError:
        raise ValueError(f"no CPU target is called {name!r}; expected one of {', '.join(_NAMED)}") from None


def host() -> Target:
    """The best target of this machine, or the lesser one that the environment variable GRAPHFLOW_CPU names.

    >>> host().vector_bytes >= 16
    True
    """
    return _host(os.environ.get(CAP_VARIABLE, ""))


@cache
def _host(cap: str) -> Target:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    best = _best(features, llvm.get_process_triple())
    if cap and cap != best.name:
        target = named(cap)
        if target.name != "generic" and target.vector_bytes > best.vector_bytes or target.triple:
            raise ValueError(f"{CAP_VARIABLE}={cap}: this machine can do no more than {best.name}; name that or less")
        return target
    names = {field: getattr(best, field) for field in Target.__dataclass_fields__}
    names.update(cpu=llvm.get_host_cpu_name(), features=features.flatten(), triple="")
    return Target(**names)


def _best(features: dict[str, bool], triple: str) -> Target:
    """The widest target whose features are all there."""
    if triple.startswith(("aarch64", "arm64")):
        return named("neon")
    if not triple.startswith("x86_64"):
        return named("generic")
    for name in ("avx512", "avx2"):
        wanted = (flag[1:] for flag in named(name).features.split(",") if flag.startswith("+"))
        if all(features.get(flag, False) for flag in wanted):
            return named(name)
    return named("sse2")
