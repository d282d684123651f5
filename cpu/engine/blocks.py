"""Blocks: straight runs of micro-ops, found by physical word and virtual pc, built on demand, dropped by page.

A block ends after a branch and its delay slot, after a trapping or boundary instruction, before an address that is a
multiple of 256 bytes, and so at the page end: the boundary belongs to the address and the code, never to where
execution entered (design law 9). A delay slot in the next page is part of the block when both pages are next to each
other in memory for ever (unmapped segments); otherwise the block is built for one use, in the core's scratch area.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.exceptions import take_address_exception, take_exception
from cpu.cp0.fields import EXCCODE_ADEL, EXCCODE_IBE
from cpu.engine import jump_cache
from cpu.engine import shared as m
from cpu.engine.budget import INSTRUCTIONS, SHIFT, charge
from cpu.engine.code_buffer import reset_code
from cpu.engine.decode import (
    FLOW,
    LINK,
    PREFETCH,
    READS_AND_WRITES,
    READS_GPR,
    READS_STATE,
    RESERVED,
    TEST_OP,
    WRITES_GPR,
    decode,
    decode_for,
    pack,
)
from cpu.engine.intrinsics import ld32, ld64, shr, st8, st32, st64
from cpu.engine.jit import jit, jit_as
from cpu.engine.micro import FLOWS, OP
from cpu.engine.softmmu import drop_all_jumps, drop_writes, host_offset, note_fill
from cpu.engine.softmmu_layout import (
    CONTEXTS,
    FETCH_OFFSET,
    TABLE_BYTES,
    TABLE_MASK,
)
from cpu.isa import Flow
from cpu.tlb.translate import FETCH, ROOT, translate
from cpu.vz.mode import MODES

PLAIN, BOUNDARY, BRANCH, LIKELY = (FLOWS[f] for f in (Flow.PLAIN, Flow.BOUNDARY, Flow.BRANCH, Flow.LIKELY))
JUMP, JUMP_REGISTER, TRAP = FLOWS[Flow.JUMP], FLOWS[Flow.JUMP_REGISTER], FLOWS[Flow.TRAP]
B_GOTO, B_FAR, B_COND, B_LIKELY, B_REGISTER, B_TARGET = (
    OP[name] for name in ("b_goto", "b_far", "b_cond", "b_likely", "b_register", "b_target")
)
SET_TARGET, SET_LINK, CLEAR_SINK, B_STOP = (OP[name] for name in ("set_target", "set_link", "clear_sink", "b_stop"))
B_COUNT = OP["b_count"]
BOUNDARY_BYTES = 256
RESERVE = 1024  # words kept free in the pool for one more block
NO_LIMIT = 1 << 30
# A word of the side table.
SIDE_INDEX, SIDE_DELAY, SIDE_BLOCK, SIDE_CYCLES = 0x7F, 7, 8, 32
SIDE_BLOCK_MASK = (1 << (SIDE_CYCLES - SIDE_BLOCK)) - 1


@jit_as("int64(int64[::1], int64, int64, int64, int64, int64)")
def emit(M, k, word, block, at, delay):
    """Appends a word to the pool at k; returns k + 1. The side table says which instruction it belongs to: the one that
    the charge `at` lies before in its block."""
    st64(M[m.POOL] + 8 * k, word)
    where = (at & INSTRUCTIONS) | delay << SIDE_DELAY | block << SIDE_BLOCK
    st64(M[m.SIDE] + 8 * k, where | (at >> SHIFT) << SIDE_CYCLES)
    return k + 1


@jit
def side_block(side):
    """The block that a word of the side table names."""
    return (side >> SIDE_BLOCK) & SIDE_BLOCK_MASK


@jit
def is_stop(M, pc):
    """Whether a run stops before it executes the instruction at pc."""
    for k in range(M[m.STOP_COUNT]):
        if ld64(M[m.STOPS] + 8 * k) == pc:
            return True
    return False


@jit
def emit_instruction(M, k, number, word, block, at, delay):
    """One instruction that is no branch; a no-operation costs nothing but its charge."""
    if word == 0 or (PREFETCH[number] >= 0 and (word >> PREFETCH[number]) & 31 == 0):
        return k
    for n in range(2):
        low = READS_AND_WRITES[number, n]
        if low >= 0 and (word >> low) & 31 == 0:
            k = emit(M, k, CLEAR_SINK, block, at, delay)
    return emit(M, k, pack(number, word), block, at, delay)


@jit
def interferes(branch, branch_word, slot, slot_word):
    """Whether a delay slot may change what the branch reads."""
    if READS_STATE[branch] != 0:
        return True
    for n in range(2):
        low = WRITES_GPR[slot, n]
        if low < 0:
            continue
        written = (slot_word >> low) & 31
        if written == 0:
            continue
        for r in range(3):
            at = READS_GPR[branch, r]
            if at >= 0 and (branch_word >> at) & 31 == written:
                return True
    return False


@jit
def emit_link(M, k, pc, block, at, register):
    if register == 0:
        return k
    k = emit(M, k, SET_LINK | register << 16, block, at, 0)
    return emit(M, k, pc + 8, block, at, 0)


@jit
def emit_goto(M, k, pc, target, whole, block, at, delay):
    """A jump to a known pc: linked inside the page, through the jump cache otherwise. `whole` is the block's charge."""
    if (pc ^ target) & ~0xFFF:
        k = emit(M, k, B_FAR, block, at, delay)
        k = emit(M, k, target, block, at, delay)
        return emit(M, k, whole, block, at, delay)
    k = emit(M, k, B_GOTO, block, at, delay)
    link_slot(M, block, k + 1)
    k = emit(M, k, target, block, at, delay)
    k = emit(M, k, 0, block, at, delay)
    return emit(M, k, whole, block, at, delay)


