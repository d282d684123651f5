"""Segments and the TLB: from a virtual address to a physical one, or to an exception.

In guest mode there are two stages: the guest's segments and TLB give a guest physical address, which the root TLB's
entries of that GuestID, or in a model without GuestIDs of root's ASID, translate on.

Sources: MIPS Architecture For Programmers, volume III (MD00091), chapters "Virtual Memory" and "TLB"; VZ module
(MD00848); 48-bit segments and physical addresses as this core has.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.fields import (
    ENTRYLO_D,
    ENTRYLO_V,
    ENTRYLO_XI,
    EXCCODE_ADEL,
    EXCCODE_ADES,
    EXCCODE_MOD,
    EXCCODE_TLBL,
    EXCCODE_TLBRI,
    EXCCODE_TLBS,
    EXCCODE_TLBXI,
    PG_IEC,
    ST_ERL,
    ST_EXL,
    ST_KSU,
    ST_KX,
    ST_SX,
    ST_UX,
)
from cpu.cp0.registers import C0_ENTRYHI, C0_GUESTCTL0, C0_GUESTCTL1, C0_PAGEGRAIN, C0_STATUS
from cpu.engine.intrinsics import shr, sign32, ult
from cpu.engine.jit import jit
from cpu.tlb.ftlb import first_of_set, is_on
from cpu.vz.choices import GVA
from cpu.vz.guestctl import DRG, ID, RID_SHIFT

LOAD, STORE, FETCH = 0, 1, 2
KERNEL, SUPERVISOR, USER = 0, 1, 2

SEGBITS = 48
SEGMASK = (1 << SEGBITS) - 1
PAMASK = (1 << 48) - 1
VPN2_MASK = SEGMASK & ~0x1FFF | (-1 << 62)


# Status of a translation besides ExcCode: the refill vector applies; root refused a guest physical address; the guest's
# own stage refused an access that root makes directly.
REFILL = 1 << 8
ROOT = 1 << 9
DIRECTLY = 1 << 10


@jit
def mode_of(status):
    """KERNEL, SUPERVISOR or USER."""
    if status & (ST_EXL | ST_ERL):
        return 0
    return (status & ST_KSU) >> 3


@jit
def effective(S, ea):
    """The address of a load or store whose operands add up to `ea`: in user mode without 64-bit addresses the low 32
    bits count."""
    status = S[S[state.BANK] + C0_STATUS]
    if mode_of(status) != USER or status & ST_UX:
        return ea
    return sign32(ea)


@jit
def matches(S, bank, e, va, asid, guest_id):
    """Whether entry e of a context's TLB is valid and maps the address for that ASID and GuestID."""
    at = bank + state.TLB + e * state.TLB_FIELDS
    mask = S[at + 1]
    if ((va ^ S[at]) & VPN2_MASK & ~mask) != 0 or mask < 0:
        return False
    return (S[at + 3] != 0 or S[at + 2] == asid) and S[at + 6] == guest_id


@jit
def find_entry(S, bank, va, asid, guest_id):
    """Index of the entry of a context's TLB that matches, or -1. No two do: see `put_entry`."""
    e = S[bank + state.TLB_LAST]
    if matches(S, bank, e, va, asid, guest_id):
        return e
    if is_on(S, bank):
        e = first_of_set(S, bank, va)
        for _ in range(state.FTLB_WAYS):
            if matches(S, bank, e, va, asid, guest_id):
                S[bank + state.TLB_LAST] = e
                return e
            e += state.FTLB_SETS
    for e in range(state.TLB_ENTRIES):
        if matches(S, bank, e, va, asid, guest_id):
            S[bank + state.TLB_LAST] = e
            return e
    return -1


