"""Passes: rewrites of a functionalised graph, each one short file; pipeline.py lists them.

>>> graph = gf.Graph()
>>> with graph:
...     y = gf.log(gf.placeholder((3,), name="x") * 1.0 + 1.0)
>>> print(graph.optimize().to_text())  # doctest: +ELLIPSIS
graphflow 1
graph "graph"
  %x = placeholder() {shape=(3,), dtype=float32} : float32[3] ...
  %log1p = log1p(%x) : float32[3] ...
  return %log1p
"""

from graphflow.passes.pipeline import PIPELINE, Pass, names, optimize

__all__ = ["PIPELINE", "Pass", "names", "optimize"]
