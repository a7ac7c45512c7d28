"""Runs the Array API's own test suite on GraphFlow: ``python tests/array_api/run.py PATH [pytest options]``.

PATH is a checkout of github.com/data-apis/array-api-tests with its submodule array-api; its requirements.txt must be
installed. The suite is never part of this repository. Ends with the numbers of tests passed, failed and not run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    if len(sys.argv) < 2 or not (Path(sys.argv[1]) / "array_api_tests").is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    paths = [str(HERE), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "ARRAY_API_TESTS_MODULE": "graphflow", "PYTHONPATH": os.pathsep.join(paths)}
    options = ["-p", "graphflow_suite", "-p", "no:cacheprovider", "--max-examples", "20", "-q", *sys.argv[2:]]
    command = [sys.executable, "-m", "pytest", "array_api_tests", *options]
    return subprocess.run(command, cwd=sys.argv[1], env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main())
