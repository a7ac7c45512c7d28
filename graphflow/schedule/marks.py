"""Control flow in a list of kernels: marks where stretches of it begin, repeat, are left out, and end.

A program stays one flat list. ``scan``, ``while_loop`` and ``cond`` put marks around the kernels of their bodies::

    scan        begin  body..                          again  end
    while_loop  begin  condition..  test(flag)  body.. again  end
    cond        begin  test(flag)   one branch..       else   the other branch..  end

What a body works on from step to step lies in *slots*: buffers that are only entries in the table of pointers. A
*walked* slot goes along a whole buffer, one slice a step; the state has two places, and two slots that exchange them
after each step: the body reads the one and writes the other, and nothing is copied. Where all states are wanted they
are slices of one buffer, along which both slots walk, one slice apart. ``begin`` sets the slots, ``again`` moves them
and goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from graphflow.core.dims import Size
from graphflow.ir.graph import Node
from graphflow.schedule.kernels import Buffer


class Walk(NamedTuple):
    """A slot that goes along a buffer by ``stride`` elements a step, from slice ``first`` on.

    Where the walk is reversed it goes back, from as many slices before the end.
    """

    slot: Buffer
    whole: Buffer
    stride: Size
    first: int = 0


class Swap(NamedTuple):
    """A part of the state: the slots that a step reads and writes, and their places at first."""

    now: Buffer
    after: Buffer
    home: Buffer
    other: Buffer


@dataclass(eq=False)
class Region:
    """The kernels between two marks. ``length``: the number of steps of a scan, None for other regions."""

    node: Node
    length: Size | None = None
    reverse: bool = False
    walks: list[Walk] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)


@dataclass(eq=False)
class Mark:
    """A place in the list of kernels where control may go elsewhere. ``flag``: the bool that decides, at a test."""

    what: Literal["begin", "test", "again", "else", "end"]
    region: Region
    flag: Buffer | None = None
    nodes: list[Node] = field(default_factory=list)
    why: str = ""
    kind: str = "Control"

    def reads(self) -> list[Buffer]:
        """What must be kept up to here."""
        own = [] if self.flag is None else [self.flag]
        if self.what != "end":
            return own
        return [*own, *(w.whole for w in self.region.walks), *(b for s in self.region.swaps for b in (s.home, s.other))]

    def writes(self) -> list[Buffer]:
        """What must have its place from here on."""
        if self.what != "begin":
            return []
        return [*(w.whole for w in self.region.walks), *(b for s in self.region.swaps for b in (s.home, s.other))]


@dataclass(eq=False)
class Nested:
    """While scheduling: the kernels of a control op, marks included, as one kernel of the list around them."""

    kernels: list[Any]


def behind(buffer: Buffer) -> list[Buffer]:
    """The buffers in whose memory a slot may lie; any other buffer lies in its own."""
    found, stack = [], [buffer]
    while stack:
        at = stack.pop()
        if at.kind == "slot":
            stack.extend(at.payload)
        else:
            found.append(at)
    return found


def spans(kernels: list[Any]) -> list[tuple[int, int]]:
    """The first and the last number of each stretch that repeats, inner ones first."""
    begun: dict[Region, int] = {}
    found: list[tuple[int, int]] = []
    repeats: set[Region] = set()
    for number, kernel in enumerate(kernels):
        if isinstance(kernel, Mark):
            if kernel.what == "begin":
                begun[kernel.region] = number
            elif kernel.what == "again":
                repeats.add(kernel.region)
            elif kernel.what == "end" and kernel.region in repeats:
                found.append((begun[kernel.region], number))
    return found
