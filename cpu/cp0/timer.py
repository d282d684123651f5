"""Count and Compare: Count is the core's cycle counter divided by COUNT_DIVIDER, plus an offset.

Source: MIPS Architecture For Programmers, volume III (MD00091).
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.exceptions import CAUSE_DC, CAUSE_TI
from cpu.cp0.registers import C0_CAUSE, C0_COMPARE, C0_CONFIG6
from cpu.engine.jit import jit

NEVER = 1 << 62
IP7 = 1 << 15
INNTIMER, EXTIMER = 1 << 6, 1 << 7


@jit
def count(S, cycle):
    """Count at a core cycle; while Cause.DC is set it stands still (COUNT_BASE holds it)."""
    if S[C0_CAUSE] & CAUSE_DC:
        return S[state.COUNT_BASE] & 0xFFFFFFFF
    return (cycle // S[state.COUNT_DIVIDER] + S[state.COUNT_BASE]) & 0xFFFFFFFF


@jit
def set_count(S, cycle, value):
    if S[C0_CAUSE] & CAUSE_DC:
        S[state.COUNT_BASE] = value
    else:
        S[state.COUNT_BASE] = value - cycle // S[state.COUNT_DIVIDER]
    rearm(S, cycle)


@jit
def rearm(S, cycle):
    """The cycle at which Count next becomes Compare; equality now means a whole wrap from now."""
    if S[C0_CAUSE] & CAUSE_DC:
        S[state.TIMER] = NEVER
        return
    distance = (S[C0_COMPARE] - count(S, cycle)) & 0xFFFFFFFF
    if distance == 0:
        distance = 1 << 32
    S[state.TIMER] = (cycle // S[state.COUNT_DIVIDER] + distance) * S[state.COUNT_DIVIDER]


@jit
def set_compare(S, cycle, value):
    """Writing Compare acknowledges the timer interrupt."""
    S[C0_COMPARE] = value
    S[C0_CAUSE] &= ~(CAUSE_TI | IP7)
    rearm(S, cycle)


@jit
def catch_up(S, cycle):
    """Fires a match that lies behind `cycle` but whose boundary has not come yet."""
    if cycle >= S[state.TIMER]:
        fire(S)


@jit
def set_disabled(S, cycle, cause):
    """A write to Cause: Count stops or goes on, holding its value."""
    held = count(S, cycle)
    S[C0_CAUSE] = cause
    set_count(S, cycle, held)


@jit
def external(S, cycle):
    """The stable timer's expiry: latched until Compare is written, if Config6 lets it through."""
    if S[C0_CONFIG6] & EXTIMER:
        S[C0_CAUSE] |= CAUSE_TI | IP7
        S[state.TIMER_CAME] = cycle


@jit
def fire(S):
    """Count has reached Compare. Config6 may leave IP7 to the external (stable) timer alone."""
    if (S[C0_CONFIG6] & (EXTIMER | INNTIMER)) != EXTIMER:
        S[C0_CAUSE] |= CAUSE_TI | IP7
        S[state.TIMER_CAME] = S[state.TIMER]
    S[state.TIMER] += S[state.COUNT_DIVIDER] << 32
