"""A step of a recurrent layer along the time axis: as a loop, or one step after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import Dim
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.elementwise import where
from graphflow.ops.loops import scan
from graphflow.ops.movement import expand_dims, permute_dims, stack
from graphflow.tensor import Tensor

Step = Callable[[Any, list[Any]], "tuple[Any, list[Any]]"]


class Walk:
    """How to go: ``mask`` says which steps count, ``first`` is the output before the first step.

    A masked step repeats the output before it and leaves the states alone.
    """

    def __init__(self, step: Step, mask: Any, first: Any, backwards: bool, all_outputs: bool) -> None:
        self.step, self.mask, self.first = step, mask, first
        self.backwards, self.all_outputs = backwards, all_outputs

    def _one(self, at: Any, counts: Any, out: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        made, new = self.step(at, states)
        if counts is None:
            return made, new
        kept = expand_dims(counts, -1)
        return where(kept, made, out), [where(kept, after, before) for after, before in zip(new, states)]

    def loop(self, x: Tensor, states: list[Any]) -> tuple[Any, Any, list[Any]]:
        """All outputs (batch, steps, ...) in the order in which they are made, the last one, and the last states."""
        by_time = permute_dims(x, (1, 0, *range(2, x.ndim)))
        masks = None if self.mask is None else permute_dims(self.mask, (1, 0))

        def body(carried: Any, at: Any) -> Any:
            inputs, counts = at
            out, new = self._one(inputs, counts, carried[0], list(carried[1]))
            return (out, new), out if self.all_outputs else None

        (last, states), outputs = scan(body, (self.first, list(states)), (by_time, masks), reverse=self.backwards)
        if outputs is not None:
            outputs = permute_dims(outputs, (1, 0, *range(2, outputs.ndim)))
            outputs = outputs.flip(1) if self.backwards else outputs  # type: ignore[attr-defined]
        return outputs, last, list(states)

    def unrolled(self, x: Tensor, states: list[Any]) -> tuple[Any, Any, list[Any]]:
        """The same without a loop. Raises ShapeError for an open number of steps."""
        if isinstance(x.shape[1], Dim):
            raise ShapeError(
                at_line("an unrolled recurrent layer needs a known number of steps: give it in Input", user_origin())
            )
        order = range(int(x.shape[1]))
        outputs: list[Any] = []
        out = self.first
        for i in reversed(order) if self.backwards else order:
            out, states = self._one(x[:, i], None if self.mask is None else self.mask[:, i], out, states)
            outputs.append(out)
        return stack(outputs, axis=1) if self.all_outputs else None, out, states
