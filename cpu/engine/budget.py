"""The budget n: cycles left before the deadline, and instructions completed since it was given, in one number.

n = (cycles left << SHIFT) - instructions completed. A block takes its charge, cycles << SHIFT | instructions, in one
subtraction. n > 0 exactly while cycles are left, as long as fewer than 1 << SHIFT instructions complete on one budget;
MOST_CYCLES sees to that, because no instruction takes less than a cycle.
"""

from __future__ import annotations

from cpu.engine import shared as m
from cpu.engine.intrinsics import ld64
from cpu.engine.jit import jit

SHIFT = 20
INSTRUCTIONS = (1 << SHIFT) - 1
LONGEST = 65  # instructions in a block
MOST_CYCLES = (1 << SHIFT) - 2 * LONGEST


@jit
def cycles_left(n):
    """Cycles before the deadline, with the current block already charged; negative behind it."""
    return (n + INSTRUCTIONS) >> SHIFT


@jit
def completed(n):
    """Instructions completed on this budget, with the current block already charged."""
    return -n & INSTRUCTIONS


@jit
def charge(M, op):
    """What one instruction, as a micro-op number, takes from the budget."""
    return ld64(M[m.CHARGES] + 8 * op)
