"""The jump cache of a translation context: where the block at a virtual pc is, for jumps whose target only the running
program knows. `table`: address of the context's tables (softmmu_layout.py)."""

from __future__ import annotations

from cpu.engine.intrinsics import ld64, st64
from cpu.engine.jit import jit
from cpu.engine.softmmu_layout import JUMP_CACHE_ENTRIES, JUMP_CACHE_MASK, JUMP_CACHE_OFFSET

PAGE_JUMPS = 1024  # instructions of a page


@jit
def place(table, pc):
    """Address of the entry that `pc` would have."""
    return table + JUMP_CACHE_OFFSET + ((pc << 2) & (JUMP_CACHE_MASK << 4))


@jit
def empty(table, pc):
    """Empties the entry at the place of `pc`. A guest may jump to any number, so an empty entry has the tag of a pc
    whose place is another: its index is the complement."""
    st64(place(table, pc), ~(pc & (JUMP_CACHE_MASK << 2)))


@jit
def find(table, pc):
    """Address of the first micro-op of the block at pc, or 0. A pc to stop at is never here."""
    entry = place(table, pc)
    return ld64(entry + 8) if ld64(entry) == pc else 0


@jit
def keep(table, pc, ip):
    entry = place(table, pc)
    st64(entry, pc)
    st64(entry + 8, ip)


@jit
def forget(table, pc):
    if ld64(place(table, pc)) == pc:
        empty(table, pc)


@jit
def forget_page(table, page):
    """Forgets the pcs in the page of 4 KiB at `page`."""
    for k in range(PAGE_JUMPS):
        forget(table, page + 4 * k)


@jit
def clear(table):
    for k in range(JUMP_CACHE_ENTRIES):
        empty(table, 4 * k)
