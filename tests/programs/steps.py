"""All the steps that random programs are made of."""

from tests.programs import elementwise, movement, products, reductions
from tests.programs.step import STEPS

__all__ = ["STEPS", "elementwise", "movement", "products", "reductions"]