@jit
def look_up(S, bank, va, access, guest_id):
    """(physical address, 0) by a context's TLB, or (0, ExcCode | REFILL)."""
    e = find_entry(S, bank, va, S[bank + C0_ENTRYHI] & 0x3FF, guest_id)
    if e < 0:
        return 0, (EXCCODE_TLBS if access == STORE else EXCCODE_TLBL) | REFILL
    at = bank + state.TLB + e * state.TLB_FIELDS
    half = ((S[at + 1] | 0x1FFF) + 1) >> 1
    lo = S[at + 5] if va & half else S[at + 4]
    if not (lo & ENTRYLO_V):
        return 0, EXCCODE_TLBS if access == STORE else EXCCODE_TLBL
    if access == FETCH:
        if lo & ENTRYLO_XI:
            return 0, EXCCODE_TLBXI if S[bank + C0_PAGEGRAIN] & PG_IEC else EXCCODE_TLBL
    elif access == LOAD:
        if lo < 0:  # RI
            return 0, EXCCODE_TLBRI if S[bank + C0_PAGEGRAIN] & PG_IEC else EXCCODE_TLBL
    elif not (lo & ENTRYLO_D):
        return 0, EXCCODE_MOD
    frame = ((lo >> 6) & 0xFFFFFFFFF) << 12
    return (frame & ~(half - 1)) | (va & (half - 1)), 0


@jit
def translate_in(S, bank, va, access, guest_id):
    """One context's stage, by its segments and its TLB: (address, 0), or (0, ExcCode | REFILL)."""
    status = S[bank + C0_STATUS]
    mode = mode_of(status)
    address_error = EXCCODE_ADES if access == STORE else EXCCODE_ADEL
    region = shr(va, 62)
    if region == 0:
        if va <= 0x7FFFFFFF:
            if status & ST_ERL:
                return va, 0
        elif not (status & ST_UX) or va > SEGMASK:
            return 0, address_error
    elif region == 1:
        if mode == USER or not (status & ST_SX) or (va & 0x3FFFFFFFFFFFFFFF) > SEGMASK:
            return 0, address_error
    elif region == 2:
        if mode != KERNEL or not (status & ST_KX) or (va & 0x07FFFFFFFFFFFFFF) > PAMASK:
            return 0, address_error
        return va & PAMASK, 0
    elif ult(va, -0x80000000):
        if mode != KERNEL or not (status & ST_KX) or (va & 0x3FFFFFFFFFFFFFFF) > SEGMASK - 0x80000000:
            return 0, address_error
    elif ult(va, -0x40000000):
        if mode != KERNEL:
            return 0, address_error
        return va & 0x1FFFFFFF, 0
    elif ult(va, -0x20000000):
        if mode == USER:
            return 0, address_error
    elif mode != KERNEL:
        return 0, address_error
    return look_up(S, bank, va, access, guest_id)


@jit
def reaches_guest(S):
    """Whether root's loads and stores go to a guest's memory (GuestCtl0.DRG): in user mode, with a GuestID in RID."""
    if S[state.BANK] != 0 or not S[C0_GUESTCTL0] & DRG or S[C0_GUESTCTL1] >> RID_SHIFT & ID == 0:
        return False
    return mode_of(S[C0_STATUS]) != KERNEL


@jit
def translate(S, va, access):
    """(physical address, 0) in the current mode, or (0, ExcCode | REFILL | DIRECTLY), or (guest physical address,
    ExcCode | REFILL | ROOT) when it is root that has no translation; in a model that reports guest virtual addresses
    that one."""
    guest_id = S[C0_GUESTCTL1] & ID
    refused = 0
    if S[state.BANK] == 0:
        if access == FETCH or not reaches_guest(S):
            return translate_in(S, 0, va, access, 0)
        guest_id = S[C0_GUESTCTL1] >> RID_SHIFT & ID
        refused = DIRECTLY
    gpa, status = translate_in(S, state.GUEST, va, access, guest_id)
    if status != 0:
        return gpa, status | refused
    pa, status = look_up(S, 0, gpa, access, guest_id)
    if status != 0:
        return va if S[state.VZ_CHOICES] & GVA else gpa, status | ROOT
    return pa, 0
