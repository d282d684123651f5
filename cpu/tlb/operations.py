"""TLB instructions: read, write, probe, invalidate.

`bank` says whose TLB and registers (0: root's, state.GUEST: the guest's), `guest_id` whose entries: GuestCtl1.ID where
a guest does it, RID where root does. Where there is an FTLB (cpu/tlb/ftlb.py) its entries follow those of the VTLB.
Sources: MIPS Architecture For Programmers, volume III (MD00091), VZ module (MD00848); EHINV and TLBINVF as Config4.IE =
2 says.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.fields import CONFIG1_TLBS_SHIFT, CONFIG1_TLBS_SIZE, EHINV
from cpu.cp0.registers import (
    C0_CONFIG1,
    C0_ENTRYHI,
    C0_ENTRYLO0,
    C0_ENTRYLO1,
    C0_GUESTCTL1,
    C0_INDEX,
    C0_PAGEMASK,
    C0_RANDOM,
    C0_WIRED,
)
from cpu.engine.jit import jit
from cpu.engine.softmmu import KEY_GUEST, KEY_ID, drop_guest_fills, drop_mapping
from cpu.tlb import ftlb
from cpu.tlb.translate import VPN2_MASK, find_entry
from cpu.vz.choices import FTLB_AT_64
from cpu.vz.guestctl import ID, RID_SHIFT

INVALID = -1
INDEX = 0xFFF  # Index.Index, without P
RID = ID << RID_SHIFT


@jit
def size_of(S, bank):
    """Entries of a context's VTLB; root decides how many of them the guest has (Config1.MMUSize)."""
    if bank == 0:
        return state.TLB_ENTRIES
    return ((S[bank + C0_CONFIG1] >> CONFIG1_TLBS_SHIFT) & CONFIG1_TLBS_SIZE) + 1


@jit
def first_index(S, bank):
    """Index of a context's first FTLB entry."""
    return ftlb.FIRST if S[state.VZ_CHOICES] & FTLB_AT_64 else size_of(S, bank)


@jit
def index_of(S, bank):
    """The entry that Index names."""
    index, first = S[bank + C0_INDEX] & INDEX, first_index(S, bank)
    if index >= first and ftlb.is_on(S, bank):
        return ftlb.FIRST + (index - first) % state.FTLB_ENTRIES
    return index % size_of(S, bank)


@jit
def drop_entry(S, bank, e):
    """Forgets what the soft-MMU knows through TLB entry e, and makes the entry invalid."""
    at = bank + state.TLB + e * state.TLB_FIELDS
    if S[at + 1] < 0:
        return
    if bank:
        drop_mapping(S, KEY_GUEST | S[at + 6] << KEY_ID, S[at], S[at + 1], S[at + 2], S[at + 3])
    else:
        if S[at + 6] == 0:
            drop_mapping(S, 0, S[at], S[at + 1], S[at + 2], S[at + 3])
        drop_guest_fills(S, e)
    S[at + 1] = INVALID


@jit
def drop_overlap(S, bank, e, guest_id, vpn2, mask, asid, is_global):
    """Drops entry e if it can match an address that an entry with those fields matches."""
    at = bank + state.TLB + e * state.TLB_FIELDS
    both = mask | S[at + 1] | 0x1FFF
    if ((S[at] ^ vpn2) & VPN2_MASK & ~both) != 0 or S[at + 1] < 0:
        return
    if S[at + 6] == guest_id and (is_global or S[at + 3] or S[at + 2] == asid):
        drop_entry(S, bank, e)


@jit
def drop_overlaps(S, bank, guest_id, vpn2, mask, asid, is_global):
    """Drops every entry that can match an address that an entry with those fields matches."""
    for e in range(state.TLB_ENTRIES):
        drop_overlap(S, bank, e, guest_id, vpn2, mask, asid, is_global)
    if ftlb.is_on(S, bank):
        sets = max((mask | 0x1FFF) + 1 >> ftlb.pair_bits(S, bank), 1)
        first = ftlb.first_of_set(S, bank, vpn2) - ftlb.FIRST
        for k in range(first, first + min(sets, state.FTLB_SETS)):
            for way in range(state.FTLB_WAYS):
                e = ftlb.FIRST + way * state.FTLB_SETS + k % state.FTLB_SETS
                drop_overlap(S, bank, e, guest_id, vpn2, mask, asid, is_global)


@jit
def put_entry(S, bank, e, guest_id, high, mask, lo0, lo1):
    """TLB entry e. One that would match the same address is dropped first: two matches are a machine check on hardware
    that has one, and undefined here. A root entry with a GuestID maps guest physical addresses and is global."""
    drop_entry(S, bank, e)
    vpn2 = high & VPN2_MASK & ~(mask | 0x1FFF)
    asid = high & 0x3FF
    is_global = lo0 & lo1 & 1
    if bank == 0 and guest_id != 0:
        is_global = 1
    drop_overlaps(S, bank, guest_id, vpn2, mask, asid, is_global)
    at = bank + state.TLB + e * state.TLB_FIELDS
    S[at] = vpn2
    S[at + 1] = mask
    S[at + 2] = asid
    S[at + 3] = is_global
    S[at + 4] = lo0
    S[at + 5] = lo1
    S[at + 6] = guest_id
    S[bank + state.TLB_LAST] = e  # the access that wanted it comes next


