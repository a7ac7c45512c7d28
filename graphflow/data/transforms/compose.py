"""Transforms of transforms: one after the other, by chance, one of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from graphflow.data.randomness import sample_generator
from graphflow.data.transforms.image import Transform

Step = Callable[[Any], Any]


class Compose(Transform):
    """Several transforms, one after the other.

    >>> from graphflow.data import transforms
    >>> prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    >>> prepare(np.array([[0, 255]], np.uint8))
    tensor([[[-1.,  1.]]])
    """

    def __init__(self, transforms: Sequence[Step]) -> None:
        if not isinstance(transforms, Iterable):
            raise TypeError(f"Compose takes a list of transforms, got one {type(transforms).__name__}")
        self.transforms = list(transforms)
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"Compose takes transforms (functions of an image), got {transform!r}")

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform!r}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


class Lambda(Transform):
    """Any function of an image as a transform."""

    def __init__(self, lambd: Step) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda takes a function, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)


class _Choice(Transform):
    def __init__(self, transforms: Sequence[Step]) -> None:
        if not isinstance(transforms, Sequence) or not transforms:
            raise TypeError(f"{type(self).__name__} takes a list of transforms, got {transforms!r}")
        self.transforms = transforms


class RandomApply(_Choice):
    """All of the transforms with probability ``p``, else none."""

    def __init__(self, transforms: Sequence[Step], p: float = 0.5) -> None:
        super().__init__(transforms)
        self.p = p

    def __call__(self, image: Any) -> Any:
        if sample_generator().random() < self.p:
            for transform in self.transforms:
                image = transform(image)
        return image


class RandomChoice(_Choice):
    """One of the transforms; ``p`` are their weights, equal if None."""

    def __init__(self, transforms: Sequence[Step], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        if p is not None and len(p) != len(transforms):
            raise ValueError(f"RandomChoice: {len(p)} weights for {len(transforms)} transforms")
        self.p = p

    def __call__(self, image: Any) -> Any:
        weights = np.ones(len(self.transforms)) if self.p is None else np.asarray(self.p, float)
        edges = np.cumsum(weights / weights.sum())
        chosen = int(np.searchsorted(edges, sample_generator().random(), side="right"))
        return self.transforms[min(chosen, len(self.transforms) - 1)](image)


class RandomOrder(_Choice):
    """All of the transforms, in a random order."""

    def __call__(self, image: Any) -> Any:
        for i in sample_generator().permutation(len(self.transforms)):
            image = self.transforms[i](image)
        return image
