"""Imports point one way: each part of GraphFlow may use the parts below it, never those above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the ground up. A module belongs to the longest entry that its name starts with; modules of one level may import
# each other. To move a part, move its line.
LEVELS: list[tuple[str, ...]] = [
    ("graphflow_kernels",),
    ("graphflow.core",),
    ("graphflow.operators", "graphflow.tensor", "graphflow.variable", "graphflow.ops", "graphflow.random"),
    ("graphflow.autograd",),
    ("graphflow.ir",),
    ("graphflow.trace",),
    ("graphflow.passes",),
    ("graphflow.schedule",),
    ("graphflow.codegen",),
    ("graphflow.runtime",),
    ("graphflow.nn",),
    ("graphflow.optim",),
    ("graphflow.data", "graphflow.datasets"),
    ("graphflow.models",),
    ("graphflow.metrics",),
    ("graphflow.io",),
    ("graphflow.train",),
    ("graphflow.viz",),
    ("graphflow.keras",),
    ("graphflow.testing",),
    ("graphflow",),  # the public surface, __init__.py
    ("graphflow.cli", "graphflow.__main__"),
]

# Imports inside a function that point up all the same: (importing module, imported module): reason.
ALLOWED_IN_FUNCTIONS: dict[tuple[str, str], str] = {
    ("graphflow.operators", "graphflow"): "__array_namespace__ gives the package",
    ("graphflow.tensor", "graphflow.autograd"): "Tensor.backward is a front door to autograd",
    ("graphflow.tensor", "graphflow.runtime.elementwise"): "operations on large tensors run as native programs",
    ("graphflow.tensor", "graphflow.runtime.session"): "Tensor.eval is a front door to the Session",
    ("graphflow.autograd", "graphflow.runtime.tape"): "backward passes that repeat run as native programs",
    ("graphflow.ops.attention", "graphflow.autograd"): "its gradient's gradient is that of ordinary ops",
    ("graphflow.ops.fused", "graphflow.runtime.fused"): "composites called often run as native programs",
    ("graphflow.ir.graph", "graphflow.passes"): "Graph.optimize is a front door to the passes",
    ("graphflow.ir.graph", "graphflow.io.graphs"): "Graph.save is a front door to the files",
    ("graphflow.ir.graph", "graphflow.trace.recorder"): "`with graph:` is a front door to the recorder",
    ("graphflow.operators", "graphflow.viz.notebook"): "notebooks show tensors",
    ("graphflow.ir.graph", "graphflow.viz.notebook"): "graphs,",
    ("graphflow.runtime.profiler", "graphflow.viz.notebook"): "profiles,",
    ("graphflow.nn.module", "graphflow.viz.summary"): "and models",
    ("graphflow.ir.export", "graphflow.viz.page"): "Graph.draw is a front door to the interactive page",
    ("graphflow.ir.export", "graphflow.viz.programs"): "Graph.draw is a front door to the interactive page",
    ("graphflow.trace.compile", "graphflow.viz.page"): "so is the draw of a compiled function",
    ("graphflow.trace.compile", "graphflow.runtime.profiler"): "profile() is a front door to the profiler",
    ("graphflow.trace.compile", "graphflow.runtime.build"): "so is compile() to what makes programs",
    ("graphflow.ops.control", "graphflow.trace.branches"): "the branches of cond are recorded as graphs of their own",
    ("graphflow.ops.control", "graphflow.ir.interpreter"): "the reference of cond runs one of them",
    ("graphflow.ops.loops", "graphflow.trace.loops"): "so are the bodies of loops",
    (
        "graphflow.ops.loops",
        "graphflow.trace.loop_gradients",
    ): "the gradient of a loop is a loop with a body of its own",
    ("graphflow.ops.loops", "graphflow.ir.interpreter"): "the reference of a loop runs its body",
    ("graphflow.trace.tracing", "graphflow.runtime.session"): "Operation.run is a front door to the Session",
    ("graphflow.trace.function", "graphflow.runtime.build"): "a trace is compiled when it has been made",
    ("graphflow.trace.derivative", "graphflow.runtime.build"): "so is the gradient of one",
    (
        "graphflow.trace.derivative",
        "graphflow.passes.functionalize",
    ): "the gradient is taken of the trace without state",
    ("graphflow.variable", "graphflow.ir.interpreter"): "a symbolic initial value is computed by the interpreter",
}

LEVEL_OF = {part: number for number, parts in enumerate(LEVELS) for part in parts}


def part_of(module: str) -> str | None:
    """The entry of LEVELS that a module belongs to; None if it has no place there."""
    name = module
    while name not in LEVEL_OF:
        name = name.rpartition(".")[0]
        if not name:
            return None
    # The bare package is only its __init__: a new part does not get its level by falling through to it.
    return None if name == "graphflow" and module != "graphflow" else name


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source_files() -> list[Path]:
    return sorted(path for package in ("graphflow", "graphflow_kernels") for path in (ROOT / package).rglob("*.py"))


MODULES = {module_name(path): path for path in source_files()}


def imports(tree: ast.Module) -> Iterator[tuple[str, int, bool]]:
    """Every (imported module, line, whether inside a function) of a file, except those for type checkers only."""
    todo: list[tuple[ast.AST, bool]] = [(tree, False)]
    while todo:
        node, in_function = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += [(child, in_function) for child in node.orelse]
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"relative import in line {node.lineno}: write the full name"
            for alias in node.names:  # `from graphflow.ops import math` imports a module, or a name of one
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module, node.lineno, in_function
        inside = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        todo += [(child, inside) for child in ast.iter_child_nodes(node)]


def own_imports(module: str) -> Iterator[tuple[str, int, bool]]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return (found for found in imports(tree) if found[0].split(".")[0] in ("graphflow", "graphflow_kernels"))


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    own_part = part_of(module)
    assert own_part is not None, f"{module} has no level yet: add it to LEVELS in tests/test_layout.py"
    wrong = []
    for imported, line, in_function in own_imports(module):
        part = part_of(imported)
        assert part is not None, f"{module}, line {line} imports {imported}, which does not exist"
        if LEVEL_OF[part] > LEVEL_OF[own_part] and not (in_function and (module, imported) in ALLOWED_IN_FUNCTIONS):
            wrong.append(f"line {line}: {module} imports {imported} ({own_part} is below {part})")
    assert not wrong, "\n".join(wrong)


def test_every_allowance_is_used() -> None:
    used = {(module, imported) for module in MODULES for imported, _, in_function in own_imports(module) if in_function}
    assert set(ALLOWED_IN_FUNCTIONS) <= used


def test_kernels_stand_alone() -> None:
    for module in MODULES:
        if module.startswith("graphflow_kernels"):
            assert all(imported.startswith("graphflow_kernels") for imported, _, _ in own_imports(module)), module


def test_the_check_sees_imports_everywhere() -> None:
    source = "import a\ndef f():\n    from b import c\nif TYPE_CHECKING:\n    import d\nclass C:\n    import e\n"
    assert sorted(imports(ast.parse(source))) == [("a", 1, False), ("b", 3, True), ("e", 7, False)]
