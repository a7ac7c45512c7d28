"""The ways to run a workload: GraphFlow's two, and those of its peers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from graphflow.cli.bench.workloads.record import Compile, eagerly
from graphflow.cli.errors import UsageError


@dataclass(frozen=True)
class Way:
    """``family`` names the workload's builder, ``module`` what must be installed, ``compiler`` its compiler."""

    name: str
    title: str
    family: str
    module: str
    compiler: str = ""

    def installed(self) -> bool:
        return find_spec(self.module) is not None

    def load(self, threads: int) -> tuple[str, Compile]:
        """Import the framework and bind it to so many threads; its version and its compiler."""
        module = import_module(self.module)
        if self.family == "torch":
            module.set_num_threads(threads)
        if self.family == "tf":
            module.config.threading.set_intra_op_parallelism_threads(threads)
            module.config.threading.set_inter_op_parallelism_threads(1)
        compiler: Callable[..., Any] = getattr(module, self.compiler) if self.compiler else eagerly
        return str(module.__version__), compiler


OWN = {
    "static": Way("static", "GraphFlow static", "graphflow", "graphflow", "compile"),
    "eager": Way("eager", "GraphFlow eager", "graphflow", "graphflow"),
}
PEERS = {
    "torch": Way("torch", "PyTorch eager", "torch", "torch"),
    "torch-compile": Way("torch-compile", "torch.compile", "torch", "torch", "compile"),
    "jax": Way("jax", "JAX jit", "jax", "jax", "jit"),
    "tf": Way("tf", "TensorFlow", "tf", "tensorflow", "function"),
}
WAYS = {**OWN, **PEERS}


def choose_peers(names: Iterable[str]) -> list[str]:
    """The peers meant by a list of names, ``auto`` (those installed) or ``none``.

    Raises UsageError for an unknown peer, or one that is not installed.
    """
    chosen: list[str] = []
    for name in names:
        if name == "auto":
            chosen += [peer for peer, way in PEERS.items() if way.installed()]
        elif name in PEERS:
            if not PEERS[name].installed():
                raise UsageError(
                    f"peer {name!r} needs {PEERS[name].module}, which is not installed; auto takes those that are"
                )
            chosen.append(name)
        elif name != "none":
            raise UsageError(f"no peer {name!r}; there are: {', '.join(PEERS)}, auto, none")
    return list(dict.fromkeys(chosen))


def thread_variables(threads: int) -> dict[str, str]:
    """Environment variables that give a process's libraries so many threads; to be set before it imports anything."""
    count = str(threads)
    names = ("GRAPHFLOW", "OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")
    out = {f"{name}_NUM_THREADS": count for name in names}
    out |= {"NPROC": count, "TF_NUM_INTRAOP_THREADS": count, "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    eigen = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
    out["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {eigen}".strip()
    return out


def cache_folders(root: str) -> dict[str, str]:
    """Environment variables that keep what is compiled under `root`: empty for a cold start, filled for a warm one."""
    names = ("GRAPHFLOW_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    return {name: os.path.join(root, name.lower()) for name in names}
