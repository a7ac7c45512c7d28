"""The machine that code is generated for: LLVM's names for its CPU, and how many threads it offers.

Imports llvmlite only when asked for the CPU, and never Numba, so that a process which finds all its kernels in the
disk cache starts fast.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import NamedTuple


class Host(NamedTuple):
    """The CPU as LLVM names it; GRAPHFLOW_CPU can cap its features."""

    triple: str
    cpu: str
    features: str


_hosts: dict[str, Host] = {}


def host() -> Host:
    """This machine, with the features that GRAPHFLOW_CPU allows.

    >>> host().cpu != ""
    True
    """
    cap = os.environ.get("GRAPHFLOW_CPU", "")
    found = _hosts.get(cap)
    if found is None:
        found = _hosts[cap] = _capped() if cap else _whole()
    return found


def _whole() -> Host:
    from llvmlite import binding as llvm

    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


def _capped() -> Host:
    from graphflow_kernels.cpu import target  # not on the fast path: it imports every emitter

    chosen = target.host()
    return Host(process_host().triple, chosen.cpu, chosen.features)


@cache
def machine() -> str:
    """What tells this machine's CPU from others, found without loading LLVM (which does it by asking the CPU).

    >>> machine() == machine()
    True
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 14).partition("\n\n")[0].splitlines()
    except OSError:
        return repr(_whole())
    kinds = ("vendor", "cpu family", "model", "stepping", "flags", "CPU ", "Features", "isa")
    return "\n".join([platform.machine(), *(line for line in lines if line.startswith(kinds))])


def process_host() -> Host:
    """A plain CPU of this process's kind: for what depends on the triple and the data layout alone."""
    from llvmlite.binding import get_process_triple

    return Host(get_process_triple(), "", "")


def default_num_threads() -> int:
    """GRAPHFLOW_NUM_THREADS if it is set, else the number of CPUs this process may run on.

    >>> default_num_threads() >= 1
    True
    """
    text = os.environ.get("GRAPHFLOW_NUM_THREADS", "").strip()
    if text:
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"GRAPHFLOW_NUM_THREADS must be a positive integer, got {text!r}")
        return int(text)
    return num_cpus()


@cache
def num_cpus() -> int:
    """The number of CPUs this process may run on, as it was when first asked for.

    >>> num_cpus() >= 1
    True
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
