"""The soft-MMU: per translation context, tables of pages already translated, so that loads, stores and jumps of the
fast tiers cost a compare. A context is a mode and an ASID, and for a guest its GuestID, or root's ASID: both stages of
its translation are cached as one. A core keeps the latest sixteen.

Root's direct access to a guest (GuestCtl0.DRG) has contexts of its own, which are empty whenever they are entered and
after every TLB instruction: nothing else keeps them true.

The jump caches lead to translated code, which is another where instruction words mean something else (cpu/vz/mode.py):
that makes a context of its own too.
Everything here is a cache of what `translate` says: dropping it never changes a result.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.fields import ST_ERL, ST_KX, ST_SX, ST_UX
from cpu.cp0.registers import C0_ENTRYHI, C0_GUESTCTL0, C0_GUESTCTL1, C0_STATUS
from cpu.engine import jump_cache
from cpu.engine import shared as m
from cpu.engine.intrinsics import ld64, st64
from cpu.engine.jit import jit
from cpu.engine.softmmu_layout import (
    CONTEXTS,
    FETCH_OFFSET,
    PAGE_ENTRIES,
    TABLE_BYTES,
    TABLE_MASK,
    WRITE_OFFSET,
)
from cpu.tlb.translate import mode_of, reaches_guest
from cpu.vz.guestctl import ID, RAD
from cpu.vz.mode import MODES, select_bank
from soc.ram import HIGH_BASE, LOW_BYTES, ROM_BASE

KEY_ERL, KEY_GUEST, KEY_DIRECT, KEY_ID, KEY_ROOT_ASID, KEY_MODES = 1 << 20, 1 << 21, 1 << 22, 24, 32, 42

CKSEG = (-1 << 62) | 0x1FFFF << 31


@jit
def host_offset(M, pa):
    """Offset of a physical address in the memory image, or -1 when it is not memory."""
    if pa < LOW_BYTES:
        return pa if pa < M[m.RAM_BYTES] else -1
    high = pa - HIGH_BASE
    if 0 <= high < M[m.RAM_BYTES]:
        return high
    rom = pa - ROM_BASE
    if 0 <= rom < M[m.ROM_BYTES]:
        return M[m.RAM_BYTES] + rom
    return -1


@jit
def clear_context(S, context):
    table = S[state.SOFTMMU_BASE] + context * TABLE_BYTES
    for k in range(PAGE_ENTRIES):
        st64(table + 16 * k, -1)
    jump_cache.clear(table)


@jit
def flush_all(S):
    """Forgets every translation of this core."""
    for context in range(CONTEXTS):
        if S[state.CONTEXT_KEYS + context] != -1:
            clear_context(S, context)


@jit
def update_context(S):
    """Selects the context, and the tables of its mode and ASID. Call after any change of Status, Config5, EntryHi or
    the VZ control registers."""
    select_bank(S)
    bank = S[state.BANK]
    status = S[bank + C0_STATUS]
    key = (S[bank + C0_ENTRYHI] & 0x3FF) << 8 | (status & (ST_UX | ST_SX | ST_KX)) | mode_of(status)
    if status & ST_ERL:
        key |= KEY_ERL
    if bank:
        key |= KEY_GUEST | (S[C0_GUESTCTL1] & ID) << KEY_ID
        if S[C0_GUESTCTL0] & RAD:
            key |= (S[C0_ENTRYHI] & 0x3FF) << KEY_ROOT_ASID
    key |= (S[state.UNITS] & MODES) << KEY_MODES
    directly = reaches_guest(S)
    if directly:
        key |= KEY_DIRECT
    current = S[state.CONTEXT]
    if S[state.CONTEXT_KEYS + current] == key and not directly:
        return
    S[state.CONTEXT_CLOCK] += 1
    oldest = 0
    for context in range(CONTEXTS):
        if S[state.CONTEXT_KEYS + context] == key:
            oldest = context
            break
        if S[state.CONTEXT_AGE + context] < S[state.CONTEXT_AGE + oldest]:
            oldest = context
    if S[state.CONTEXT_KEYS + oldest] != key or directly:
        clear_context(S, oldest)
        S[state.CONTEXT_KEYS + oldest] = key
    S[state.CONTEXT_AGE + oldest] = S[state.CONTEXT_CLOCK]
    S[state.CONTEXT] = oldest
    S[state.SOFTMMU] = S[state.SOFTMMU_BASE] + oldest * TABLE_BYTES


@jit
def drop_mapping(S, owner, vpn2, mask, asid, is_global):
    """Forgets the pages of one TLB entry in every context that could have used it. `owner`: KEY_GUEST and the GuestID
    of an entry of the guest TLB, 0 for root's own."""
    pages = ((mask | 0x1FFF) + 1) >> 12
    first = vpn2 & ~(mask | 0x1FFF)
    if first & CKSEG == CKSEG:
        # The compatibility segments: bits 61 to 48 are not kept in an entry, and ones in an address.
        first |= 0x3FFF << 48
    for context in range(CONTEXTS):
        key = S[state.CONTEXT_KEYS + context]
        if key == -1 or key & (KEY_GUEST | 0xFF << KEY_ID) != owner:
            continue
        if not is_global and ((key >> 8) & 0x3FF) != asid:
            continue
        if pages > 64:
            clear_context(S, context)
            continue
        table = S[state.SOFTMMU_BASE] + context * TABLE_BYTES
        for k in range(pages):
            page = first + (k << 12)
            at = table + ((page >> 8) & (TABLE_MASK << 4))
            if ld64(at) == page:
                st64(at, -1)
            if ld64(at + WRITE_OFFSET) == page:
                st64(at + WRITE_OFFSET, -1)
            if ld64(at + FETCH_OFFSET) == page:
                st64(at + FETCH_OFFSET, -1)
                jump_cache.forget_page(table, page)


