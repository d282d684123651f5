"""LDDIR and LDPTE: the steps of a page table walk, for the address in BadVAddr of the context that executes them.

Source: Linux 6.1: arch/mips/mm/tlbex.c (build_loongson3_tlb_refill_handler), arch/mips/include/asm/mipsregs.h (PWField,
PWSize, PWCtl). The manual is not public: what they do is inferred from that use.
"""

from __future__ import annotations

from cpu.cp0.registers import C0_BADVADDR, C0_ENTRYLO0, C0_ENTRYLO1, C0_PAGEMASK, C0_PWCTL, C0_PWFIELD, C0_PWSIZE
from cpu.engine.intrinsics import shr
from cpu.engine.jit import jit

# Where a level's field starts in PWField (its lowest address bit) and in PWSize (its width): GDI, UDI, MDI.
GLOBAL, UPPER, MIDDLE = 24, 18, 12
TABLE, ENTRY = 6, 0  # PTI, PTEI
HUGE_PAGES = 1 << 6  # PWCtl.HugePg; bits 5:0 name the bit that marks a huge page's entry


@jit
def field(S, bank, at):
    """Index into the table of a level."""
    low, width = shr(S[bank + C0_PWFIELD], at) & 63, shr(S[bank + C0_PWSIZE], at) & 63
    return shr(S[bank + C0_BADVADDR], low) & ((1 << width) - 1)


@jit
def is_huge(S, bank, entry):
    """Whether an entry of a directory maps a huge page itself."""
    control = S[bank + C0_PWCTL]
    return control & HUGE_PAGES != 0 and (entry >> (control & 63)) & 1 != 0


@jit
def directory_entry(S, bank, table, level):
    """Address of what LDDIR loads: level 3 is the global directory, 2 the upper, 1 the middle one."""
    at = GLOBAL if level == 3 else UPPER if level == 2 else MIDDLE
    return table + 8 * field(S, bank, at)


@jit
def table_entry(S, bank, table, odd):
    """Address of what LDPTE loads."""
    return table + 8 * (field(S, bank, TABLE) & ~1 | odd)


@jit
def load_entry(S, bank, entry, odd):
    """EntryLo0 or 1 from a page table entry: PWField.PTEI bits lower, of which XI and RI, the two highest, go to the
    top."""
    shift = shr(S[bank + C0_PWFIELD], ENTRY) & 63
    low = shr(entry, shift) | shr(entry, shift - 2) << 62
    S[bank + (C0_ENTRYLO1 if odd else C0_ENTRYLO0)] = low


@jit
def load_huge(S, bank, entry, odd):
    """EntryLo0 or 1, and PageMask, from the directory's entry of a huge page: each half is one page of the pair."""
    size = 1 << (shr(S[bank + C0_PWFIELD], MIDDLE) & 63)
    load_entry(S, bank, entry, odd)
    if odd:
        S[bank + C0_ENTRYLO1] += size >> 1 >> 12 << 6
    S[bank + C0_PAGEMASK] = (size - 1) & ~0x1FFF
