"""The run loop of the fast tiers: boundaries, interrupts, blocks, and whatever a handler could not do itself.

Time. n is the budget (cpu/engine/budget.py) at the start of the block being executed: the block starts at DEADLINE less
the cycles left in n, an instruction of it as many cycles later as the side table says. A block is entered only while
n > 0, so nothing due at DEADLINE is missed: every event up to a boundary's time is known before the next block begins.
Interrupts are sampled where execution comes to a boundary with n <= 0 or after an instruction that may have unmasked
one; nothing else can make one pending.

The loop returns to Python for a horizon, an MMIO access, or a stop; what it returns is a `Stop*` code below.
"""

from __future__ import annotations

from cpu import state
from cpu.cp0 import timer
from cpu.cp0.exceptions import any_interrupt, interrupts, take_address_exception, take_exception
from cpu.cp0.registers import C0_CAUSE, C0_CONFIG, C0_CONFIG3, C0_CONFIG5, C0_CONFIG6, C0_GSCAUSE, C0_STATUS
from cpu.engine import shared as m
from cpu.engine.blocks import (
    BOUNDARY,
    BOUNDARY_BYTES,
    NO_LIMIT,
    SIDE_CYCLES,
    SIDE_DELAY,
    SIDE_INDEX,
    emit,
    emit_stop,
    find_block,
    flush_pool,
    is_stop,
    known_block,
    note_instruction,
    side_block,
    written,
)
from cpu.engine.budget import LONGEST, MOST_CYCLES, SHIFT, charge, completed, cycles_left
from cpu.engine.decode import ACCESS, ACCESS_ALIGNED, ACCESS_SIZE, FLOW, HELPER, UNIT
from cpu.engine.helpers import JUMP, NEXT, RAISED, READ_CSR, SOONER, WAIT, WRITE_CSR, finish_csr, run_helper
from cpu.engine.intrinsics import call_code, ld8, ld64, st8, st64, ult
from cpu.engine.jit import jit, jit_inline
from cpu.engine.micro import LOAD, MODIFY, R_HELPER, R_HOT, R_LINK, R_MEMORY, R_STOP, R_STORED, R_TRAP, R_UNIT, UNITS
from cpu.engine.softmmu import host_offset, note_fill
from cpu.engine.softmmu_layout import TABLE_MASK, WRITE_OFFSET
from cpu.engine.translation import link_native, translate_block
from cpu.tlb.translate import ROOT, translate
from cpu.vz.mode import CU1, HALVES, LASXEN, LASXMODE, MSAEN, is_hypervisors
from cpu.vz.short_exit import answer
from cpu.vz.traps import CONFIG3_MSAP

(STOP_HORIZON, STOP_SLICE, STOP_READ, STOP_WRITE, STOP_LIMIT, STOP_PC, STOP_DEADLOCK, STOP_UNMODELLED, STOP_STORM,
 STOP_PARTIAL, STOP_EXIT, STOP_STEP, STOP_WATCH) = range(13)  # fmt: skip

# What becomes of the bounce buffer after a slow store.
DIRECT, CROSSING, MMIO = 0, 1, 2

GOES_ON = -1
STORM = 64
FOREVER = timer.NEVER >> 1  # a horizon that only an endless run has
STORE_CODE, LOAD_CODE = 5, 4
ANY_ACCESS = 3
RI, CPU, GSEXC, MSA_DISABLED = 10, 11, 16, 21
GSCAUSE_LASX_DISABLED = 7 << 2  # GSCause.GSExcCode
FPU_UNIT, LASX_UNIT = UNITS["fpu"], UNITS["lasx"]
IRQ_LOG_ENTRIES = 64


@jit
def deadline(S):
    """The cycle nothing may pass unseen: the caller's horizon, the timers, the end of the host's slice."""
    return min(min(S[state.UNTIL], S[state.SLICE_END]), min(S[state.TIMER], S[state.GUEST + state.TIMER]))


@jit
def locate(M, ip):
    """(index in block, delay slot, pc, cycles since the block's start) of a micro-op."""
    side = ld64(M[m.SIDE] + (ip - M[m.POOL]))
    index = side & SIDE_INDEX
    pc = ld64(M[m.POOL] + 8 * side_block(side)) + 4 * index
    return index, (side >> SIDE_DELAY) & 1, pc, side >> SIDE_CYCLES