@jit
def emit_stop(M, k, pc, block, at):
    """The end of a block that is no boundary."""
    k = emit(M, k, B_STOP, block, at, 0)
    k = emit(M, k, pc, block, at, 0)
    return emit(M, k, at, block, at, 0)


@jit
def link_slot(M, block, k):
    """Remembers where a link of this block sits, so that dropping the page can undo it."""
    first = M[m.POOL] + 8 * (block + m.H_LINK1)
    if ld64(first) == 0:
        st64(first, k)
    else:
        st64(M[m.POOL] + 8 * (block + m.H_LINK2), k)


@jit
def build(M, k, pc, host, limit, next_host, modes):
    """Builds the block at virtual `pc`, whose words lie at host address `host`, into the pool at k, with at most
    `limit` instructions. `next_host` is the host address of the page after this one, or 0: a branch in the page's last
    word then ends the block before itself. `modes`: what its words mean (cpu/vz/mode.py). Returns the block's end."""
    block = k
    start = pc
    st64(M[m.POOL] + 8 * (block + m.H_PC), pc)
    for field in range(1, m.HEADER):
        st64(M[m.POOL] + 8 * (block + field), 0)
    st64(M[m.POOL] + 8 * (block + m.H_MODES), modes)
    k += m.HEADER
    at = 0  # the charge so far
    if M[m.CODE] != 0 and block >= m.POOL_START:
        k = emit(M, k, B_COUNT | M[m.HOT_AFTER] << 16, block, 0, 0)
    while True:
        if at & INSTRUCTIONS >= limit or (at > 0 and is_stop(M, pc)):
            k = emit_stop(M, k, pc, block, at)
            break
        word = ld32(host + pc - start)
        number = decode_for(modes, word)
        flow = FLOW[number]
        if flow == PLAIN and number != RESERVED:
            k = emit_instruction(M, k, number, word, block, at, 0)
            last = at
            at += charge(M, number)
            pc += 4
            if pc & (BOUNDARY_BYTES - 1) == 0:
                k = emit_goto(M, k, start, pc, at, block, last, 0)
                break
            continue
        if flow == BOUNDARY or flow == TRAP or number == RESERVED:
            k = emit_instruction(M, k, number, word, block, at, 0)
            at += charge(M, number)
            break
        if pc & 0xFFF == 0xFFC:
            if next_host == 0:
                k = emit_stop(M, k, pc, block, at)
                break
            slot_word = ld32(next_host)
        else:
            slot_word = ld32(host + pc + 4 - start)
        k, at = emit_branch(M, k, number, word, decode_for(modes, slot_word), slot_word, pc, block, at)
        break
    st64(M[m.POOL] + 8 * (block + m.H_COUNT), at & INSTRUCTIONS)
    M[m.BLOCKS_BUILT] += 1
    return k


