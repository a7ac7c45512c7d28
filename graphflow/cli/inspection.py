"""``graphflow inspect``: the graph of a model before and after the passes, its kernels, and the memory they need."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from graphflow.cli.errors import UsageError

DESCRIPTION = """\
Show a model's graph, the kernels it is compiled to (with why each fusion stopped) and their memory. MODEL is

  module:name or file.py:name   a function, a Module or a class of Modules that needs no arguments; with a --shape for
                                each argument
  FILE                          a graph as text, as Graph.to_text() gives it

  graphflow inspect model.py:net --shape None,784
  graphflow inspect steps:loss --shape None,784 --shape None:int64 --draw loss.svg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``graphflow inspect``."""
    parser.description = DESCRIPTION
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="SIZES[:DTYPE]",
        help="of an argument: 32,784 or None,784 or None:int64; () for a scalar; once for each argument",
    )
    parser.add_argument(
        "--size", type=int, default=32, help="what to take for sizes given as None, for the memory (32)"
    )
    parser.add_argument("--draw", metavar="FILE.svg", help="write a picture of the optimized graph")


def run(options: argparse.Namespace) -> int:
    """Print graph, kernels and memory. 1 if the model cannot be traced or compiled."""
    from graphflow.core.errors import GraphFlowError

    if options.draw and not options.draw.endswith(".svg"):
        raise UsageError(f"--draw writes .svg files, got {options.draw!r}")
    if options.size < 1:
        raise UsageError(f"--size is a number of at least 1, got {options.size}")
    try:
        graph = load(options.model, options.shape)
        executable = compile_graph(graph)
        measure(executable, options.size)
    except GraphFlowError as error:
        print(f"graphflow: {options.model}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"-- graph --\n{graph.to_text().rstrip()}")
    print(f"\n-- optimized --\n{executable.graph.to_text().rstrip()}")
    print(f"\n-- kernels --\n{executable.explain()}")
    if options.draw:
        executable.graph.draw(options.draw)
        print(f"\npicture of the optimized graph: {options.draw}")
    return 0


def compile_graph(graph: Any) -> Any:
    """The program for a graph's outputs (of a graph without, what nothing else uses) and its effects."""
    from graphflow.runtime.build import build

    used = {i for node in graph.nodes for i in node.inputs}
    ends = [n for n in graph.nodes if n not in used and n.op.kind != "effect" and hasattr(n.aval, "shape")]
    effects = [n for n in graph.nodes if n.op.kind == "effect"]
    return build(graph.outputs or ends, graph.inputs, effects)


def measure(executable: Any, size: int) -> None:
    """Run the program once on zeros, which plans its memory. Open sizes are taken as `size`."""
    import numpy as np

    from graphflow.core.dims import Dim, evaluate

    open_sizes = {
        name: size for n in executable.inputs for s in n.aval.shape if isinstance(s, Dim) for name in s.names()
    }
    shapes = [tuple(evaluate(s, open_sizes) for s in n.aval.shape) for n in executable.inputs]
    executable.run([np.zeros(shape, n.aval.dtype.np) for shape, n in zip(shapes, executable.inputs)])


# -- finding the model -----------------------------------------------------------------------------------------------
def load(model: str, shapes: list[str]) -> Any:
    """The graph that MODEL means. Raises UsageError if there is none."""
    import graphflow as gf
    from graphflow.nn import Module

    place, colon, name = model.rpartition(":")
    if not colon or Path(model).exists():
        if shapes:
            raise UsageError(f"{model} is a file with a graph, which knows its shapes; --shape is for module:name")
        try:
            return gf.Graph.from_text(Path(model).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{model} is neither a readable file with a graph nor module:name ({error})") from error
    found = getattr(_module(place), name, None)
    if found is None:
        raise UsageError(f"{place} has nothing called {name!r}")
    if isinstance(found, type) and issubclass(found, Module):
        found = found()
    if isinstance(found, gf.Graph):
        return found
    if not callable(found):
        raise UsageError(f"{model} is a {type(found).__name__}; a function, a Module or a Graph can be inspected")
    if not shapes:
        raise UsageError(f"give the shape of each argument of {model}: --shape 32,784 or --shape None,784:float32")
    return gf.trace(getattr(found, "__wrapped__", found), *map(_spec, shapes))


def _module(place: str) -> Any:
    """Import a module by its name or its file; its own folder, or the current one, is where it finds others."""
    import importlib

    path = Path(place)
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"there is no file {place!r}")
        sys.path.insert(0, str(path.resolve().parent))
        return importlib.import_module(path.stem)
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module {place!r}; for a file write its name with .py") from error
        raise


def _spec(text: str) -> Any:
    """A TensorSpec for ``None,784:float32``."""
    import graphflow as gf

    sizes, _, dtype = text.partition(":")
    try:
        shape = tuple(
            None if s.strip() in ("None", "?") else int(s) for s in sizes.strip(" ()").split(",") if s.strip()
        )
        return gf.TensorSpec(shape, dtype or "float32")
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"--shape {text!r}: expected sizes and a dtype, such as 32,784 or None:int64 ({error})"
        ) from error