@jit
def complete_instruction(S, M, op):
    """The instruction under way is done, with the time of its class."""
    S[state.CYCLES] += charge(M, op) >> SHIFT
    S[state.INSTRUCTIONS] += 1


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
def slow_access(S, M, op, pc, delay_slot):
    """A load or store the soft-MMU did not know. Returns 0: a page is filled in, do it again; 1: use the slow handler;
    2: an exception was taken; 3: an MMIO read; 4: not modelled; 5: a watch stops it."""
    va, ea = S[state.EXIT_VA], S[state.EXIT_EA]
    size, kind = ACCESS_SIZE[op], ACCESS[op]
    is_store = kind != LOAD
    wanted = 1 if is_store else 0
    error = STORE_CODE if is_store else LOAD_CODE
    if ACCESS_ALIGNED[op] and ea & (size - 1):
        fault(S, M, error, va, pc, delay_slot)
        return 2
    S[state.ACCESS_SIZE] = size
    pa, status = translate(S, ea, wanted)
    if status != 0:
        fault(S, M, status, pa + va - ea if status & ROOT else va, pc, delay_slot)
        return 2
    if M[m.WATCH_COUNT] > 0 and stops_access(S, M, ea, size, 1 << wanted):
        return 5
    offset = host_offset(M, pa)
    if is_store and offset >= M[m.RAM_BYTES]:
        offset = -1  # ROM: stores go to the bus, which knows what they do
    if (ea & 0xFFF) + size > 0x1000:
        second = (ea & ~0xFFF) + 0x1000
        pa2, status = translate(S, second, wanted)
        if status != 0:
            fault(S, M, status, pa2 if status & ROOT else second, pc, delay_slot)
            return 2
        offset2 = host_offset(M, pa2)
        if offset < 0 or offset2 < 0 or (is_store and offset2 >= M[m.RAM_BYTES]):
            fault(S, M, error, va, pc, delay_slot)  # MMIO may not be unaligned
            return 2
        here = 0x1000 - (ea & 0xFFF)
        bounce = S[state.STATE_ADDRESS] + 8 * state.BOUNCE
        S[state.ACCESS_PA], S[state.ACCESS_PA2] = offset, offset2
        S[state.SLOW_POINTER] = bounce
        S[state.PENDING_STORE] = CROSSING
        if not is_store:
            copy_bytes(bounce, M[m.RAM] + offset, here)
            copy_bytes(bounce + here, M[m.RAM] + offset2, size - here)
        return 1
    if offset < 0:
        if ea & (size - 1):
            fault(S, M, error, va, pc, delay_slot)
            return 2
        S[state.ACCESS_PA] = pa
        if kind == MODIFY or size > 8:
            return 4
        S[state.PENDING_STORE] = MMIO
        S[state.SLOW_POINTER] = S[state.STATE_ADDRESS] + 8 * state.BOUNCE
        return 1 if is_store else 3
    host = M[m.RAM] + offset
    if is_store:
        page = offset >> 12
        st8(M[m.TOUCHED] + page, 1)
        if ld64(M[m.PAGE_CHUNK] + 8 * page) != 0:
            written(M, offset, size)
            S[state.SLOW_POINTER] = host
            S[state.PENDING_STORE] = DIRECT
            return 1
    watched = M[m.WATCH_COUNT] > 0 and find_watch(M, ea & ~0xFFF, ea | 0xFFF, ANY_ACCESS) >= 0
    if not watched:
        fill(S, M, ea, host, is_store)
    if watched or ea & (size - 1):
        S[state.SLOW_POINTER] = host
        S[state.PENDING_STORE] = DIRECT
        return 1
    return 0


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


@jit
def log_interrupt(S, bank, cycle, pending):
    k = S[state.IRQ_LOG_COUNT]
    if k < IRQ_LOG_ENTRIES:
        S[state.IRQ_LOG + 3 * k] = cycle
        S[state.IRQ_LOG + 3 * k + 1] = pending
        S[state.IRQ_LOG + 3 * k + 2] = S[bank + state.TIMER_CAME]
        S[state.IRQ_LOG_COUNT] = k + 1


