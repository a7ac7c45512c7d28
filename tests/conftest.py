"""What all tests share: which of them run here, and a clean start for each."""

from __future__ import annotations

import importlib.util
import sys

import hypothesis
import pytest

# Compiling takes as long as it takes, so no deadlines; the same examples each run, so that a failure is a change's own.
hypothesis.settings.register_profile("graphflow", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("graphflow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
        if item.get_closest_marker("torch") and importlib.util.find_spec("torch") is None:
            item.add_marker(pytest.mark.skip(reason="PyTorch is not installed"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        from numba import cuda

        if not cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(autouse=True)
def fresh_state() -> None:
    """Each test starts with the same random numbers and an empty default graph, whatever ran before it."""
    # Only parts that a test has loaded have state; loading them here would hide a missing import.
    random, trace = (sys.modules.get(f"graphflow.{part}") for part in ("ops.random", "trace"))
    if random is not None:
        random.seed(0)
    if hasattr(trace, "reset_default_graph"):
        trace.reset_default_graph()