@jit
def emit_branch(M, k, number, word, slot, slot_word, pc, block, at):
    """A branch or jump with its delay slot; returns the block's end and its charge."""
    flow = FLOW[number]
    slot_flow = FLOW[slot]
    if slot_flow == BRANCH or slot_flow == LIKELY or slot_flow == JUMP or slot_flow == JUMP_REGISTER:
        slot = RESERVED  # a branch in a delay slot is unpredictable; here it is a reserved instruction
    after = at + charge(M, number)  # before the delay slot
    whole = after + charge(M, slot)
    target = pc + 4 + ((((word & 0xFFFF) ^ 0x8000) - 0x8000) << 2)
    if flow == JUMP:
        target = ((pc + 4) & ~0xFFFFFFF) | ((word & 0x3FFFFFF) << 2)
    register = LINK[number]
    if register == 256:
        register = (word >> 11) & 31
    if flow == JUMP_REGISTER:
        source = (word >> 21) & 31
        moved = register == source or interferes(number, word, slot, slot_word)
        if moved:
            k = emit(M, k, SET_TARGET | source << 24, block, at, 0)
        if register > 0:
            k = emit_link(M, k, pc, block, at, register)
        k = emit_instruction(M, k, slot, slot_word, block, after, 1)
        k = emit(M, k, B_TARGET if moved else B_REGISTER | source << 24, block, after, 1)
        return emit(M, k, whole, block, after, 1), whole
    if flow == JUMP:
        if register > 0:
            k = emit_link(M, k, pc, block, at, register)
        k = emit_instruction(M, k, slot, slot_word, block, after, 1)
        return emit_goto(M, k, pc, target, whole, block, after, 1), whole
    if flow == LIKELY:
        if register > 0:
            k = emit(M, k, pack(TEST_OP[number], word), block, at, 0)
            k = emit_link(M, k, pc, block, at, register)
        k = emit(M, k, B_LIKELY if register > 0 else pack(number, word), block, at, 0)
        near = (pc ^ (pc + 8)) & ~0xFFF == 0
        if near:
            link_slot(M, block, k + 1)
        k = emit(M, k, pc + 8, block, at, 0)
        k = emit(M, k, 0 if near else m.FAR_LINK, block, at, 0)
        k = emit(M, k, after, block, at, 0)
        k = emit_instruction(M, k, slot, slot_word, block, after, 1)
        return emit_goto(M, k, pc, target, whole, block, after, 1), whole
    tested = register > 0 or interferes(number, word, slot, slot_word)
    if tested:
        k = emit(M, k, pack(TEST_OP[number], word), block, at, 0)
        if register > 0:
            k = emit_link(M, k, pc, block, at, register)
    k = emit_instruction(M, k, slot, slot_word, block, after, 1)
    k = emit(M, k, B_COND if tested else pack(number, word), block, after, 1)
    for where in (target, pc + 8):
        near = (pc ^ where) & ~0xFFF == 0
        if near:
            link_slot(M, block, k + 1)
        k = emit(M, k, where, block, after, 1)
        k = emit(M, k, 0 if near else m.FAR_LINK, block, after, 1)
    return emit(M, k, whole, block, after, 1), whole


@jit
def is_unmapped(S, pc):
    """Root's kseg0, kseg1 and xkphys: the next page follows in memory, whatever the TLB says."""
    return S[state.BANK] == 0 and (shr(pc, 62) == 2 or (pc >= -0x80000000 and pc < -0x40000000))


