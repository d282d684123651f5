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
from cpu.cp0.exceptions import any_interrupt, interrupts, take_exception
from cpu.cp0.fields import (
    CAUSE_IP,
    CONFIG3_MSA,
    CONFIG5_MSAEN,
    CONFIG6_LASXMODE,
    CONFIG_LASXEN,
    EXCCODE_CPU,
    EXCCODE_GSEXC,
    EXCCODE_INT,
    EXCCODE_MSADIS,
    EXCCODE_RI,
    IP7,
    ST_CU1,
)
from cpu.cp0.registers import C0_CAUSE, C0_CONFIG, C0_CONFIG3, C0_CONFIG5, C0_CONFIG6, C0_GSCAUSE, C0_STATUS
from cpu.engine import jump_cache
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
    note_instruction,
    side_block,
)
from cpu.engine.budget import LONGEST, MOST_CYCLES, SHIFT, charge, completed, cycles_left
from cpu.engine.decode import FLOW, HELPER, UNIT
from cpu.engine.helpers import JUMP, NEXT, RAISED, READ_CSR, SOONER, WAIT, WRITE_CSR, finish_csr, run_helper
from cpu.engine.intrinsics import call_code, ld64, st64
from cpu.engine.jit import jit, jit_inline
from cpu.engine.micro import R_HELPER, R_HOT, R_LINK, R_MEMORY, R_STOP, R_STORED, R_TRAP, R_UNIT, UNITS
from cpu.engine.slow_access import (
    CROSSING,
    FAULTED,
    FILLED,
    MMIO,
    PARTIAL,
    SLOWLY,
    WATCHED,
    finish_crossing,
    slow_access,
)
from cpu.engine.translation import link_native, translate_block
from cpu.vz.mode import HALVES, is_hypervisors
from cpu.vz.short_exit import answer

(STOP_HORIZON, STOP_SLICE, STOP_READ, STOP_WRITE, STOP_LIMIT, STOP_PC, STOP_DEADLOCK, STOP_UNMODELLED, STOP_STORM,
 STOP_PARTIAL, STOP_EXIT, STOP_STEP, STOP_WATCH) = range(13)  # fmt: skip

GOES_ON, AGAIN = -1, -2  # beside the stops: what a step of the loop comes to
STORM = 64
FOREVER = timer.NEVER >> 1  # a horizon that only an endless run has
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
def log_interrupt(S, bank, cycle, pending):
    k = S[state.IRQ_LOG_COUNT]
    if k < IRQ_LOG_ENTRIES:
        S[state.IRQ_LOG + 3 * k] = cycle
        S[state.IRQ_LOG + 3 * k + 1] = pending
        S[state.IRQ_LOG + 3 * k + 2] = S[bank + state.TIMER_CAME]
        S[state.IRQ_LOG_COUNT] = k + 1


@jit
def at_boundary(S):
    """What happens at a boundary before UNTIL: timer, WAIT, interrupts. Returns GOES_ON for the next block, AGAIN to
    come here again, or a stop."""
    now = S[state.CYCLES]
    timer.catch_up(S, now)
    if S[state.WAITING]:
        if (S[C0_CAUSE] & S[C0_STATUS] & CAUSE_IP) == 0:
            then = S[state.UNTIL]
            if S[C0_STATUS] & IP7:
                then = min(then, S[state.TIMER])
            if then >= FOREVER:
                return STOP_DEADLOCK
            S[state.CYCLES] = then
            while S[state.TIMER] < then:
                timer.fire(S, 0)
            return AGAIN
        S[state.WAITING] = 0
    S[state.SAMPLE] = 0
    bank = 0
    pending = interrupts(S, 0)
    if pending == 0 and S[state.BANK] != 0:
        bank = state.GUEST
        pending = interrupts(S, bank)
    if pending:
        take_exception(S, bank, EXCCODE_INT, 0, S[state.PC], 0, -1)
        S[state.SAMPLE] = 1  # entering the handler may have taken until another event
        if S[state.IRQ_LOG_WANTED] and (bank or not S[state.HYPERVISOR]):
            log_interrupt(S, bank, now, pending)
            if S[state.IRQ_LOG_COUNT] == IRQ_LOG_ENTRIES:
                return STOP_SLICE
        return AGAIN
    return GOES_ON


