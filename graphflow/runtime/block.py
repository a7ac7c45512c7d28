"""The gang's control block: an array of i64 words that Python (`gang`) and the native driver (`driver`) share.

What different threads write lies on different cache lines.
"""

from __future__ import annotations

BUSY = 0  # 1 while a program is under way
BARRIER = 16  # how often threads have reached a barrier of this program
DONE = 32  # how many workers have finished this program
PROGRAM, THREADS, SPINS = 48, 49, 50  # what to do and how to wait; written before the workers are called
WORKERS, CPUS, SPIN_LIMIT = 64, 65, 66  # what there is; written by Python
SLOTS, SLOT = 80, 16  # the first slot, and words from one to the next
CALL, SLEEPING, SCRATCH, READY = 0, 1, 2, 3  # words of a slot

WORD = 8