@jit
def fetch_page(S, M, pc):
    """(host address of the word at pc, 0), or (address, status): status -1 is a bus error, others are translate's, and
    the address is the one that failed."""
    base = S[state.SOFTMMU] + FETCH_OFFSET
    page = pc & ~0xFFF
    entry = base + ((pc >> 8) & (TABLE_MASK << 4))
    if pc & 3:
        return pc, EXCCODE_ADEL
    if ld64(entry) == page:
        return ld64(entry + 8) + (pc & 0xFFF), 0
    pa, status = translate(S, pc, FETCH)
    if status != 0:
        return pa if status & ROOT else pc, status
    offset = host_offset(M, pa)
    if offset < 0:
        return pc, -1
    host = M[m.RAM] + offset
    if not is_unmapped(S, pc):
        # The jump cache must hold no pc of a mapped page that has left this table.
        if ld64(entry) != -1:
            jump_cache.forget_page(S[state.SOFTMMU], ld64(entry))
        st64(entry, page)
        st64(entry + 8, host & ~0xFFF)
        note_fill(S, entry)
    return host, 0


@jit
def note_instruction(S, M, pc, delay_slot):
    """Notes the instruction at `pc` for BadInstr and BadInstrP of the exception it is about to raise."""
    S[state.NOTED] = 0
    host, status = fetch_page(S, M, pc)
    if status != 0:
        return
    S[state.NOTED] = 1
    S[state.NOTED_WORD] = ld32(host) & 0xFFFFFFFF
    if delay_slot:
        host, status = fetch_page(S, M, pc - 4)
        if status == 0:
            S[state.NOTED] = 2
            S[state.NOTED_BRANCH] = ld32(host) & 0xFFFFFFFF


@jit
def page_chunk(M, page):
    """The chunk of the block map for a page of the image; made when the page is first executed."""
    address = M[m.PAGE_CHUNK] + 8 * page
    chunk = ld64(address)
    if chunk == 0:
        chunk = M[m.CHUNK_FREE]
        if chunk != 0:
            M[m.CHUNK_FREE] = ld64(chunk_at(M, chunk))
        else:
            chunk = M[m.CHUNK_NEXT]
            M[m.CHUNK_NEXT] = chunk + 1
        st64(address, chunk)
        for k in range(m.CHUNK_WORDS):
            st64(chunk_at(M, chunk) + 8 * k, 0)
        drop_writes(M, M[m.RAM] + (page << 12))
    return chunk


@jit
def chunk_at(M, chunk):
    """Address of a chunk: 1024 block numbers, a bit per word that some block holds, then CHUNK_SHARED."""
    return M[m.CHUNKS] + 8 * m.CHUNK_WORDS * chunk


@jit
def cover(M, chunk, word):
    """Marks a word of a page as part of a block."""
    at = chunk_at(M, chunk) + 8 * (1024 + (word >> 6))
    st64(at, ld64(at) | (1 << (word & 63)))


@jit
def is_covered(M, chunk, word):
    return (shr(ld64(chunk_at(M, chunk) + 8 * (1024 + (word >> 6))), word & 63) & 1) != 0


@jit
def drop_code(M, page):
    """Drops the blocks that hold code of a page of the image: its own, and those of the page before whose delay slot
    lies here (and so on backwards, as a page that is dropped no longer watches its words)."""
    while True:
        chunk = ld64(M[m.PAGE_CHUNK] + 8 * page)
        if chunk == 0:
            return
        is_shared = ld64(chunk_at(M, chunk) + 8 * m.CHUNK_SHARED)
        drop_page(M, page, chunk)
        if is_shared == 0:
            return
        page -= 1