@jit
def at_boundary(S):
    """What happens at a boundary before UNTIL: timer, WAIT, interrupts. Returns -1 to go on with the next block, -2 to
    come here again, or a stop."""
    now = S[state.CYCLES]
    timer.catch_up(S, now)
    if S[state.WAITING]:
        if (S[C0_CAUSE] & S[C0_STATUS] & 0xFF00) == 0:
            then = S[state.UNTIL]
            if S[C0_STATUS] & timer.IP7:
                then = min(then, S[state.TIMER])
            if then >= FOREVER:
                return STOP_DEADLOCK
            S[state.CYCLES] = then
            while S[state.TIMER] < then:
                timer.fire(S, 0)
            return -2
        S[state.WAITING] = 0
    S[state.SAMPLE] = 0
    bank = 0
    pending = interrupts(S, 0)
    if pending == 0 and S[state.BANK] != 0:
        bank = state.GUEST
        pending = interrupts(S, bank)
    if pending:
        take_exception(S, bank, 0, 0, S[state.PC], 0, -1)
        S[state.SAMPLE] = 1  # entering the handler may have taken until another event
        if S[state.IRQ_LOG_WANTED] and (bank or not S[state.HYPERVISOR]):
            log_interrupt(S, bank, now, pending)
            if S[state.IRQ_LOG_COUNT] == IRQ_LOG_ENTRIES:
                return STOP_SLICE
        return -2
    return -1


@jit
def storm(S):
    """Exceptions without a completed instruction in between: true when that has gone on too long."""
    if S[state.INSTRUCTIONS] != S[state.FAULT_DONE]:
        S[state.FAULT_DONE] = S[state.INSTRUCTIONS]
        S[state.FAULT_COUNT] = 0
    S[state.FAULT_COUNT] += 1
    return S[state.FAULT_COUNT] > STORM


@jit
def unit_exception(S, op, pc, delay_slot):
    """The exception of an instruction whose unit is off: the guest's own context is asked first."""
    bank = S[state.BANK]
    if UNIT[op] == FPU_UNIT:
        taker = bank if not S[bank + C0_STATUS] & CU1 else 0
        take_exception(S, taker, CPU, 1, pc, delay_slot, -1)
        return
    is_lasx = UNIT[op] == LASX_UNIT
    absent = S[state.UNITS] & HALVES != 0 or (bank and not S[bank + C0_CONFIG3] & CONFIG3_MSAP)
    if absent or (is_lasx and not S[C0_CONFIG6] & LASXMODE):
        take_exception(S, bank, RI, 0, pc, delay_slot, -1)
    elif not vector_disabled(S, bank, is_lasx, pc, delay_slot):
        vector_disabled(S, 0, is_lasx, pc, delay_slot)


@jit
def vector_disabled(S, bank, is_lasx, pc, delay_slot):
    """The exception of MSA or LASX that a context has disabled. False: it has not. LASX comes first: what Linux does
    about it enables MSA as well (Loongson 4.19 tree: arch/mips/kernel/traps.c, do_gsex)."""
    if is_lasx and not S[bank + C0_CONFIG] & LASXEN:
        S[bank + C0_GSCAUSE] = GSCAUSE_LASX_DISABLED
        take_exception(S, bank, GSEXC, 0, pc, delay_slot, -1)
    elif not S[bank + C0_CONFIG5] & MSAEN:
        take_exception(S, bank, MSA_DISABLED, 0, pc, delay_slot, -1)
    else:
        return False
    return True


@jit
def not_modelled(S, M, stop, pc, delay_slot):
    """What comes of an instruction that is real but not modelled: its stop, or GOES_ON after an RI exception where the
    machine wants that."""
    S[state.PC] = pc
    if not S[state.UNMODELLED_RI]:
        return stop
    S[state.UNMODELLED_COUNT] += 1
    S[state.SAMPLE] = 1
    note_instruction(S, M, pc, delay_slot)
    take_exception(S, S[state.BANK], RI, 0, pc, delay_slot, -1)
    return STOP_STORM if storm(S) else GOES_ON


@jit
def park(S, start, done, pc, delay_slot, resume, ip, space):
    """The core waits for the answer to the access at `pc`, in a block that began at `start` after `done` instructions;
    it will go on at micro-op `ip` in the way `resume`."""
    S[state.BLOCK_START], S[state.BLOCK_DONE] = start, done
    S[state.RESUME], S[state.RESUME_IP], S[state.RESUME_DELAY] = resume, ip, delay_slot
    S[state.ACCESS_SPACE] = space
    S[state.PC] = pc
    S[state.MMIO_COUNT] += 1


