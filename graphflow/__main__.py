"""``python -m graphflow``: the same as the ``graphflow`` command."""

from __future__ import annotations

import sys

from graphflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
