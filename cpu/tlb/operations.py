"""TLB instructions: read, write, probe, invalidate.

Source: MIPS Architecture For Programmers, volume III (MD00091); EHINV and TLBINVF as Config4.IE = 2 says.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.registers import (
    C0_ENTRYHI,
    C0_ENTRYLO0,
    C0_ENTRYLO1,
    C0_INDEX,
    C0_PAGEMASK,
    C0_WIRED,
)
from cpu.engine.jit import jit
from cpu.engine.softmmu import drop_mapping
from cpu.tlb.translate import VPN2_MASK, find_entry

EHINV = 1 << 10
INVALID = -1


@jit
def drop_entry(S, e):
    """Forgets what the soft-MMU knows through TLB entry e."""
    at = state.TLB + e * state.TLB_FIELDS
    if S[at + 1] >= 0:
        drop_mapping(S, S[at], S[at + 1], S[at + 2], S[at + 3])


@jit
def write_entry(S, e, may_invalidate):
    """TLB entry e from EntryHi, EntryLo0/1 and PageMask; TLBWI may make it invalid by EHINV. An entry that would match
    the same address is dropped first: two matches are a machine check on hardware that has one, and undefined here."""
    drop_entry(S, e)
    at = state.TLB + e * state.TLB_FIELDS
    high = S[C0_ENTRYHI]
    if may_invalidate and high & EHINV:
        S[at + 1] = INVALID
        return
    mask = S[C0_PAGEMASK] | 0x1FFF
    vpn2 = high & VPN2_MASK & ~mask
    asid = high & 0x3FF
    is_global = S[C0_ENTRYLO0] & S[C0_ENTRYLO1] & 1
    for k in range(state.TLB_ENTRIES):
        other = state.TLB + k * state.TLB_FIELDS
        if k != e and S[other + 1] >= 0:
            both = mask | S[other + 1] | 0x1FFF
            if ((S[other] ^ vpn2) & VPN2_MASK & ~both) == 0 and (is_global or S[other + 3] or S[other + 2] == asid):
                drop_entry(S, k)
                S[other + 1] = INVALID
    S[at] = vpn2
    S[at + 1] = S[C0_PAGEMASK]
    S[at + 2] = asid
    S[at + 3] = is_global
    S[at + 4] = S[C0_ENTRYLO0]
    S[at + 5] = S[C0_ENTRYLO1]


@jit
def read_entry(S):
    """TLBR."""
    e = S[C0_INDEX] & (state.TLB_ENTRIES - 1)
    at = state.TLB + e * state.TLB_FIELDS
    if S[at + 1] < 0:
        S[C0_ENTRYHI] = EHINV
        S[C0_PAGEMASK] = 0
        S[C0_ENTRYLO0] = 0
        S[C0_ENTRYLO1] = 0
        return
    S[C0_ENTRYHI] = S[at] | S[at + 2]
    S[C0_PAGEMASK] = S[at + 1]
    keep = ~1 | S[at + 3]
    S[C0_ENTRYLO0] = (S[at + 4] & keep) | S[at + 3]
    S[C0_ENTRYLO1] = (S[at + 5] & keep) | S[at + 3]


@jit
def probe(S):
    """TLBP: Index, or bit 31 when nothing matches."""
    e = find_entry(S, S[C0_ENTRYHI], S[C0_ENTRYHI] & 0x3FF)
    S[C0_INDEX] = e if e >= 0 else 0x80000000


@jit
def invalidate(S, everything):
    """TLBINVF, or TLBINV: the entries of the current ASID that are not global."""
    asid = S[C0_ENTRYHI] & 0x3FF
    for e in range(state.TLB_ENTRIES):
        at = state.TLB + e * state.TLB_FIELDS
        if everything or (S[at + 2] == asid and S[at + 3] == 0):
            drop_entry(S, e)
            S[at + 1] = INVALID


@jit
def random_index(S):
    """The entry TLBWR replaces: a seeded sequence over Wired..63, never one entry for ever."""
    x = S[state.RANDOM]
    x ^= (x << 13) & 0x7FFFFFFF
    x ^= x >> 17
    x ^= (x << 5) & 0x7FFFFFFF
    S[state.RANDOM] = x
    wired = S[C0_WIRED]
    return wired + x % (state.TLB_ENTRIES - wired)
