"""``graphflow info``: what is installed here, and what GraphFlow makes of this machine."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``graphflow info``."""
    parser.description = "Versions, CPU features, threads, cache and devices: what to put into a bug report."
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the facts, one a line."""
    facts = collect()
    if options.json:
        import json

        print(json.dumps(facts, indent=1))
        return 0
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:<{width}}{value}")
    return 0


def collect() -> dict[str, str]:
    """The facts, by name."""
    import os

    import graphflow as gf
    from graphflow.cli import kernel_cache, machine
    from graphflow.codegen.host import host
    from graphflow.runtime.gang import get_num_threads
    from graphflow_kernels.cpu import target

    found = machine.describe()
    chosen = target.host()
    versions = {name: version for name, version in found["versions"].items() if name != "graphflow"}
    features = sorted(f[1:] for f in host().features.split(",") if f.startswith("+"))
    memory = f"{found['memory_bytes'] / 2**30:.1f} GiB" if found["memory_bytes"] else "unknown"
    settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith("GRAPHFLOW_")}
    return {
        "graphflow": gf.__version__,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "system": found["system"],
        "CPU": f"{found['cpu']} ({found['llvm_cpu']})",
        "CPUs": str(found["cpus"]),
        "memory": memory,
        "target": f"{chosen.name}: vectors of {8 * chosen.vector_bytes} bits, {chosen.registers} vector registers, "
        f"{'with' if chosen.has_fma else 'without'} fused multiply-add",
        "CPU features": " ".join(features),
        "threads": str(get_num_threads()),
        "devices": ", ".join(devices()),
        "kernel cache": kernel_cache.describe(),
        "settings": " ".join(f"{name}={value}" for name, value in settings.items()) or "no GRAPHFLOW_ variables",
    }


def devices() -> list[str]:
    """The devices that programs can run on."""
    return ["cpu"]