@jit
def resume_at(S, M, slow):
    """Address of the micro-op with which a parked access goes on, or 0 when PC says it. Outside a delay slot the block
    is left after the access, without a boundary: its code, the limit and the stops may have changed meanwhile."""
    ip = S[state.RESUME_IP]
    parked = ip if slow else ip - 8
    index, delay_slot, pc, spent = locate(M, parked)
    if delay_slot or (pc + 4) & (BOUNDARY_BYTES - 1) == 0:
        return ip
    uop = ld64(parked)
    op = uop & 0xFFFF
    if not slow:
        complete_instruction(S, M, op)
        S[state.PC] = pc + 4
        S[state.SAMPLE] = 0
        return 0
    block = S[state.NUMBER] * m.SCRATCH_WORDS + m.SCRATCH_WORDS
    st64(M[m.POOL] + 8 * (block + m.H_PC), pc - 4 * index)
    at = spent << SHIFT | index
    k = emit(M, block + m.HEADER, uop, block, at, 0)
    emit_stop(M, k, pc + 4, block, at + charge(M, op))
    return M[m.POOL] + 8 * (block + m.HEADER)


@jit
def is_quiet(S, now):
    """Whether nothing is due in cycle `now`, so that `at_boundary` would just go on."""
    timers = min(S[state.TIMER], S[state.GUEST + state.TIMER])
    return now < min(S[state.UNTIL], timers) and S[state.WAITING] == 0 and not any_interrupt(S)


@jit
def has_stepped(S):
    """Whether the core that was to execute one instruction has: it is completed, or ended in an exception. What a
    hypervisor in Python does on the way does not count."""
    if S[state.STEP] != state.ONE or is_hypervisors(S):
        return False
    return S[state.INSTRUCTIONS] != S[state.STEP_DONE] or S[state.PC] != S[state.STEP_PC]


@jit
def stepped(S):
    """The stop of a core that has done its one instruction."""
    S[state.STEP] = 0
    return STOP_WATCH if S[state.WATCH_HIT] else STOP_STEP


@jit
def stops_here(S, M, pc):
    """Whether the core stops before the instruction at pc, where it stands. The next time it goes on from there."""
    if S[state.STEP] == 0 and is_stop(M, pc):
        S[state.STEP] = state.PASS
        return True
    if S[state.STEP] == state.PASS:
        S[state.STEP] = 0
    return False


@jit
def prepare(M):
    """Makes the host's thread ready for the tiers' code; nothing that `run` does changes that."""
    call_code(M[m.PREPARE], 0, 0, 0, 0, 0)


@jit
def budget_end(S, now, room):
    """The cycle up to which a budget given at `now` reaches, where the limit allows `room` more instructions."""
    return min(deadline(S), now + min(room - 2 * LONGEST, MOST_CYCLES))


@jit_inline
def go_straight(S, M):
    """What `run` mostly does: from a boundary at which nothing is due, through translated code, to the next one it
    would look at. False: `run` has to go on from here."""
    now, pc = S[state.CYCLES], S[state.PC]
    if not S[state.SAMPLE] or S[state.STEP] or not is_quiet(S, now) or is_hypervisors(S):
        return False
    until = budget_end(S, now, S[state.LIMIT] - S[state.INSTRUCTIONS])
    ip = known_block(S, M, pc)
    if ip == 0 or until <= now:
        return False
    S[state.SAMPLE] = 0
    S[state.DEADLINE], S[state.DONE] = until, S[state.INSTRUCTIONS]
    reason = call_code(M[m.ENTER], S[state.STATE_ADDRESS], ip, (until - now) << SHIFT, S[state.SOFTMMU], 0)
    n = S[state.EXIT_N]
    if reason != R_LINK or n > 0:
        S[state.RESUME] = m.RESUME_EXIT
        return False
    S[state.CYCLES], S[state.INSTRUCTIONS] = until - cycles_left(n), S[state.DONE] + completed(n)
    S[state.SAMPLE] = 1
    return True


@jit
def start(S, M):
    """`run` for Python."""
    prepare(M)
    return run(S, M)


