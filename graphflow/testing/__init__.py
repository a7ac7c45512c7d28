"""Tools for testing functions of tensors: are the gradients right, and do all the modes agree?"""

from __future__ import annotations

from graphflow.testing.compare import assert_close
from graphflow.testing.gradients import check_grad
from graphflow.testing.parity import check_parity

__all__ = ["assert_close", "check_grad", "check_parity"]
