"""What a guest's instruction may not do by itself: the exits GPSI, GSFC and HC, decided before any effect.

Sources: MIPS VZ module (MD00848), "Guest privileged sensitive instructions", "Guest software field change"; MIPS QEMU
(VZ branch): target-mips/op_helper.c; what Linux 6.1: arch/mips/kvm/vz.c handles tells which Loongson registers exit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cpu import state
from cpu.cp0.fields import (
    CAUSE_DC,
    CAUSE_IV,
    CONFIG3_LPA,
    CONFIG3_MSA,
    CONFIG5_MSAEN,
    CONFIG_LASXEN,
    HWR_CC,
    INTCTL_VS,
    PG_ELPA,
    ST_CU1,
    ST_CU2,
    ST_ERL,
    ST_FR,
    ST_KSU,
    ST_KX,
    ST_SX,
    ST_UX,
)
from cpu.cp0.registers import (
    C0_CONFIG3,
    C0_GUESTCTL0,
    C0_GUESTCTL0EXT,
    C0_PAGEGRAIN,
    CPUCFG1_LASX,
    REGISTERS,
    register,
)
from cpu.engine.jit import jit
from cpu.engine.micro import HELPER_ID
from cpu.vz.choices import WIDTH_CHANGES
from cpu.vz.guestctl import AT, BG, CF, CG, CGI, CP0, FCD, GPSI, GSFC, GT, HC, MC, MG, OG, SFC1, SFC2

ALWAYS = -1  # bits of GuestCtl0 that are never all set
NONE = -1  # no exit


class Access(NamedTuple):
    """An access class: bits of GuestCtl0 that it needs, groups of GuestCtl0Ext that send it to root."""

    needs: int
    groups: int = 0


# AT = 3 has both its bits set, AT = 1 has not.
CLASSES = {
    "A": Access(CP0),
    "B": Access(CP0, MG),  # the MMU's registers
    "C": Access(CP0 | AT),  # what shapes the MMU
    "D": Access(CP0, OG),
    "E": Access(CP0, BG),  # what an exception leaves behind
    "F": Access(CP0 | GT),  # the timer
    "G": Access(CP0 | CF),  # writes of Config registers
    "H": Access(ALWAYS),
    "I": Access(CP0, OG),  # not there: reads as 0, writes are ignored
    "J": Access(CP0),  # likewise, for the implementation
}

# Numbers without a register in the table: class, number, selects. All others are of class I.
BEYOND = (
    ("H", 15, (2, 3)), ("H", 16, (7,)), ("H", 17, (1, 2)), ("H", 23, range(8)), ("H", 24, range(8)),
    ("H", 26, range(8)), ("H", 27, range(8)), ("H", 28, range(8)), ("H", 29, range(8)), ("J", 9, (6,)),
    ("J", 11, (6, 7)), ("J", 22, range(2, 8)),
)  # fmt: skip

# What instructions other than CP0 moves need of GuestCtl0.
INSTRUCTIONS = {
    "tlbr": AT, "tlbwi": CP0 | AT, "tlbwr": CP0 | AT, "tlbp": CP0 | AT, "tlbinv": CP0 | AT, "tlbinvf": CP0 | AT,
    "eret": CP0, "di": CP0, "ei": CP0, "lddir": CP0, "ldpte": CP0, "cache": CG, "rdhwr": CP0,
    "wait": ALWAYS, "rdpgpr": ALWAYS, "wrpgpr": ALWAYS,
}  # fmt: skip
CSR_MASK, CSR_MATCH = 0xFC0007FF, 0xC8000118  # CPUCFG, RDCSR and their kin: always root's

# Fields whose change by the guest's MTC0 is root's to see.
WIDTH = ST_KX | ST_SX | ST_UX
FIELDS = {
    "status": ST_CU2 | ST_CU1 | ST_FR | ST_ERL | 1 << 27 | 1 << 24 | 0xF << 19 | 3 << 16,  # RP MX BEV..NMI Impl
    "cause": CAUSE_DC | CAUSE_IV,
    "intctl": INTCTL_VS,
    "pagegrain": PG_ELPA,
    "config": CONFIG_LASXEN,
    "config5": CONFIG5_MSAEN | 1 << 2,  # UFR
}
STATUS, PAGEGRAIN, CONFIG, CONFIG5 = (register(name).index for name in ("status", "pagegrain", "config", "config5"))

NEEDS = np.zeros((2, 256), np.int64)  # for reads and for writes
GROUPS = np.zeros((2, 256), np.int64)
CHANGES = np.zeros(256, np.int64)
INSTRUCTION_NEEDS = np.zeros(len(HELPER_ID) + 1, np.int64)


def _fill() -> None:
    letters = {k: "I" for k in range(256)}
    for letter, number, selects in BEYOND:
        letters |= {8 * number + select: letter for select in selects}
    letters |= {r.index: r.guest for r in REGISTERS.values() if r.guest}
    for k, letter in letters.items():
        for is_write in range(2):
            NEEDS[is_write, k], GROUPS[is_write, k] = CLASSES[letter[-1 if is_write else 0]]
    for name, fields in FIELDS.items():
        CHANGES[register(name).index] = fields
    for name, needs in INSTRUCTIONS.items():
        INSTRUCTION_NEEDS[HELPER_ID[name]] = needs


_fill()

CACHE, RDHWR, HYPCALL = HELPER_ID["cache"], HELPER_ID["rdhwr"], HELPER_ID["hypcall"]
HIT_OPERATIONS = 4 << 2  # CACHE operations from here on name an address, those below an index


@jit
def changes_field(S, number, value):
    """Whether a write would change a field that root wants to see."""
    fields = CHANGES[number]
    if fields == 0 or S[C0_GUESTCTL0EXT] & FCD:
        return False
    control = S[C0_GUESTCTL0]
    if number == STATUS:
        if control & SFC2:
            fields &= ~ST_CU2
        if control & SFC1:
            fields &= ~ST_CU1
        if control & MC:
            fields |= ST_KSU
        if S[state.VZ_CHOICES] & WIDTH_CHANGES:
            fields |= WIDTH
    elif number == PAGEGRAIN and not (S[C0_PAGEGRAIN] & PG_ELPA and S[state.GUEST + C0_CONFIG3] & CONFIG3_LPA):
        return False
    elif number == CONFIG and not S[state.CPUCFG1] & CPUCFG1_LASX:
        return False
    elif number == CONFIG5 and not S[state.GUEST + C0_CONFIG3] & CONFIG3_MSA:
        fields &= ~CONFIG5_MSAEN
    return ((S[state.GCP0 + number] ^ value) & fields) != 0


@jit
def move_exit(S, number, is_write, value):
    """The exit of a guest's MFC0 (is_write 0) or MTC0 (1), or NONE."""
    needs = NEEDS[is_write, number]
    if S[C0_GUESTCTL0] & needs != needs or S[C0_GUESTCTL0EXT] & GROUPS[is_write, number]:
        return GPSI
    if is_write and changes_field(S, number, value):
        return GSFC
    return NONE


@jit
def instruction_exit(S, helper, word):
    """The exit of any other instruction of the guest, or NONE."""
    if helper == HYPCALL:
        return HC
    if word & CSR_MASK == CSR_MATCH:
        return GPSI
    control, needs = S[C0_GUESTCTL0], INSTRUCTION_NEEDS[helper]
    if control & needs != needs:
        return GPSI
    if helper == CACHE and (word >> 16) & 31 < HIT_OPERATIONS and not S[C0_GUESTCTL0EXT] & CGI:
        return GPSI
    if helper == RDHWR and (word >> 11) & 31 == HWR_CC and not control & GT:
        return GPSI
    return NONE
