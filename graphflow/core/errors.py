"""Error classes, and finding the line of the user's code that an error is about.

Each class derives from the built-in exception that fits, so ``except ValueError`` works without knowing GraphFlow.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Layers and optimizers build on public ops: a line in there is not "the user's line".
_own_files: set[str] = set()  # those that have come up: each recorded op goes through a dozen of their frames


class Origin(NamedTuple):
    """A line of the user's code: where a node was recorded."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def user_origin() -> Origin | None:
    """The innermost stack frame outside the graphflow package, or None if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename not in _own_files:
            if not code.co_filename.startswith(_PACKAGE):
                return Origin(code.co_filename, frame.f_lineno, code.co_name)
            _own_files.add(code.co_filename)
        frame = frame.f_back
    return None


def asked_by_user() -> bool:
    """Whether the caller of the function that asks was called from outside the graphflow package."""
    return not sys._getframe(2).f_code.co_filename.startswith(_PACKAGE)


def at_line(message: str, origin: Origin | None) -> str:
    """The message with the user's file and line behind it."""
    return f"{message}\n  at {origin} in {origin.function}" if origin else message


class GraphFlowError(Exception):
    """Base of every error GraphFlow raises on its own account."""


class ShapeError(GraphFlowError, ValueError):
    """Operand shapes do not fit together."""


class DTypeError(GraphFlowError, TypeError):
    """An operand has a dtype the operation cannot take."""


class AxisError(GraphFlowError, ValueError, IndexError):
    """An axis is out of range for the tensor's rank."""


class IndexingError(GraphFlowError, IndexError):
    """An index is out of range or of an unsupported kind."""


class TraceError(GraphFlowError, TypeError):
    """Python code asked a symbolic tensor for a concrete value."""


class SymbolicDimError(TraceError):
    """Python code asked a symbolic dimension for a number (gf.compile then specialises on it)."""


class FeedError(GraphFlowError, ValueError):
    """A value fed to a graph has a wrong shape or dtype, or is missing."""


class FeedTypeError(FeedError, TypeError):
    """A feed key or value of a type that cannot be fed."""


class FetchError(GraphFlowError, ValueError):
    """A fetch names nothing in the graph."""


class FetchTypeError(FetchError, TypeError):
    """A fetch of a type that cannot be fetched."""


class GraphError(GraphFlowError, ValueError):
    """A graph is malformed, or tensors of different graphs were mixed."""


class VerifyError(GraphFlowError, RuntimeError):
    """The verifier found a malformed graph: a defect of a pass, not of the user's program."""


class GradientError(GraphFlowError, RuntimeError):
    """A gradient was asked for that does not exist."""


class SessionError(GraphFlowError, RuntimeError):
    """A Session was used after it was closed, or its graph is empty."""


class CompileError(GraphFlowError, RuntimeError):
    """An op could not be turned into native code."""


class NumericsError(GraphFlowError, FloatingPointError):
    """check_numerics found a NaN or an infinity."""


class ImmutableError(GraphFlowError, TypeError):
    """A tensor was assigned into; tensors are immutable values."""


class StateError(GraphFlowError, RuntimeError):
    """A state_dict does not fit the module or optimizer it is loaded into."""


class WorkerError(GraphFlowError, RuntimeError):
    """A worker process of a DataLoader failed, was killed, or did not answer in time."""


class FileFormatError(GraphFlowError, ValueError):
    """A file is truncated, damaged, or not of the kind it should be."""
