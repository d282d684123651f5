"""The guest's own stable timer: the copies of TIMER_CFG and TIMER_TICKS that belong to the guest context.

Root reaches them with RDGCSR, WRGCSR and their doubleword forms; the guest itself with RDCSR and WRCSR while
GuestCtl0.GT lends it the timers, without an exit. Counting, and what a write does, is as of the root's timer
(devices/stable_timer.py), but a count of 0 takes a tick; the expiry is latched in the guest's Cause.TI, until Compare
is written.

Source: Loongson 4.19: arch/mips/kvm (stable timer mode), as the only public use of these registers. That no other
configuration register has a guest copy is inferred from it.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.exceptions import CAUSE_TI
from cpu.cp0.registers import C0_CAUSE
from cpu.engine.intrinsics import shr
from cpu.engine.jit import jit
from cpu.state import NEVER

CFG, TICKS_LEFT = 0x1060, 0x1070
ALWAYS_ONE, PERIODIC, ENABLE, TICKS = -1 << 63, 1 << 62, 1 << 61, (1 << 48) - 1
M32 = 0xFFFFFFFF


@jit
def has_copy(number):
    """Whether a configuration register has a guest copy; a number can name an upper half."""
    register = number & ~4
    return register == CFG or register == TICKS_LEFT


@jit
def tick(S, cycle):
    """Ticks of the stable clock since reset."""
    seconds, rest = cycle // S[state.CORE_CLOCK], cycle % S[state.CORE_CLOCK]
    return seconds * S[state.STABLE_CLOCK] + rest * S[state.STABLE_CLOCK] // S[state.CORE_CLOCK]


@jit
def cycle_of(S, at):
    """The first core cycle of a tick."""
    seconds, rest = at // S[state.STABLE_CLOCK], at % S[state.STABLE_CLOCK]
    return seconds * S[state.CORE_CLOCK] + -(-rest * S[state.CORE_CLOCK] // S[state.STABLE_CLOCK])


@jit
def left(S, cycle):
    """Ticks left."""
    if S[state.GUEST_EXPIRY] == NEVER:
        return S[state.GUEST_TICKS]
    return S[state.GUEST_TICKS] - tick(S, cycle)


@jit
def read(S, number, cycle):
    """A guest copy, from the half named on."""
    expire_until(S, cycle)
    value = S[state.GUEST_TIMER_CFG] | ALWAYS_ONE if number & ~4 == CFG else left(S, cycle)
    return shr(value, 32) if number & 4 else value


@jit
def start(S, now):
    """Counts InitVal ticks from tick `now`; 0 as 1. GUEST_TICKS is then the tick of the expiry."""
    S[state.GUEST_TICKS] = now + max(S[state.GUEST_TIMER_CFG] & TICKS, 1)
    S[state.GUEST_EXPIRY] = cycle_of(S, S[state.GUEST_TICKS])


@jit
def write(S, number, size, value, cycle):
    """A write of 4 or 8 bytes of TIMER_CFG; TIMER_TICKS is read-only. Without ENABLE the count stands still."""
    if number & ~4 != CFG:
        return
    expire_until(S, cycle)
    held = left(S, cycle)
    if size == 4:
        old = S[state.GUEST_TIMER_CFG]
        value = old & M32 | value << 32 if number & 4 else old & ~M32 | value & M32
    S[state.GUEST_TIMER_CFG] = value & (PERIODIC | ENABLE | TICKS)
    S[state.GUEST_TICKS], S[state.GUEST_EXPIRY] = held, NEVER
    if value & ENABLE:
        start(S, tick(S, cycle))


@jit
def expire_until(S, cycle):
    """Each time by `cycle` that the count has come to 0: TI; then a one-shot timer parks at all ones, a periodic one
    goes on without drift."""
    while cycle >= S[state.GUEST_EXPIRY]:
        S[state.GUEST + C0_CAUSE] |= CAUSE_TI
        if S[state.GUEST_TIMER_CFG] & PERIODIC:
            start(S, S[state.GUEST_TICKS])
        else:
            S[state.GUEST_TICKS], S[state.GUEST_EXPIRY] = TICKS, NEVER
