"""Which context executes: root or guest, and which units its instructions find enabled.

Sources: MIPS VZ module (MD00848), "Guest mode"; both contexts must enable a unit for the guest. MIPS Architecture For
Programmers, volume III (MD00091), "64-bit Operations Enable". LASX: Loongson 4.19 tree:
arch/mips/include/asm/mipsregs.h, arch/mips/kernel/cpu-probe.c.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.fields import (
    CONFIG5_MSAEN,
    CONFIG6_LASXMODE,
    CONFIG_LASXEN,
    ST_CU0,
    ST_CU1,
    ST_ERL,
    ST_EXL,
    ST_FR,
    ST_PX,
    ST_UX,
)
from cpu.cp0.registers import C0_CONFIG, C0_CONFIG5, C0_CONFIG6, C0_GUESTCTL0, C0_STATUS
from cpu.engine.jit import jit
from cpu.tlb.translate import USER, mode_of
from cpu.vz.guestctl import GM

# In UNITS: what instruction words mean.
HALVES = 1  # an FPR of an odd number is the upper half of the one before
NARROW = 2  # 64-bit operations are reserved
NARROW_COP0, NARROW_COP1 = 4, 8  # those of a coprocessor too; while it is not usable, that is what they raise
MODES = HALVES | NARROW | NARROW_COP0 | NARROW_COP1


@jit
def bank_of(S):
    """The mode equation: GUEST while GuestCtl0.GM is set and root is at neither exception nor error level."""
    if S[C0_GUESTCTL0] & GM and not S[C0_STATUS] & (ST_EXL | ST_ERL):
        return state.GUEST
    return 0


@jit
def is_hypervisors(S):
    """Whether what comes next is the hypervisor's in Python: all of root mode, or only its kernel mode."""
    if not S[state.HYPERVISOR] or S[state.BANK]:
        return False
    return S[state.HYPERVISOR] == state.ROOT_MODE or mode_of(S[C0_STATUS]) != USER


@jit
def select_bank(S):
    """Sets BANK and UNITS from the registers. Each context has its own link."""
    bank = bank_of(S)
    if bank != S[state.BANK]:
        S[state.BANK] = bank
        for k in range(3):
            link = S[state.LLBIT + k]
            S[state.LLBIT + k] = S[state.OTHER_LINK + k]
            S[state.OTHER_LINK + k] = link
    status = S[bank + C0_STATUS]
    units = status & ST_CU1 | S[bank + C0_CONFIG5] & CONFIG5_MSAEN | S[bank + C0_CONFIG] & CONFIG_LASXEN
    if bank:
        units &= S[C0_STATUS] & ST_CU1 | S[C0_CONFIG5] & CONFIG5_MSAEN | S[C0_CONFIG] & CONFIG_LASXEN
    if not status & (ST_UX | ST_PX) and mode_of(status) == USER:
        units |= NARROW | (NARROW_COP0 if status & ST_CU0 else 0) | (NARROW_COP1 if units & ST_CU1 else 0)
    if status & (ST_CU1 | ST_FR) == ST_CU1:
        # Vectors over 32-bit floating-point registers do not exist.
        units = units & ~CONFIG5_MSAEN | HALVES
    if not units & CONFIG5_MSAEN or not S[C0_CONFIG6] & CONFIG6_LASXMODE:
        units &= ~CONFIG_LASXEN
    S[state.UNITS] = units


@jit
def link_slot(S, bank):
    """Where the link bit of a context is now."""
    return state.LLBIT if bank == S[state.BANK] else state.OTHER_LINK
