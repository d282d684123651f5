"""Count and Compare: Count is the core's cycle counter divided by COUNT_DIVIDER, plus an offset. The guest's is root's
plus GTOffset.

Sources: MIPS Architecture For Programmers, volume III (MD00091), VZ module (MD00848).
"""

from __future__ import annotations

from cpu import state
from cpu.cp0 import stable
from cpu.cp0.fields import CAUSE_DC, CAUSE_TI, CONFIG6_EXTIMER, CONFIG6_INNTIMER, IP7
from cpu.cp0.registers import C0_CAUSE, C0_COMPARE, C0_CONFIG6, C0_GTOFFSET
from cpu.engine.jit import jit
from cpu.state import NEVER


@jit
def count(S, bank, cycle):
    """A context's Count at a core cycle; while root's Cause.DC is set both stand still (COUNT_BASE holds root's)."""
    value = S[state.COUNT_BASE]
    if not S[C0_CAUSE] & CAUSE_DC:
        value += cycle // S[state.COUNT_DIVIDER]
    if bank:
        value += S[C0_GTOFFSET]
    return value & 0xFFFFFFFF


@jit
def set_count(S, cycle, value):
    """Writes root's Count; the guest's moves with it."""
    if S[C0_CAUSE] & CAUSE_DC:
        S[state.COUNT_BASE] = value
    else:
        S[state.COUNT_BASE] = value - cycle // S[state.COUNT_DIVIDER]
    rearm(S, 0, cycle)
    rearm(S, state.GUEST, cycle)


@jit
def set_offset(S, cycle, value):
    """Writes GTOffset."""
    S[C0_GTOFFSET] = value
    rearm(S, state.GUEST, cycle)


@jit
def rearm(S, bank, cycle):
    """The cycle at which a context's Count next becomes its Compare; equality now means a whole wrap from now. With
    Config6.EXTIMER the guest's line has its stable timer instead."""
    if bank and S[C0_CONFIG6] & CONFIG6_EXTIMER:
        S[bank + state.TIMER] = stable.expiry(S)
        return
    if S[C0_CAUSE] & CAUSE_DC:
        S[bank + state.TIMER] = NEVER
        return
    distance = (S[bank + C0_COMPARE] - count(S, bank, cycle)) & 0xFFFFFFFF
    if distance == 0:
        distance = 1 << 32
    S[bank + state.TIMER] = (cycle // S[state.COUNT_DIVIDER] + distance) * S[state.COUNT_DIVIDER]


@jit
def set_compare(S, bank, cycle, value):
    """Writing Compare acknowledges the timer interrupt."""
    S[bank + C0_COMPARE] = value
    S[bank + C0_CAUSE] &= ~(CAUSE_TI | IP7)
    rearm(S, bank, cycle)


@jit
def set_guest_stable(S, cycle, value):
    """Writes the guest's TIMER_CFG."""
    catch_up(S, cycle)
    stable.configure(S, cycle, value)
    rearm(S, state.GUEST, cycle)


@jit
def catch_up(S, cycle):
    """Fires what lies behind `cycle` but whose boundary has not come yet."""
    if cycle >= S[state.TIMER]:
        fire(S, 0)
    while cycle >= S[state.GUEST + state.TIMER]:
        fire(S, state.GUEST)


@jit
def set_disabled(S, cycle, cause):
    """A write to root's Cause: Count stops or goes on, holding its value. The guest's Cause.DC stops nothing."""
    held = count(S, 0, cycle)
    S[C0_CAUSE] = cause
    set_count(S, cycle, held)


@jit
def external(S, cycle):
    """The stable timer's expiry: latched until Compare is written, if Config6 lets it through."""
    if S[C0_CONFIG6] & CONFIG6_EXTIMER:
        S[C0_CAUSE] |= CAUSE_TI | IP7
        S[state.TIMER_CAME] = cycle


@jit
def fire(S, bank):
    """A context's Count has reached its Compare. Config6 may leave root's IP7 to the external (stable) timer alone; the
    guest's line follows from Cause.TI (cpu/cp0/exceptions.py), which its stable timer may drive instead."""
    if bank:
        S[bank + C0_CAUSE] |= CAUSE_TI
        S[bank + state.TIMER_CAME] = S[bank + state.TIMER]
        if S[C0_CONFIG6] & CONFIG6_EXTIMER:
            stable.expire(S)
            S[bank + state.TIMER] = stable.expiry(S)
            return
    elif (S[C0_CONFIG6] & (CONFIG6_EXTIMER | CONFIG6_INNTIMER)) != CONFIG6_EXTIMER:
        S[C0_CAUSE] |= CAUSE_TI | IP7
        S[state.TIMER_CAME] = S[state.TIMER]
    S[bank + state.TIMER] += S[state.COUNT_DIVIDER] << 32