@jit
def write_entry(S, bank, e, may_invalidate, guest_id):
    """TLB entry e from EntryHi, EntryLo0/1 and PageMask; TLBWI may make it invalid by EHINV."""
    high = S[bank + C0_ENTRYHI]
    if may_invalidate and high & EHINV:
        drop_entry(S, bank, e)
        return
    put_entry(S, bank, e, guest_id, high, S[bank + C0_PAGEMASK], S[bank + C0_ENTRYLO0], S[bank + C0_ENTRYLO1])


@jit
def write_indexed(S, bank, guest_id):
    """TLBWI, TLBGWI. False, and nothing written: a machine check, since that page has no place at an FTLB's index."""
    e = index_of(S, bank)
    high = S[bank + C0_ENTRYHI]
    if e >= ftlb.FIRST and not high & EHINV and not ftlb.takes(S, bank, e, high, S[bank + C0_PAGEMASK]):
        return False
    write_entry(S, bank, e, True, guest_id)
    return True


@jit
def write_random(S, bank, guest_id):
    """TLBWR, TLBGWR."""
    e = random_entry(S, bank, S[bank + C0_ENTRYHI], S[bank + C0_PAGEMASK])
    if e < state.TLB_ENTRIES:
        S[bank + C0_RANDOM] = e
    write_entry(S, bank, e, False, guest_id)


@jit
def read_entry(S, bank, by_guest):
    """TLBR, TLBGR. Root learns the entry's GuestID in GuestCtl1.RID; to a guest other guests' entries are invalid."""
    at = bank + state.TLB + index_of(S, bank) * state.TLB_FIELDS
    invalid = S[at + 1] < 0
    if by_guest:
        invalid = invalid or S[at + 6] != S[C0_GUESTCTL1] & ID
    else:
        S[C0_GUESTCTL1] = S[C0_GUESTCTL1] & ~RID | (0 if invalid else S[at + 6] << RID_SHIFT)
    if invalid:
        S[bank + C0_ENTRYHI] = EHINV
        S[bank + C0_PAGEMASK] = 0
        S[bank + C0_ENTRYLO0] = 0
        S[bank + C0_ENTRYLO1] = 0
        return
    S[bank + C0_ENTRYHI] = S[at] | S[at + 2]
    S[bank + C0_PAGEMASK] = S[at + 1]
    keep = ~1 | S[at + 3]
    S[bank + C0_ENTRYLO0] = (S[at + 4] & keep) | S[at + 3]
    S[bank + C0_ENTRYLO1] = (S[at + 5] & keep) | S[at + 3]


@jit
def probe(S, bank, guest_id):
    """TLBP, TLBGP: Index, or bit 31 when nothing matches."""
    high = S[bank + C0_ENTRYHI]
    e = find_entry(S, bank, high, high & 0x3FF, guest_id)
    if e >= ftlb.FIRST:
        e += first_index(S, bank) - ftlb.FIRST
    S[bank + C0_INDEX] = e if e >= 0 else 0x80000000


@jit
def invalidate(S, bank, everything, guest_id):
    """TLBINVF, or TLBINV: the entries of the current ASID that are not global. Of the VTLB, or with an index of the
    FTLB of that set."""
    asid = S[bank + C0_ENTRYHI] & 0x3FF
    first, end, step = 0, state.TLB_ENTRIES, 1
    index = index_of(S, bank)
    if index >= ftlb.FIRST:
        first, end, step = ftlb.FIRST + (index - ftlb.FIRST) % state.FTLB_SETS, ftlb.END, state.FTLB_SETS
    for e in range(first, end, step):
        at = bank + state.TLB + e * state.TLB_FIELDS
        if S[at + 6] == guest_id and (everything or (S[at + 2] == asid and S[at + 3] == 0)):
            drop_entry(S, bank, e)


@jit
def invalidate_all(S, bank, first, end):
    """The entries `first` to `end` - 1, whosever they are."""
    for e in range(first, end):
        drop_entry(S, bank, e)


@jit
def next_random(S):
    """The next number of a seeded sequence, below 2^31."""
    x = S[state.RANDOM]
    x ^= (x << 13) & 0x7FFFFFFF
    x ^= x >> 17
    x ^= (x << 5) & 0x7FFFFFFF
    S[state.RANDOM] = x
    return x


@jit
def random_entry(S, bank, high, mask):
    """The entry that TLBWR replaces. A page of the FTLB's size goes to its set there, to a way that is free if there is
    one; any other to the VTLB from Wired on."""
    if ftlb.is_on(S, bank) and mask == ftlb.page_mask(S, bank):
        first = ftlb.first_of_set(S, bank, high)
        for e in range(first, ftlb.END, state.FTLB_SETS):
            if S[bank + state.TLB + e * state.TLB_FIELDS + 1] < 0:
                return e
        return first + next_random(S) % state.FTLB_WAYS * state.FTLB_SETS
    wired = min(S[bank + C0_WIRED], size_of(S, bank) - 1)
    return wired + next_random(S) % (size_of(S, bank) - wired)
