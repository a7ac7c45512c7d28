"""Emitters of LLVM IR for CPUs: targets, scalar and vector math, matrix multiplication."""

from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.target import Target, host, named
from graphflow_kernels.cpu.value import Value
