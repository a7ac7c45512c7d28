"""The memory of this process: what it has now, and the most it had since a moment."""

from __future__ import annotations

import ctypes
import gc
import re
import sys


def resident_bytes() -> int:
    """The process's resident memory now (at its most so far, where the system does not tell)."""
    return _status("VmRSS") or _high_water()


def give_back() -> None:
    """Return what the process has freed to the system (where the C library can: glibc).

    An import that leaves megabytes of free memory behind would hide what comes after it.
    """
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):
        return
    trim(0)


def reset_peak() -> bool:
    """Let the peak begin anew at what the process has now. Whether the system can (Linux)."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """The most resident memory since the last reset, or since the start."""
    return _status("VmHWM") or _high_water()


def _status(field: str) -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            found = re.search(rf"^{field}:\s*(\d+) kB", file.read(), re.M)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _high_water() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
