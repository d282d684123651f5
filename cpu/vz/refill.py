"""The root TLB refill of a guest, carried out by the core itself: what the hypervisor's refill handler does, without
leaving the compiled loop.

It walks the page table at GPA_PGD, of guest physical addresses, or of virtual ones where the guest is root's user mode
(HYPERVISOR = KERNEL_MODE; no GuestID is in use then). The table has three levels of 2048 entries (bits 46:36, 35:25,
24:14) of 64 bits, of which the first two hold host addresses of the next table, or 0. Entries of the last level are in
Linux's format. Source: Linux 6.1: arch/mips/kvm/entry.c (kvm_mips_build_tlb_refill_exception),
arch/mips/include/asm/pgtable-bits.h.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.registers import C0_ENTRYHI, C0_GUESTCTL1
from cpu.engine.intrinsics import ld64, shr
from cpu.engine.jit import jit
from cpu.tlb.operations import put_entry, random_entry
from cpu.vz.guestctl import ID

INDEX = 0x7FF
PAGEMASK = 0x6000  # 16 KiB
PAIR = 0x7FFF
ASID = 0x3FF


@jit
def entry_lo(pte):
    """EntryLo of a page table entry: without its eight lowest bits, of which XI (6) and RI (7) go to the top."""
    return shr(pte, 8) | (pte & 0xC0) << 56


@jit
def refill(S, gpa):
    """Loads the root TLB with the pair of pages at an address of the table. False when the core has no table to walk.
    A table that is absent gives a pair that is not valid, so that the access comes to the hypervisor when it is
    repeated."""
    table = S[state.GPA_PGD]
    if table == 0:
        return False
    if shr(gpa, 47) == 0:
        table = ld64(table + 8 * ((gpa >> 36) & INDEX))
        if table != 0:
            table = ld64(table + 8 * ((gpa >> 25) & INDEX))
    else:
        table = 0
    even = odd = 0
    if table != 0:
        at = table + 8 * ((gpa >> 14) & INDEX & ~1)
        even, odd = entry_lo(ld64(at)), entry_lo(ld64(at + 8))
    high = gpa & ~PAIR | S[C0_ENTRYHI] & ASID
    put_entry(S, 0, random_entry(S, 0, high, PAGEMASK), S[C0_GUESTCTL1] & ID, high, PAGEMASK, even, odd)
    S[state.ROOT_REFILLS] += 1
    return True
