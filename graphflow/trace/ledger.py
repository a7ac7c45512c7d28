"""The recompile ledger: what was traced and compiled, how long it took, and why."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One trace of a compiled function."""

    signature: str  # the arguments it serves
    reason: str  # why the traces before it did not do
    trace_seconds: float
    compile_seconds: float

    @property
    def seconds(self) -> float:
        return self.trace_seconds + self.compile_seconds


class CacheInfo(NamedTuple):
    """What a compiled function's cache did: ``hits`` are calls that found a trace, ``misses`` those that made one."""

    traces: int
    compiles: int
    seconds: float
    hits: int
    misses: int
    events: list[Event]

    @property
    def reasons(self) -> list[str]:
        """Why each trace was made."""
        return [e.reason for e in self.events]

    def __str__(self) -> str:
        made = f"{self.traces} traces, {self.compiles} compiles in {self.seconds:.3f} s"
        head = f"{made}; {self.hits} hits, {self.misses} misses"
        return "\n".join([head, *(f"  ({e.signature}) in {e.seconds:.3f} s: {e.reason}" for e in self.events)])


class Ledger:
    """Keeps the account of one compiled function."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.traces = 0
        self.compiles = 0
        self.hits = 0
        self.misses = 0
        self.failed_seconds = 0.0  # spent on traces that came to nothing

    def info(self) -> CacheInfo:
        """The account so far."""
        seconds = sum(e.seconds for e in self.events) + self.failed_seconds
        return CacheInfo(self.traces, self.compiles, seconds, self.hits, self.misses, list(self.events))