@jit
def note_fill(S, entry):
    """A guest context's table entry was filled through the root TLB entry that matched last; `entry`: its address."""
    if S[state.BANK] == 0:
        return
    at = state.GUEST_FILLS + S[state.TLB_LAST] * state.GUEST_FILL_ROOM
    count = S[at]
    for k in range(1, min(count + 1, state.GUEST_FILL_ROOM)):
        if S[at + k] == entry:
            return
    S[at] = count + 1
    if count + 1 < state.GUEST_FILL_ROOM:
        S[at + count + 1] = entry


@jit
def drop_guest_fills(S, e):
    """Forgets what guest contexts know through root TLB entry e."""
    at = state.GUEST_FILLS + e * state.GUEST_FILL_ROOM
    count = S[at]
    S[at] = 0
    if count >= state.GUEST_FILL_ROOM:
        for context in range(CONTEXTS):
            key = S[state.CONTEXT_KEYS + context]
            if key != -1 and key & KEY_GUEST:
                clear_context(S, context)
        return
    for k in range(1, count + 1):
        entry = S[at + k]
        page = ld64(entry)
        st64(entry, -1)
        table = entry - (entry - S[state.SOFTMMU_BASE]) % TABLE_BYTES
        if page != -1 and entry - table >= FETCH_OFFSET:
            jump_cache.forget_page(table, page)


@jit
def drop_writes(M, host_page):
    """Forgets every right to write the page of the memory image at this host address, on every core."""
    for core in range(M[m.CORES]):
        base = M[m.TABLES] + core * M[m.TABLES_BYTES]
        keys = M[m.STATES] + core * M[m.STATES_BYTES] + 8 * state.CONTEXT_KEYS
        for context in range(CONTEXTS):
            if ld64(keys + 8 * context) == -1:
                continue
            table = base + context * TABLE_BYTES + WRITE_OFFSET
            for k in range(TABLE_MASK + 1):
                tag = ld64(table + 16 * k)
                if tag != -1 and tag + ld64(table + 16 * k + 8) == host_page:
                    st64(table + 16 * k, -1)


@jit
def drop_all_jumps(M):
    """Empties the jump caches of all cores."""
    for core in range(M[m.CORES]):
        for context in range(CONTEXTS):
            jump_cache.clear(M[m.TABLES] + core * M[m.TABLES_BYTES] + context * TABLE_BYTES)