@jit
def storm(S):
    """Exceptions without a completed instruction in between: true when that has gone on too long."""
    if S[state.INSTRUCTIONS] != S[state.FAULT_DONE]:
        S[state.FAULT_DONE] = S[state.INSTRUCTIONS]
        S[state.FAULT_COUNT] = 0
    S[state.FAULT_COUNT] += 1
    return S[state.FAULT_COUNT] > STORM


@jit
def after_exception(S):
    """An exception was taken: AGAIN, at its handler, unless they come one after the other."""
    S[state.SAMPLE] = 1
    return STOP_STORM if storm(S) else AGAIN


@jit
def unit_exception(S, op, pc, delay_slot):
    """The exception of an instruction whose unit is off: the guest's own context is asked first."""
    bank = S[state.BANK]
    if UNIT[op] == FPU_UNIT:
        taker = bank if not S[bank + C0_STATUS] & ST_CU1 else 0
        take_exception(S, taker, EXCCODE_CPU, 1, pc, delay_slot, -1)
        return
    is_lasx = UNIT[op] == LASX_UNIT
    absent = S[state.UNITS] & HALVES != 0 or (bank and not S[bank + C0_CONFIG3] & CONFIG3_MSA)
    if absent or (is_lasx and not S[C0_CONFIG6] & CONFIG6_LASXMODE):
        take_exception(S, bank, EXCCODE_RI, 0, pc, delay_slot, -1)
    elif not vector_disabled(S, bank, is_lasx, pc, delay_slot):
        vector_disabled(S, 0, is_lasx, pc, delay_slot)


@jit
def vector_disabled(S, bank, is_lasx, pc, delay_slot):
    """The exception of MSA or LASX that a context has disabled. False: it has not. LASX comes first: what Linux does
    about it enables MSA as well (Loongson 4.19 tree: arch/mips/kernel/traps.c, do_gsex)."""
    if is_lasx and not S[bank + C0_CONFIG] & CONFIG_LASXEN:
        S[bank + C0_GSCAUSE] = GSCAUSE_LASX_DISABLED
        take_exception(S, bank, EXCCODE_GSEXC, 0, pc, delay_slot, -1)
    elif not S[bank + C0_CONFIG5] & CONFIG5_MSAEN:
        take_exception(S, bank, EXCCODE_MSADIS, 0, pc, delay_slot, -1)
    else:
        return False
    return True


@jit
def not_modelled(S, M, stop, pc, delay_slot):
    """What comes of an instruction that is real but not modelled: its stop, or `after_exception` of an RI where the
    machine wants that."""
    S[state.PC] = pc
    if not S[state.UNMODELLED_RI]:
        return stop
    S[state.UNMODELLED_COUNT] += 1
    note_instruction(S, M, pc, delay_slot)
    take_exception(S, S[state.BANK], EXCCODE_RI, 0, pc, delay_slot, -1)
    return after_exception(S)


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
def resume_at(S, M, resume):
    """Address of the micro-op with which an access parked in the way `resume` goes on, or 0 when PC says it. Outside a
    delay slot the block is left after the access, without a boundary: its code, the limit and the stops may have
    changed meanwhile. In one, at the block's end: the budget is used up."""
    ip = S[state.RESUME_IP]
    if resume == m.RESUME_CSR:
        finish_csr(S, ld64(ip - 8))
    S[state.DEADLINE], S[state.DONE] = S[state.BLOCK_START], S[state.BLOCK_DONE]
    slow = resume == m.RESUME_SLOW
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
    ip = jump_cache.find(S[state.SOFTMMU], pc)
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
def next_block(S, M):
    """(GOES_ON, first micro-op of the block at PC), with a budget up to DEADLINE; or (AGAIN or a stop, 0)."""
    if S[state.STEP] and has_stepped(S):
        return stepped(S), 0
    now = S[state.CYCLES]
    if now >= S[state.SLICE_END]:
        return STOP_SLICE, 0
    quiet = is_quiet(S, now)
    if S[state.SAMPLE]:
        if quiet:
            S[state.SAMPLE] = 0
        elif now >= S[state.UNTIL]:
            return STOP_HORIZON, 0
        else:
            what = at_boundary(S)
            if what != GOES_ON:
                return what, 0
            quiet = True
    if is_hypervisors(S):
        return AGAIN if answer(S) else STOP_EXIT, 0
    pc = S[state.PC]
    room = S[state.LIMIT] - S[state.INSTRUCTIONS]
    if room <= 0:
        return STOP_LIMIT, 0
    if stops_here(S, M, pc):
        return STOP_PC, 0
    if S[state.STEP]:
        room = 1
    # A block holds at most 65 instructions: near the limit blocks are cut to size.
    cut = room <= 2 * LONGEST
    if cut or not quiet:
        until = now  # look again at the block's end: the jump cache does not know of a near limit
    else:
        until = budget_end(S, now, room)
    ip = 0 if cut else jump_cache.find(S[state.SOFTMMU], pc)
    if ip == 0:
        ip = find_block(S, M, pc, room if cut else NO_LIMIT)
    if ip == 0:
        return after_exception(S), 0
    S[state.DEADLINE], S[state.DONE] = until, S[state.INSTRUCTIONS]
    return GOES_ON, ip


