"""The stable counter, and the guest's copy of the stable timer: a 48-bit down-counter, one-shot or periodic.

The timers of the bare cores are a device (devices/stable_timer.py). The copy belongs to the core: root reaches it by
the guest forms of the CSR instructions (cpu/vz/face.py), the guest by DRDCSR and DWRCSR while GuestCtl0.GT lends it.
While Config6.EXTIMER is set it is what drives the guest's Cause.TI.

Source: Loongson 4.19 tree: arch/mips/kvm/ls3acomp-vz.c, arch/mips/loongson64/loongson-3/stable_counter.c.
"""

from __future__ import annotations

from cpu import state
from cpu.engine.jit import jit
from cpu.state import NEVER

TIMER_CFG, TIMER_TICKS = 0x1060, 0x1070
TICKS = (1 << 48) - 1
PERIODIC, ENABLE = 1 << 62, 1 << 61
CFG_FIELDS = -(1 << 63) | PERIODIC | ENABLE | TICKS
STANDS = -1


@jit
def has_copy(number):
    """Whether a configuration register has a guest copy."""
    return number == TIMER_CFG or number == TIMER_TICKS


@jit
def counter(S, cycle):
    """The stable counter at a core cycle: ticks of STABLE_CLOCK since reset."""
    seconds, rest = cycle // S[state.CORE_CLOCK], cycle % S[state.CORE_CLOCK]
    return seconds * S[state.STABLE_CLOCK] + rest * S[state.STABLE_CLOCK] // S[state.CORE_CLOCK]


@jit
def expiry(S):
    """The first core cycle at which the guest's timer is at 0."""
    end, hz = S[state.GUEST_STABLE_END], S[state.STABLE_CLOCK]
    if end == STANDS:
        return NEVER
    return end // hz * S[state.CORE_CLOCK] + (end % hz * S[state.CORE_CLOCK] + hz - 1) // hz


@jit
def ticks_left(S, cycle):
    """TIMER_TICKS of the guest."""
    if S[state.GUEST_STABLE_END] == STANDS:
        return S[state.GUEST_STABLE_LEFT]
    return S[state.GUEST_STABLE_END] - counter(S, cycle)


@jit
def configure(S, cycle, value):
    """A write of the guest's TIMER_CFG. With the enable bit a count of InitVal ticks begins, of 1 for 0; else the count
    stands still."""
    left = ticks_left(S, cycle)
    S[state.GUEST_STABLE_CFG] = value & CFG_FIELDS
    if value & ENABLE:
        S[state.GUEST_STABLE_END] = counter(S, cycle) + max(1, value & TICKS)
    else:
        S[state.GUEST_STABLE_END], S[state.GUEST_STABLE_LEFT] = STANDS, left


@jit
def expire(S):
    """The guest's timer is at 0: a periodic one starts again, another parks at all ones."""
    if S[state.GUEST_STABLE_CFG] & PERIODIC:
        S[state.GUEST_STABLE_END] += max(1, S[state.GUEST_STABLE_CFG] & TICKS)
    else:
        S[state.GUEST_STABLE_END], S[state.GUEST_STABLE_LEFT] = STANDS, TICKS
