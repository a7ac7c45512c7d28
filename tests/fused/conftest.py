"""Native programs of eager mode: every test starts without any."""

from __future__ import annotations

import pytest

from graphflow.ops.fused import COMPOSITES
from graphflow.runtime import elementwise, tape


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    for composite in COMPOSITES:
        for kept in (composite.calls, composite.families, composite.sizes, composite.failures):
            kept.clear()
    tape._programs.clear()
    tape._variants.clear()
    tape.failures.clear()
    elementwise._programs.clear()