@jit
def follow_link(S, M):
    """At a boundary with some budget left: (GOES_ON, first micro-op of the block at PC), which the link just left leads
    to from now on; or (AGAIN or a stop, 0)."""
    link, flushes = S[state.EXIT_CODE], M[m.POOL_FLUSHES]
    if is_stop(M, S[state.PC]) or S[state.LIMIT] - S[state.INSTRUCTIONS] <= 2 * LONGEST:
        return AGAIN, 0
    S[state.SAMPLE] = 0
    ip = find_block(S, M, S[state.PC], NO_LIMIT)
    if ip == 0:
        return after_exception(S), 0
    scratch_end = M[m.POOL] + 8 * m.POOL_START
    if link >= scratch_end and ip >= scratch_end and flushes == M[m.POOL_FLUSHES]:
        st64(link, ip)
        link_native(M, link, ip)
    return GOES_ON, ip


@jit
def after_hot(S, M, ip):
    """Translates the block at `ip`. AGAIN where all blocks had to be dropped for that."""
    if translate_block(M, ip):
        return GOES_ON
    S[state.PC] = locate(M, ip)[2]
    S[state.SAMPLE] = 0
    flush_pool(M)
    return AGAIN


@jit
def after_memory(S, M, op, ip, pc, delay_slot, start, done):
    """A load or store at micro-op `ip` that the soft-MMU did not know. (GOES_ON, whether by the slow handler), or
    (AGAIN or a stop, 0)."""
    S[state.DROPPED] = M[m.PAGES_DROPPED]
    outcome = slow_access(S, M, op, pc, delay_slot)
    if outcome == FILLED or outcome == SLOWLY:
        return GOES_ON, outcome
    if outcome == FAULTED:
        return after_exception(S), 0
    if outcome == WATCHED and delay_slot:
        # A branch is not carried out twice: the core stops behind its delay slot, where the block ends.
        S[state.STEP], S[state.STEP_DONE] = state.ONE, S[state.INSTRUCTIONS]
        S[state.DEADLINE], S[state.DONE], S[state.EXIT_N] = start, done, 0
        return GOES_ON, 0
    if outcome == WATCHED:
        S[state.PC] = pc
        S[state.SAMPLE] = 0
        return STOP_WATCH, 0
    if outcome == PARTIAL:
        return not_modelled(S, M, STOP_PARTIAL, pc, delay_slot), 0
    park(S, start, done, pc, delay_slot, m.RESUME_SLOW, ip, state.MEMORY_SPACE)
    return STOP_READ, 0


@jit
def after_store(S, M, op, ip, pc, delay_slot, start, done):
    """The slow handler of a store has written. GOES_ON behind it, AGAIN at PC, or a stop."""
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
        return AGAIN
    return GOES_ON


