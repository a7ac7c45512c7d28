"""The README's example runs."""

from __future__ import annotations

import re
from pathlib import Path


def test_the_example_runs():
    text = (Path(__file__).parents[2] / "graphflow_kernels" / "README.md").read_text()
    examples = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "gemm.emit" in block]
    assert len(examples) == 1
    exec(compile(examples[0], "README.md", "exec"), {})
