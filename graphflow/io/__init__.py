"""Saving and loading: data only, never code.

>>> import graphflow as gf, os, tempfile
>>> model = gf.nn.Linear(2, 3)
>>> path = os.path.join(tempfile.mkdtemp(), "linear.safetensors")
>>> gf.save(model.state_dict(), path)
>>> gf.nn.Linear(2, 3).load_state_dict(gf.load(path))
LoadResult(missing_keys=[], unexpected_keys=[])
"""

from __future__ import annotations

from graphflow.io.files import load, save
from graphflow.io.graphs import load_graph, save_graph
