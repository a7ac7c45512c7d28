"""Hand-written native kernels and the emitters they are made of.

Imported only when something has to be compiled. Depends on numpy, numba and llvmlite, never on ``graphflow``.
"""
