"""Switching NumPy's floating-point warnings off around one call: infinities and NaN are results, as on a GPU.

``np.errstate`` builds its settings anew each time, which costs as much as a small addition. NumPy keeps the settings in
a context variable; where that is found, ``enter`` sets it to settings made once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from numpy._core.umath import _extobj_contextvar, _make_extobj

    _QUIET = _make_extobj(all="ignore")
    _set = _extobj_contextvar.set

    def enter() -> Any:
        """Switch warnings off; what it returns is for ``leave``."""
        return _set(_QUIET)

    leave = _extobj_contextvar.reset
except (ImportError, TypeError):  # another NumPy: the documented way

    def enter() -> Any:
        """Switch warnings off; what it returns is for ``leave``."""
        state = np.errstate(all="ignore")
        state.__enter__()
        return state

    def leave(token: Any) -> None:
        """Switch warnings back to what they were before ``enter``."""
        token.__exit__(None, None, None)


__all__ = ["enter", "leave"]
