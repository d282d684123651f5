"""Loads and stores that the soft-MMU does not know: translated, refused, split at a page's end, or sent to a device.

What a handler cannot reach through the soft-MMU it reaches through SLOW_POINTER: memory itself, or the bounce buffer,
from which a store goes on to two pages or to the bus.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.exceptions import take_address_exception
from cpu.cp0.fields import EXCCODE_ADEL, EXCCODE_ADES
from cpu.engine import micro
from cpu.engine import shared as m
from cpu.engine.blocks import note_instruction, written
from cpu.engine.decode import ACCESS, ACCESS_ALIGNED, ACCESS_SIZE
from cpu.engine.intrinsics import ld8, ld64, st8, st64, ult
from cpu.engine.jit import jit
from cpu.engine.softmmu import host_offset, note_fill
from cpu.engine.softmmu_layout import TABLE_MASK, WRITE_OFFSET
from cpu.tlb.translate import LOAD, ROOT, STORE, effective, translate

FILLED, SLOWLY, FAULTED, DEVICE, PARTIAL, WATCHED = range(6)
"""What a slow access comes to: a page is filled in, so do it again; by the slow handler; an exception was taken; a read
leaves the core; it is one of a device that is not modelled; a watch stops it."""
ANY_ACCESS = 1 << LOAD | 1 << STORE
DIRECT, CROSSING, MMIO = range(3)
"""PENDING_STORE: a slow store goes to memory itself, or by the bounce buffer to two pages or to the bus."""


@jit
def copy_bytes(to, source, size):
    for k in range(size):
        st8(to + k, ld8(source + k))


@jit
def fill(S, M, va, host, is_store):
    """Remembers a translated page in the soft-MMU."""
    page = va & ~0xFFF
    entry = S[state.SOFTMMU] + ((va >> 8) & (TABLE_MASK << 4))
    if is_store:
        entry += WRITE_OFFSET
    st64(entry, page)
    st64(entry + 8, (host & ~0xFFF) - page)
    note_fill(S, entry)


@jit
def fault(S, M, status, va, pc, delay_slot):
    """The exception of a load or store whose address `va` failed."""
    note_instruction(S, M, pc, delay_slot)
    take_address_exception(S, status, va, pc, delay_slot)


@jit
def find_watch(M, first, last, kinds):
    """Number of a watch that an access of one of `kinds` to these virtual addresses touches, or -1."""
    for k in range(M[m.WATCH_COUNT]):
        at = M[m.WATCHES] + 8 * m.WATCH_WORDS * k
        apart = ult(last, ld64(at + 8 * m.WATCH_FIRST)) or ult(ld64(at + 8 * m.WATCH_LAST), first)
        if not apart and ld64(at + 8 * m.WATCH_KINDS) & kinds:
            return k
    return -1


@jit
def stops_access(S, M, ea, size, kinds):
    """Whether a watch stops the access about to be made, which the next time it lets pass."""
    this = S[state.INSTRUCTIONS] + 1
    if this == S[state.WATCH_STOPPED]:
        return False
    watch = find_watch(M, ea, ea + size - 1, kinds)
    if watch >= 0:
        S[state.WATCH_STOPPED] = this
        S[state.WATCH_HIT] = watch + 1
    return watch >= 0


@jit
def cross(S, M, va, ea, offset, wanted, error, pc, delay_slot):
    """An access at `ea` across the end of a page, its first part at `offset` of the image: FAULTED, or SLOWLY by the
    bounce buffer. `wanted`: LOAD or STORE of cpu.tlb.translate; `error`: ExcCode of its address error."""
    size = S[state.ACCESS_SIZE]
    second = (ea & ~0xFFF) + 0x1000
    pa, status = translate(S, second, wanted)
    if status != 0:
        fault(S, M, status, pa if status & ROOT else second, pc, delay_slot)
        return FAULTED
    offset2 = host_offset(M, pa)
    if offset < 0 or offset2 < 0 or (wanted == STORE and offset2 >= M[m.RAM_BYTES]):
        fault(S, M, error, va, pc, delay_slot)  # MMIO may not be unaligned
        return FAULTED
    here = 0x1000 - (ea & 0xFFF)
    bounce = S[state.STATE_ADDRESS] + 8 * state.BOUNCE
    S[state.ACCESS_PA], S[state.ACCESS_PA2] = offset, offset2
    S[state.SLOW_POINTER] = bounce
    S[state.PENDING_STORE] = CROSSING
    if wanted == LOAD:
        copy_bytes(bounce, M[m.RAM] + offset, here)
        copy_bytes(bounce + here, M[m.RAM] + offset2, size - here)
    return SLOWLY


@jit
def slow_access(S, M, op, pc, delay_slot):
    """A load or store of the micro-op `op` at `pc`, at the addresses in EXIT_VA and EXIT_EA: what it comes to."""
    va, ea = effective(S, S[state.EXIT_VA]), effective(S, S[state.EXIT_EA])
    size, kind = ACCESS_SIZE[op], ACCESS[op]
    is_store = kind != micro.LOAD
    wanted = STORE if is_store else LOAD
    error = EXCCODE_ADES if is_store else EXCCODE_ADEL
    if ACCESS_ALIGNED[op] and ea & (size - 1):
        fault(S, M, error, va, pc, delay_slot)
        return FAULTED
    S[state.ACCESS_SIZE] = size
    pa, status = translate(S, ea, wanted)
    if status != 0:
        fault(S, M, status, pa + va - ea if status & ROOT else va, pc, delay_slot)
        return FAULTED
    if M[m.WATCH_COUNT] > 0 and stops_access(S, M, ea, size, 1 << wanted):
        return WATCHED
    offset = host_offset(M, pa)
    if is_store and offset >= M[m.RAM_BYTES]:
        offset = -1  # ROM: stores go to the bus, which knows what they do
    if (ea & 0xFFF) + size > 0x1000:
        return cross(S, M, va, ea, offset, wanted, error, pc, delay_slot)
    if offset < 0:
        if ea & (size - 1):
            fault(S, M, error, va, pc, delay_slot)
            return FAULTED
        S[state.ACCESS_PA] = pa
        if kind == micro.MODIFY or size > 8:
            return PARTIAL
        S[state.PENDING_STORE] = MMIO
        S[state.SLOW_POINTER] = S[state.STATE_ADDRESS] + 8 * state.BOUNCE
        return SLOWLY if is_store else DEVICE
    host = M[m.RAM] + offset
    if is_store:
        page = offset >> 12
        st8(M[m.TOUCHED] + page, 1)
        if ld64(M[m.PAGE_CHUNK] + 8 * page) != 0:
            written(M, offset, size)
            S[state.SLOW_POINTER] = host
            S[state.PENDING_STORE] = DIRECT
            return SLOWLY
    watched = M[m.WATCH_COUNT] > 0 and find_watch(M, ea & ~0xFFF, ea | 0xFFF, ANY_ACCESS) >= 0
    if not watched:
        fill(S, M, ea, host, is_store)
    if watched or ea & (size - 1) or ea != S[state.EXIT_EA]:
        S[state.SLOW_POINTER] = host
        S[state.PENDING_STORE] = DIRECT
        return SLOWLY
    return FILLED


@jit
def finish_crossing(S, M):
    """Copies the bounce buffer of a page-crossing store to its two pages."""
    size = S[state.ACCESS_SIZE]
    here = 0x1000 - (S[state.ACCESS_PA] & 0xFFF)
    bounce = S[state.STATE_ADDRESS] + 8 * state.BOUNCE
    written(M, S[state.ACCESS_PA], here)
    written(M, S[state.ACCESS_PA2], size - here)
    copy_bytes(M[m.RAM] + S[state.ACCESS_PA], bounce, here)
    copy_bytes(M[m.RAM] + S[state.ACCESS_PA2], bounce + here, size - here)