@jit
def after_helper(S, M, uop, ip, pc, delay_slot, start, done):
    """An instruction that is a helper's. GOES_ON behind it, AGAIN at PC, or a stop."""
    op, word = uop & 0xFFFF, (uop >> 32) & 0xFFFFFFFF
    what = run_helper(S, M, HELPER[op], uop, word, pc, delay_slot, S[state.CYCLES])
    if what == NEXT or what == SOONER:
        if FLOW[op] == BOUNDARY and not delay_slot:
            complete_instruction(S, M, op)
            S[state.PC] = pc + 4
            S[state.SAMPLE] = 1
            return AGAIN
        if FLOW[op] == BOUNDARY or what == SOONER:
            # Leave at the block's end: the deadline may have changed.
            S[state.DEADLINE], S[state.DONE], S[state.EXIT_N] = start, done, 0
        return GOES_ON
    if what == READ_CSR:
        park(S, start, done, pc, delay_slot, m.RESUME_CSR, ip + 8, state.CSR_SPACE)
        return STOP_READ
    if what == WRITE_CSR:
        park(S, start, done, pc, delay_slot, m.RESUME_STORED, ip + 8, state.CSR_SPACE)
        return STOP_WRITE
    if what == RAISED:
        return after_exception(S)
    S[state.SAMPLE] = 1
    if what == JUMP:
        complete_instruction(S, M, op)
        return AGAIN
    if what == WAIT and not delay_slot:
        complete_instruction(S, M, op)
        S[state.PC] = pc + 4
        S[state.WAITING] = 1
        return AGAIN
    S[state.STOP_WORD] = word
    return not_modelled(S, M, STOP_UNMODELLED, pc, delay_slot)


@jit
def after_trap(S, M, op, reason, pc, delay_slot):
    """The instruction raises an exception of its own, or that of its unit."""
    note_instruction(S, M, pc, delay_slot)
    if reason == R_TRAP:
        take_exception(S, S[state.BANK], S[state.EXIT_CODE], 0, pc, delay_slot, -1)
    elif reason == R_UNIT:
        unit_exception(S, op, pc, delay_slot)
    return after_exception(S)


@jit
def run(S, M):
    """Runs a core until something concerns Python. `ip` is the micro-op it goes on with, 0: the block at PC."""
    resume, S[state.RESUME] = S[state.RESUME], 0
    left = resume == m.RESUME_EXIT
    ip = resume_at(S, M, resume) if resume != 0 and not left else 0
    slow = ip if resume == m.RESUME_SLOW else 0
    n = 0
    while True:
        if ip == 0 and not left:
            what, ip = next_block(S, M)
            if what >= 0:
                return what
            if what == AGAIN:
                continue
            n = (S[state.DEADLINE] - S[state.CYCLES]) << SHIFT
        if left:
            left = False
        else:
            call_code(M[m.ENTER_SLOW if slow else m.ENTER], S[state.STATE_ADDRESS], ip, n, S[state.SOFTMMU], 0)
        slow = 0
        n, reason = S[state.EXIT_N], S[state.EXIT_REASON]
        start, done = S[state.DEADLINE] - cycles_left(n), S[state.DONE] + completed(n)
        S[state.CYCLES], S[state.INSTRUCTIONS] = start, done
        if reason == R_LINK or reason == R_STOP:
            S[state.SAMPLE] = 1 if reason == R_LINK else 0
            what, ip = AGAIN, 0
            if reason == R_LINK and n > 0:
                what, ip = follow_link(S, M)
            if what >= 0:
                return what
            continue
        ip = S[state.EXIT_IP]
        if reason == R_HOT:
            what = after_hot(S, M, ip)
        else:
            uop = ld64(ip)
            op = uop & 0xFFFF
            index, delay_slot, pc, spent = locate(M, ip)
            S[state.CYCLES], S[state.INSTRUCTIONS] = start + spent, done + index
            if reason == R_MEMORY:
                what, slow = after_memory(S, M, op, ip, pc, delay_slot, start, done)
            elif reason == R_STORED:
                what = after_store(S, M, op, ip, pc, delay_slot, start, done)
                ip += 8
            elif reason == R_HELPER:
                what = after_helper(S, M, uop, ip, pc, delay_slot, start, done)
                ip += 8
            else:
                what = after_trap(S, M, op, reason, pc, delay_slot)
            if what >= 0:
                return what
            n = S[state.EXIT_N]
        if what == AGAIN:
            ip = 0


@jit
def shift_time(S, cycles):
    """The instruction under way takes `cycles` longer than its class."""
    S[state.BLOCK_START] += cycles
    S[state.CYCLES] += cycles