@jit
def drop_page(M, page, chunk):
    """Drops the blocks of a page of the image and gives its chunk back: the page is data until it is executed again."""
    M[m.PAGES_DROPPED] += 1
    block = ld64(M[m.PAGE_BLOCKS] + 8 * page)
    while block != 0:
        at = M[m.POOL] + 8 * block
        pc = ld64(at + 8 * m.H_PC)
        for field in range(m.H_LINK1, m.H_LINK2 + 1):
            k = ld64(at + 8 * field)
            if k != 0:
                st64(M[m.POOL] + 8 * k, 0)
        for field in range(m.H_JUMP1, m.H_JUMP2 + 1):
            jump = ld64(at + 8 * field)
            if jump != 0:
                st32(jump, 0)
        for core in range(M[m.CORES]):
            keys = M[m.STATES] + core * M[m.STATES_BYTES] + 8 * state.CONTEXT_KEYS
            for context in range(CONTEXTS):
                if ld64(keys + 8 * context) == -1:
                    continue
                jump_cache.forget(M[m.TABLES] + core * M[m.TABLES_BYTES] + context * TABLE_BYTES, pc)
        block = ld64(at + 8 * m.H_NEXT)
    st64(M[m.PAGE_BLOCKS] + 8 * page, 0)
    st64(M[m.PAGE_CHUNK] + 8 * page, 0)
    st64(chunk_at(M, chunk), M[m.CHUNK_FREE])
    M[m.CHUNK_FREE] = chunk


@jit
def drop_around(M, pc):
    """Drops the pages with a block that holds an instruction at virtual `pc`, in whatever address space."""
    for page in range(M[m.PAGES]):
        block = ld64(M[m.PAGE_BLOCKS] + 8 * page)
        while block != 0:
            at = M[m.POOL] + 8 * block
            if 0 <= pc - ld64(at + 8 * m.H_PC) < 4 * ld64(at + 8 * m.H_COUNT):
                drop_code(M, page)
                break
            block = ld64(at + 8 * m.H_NEXT)


@jit
def written(M, offset, size):
    """Memory at image offset..offset + size is about to change, by whomever: blocks that hold a word of it go."""
    for page in range(offset >> 12, ((offset + size - 1) >> 12) + 1):
        st8(M[m.TOUCHED] + page, 1)
        chunk = ld64(M[m.PAGE_CHUNK] + 8 * page)
        if chunk == 0:
            continue
        first = (max(offset, page << 12) >> 2) & 1023
        last = (min(offset + size - 1, (page << 12) + 0xFFF) >> 2) & 1023
        for word in range(first, last + 1):
            if is_covered(M, chunk, word):
                drop_code(M, page)
                break


@jit
def keep_parked(M):
    """Moves the block that a parked core stands in to that core's scratch area, without its links, before the pool is
    filled anew."""
    pool, side = M[m.POOL], M[m.SIDE]
    for core in range(M[m.CORES]):
        S = M[m.STATES] + core * M[m.STATES_BYTES]
        if ld64(S + 8 * state.RESUME) == 0:
            continue
        k = (ld64(S + 8 * state.RESUME_IP) - pool) >> 3
        parked = k if ld64(S + 8 * state.RESUME) == m.RESUME_SLOW else k - 1
        block = side_block(ld64(side + 8 * parked))
        if block < m.POOL_START:
            continue
        scratch = (core + 1) * m.SCRATCH_WORDS
        for word in range(m.SCRATCH_WORDS):
            st64(pool + 8 * (scratch + word), ld64(pool + 8 * (block + word)))
            kept = ld64(side + 8 * (block + word)) & ~(SIDE_BLOCK_MASK << SIDE_BLOCK)
            st64(side + 8 * (scratch + word), kept | scratch << SIDE_BLOCK)
        for field in range(m.H_LINK1, m.H_LINK2 + 1):
            link = ld64(pool + 8 * (block + field))
            if link != 0:
                st64(pool + 8 * (scratch + link - block), 0)
        st64(S + 8 * state.RESUME_IP, pool + 8 * (scratch + k - block))


@jit
def flush_pool(M):
    """Drops every block and fills the pool anew."""
    keep_parked(M)
    for page in range(M[m.PAGES]):
        if ld64(M[m.PAGE_CHUNK] + 8 * page) != 0:
            st64(M[m.PAGE_CHUNK] + 8 * page, 0)
            st64(M[m.PAGE_BLOCKS] + 8 * page, 0)
    M[m.CHUNK_NEXT] = 1
    M[m.CHUNK_FREE] = 0
    M[m.POOL_NEXT] = m.POOL_START
    M[m.POOL_FLUSHES] += 1
    reset_code(M)
    drop_all_jumps(M)


