"""The ``graphflow`` command: bench, info, inspect, cache."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from graphflow.cli.errors import UsageError

COMMANDS = {
    "bench": ("graphflow.cli.bench", "measure workloads, statically and eagerly, against other frameworks"),
    "info": ("graphflow.cli.info", "versions, CPU features, threads, cache, devices"),
    "inspect": ("graphflow.cli.inspection", "the graph, kernels and memory of a model"),
    "cache": ("graphflow.cli.kernel_cache", "look at the cache of compiled kernels, or empty it"),
}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line; each command's module adds its own options."""
    top = argparse.ArgumentParser(prog="graphflow", description="GraphFlow, from the command line.")
    top.add_argument("--version", action="store_true", help="print the version and exit")
    commands = top.add_subparsers(metavar="COMMAND")
    for name, (module, help) in COMMANDS.items():
        part = import_module(module)
        sub = commands.add_parser(name, help=help, formatter_class=argparse.RawDescriptionHelpFormatter)
        part.add_arguments(sub)
        sub.set_defaults(run=part.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status: 0 for success, 1 for a failure, 2 for a request that makes no sense."""
    top = parser()
    options = top.parse_args(arguments)
    if options.version:
        import graphflow

        print(f"graphflow {graphflow.__version__}")
        return 0
    if not hasattr(options, "run"):
        top.print_help()
        return 2
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except UsageError as error:
        print(f"graphflow: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
