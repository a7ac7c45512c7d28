"""``graphflow cache``: the compiled kernels on disk."""

from __future__ import annotations

import argparse

DESCRIPTION = """\
Compiled kernels are kept on disk, so that a second process compiles nothing. GRAPHFLOW_CACHE_DIR says where,
GRAPHFLOW_CACHE_SIZE_MB how much at most (0: nothing)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``graphflow cache``."""
    parser.description = DESCRIPTION
    parser.add_argument("action", choices=("info", "clear"), help="say what is in it, or delete all of it")


def run(options: argparse.Namespace) -> int:
    """Print what the cache holds, or empty it."""
    from graphflow.codegen import cache

    if options.action == "clear":
        before = cache.info()
        cache.clear()
        if before:
            print(f"deleted {before['kernels'] - cache.info()['kernels']} kernels from {before['path']}")
    print(describe())
    return 0


def describe() -> str:
    """The cache in a line."""
    from graphflow.codegen import cache

    info = cache.info()
    if not info:
        return "no cache: GRAPHFLOW_CACHE_SIZE_MB is 0"
    sizes = f"{info['bytes'] / 2**20:.1f} of {info['limit'] / 2**20:.0f} MiB"
    return f"{info['path']}: {info['kernels']} kernels in {info['objects']} files, {sizes}"