@jit
def raise_fetch(S, status, va, pc, delay_slot):
    """The exception of a fetch that failed at `va`, as fetch_page gives it. Bus errors are root's."""
    if status == -1:
        take_exception(S, 0, EXCCODE_IBE, 0, pc, delay_slot, -1)
    else:
        take_address_exception(S, status, va, pc, delay_slot)


@jit
def find_block(S, M, pc, limit):
    """Address of the first micro-op of the block at pc, or 0 after taking the exception of a fetch that failed. With a
    `limit` below NO_LIMIT, or at a stop pc, the block is built for one use."""
    once = limit < NO_LIMIT or is_stop(M, pc)
    if not once:
        ip = jump_cache.find(S[state.SOFTMMU], pc)
        if ip != 0:
            return ip
    host, status = fetch_page(S, M, pc)
    if status != 0:
        raise_fetch(S, status, host, pc, 0)
        return 0
    offset = host - M[m.RAM]
    page = offset >> 12
    modes = S[state.UNITS] & MODES
    if not once:
        chunk = ld64(M[m.PAGE_CHUNK] + 8 * page)
        if chunk != 0:
            block = ld64(chunk_at(M, chunk) + 8 * ((offset >> 2) & 1023))
            while block != 0:
                at = M[m.POOL] + 8 * block
                if ld64(at + 8 * m.H_PC) == pc and ld64(at + 8 * m.H_MODES) == modes:
                    jump_cache.keep(S[state.SOFTMMU], pc, at + 8 * m.HEADER)
                    return at + 8 * m.HEADER
                block = ld64(at + 8 * m.H_ALIAS)
    last = (pc | (BOUNDARY_BYTES - 1)) & ~3
    next_host = 0
    if last & 0xFFF == 0xFFC:
        number = decode(ld32(M[m.RAM] + (page << 12) + 0xFFC))
        flow = FLOW[number]
        if flow == BRANCH or flow == LIKELY or flow == JUMP or flow == JUMP_REGISTER:
            next_pc = last + 4
            next_host, status = fetch_page(S, M, next_pc)
            if status != 0:
                if pc == last:
                    raise_fetch(S, status, next_host, next_pc, 1)
                    return 0
                next_host = 0
            follows = next_host == M[m.RAM] + ((page + 1) << 12)
            once = once or not (follows and is_unmapped(S, pc) and is_unmapped(S, next_pc))
    if M[m.POOL_NEXT] + RESERVE > M[m.POOL_LIMIT] or M[m.CHUNK_NEXT] + 2 > M[m.CHUNK_LIMIT]:
        flush_pool(M)
    chunk = page_chunk(M, page)
    k = S[state.NUMBER] * m.SCRATCH_WORDS + m.SCRATCH_WORDS if once else M[m.POOL_NEXT]
    end = build(M, k, pc, host, limit, next_host, modes)
    at = M[m.POOL] + 8 * k
    first = (offset >> 2) & 1023
    for word in range(first, first + ld64(at + 8 * m.H_COUNT)):
        if word < 1024:
            cover(M, chunk, word)
        else:
            after = page_chunk(M, (next_host - M[m.RAM]) >> 12)
            cover(M, after, word - 1024)
            if not once:
                st64(chunk_at(M, after) + 8 * m.CHUNK_SHARED, 1)
    if once:
        return at + 8 * m.HEADER
    M[m.POOL_NEXT] = end
    slot = chunk_at(M, chunk) + 8 * first
    st64(at + 8 * m.H_ALIAS, ld64(slot))
    st64(slot, k)
    st64(at + 8 * m.H_NEXT, ld64(M[m.PAGE_BLOCKS] + 8 * page))
    st64(at + 8 * m.H_PAGE, page)
    st64(M[m.PAGE_BLOCKS] + 8 * page, k)
    jump_cache.keep(S[state.SOFTMMU], pc, at + 8 * m.HEADER)
    return at + 8 * m.HEADER
