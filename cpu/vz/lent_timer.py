"""A guest's timer as root handles it around an entry, each in one step: set going, read, parked.

Each does what root's moves (MTC0, MTGC0, MFGC0; cpu/cp0/access.py) would do one after the other at one time.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0 import timer
from cpu.cp0.access import read_cp0, write_cp0
from cpu.cp0.registers import C0_CAUSE, C0_COMPARE, ROOT_MASK
from cpu.engine.jit import jit

CAUSE, COMPARE = C0_CAUSE - state.CP0, C0_COMPARE - state.CP0
CAUSE_MASK = int(ROOT_MASK[CAUSE])


@jit
def set_going(S, count):
    """GTOffset makes Guest.Count stand at `count` now."""
    cycle = S[state.CYCLES]
    timer.catch_up(S, cycle)
    timer.set_offset(S, cycle, (count - timer.count(S, 0, cycle)) & 0xFFFFFFFF)


@jit
def read(S):
    """(Guest.Cause, Guest.Count) now."""
    cycle = S[state.CYCLES]
    cause = read_cp0(S, state.GUEST, CAUSE, False, cycle) & 0xFFFFFFFF
    return cause, timer.count(S, state.GUEST, cycle)


@jit
def park(S, compare, cause):
    """Guest.Compare, Guest.Count just there, which is a whole wrap before the next match, and Guest.Cause."""
    cycle = S[state.CYCLES]
    write_cp0(S, state.GUEST, COMPARE, compare, -1, False, cycle)
    set_going(S, compare)
    write_cp0(S, state.GUEST, CAUSE, cause, CAUSE_MASK, False, cycle)