@jit
def run(S, M):
    """Runs a core until something concerns Python."""
    ip = 0
    n = 0
    slow = False
    scratch_end = M[m.POOL] + 8 * m.POOL_START
    left = S[state.RESUME] == m.RESUME_EXIT
    if left:
        S[state.RESUME] = 0
    elif S[state.RESUME] != 0:
        if S[state.RESUME] == m.RESUME_CSR:
            finish_csr(S, ld64(S[state.RESUME_IP] - 8))
        slow = S[state.RESUME] == m.RESUME_SLOW
        S[state.RESUME] = 0
        ip = resume_at(S, M, slow)
        slow = slow and ip != 0
        # Leave at the block's end: much may have changed while the access was under way.
        S[state.DEADLINE], S[state.DONE] = S[state.BLOCK_START], S[state.BLOCK_DONE]
    while True:
        if ip == 0 and not left:
            if S[state.STEP] and has_stepped(S):
                return stepped(S)
            now = S[state.CYCLES]
            if now >= S[state.SLICE_END]:
                return STOP_SLICE
            quiet = is_quiet(S, now)
            if S[state.SAMPLE]:
                if quiet:
                    S[state.SAMPLE] = 0
                elif now >= S[state.UNTIL]:
                    return STOP_HORIZON
                else:
                    what = at_boundary(S)
                    if what == -2:
                        continue
                    if what >= 0:
                        return what
                    quiet = True
            if is_hypervisors(S):
                if answer(S):
                    continue
                return STOP_EXIT
            pc = S[state.PC]
            room = S[state.LIMIT] - S[state.INSTRUCTIONS]
            if room <= 0:
                return STOP_LIMIT
            if stops_here(S, M, pc):
                return STOP_PC
            if S[state.STEP]:
                room = 1
            # A block holds at most 65 instructions: near the limit blocks are cut to size.
            cut = room <= 2 * LONGEST
            if cut or not quiet:
                until = now  # look again at the block's end: the jump cache does not know of a near limit
            else:
                until = budget_end(S, now, room)
            ip = 0 if cut else known_block(S, M, pc)
            if ip == 0:
                ip = find_block(S, M, pc, room if cut else NO_LIMIT)
            if ip == 0:
                if storm(S):
                    return STOP_STORM
                S[state.SAMPLE] = 1
                continue
            S[state.DEADLINE], S[state.DONE] = until, S[state.INSTRUCTIONS]
            n = (until - now) << SHIFT
        if left:
            left = False
        elif slow:
            slow = False
            call_code(M[m.ENTER_SLOW], S[state.STATE_ADDRESS], ip, n, S[state.SOFTMMU], 0)
        else:
            call_code(M[m.ENTER], S[state.STATE_ADDRESS], ip, n, S[state.SOFTMMU], 0)
        n = S[state.EXIT_N]
        reason = S[state.EXIT_REASON]
        start = S[state.DEADLINE] - cycles_left(n)
        done = S[state.DONE] + completed(n)
        if reason == R_LINK:
            S[state.CYCLES], S[state.INSTRUCTIONS] = start, done
            S[state.SAMPLE] = 1
            ip = 0
            if n > 0:
                link = S[state.EXIT_CODE]
                flushes = M[m.POOL_FLUSHES]
                if is_stop(M, S[state.PC]) or S[state.LIMIT] - done <= 2 * LONGEST:
                    continue
                S[state.SAMPLE] = 0
                ip = find_block(S, M, S[state.PC], NO_LIMIT)
                if ip == 0:
                    if storm(S):
                        return STOP_STORM
                    S[state.SAMPLE] = 1
                    continue
                if link >= scratch_end and ip >= scratch_end and flushes == M[m.POOL_FLUSHES]:
                    st64(link, ip)
                    link_native(M, link, ip)
            continue
        if reason == R_STOP:
            S[state.CYCLES], S[state.INSTRUCTIONS] = start, done
            S[state.SAMPLE] = 0
            ip = 0
            continue
        ip = S[state.EXIT_IP]
        if reason == R_HOT:
            if not translate_block(M, ip):
                S[state.CYCLES], S[state.INSTRUCTIONS] = start, done
                S[state.PC] = locate(M, ip)[2]
                S[state.SAMPLE] = 0
                flush_pool(M)
                ip = 0
            continue
        uop = ld64(ip)
        op = uop & 0xFFFF
        index, delay_slot, pc, spent = locate(M, ip)
        now = start + spent
        S[state.CYCLES], S[state.INSTRUCTIONS] = now, done + index
        if reason == R_MEMORY:
            S[state.DROPPED] = M[m.PAGES_DROPPED]
            outcome = slow_access(S, M, op, pc, delay_slot)
            if outcome == 0:
                continue
            if outcome == 1:
                slow = True
                continue
            if outcome == 2:
                S[state.SAMPLE] = 1
                ip = 0
                if storm(S):
                    return STOP_STORM
                continue
            if outcome == 5:
                if not delay_slot:
                    S[state.PC] = pc
                    S[state.SAMPLE] = 0
                    return STOP_WATCH
                # A branch is not carried out twice: the core stops behind its delay slot, where the block ends.
                S[state.STEP], S[state.STEP_DONE] = state.ONE, S[state.INSTRUCTIONS]
                S[state.DEADLINE], S[state.DONE] = start, done
                n = 0
                continue
            if outcome == 4:
                stop = not_modelled(S, M, STOP_PARTIAL, pc, delay_slot)
                if stop != GOES_ON:
                    return stop
                ip = 0
                continue
            park(S, start, done, pc, delay_slot, m.RESUME_SLOW, ip, state.MEMORY_SPACE)
            return STOP_READ
        if reason == R_STORED:
            if S[state.PENDING_STORE] == MMIO:
                park(S, start, done, pc, delay_slot, m.RESUME_STORED, ip + 8, state.MEMORY_SPACE)
                return STOP_WRITE
            if S[state.PENDING_STORE] == CROSSING:
                finish_crossing(S, M)
            if M[m.PAGES_DROPPED] != S[state.DROPPED] and not delay_slot and (pc + 4) & (BOUNDARY_BYTES - 1):
                # It may have changed this very block: go on with what memory holds now.
                complete_instruction(S, M, op)
                S[state.PC] = pc + 4
                S[state.SAMPLE] = 0
                ip = 0
                continue
            ip += 8
            continue
        if reason == R_HELPER:
            word = (uop >> 32) & 0xFFFFFFFF
            what = run_helper(S, M, HELPER[op], uop, word, pc, delay_slot, now)
            if what == NEXT or what == SOONER:
                if FLOW[op] == BOUNDARY and not delay_slot:
                    complete_instruction(S, M, op)
                    S[state.PC] = pc + 4
                    S[state.SAMPLE] = 1
                    ip = 0
                    continue
                ip += 8
                if FLOW[op] == BOUNDARY or what == SOONER:
                    # Leave at the block's end: the deadline may have changed.
                    S[state.DEADLINE], S[state.DONE] = start, done
                    n = 0
                continue
            if what == READ_CSR:
                park(S, start, done, pc, delay_slot, m.RESUME_CSR, ip + 8, state.CSR_SPACE)
                return STOP_READ
            if what == WRITE_CSR:
                park(S, start, done, pc, delay_slot, m.RESUME_STORED, ip + 8, state.CSR_SPACE)
                return STOP_WRITE
            S[state.SAMPLE] = 1
            if what == JUMP or what == RAISED:
                ip = 0
                if what == JUMP:
                    complete_instruction(S, M, op)
                elif storm(S):
                    return STOP_STORM
                continue
            if what == WAIT and not delay_slot:
                complete_instruction(S, M, op)
                S[state.PC] = pc + 4
                S[state.WAITING] = 1
                ip = 0
                continue
            S[state.STOP_WORD] = word
            stop = not_modelled(S, M, STOP_UNMODELLED, pc, delay_slot)
            if stop != GOES_ON:
                return stop
            ip = 0
            continue
        S[state.SAMPLE] = 1
        ip = 0
        note_instruction(S, M, pc, delay_slot)
        if reason == R_TRAP:
            take_exception(S, S[state.BANK], S[state.EXIT_CODE], 0, pc, delay_slot, -1)
        elif reason == R_UNIT:
            unit_exception(S, op, pc, delay_slot)
        if storm(S):
            return STOP_STORM


@jit
def shift_time(S, cycles):
    """The instruction under way takes `cycles` longer than its class."""
    S[state.BLOCK_START] += cycles
    S[state.CYCLES] += cycles
