"""The soft-MMU: per translation context, tables of pages already translated, so that loads, stores and jumps of the
fast tiers cost a compare. A context is a mode and an ASID; a core keeps the latest sixteen.

Everything here is a cache of what `translate` says: dropping it never changes a result.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.registers import C0_ENTRYHI, C0_STATUS
from cpu.engine import shared as m
from cpu.engine.intrinsics import ld64, st64
from cpu.engine.jit import jit
from cpu.engine.softmmu_layout import (
    CONTEXTS,
    FETCH_OFFSET,
    JUMP_CACHE_ENTRIES,
    JUMP_CACHE_OFFSET,
    TABLE_BYTES,
    TABLE_MASK,
    WRITE_OFFSET,
)
from cpu.tlb.translate import ST_ERL, ST_KX, ST_SX, ST_UX, mode_of

CKSEG = (-1 << 62) | 0x1FFFF << 31


@jit
def host_offset(M, pa):
    """Offset of a physical address in the memory image, or -1 when it is not memory."""
    if pa < m.LOW_BYTES:
        return pa if pa < M[m.RAM_BYTES] else -1
    high = pa - m.HIGH_BASE
    if 0 <= high < M[m.RAM_BYTES]:
        return high
    rom = pa - m.ROM_BASE
    if 0 <= rom < M[m.ROM_BYTES]:
        return M[m.RAM_BYTES] + rom
    return -1


@jit
def clear_tags(address, entries):
    for k in range(entries):
        st64(address + 16 * k, -1)


@jit
def clear_context(S, context):
    clear_tags(S[state.SOFTMMU_BASE] + context * TABLE_BYTES, TABLE_BYTES // 16)


@jit
def flush_jumps(S, context):
    clear_tags(S[state.SOFTMMU_BASE] + context * TABLE_BYTES + JUMP_CACHE_OFFSET, JUMP_CACHE_ENTRIES)


@jit
def flush_all(S):
    """Forgets every translation of this core."""
    for context in range(CONTEXTS):
        if S[state.CONTEXT_KEYS + context] != -1:
            clear_context(S, context)


@jit
def update_context(S):
    """Selects the tables of the current mode and ASID. Call after any change of Status or EntryHi."""
    status = S[C0_STATUS]
    key = (S[C0_ENTRYHI] & 0x3FF) << 8 | (status & (ST_UX | ST_SX | ST_KX)) | mode_of(status)
    if status & ST_ERL:
        key |= 1 << 20
    current = S[state.CONTEXT]
    if S[state.CONTEXT_KEYS + current] == key:
        return
    S[state.CONTEXT_CLOCK] += 1
    oldest = 0
    for context in range(CONTEXTS):
        if S[state.CONTEXT_KEYS + context] == key:
            oldest = context
            break
        if S[state.CONTEXT_AGE + context] < S[state.CONTEXT_AGE + oldest]:
            oldest = context
    if S[state.CONTEXT_KEYS + oldest] != key:
        clear_context(S, oldest)
        S[state.CONTEXT_KEYS + oldest] = key
    S[state.CONTEXT_AGE + oldest] = S[state.CONTEXT_CLOCK]
    S[state.CONTEXT] = oldest
    S[state.SOFTMMU] = S[state.SOFTMMU_BASE] + oldest * TABLE_BYTES


@jit
def drop_mapping(S, vpn2, mask, asid, is_global):
    """Forgets the pages of one TLB entry in every context that could have used it."""
    pages = ((mask | 0x1FFF) + 1) >> 12
    first = vpn2 & ~(mask | 0x1FFF)
    if first & CKSEG == CKSEG:
        # The compatibility segments: bits 61 to 48 are not kept in an entry, and ones in an address.
        first |= 0x3FFF << 48
    for context in range(CONTEXTS):
        key = S[state.CONTEXT_KEYS + context]
        if key == -1 or (not is_global and ((key >> 8) & 0x3FF) != asid):
            continue
        base = S[state.SOFTMMU_BASE] + context * TABLE_BYTES
        if pages > 64:
            clear_context(S, context)
            continue
        flush = False
        for k in range(pages):
            page = first + (k << 12)
            at = base + ((page >> 8) & (TABLE_MASK << 4))
            if ld64(at) == page:
                st64(at, -1)
            if ld64(at + WRITE_OFFSET) == page:
                st64(at + WRITE_OFFSET, -1)
            if ld64(at + FETCH_OFFSET) == page:
                st64(at + FETCH_OFFSET, -1)
                flush = True
        if flush:
            flush_jumps(S, context)


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
            base = M[m.TABLES] + core * M[m.TABLES_BYTES] + context * TABLE_BYTES
            clear_tags(base + JUMP_CACHE_OFFSET, JUMP_CACHE_ENTRIES)
