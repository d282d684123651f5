"""The FTLB: 2048 entries of one page size, eight ways of 256 sets, behind the 64 entries of any size (the VTLB).

Entry 64 + 256 * way + set has that index too, unless root has made the guest's VTLB smaller: the indices of its FTLB
begin behind that. The page size is that of Config4.FTLBPageSize, of each context for itself; Config6.FTLBDIS turns both
FTLBs off.

Sources: MIPS Architecture For Programmers, volume III (MD00091), Config4; Linux 6.1: arch/mips/kernel/cpu-probe.c
(decode_config4, set_ftlb_enable), arch/mips/mm/tlb-r4k.c (local_flush_tlb_all: TLBINVF at the first index of each set).
That 2048 entries are 8 x 256 is inferred from the 2112 that Linux shows on a 3A4000.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.fields import CONFIG4_FTLBPAGESIZE, CONFIG6_FTLBDIS, CONFIG_MT, CONFIG_MT_FTLB
from cpu.cp0.registers import C0_CONFIG, C0_CONFIG4, C0_CONFIG6
from cpu.engine.intrinsics import shr
from cpu.engine.jit import jit

PAGE_SIZE_SHIFT = 8  # Config4.FTLBPageSize: n is a page of 4 ** n KiB
SMALLEST, LARGEST = 1, 10  # the sizes that PageMask knows, 4 KiB to 1 GiB
FIRST, END = state.TLB_ENTRIES, state.TLB_ENTRIES + state.FTLB_ENTRIES


@jit
def has_ftlb(S, bank):
    """Whether a context has an FTLB (Config.MT)."""
    return S[bank + C0_CONFIG] & CONFIG_MT == CONFIG_MT_FTLB


@jit
def is_on(S, bank):
    """Whether it is used."""
    return has_ftlb(S, bank) and not S[C0_CONFIG6] & CONFIG6_FTLBDIS


@jit
def is_page_size(config4):
    """Whether the FTLB can have the page size in a value for Config4."""
    n = (config4 & CONFIG4_FTLBPAGESIZE) >> PAGE_SIZE_SHIFT
    return SMALLEST <= n <= LARGEST


@jit
def pair_bits(S, bank):
    """log2 of the bytes that an entry maps, a pair of pages."""
    return 11 + 2 * ((S[bank + C0_CONFIG4] & CONFIG4_FTLBPAGESIZE) >> PAGE_SIZE_SHIFT)


@jit
def page_mask(S, bank):
    """PageMask of its entries."""
    return ((1 << pair_bits(S, bank)) - 1) & ~0x1FFF


@jit
def first_of_set(S, bank, va):
    """The entry of way 0 in the set where an address belongs; the other ways follow at the distance FTLB_SETS."""
    return FIRST + (shr(va, pair_bits(S, bank)) & (state.FTLB_SETS - 1))


@jit
def takes(S, bank, e, high, mask):
    """Whether entry e, of the FTLB, may hold that page: its set and its size."""
    return mask == page_mask(S, bank) and (e - first_of_set(S, bank, high)) % state.FTLB_SETS == 0
