"""The op records, by family. Importing this package registers all of them, each exactly once.

From the ground up: a family uses those above it in this list freely, and any of them inside its functions.
"""

from __future__ import annotations

# ruff: isort: off
from graphflow.ops import movement
from graphflow.ops import arrange
from graphflow.ops import padding
from graphflow.ops import elementwise
from graphflow.ops import logic
from graphflow.ops import mathematical
from graphflow.ops import gamma
from graphflow.ops import normal
from graphflow.ops import inverse_erf
from graphflow.ops import special
from graphflow.ops import creation
from graphflow.ops import reduce
from graphflow.ops import picking
from graphflow.ops import masks
from graphflow.ops import indexing
from graphflow.ops import matrices
from graphflow.ops import linalg
from graphflow.ops import conv
from graphflow.ops import pool
from graphflow.ops import sorting
from graphflow.ops import random
from graphflow.ops import composite
from graphflow.ops import attention
from graphflow.ops import losses
from graphflow.ops import control
from graphflow.ops import loops
from graphflow.ops import running
from graphflow.ops import custom
from graphflow.ops import user
from graphflow.ops import statistics
from graphflow.ops import formulas
from graphflow.ops import stacking
from graphflow.ops import pytorch
from graphflow.ops import in_place
from graphflow.ops import tensorflow
from graphflow.ops import namespace
