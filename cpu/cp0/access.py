"""Reading and writing CP0 registers: what MFC0, MTC0 and their kin do beyond moving the writable bits.

`bank` is the context whose register it is, `number` is register * 8 + select. Sources: MIPS Architecture For
Programmers, volume III (MD00091); VZ module (MD00848); Loongson's Diag and PGD: Linux 6.1:
arch/mips/include/asm/mipsregs.h, arch/mips/mm/tlbex.c.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0 import stable, timer
from cpu.cp0.exceptions import lines
from cpu.cp0.fields import (
    CONFIG1_FP,
    CONFIG3_MSA,
    CONFIG4_FTLBPAGESIZE,
    CONFIG5_MSAEN,
    CONFIG6_FTLBDIS,
    CONFIG6_LASXMODE,
    CONFIG_LASXEN,
    DIAG_FTLB,
    DIAG_VTLB,
    EBASE_CPUNUM,
    EBASE_WG,
    HWR_CC,
    HWR_CCRES,
    HWR_CPUNUM,
    HWR_STABLE,
    HWR_SYNCI_STEP,
    HWR_ULR,
    PG_RIE,
    PG_XIE,
    ST_CU0,
    ST_CU1,
    ST_FR,
)
from cpu.cp0.registers import (
    C0_BADVADDR,
    C0_CAUSE,
    C0_COMPARE,
    C0_CONFIG,
    C0_CONFIG1,
    C0_CONFIG3,
    C0_CONFIG4,
    C0_CONFIG5,
    C0_CONFIG6,
    C0_COUNT,
    C0_DIAG,
    C0_EBASE,
    C0_ENTRYHI,
    C0_ENTRYLO0,
    C0_ENTRYLO1,
    C0_GTOFFSET,
    C0_GUESTCTL0,
    C0_GUESTCTL1,
    C0_HWRENA,
    C0_INDEX,
    C0_KPGD,
    C0_LLADDR,
    C0_PAGEGRAIN,
    C0_PAGEMASK,
    C0_PGD,
    C0_PWBASE,
    C0_RANDOM,
    C0_STATUS,
    C0_USERLOCAL,
    C0_WIRED,
    CPUCFG1_LASX,
    WIDE,
)
from cpu.engine.intrinsics import sign32
from cpu.engine.jit import jit
from cpu.engine.softmmu import flush_all, update_context
from cpu.tlb import ftlb
from cpu.tlb.operations import invalidate_all, size_of
from cpu.tlb.translate import KERNEL, mode_of
from cpu.vz.choices import DIRECT
from cpu.vz.guestctl import AT, AT_GUEST, AT_ROOT, DRG, RID_SHIFT
from cpu.vz.mode import link_slot, select_bank

SMALL_INDEX = 0x3F  # Index without an FTLB


@jit
def read_cp0(S, bank, number, wide, cycle):
    """The value MFC0 or DMFC0 gives."""
    own = state.CP0 + number
    at = bank + own
    if own == C0_COUNT:
        return sign32(timer.count(S, bank, cycle))
    value = S[at]
    if own == C0_CAUSE:
        timer.catch_up(S, cycle)
        value = S[at] | lines(S, bank)
    elif own == C0_LLADDR:
        value = S[link_slot(S, bank)] & 1
    elif own == C0_PGD:
        value = S[bank + C0_KPGD] if S[bank + C0_BADVADDR] < 0 else S[bank + C0_PWBASE]
    if wide and WIDE[number]:
        return value
    if not wide and (own == C0_ENTRYLO0 or own == C0_ENTRYLO1):
        value = (value & 0x3FFFFFFF) | ((value >> 32) & 0xC0000000)
    return sign32(value)


@jit
def changeable(S, bank, own, value, mask):
    """Of the bits that a write may change, those that it changes on this core: what is not there cannot be enabled."""
    if own == C0_STATUS and not S[bank + C0_CONFIG1] & CONFIG1_FP:
        mask &= ~(ST_CU1 | ST_FR)
    elif own == C0_CONFIG and not S[state.CPUCFG1] & CPUCFG1_LASX:
        mask &= ~CONFIG_LASXEN
    elif own == C0_CONFIG4 and not (ftlb.has_ftlb(S, bank) and ftlb.is_page_size(value)):
        mask &= ~CONFIG4_FTLBPAGESIZE
    elif own == C0_CONFIG5 and not S[bank + C0_CONFIG3] & CONFIG3_MSA:
        mask &= ~CONFIG5_MSAEN
    elif own == C0_CONFIG6 and not S[state.CPUCFG1] & CPUCFG1_LASX:
        mask &= ~CONFIG6_LASXMODE
    elif own == C0_INDEX and not ftlb.has_ftlb(S, bank):
        mask &= SMALL_INDEX
    elif own == C0_GUESTCTL0:
        if value & AT != AT_GUEST and value & AT != AT_ROOT:
            mask &= ~AT  # 0 and 2 are reserved
        if not S[state.VZ_CHOICES] & DIRECT:
            mask &= ~DRG
    elif own == C0_GUESTCTL1:
        mask &= S[state.GUEST_IDS] << RID_SHIFT | S[state.GUEST_IDS]
    return mask


@jit
def follow(S, bank, own, before, cycle):
    """What a write of a register has changed elsewhere; `before` is what the register held."""
    value = S[bank + own]
    if own == C0_STATUS or own == C0_ENTRYHI or own == C0_GUESTCTL0 or own == C0_GUESTCTL1:
        update_context(S)
    elif own == C0_PAGEGRAIN:
        flush_all(S)
    elif own == C0_CONFIG or own == C0_CONFIG5:
        select_bank(S)
    elif own == C0_CONFIG1 and bank:
        if not value & CONFIG1_FP:
            S[bank + C0_STATUS] &= ~(ST_CU1 | ST_FR)
            update_context(S)
        invalidate_all(S, bank, size_of(S, bank), state.TLB_ENTRIES)
    elif own == C0_CONFIG4 and (value ^ before) & CONFIG4_FTLBPAGESIZE:
        invalidate_all(S, bank, ftlb.FIRST, ftlb.END)
    elif own == C0_CONFIG6:
        select_bank(S)
        timer.rearm(S, state.GUEST, cycle)
        if value & CONFIG6_FTLBDIS:
            for context in (0, state.GUEST):
                invalidate_all(S, context, ftlb.FIRST, ftlb.END)


@jit
def write_cp0(S, bank, number, value, mask, wide, cycle):
    """MTC0 or DMTC0; `mask`: the bits that whoever writes may change."""
    own = state.CP0 + number
    at = bank + own
    if not wide:
        value = sign32(value)
    timer.catch_up(S, cycle)
    if own == C0_COUNT:
        if mask != 0:
            timer.set_count(S, cycle, value & 0xFFFFFFFF)
    elif own == C0_COMPARE:
        timer.set_compare(S, bank, cycle, value & 0xFFFFFFFF)
    elif own == C0_GTOFFSET:
        timer.set_offset(S, cycle, value & 0xFFFFFFFF)
    elif own == C0_CAUSE and bank == 0:
        timer.set_disabled(S, cycle, (S[at] & ~mask) | (value & mask))
    elif own == C0_ENTRYLO0 or own == C0_ENTRYLO1:
        inhibit = S[bank + C0_PAGEGRAIN] & (PG_RIE | PG_XIE)  # where RI and XI sit in the high word
        high = value & (inhibit << 32) if wide else (value & inhibit) << 32
        S[at] = (value & mask & (-1 if wide else 0x3FFFFFFF)) | high
    elif own == C0_PAGEMASK:
        pages = (value & mask) >> 13
        whole = pages + 1
        if pages & whole == 0 and whole & 0x15555555 != 0:
            S[at] = pages << 13
        else:
            S[at] = 0
    elif own == C0_WIRED:
        S[at] = value & mask
        S[bank + C0_RANDOM] = size_of(S, bank) - 1
    elif own == C0_EBASE:
        if value & EBASE_WG:
            number_mask = mask & EBASE_CPUNUM
            S[at] = (value & (~0xFFF | number_mask)) | EBASE_WG | (S[at] & EBASE_CPUNUM & ~number_mask)
        else:
            S[at] = (S[at] & ~(mask | EBASE_WG)) | (value & mask)
    elif own == C0_LLADDR:
        S[link_slot(S, bank)] &= value
    elif own == C0_DIAG:
        if value & DIAG_VTLB:
            invalidate_all(S, bank, 0, state.TLB_ENTRIES)
        if value & DIAG_FTLB:
            invalidate_all(S, bank, ftlb.FIRST, ftlb.END)
    else:
        before = S[at]
        mask = changeable(S, bank, own, value, mask)
        S[at] = (before & ~mask) | (value & mask)
        if not WIDE[number]:
            S[at] &= 0xFFFFFFFF
        follow(S, bank, own, before, cycle)


@jit
def read_hardware(S, number, cycle):
    """(value, 1), or (0, 0) when RDHWR may not read that register here."""
    bank = S[state.BANK]
    status = S[bank + C0_STATUS]
    allowed = mode_of(status) == KERNEL or status & ST_CU0 or (S[bank + C0_HWRENA] >> number) & 1
    if not allowed:
        return 0, 0
    if number == HWR_CPUNUM:
        return S[bank + C0_EBASE] & EBASE_CPUNUM, 1
    if number == HWR_SYNCI_STEP:
        return 16, 1  # SYNCI_Step: bytes, as QEMU's model of this core says
    if number == HWR_CC:
        return sign32(timer.count(S, bank, cycle)), 1
    if number == HWR_CCRES:
        return S[state.COUNT_DIVIDER], 1
    if number == HWR_ULR:
        return S[bank + C0_USERLOCAL], 1
    if number == HWR_STABLE:
        return stable.counter(S, cycle) + (S[state.GUEST_STABLE_OFFSET] if bank else 0), 1
    return 0, 0
