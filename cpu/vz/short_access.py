"""A guest's load or store of a device in user space, without leaving the compiled loop: from the exit through the VMM
to the access, and from the answer through KVM_RUN back to the guest.

Where the host would find nothing else to do, all that comes of such an exit is known when it happens. So the core sends
the access at once (`send`), at the time at which the VMM would, and puts off what the exit does to the vCPU. When the
answer is there it makes up for all of it in one step (`finish`): the vCPU is put, loaded again, and goes on behind its
instruction. Whoever wants to know in between, or is needed for the second half, has the host carry out the exit as it
stood (cpu/kvm/host.py, `Host.look_in`).

What this needs to know of a vCPU is in its account (cpu/vz/account.py).
"""

from __future__ import annotations

from cpu import state
from cpu.cp0 import timer
from cpu.cp0.exceptions import return_from_exception
from cpu.cp0.fields import CAUSE_BD, CAUSE_DC, CAUSE_EXCCODE, EXCCODE_TLBL, EXCCODE_TLBS, IP6, IP7
from cpu.cp0.registers import (
    C0_BADINSTR,
    C0_BADVADDR,
    C0_CAUSE,
    C0_COMPARE,
    C0_EPC,
    C0_GUESTCTL0,
    C0_GUESTCTL2,
    C0_WIRED,
    register,
)
from cpu.engine.intrinsics import ld64, st64
from cpu.engine.jit import jit
from cpu.vz import lent_timer, soft_count
from cpu.vz.account import (
    ADDRESS,
    ANSWER,
    BIAS,
    EXPIRES,
    HZ,
    IS_STORE,
    LOADS,
    OWN,
    PERIOD,
    PS_PER_TICKS,
    SAVED,
    SIZE,
    STALE,
    STORES,
    TICKS,
    TO_ENTER,
    TO_LOAD,
    TO_PUT,
    TO_SEND,
)
from cpu.vz.device_access import LOAD_NEEDED, LOAD_SIZE, PART, STORE_SIZE, completed
from cpu.vz.guestctl import GEXCCODE, GT, GVA
from cpu.words import M32

NONE, READ, WRITE = range(3)
"""What leaves the core, as in the slot REQUEST."""
INTERRUPTS = IP6 | IP7
CAUSE, COMPARE, WIRED, GUESTCTL2 = (register(name).index for name in ("cause", "compare", "wired", "guestctl2"))


@jit
def word_of(S, at):
    """A word of the account of the core's vCPU."""
    return ld64(S[state.ACCOUNT] + 8 * at)


@jit
def note(S, at, value):
    """Writes one."""
    st64(S[state.ACCOUNT] + 8 * at, value)


@jit
def nanoseconds(S, cycle):
    """Host time at a core cycle."""
    return cycle * word_of(S, PS_PER_TICKS) // word_of(S, TICKS) // 1000


@jit
def is_own(S, address):
    """Whether a guest physical address is in a memory slot or a device in the kernel."""
    table = word_of(S, OWN)
    low, high = 0, ld64(table)
    while low < high:
        middle = (low + high) >> 1
        if ld64(table + 8 + 8 * middle) <= address:
            low = middle + 1
        else:
            high = middle
    return low & 1 != 0


@jit
def register_of(S):
    """The general register of the exit's load or store."""
    return S[C0_BADINSTR] >> 16 & 31


@jit
def what_leaves(S):
    """READ or WRITE where the exit is for an access to user space that the core can do everything about, else NONE."""
    cause, control, address = S[C0_CAUSE], S[C0_GUESTCTL0], S[C0_BADVADDR]
    if cause & (CAUSE_BD | INTERRUPTS) or not control & GT or control & GEXCCODE == GVA << 2:
        return NONE
    if S[state.GUEST + C0_WIRED] or S[state.GUEST + C0_CAUSE] & CAUSE_DC:
        return NONE
    if address < 0 or address == S[C0_EPC] or is_own(S, address):
        return NONE
    opcode = S[C0_BADINSTR] >> 26
    if cause & CAUSE_EXCCODE == EXCCODE_TLBL << 2 and LOAD_SIZE[opcode]:
        return READ
    if cause & CAUSE_EXCCODE == EXCCODE_TLBS << 2 and STORE_SIZE[opcode]:
        return WRITE
    return NONE


@jit
def send(S):
    """Has the access leave for which the core has come to an exit: READ or WRITE. NONE where that is for the hypervisor
    to do."""
    now = S[state.CYCLES]
    if now >= S[state.SEND_UNTIL]:
        return NONE
    sent = now + word_of(S, TO_PUT) + word_of(S, TO_SEND)
    if sent >= min(S[state.SEND_UNTIL], S[state.TIMER]):
        return NONE
    what = what_leaves(S)
    if what == NONE:
        return NONE
    opcode = S[C0_BADINSTR] >> 26
    size = STORE_SIZE[opcode] if what == WRITE else LOAD_SIZE[opcode]
    if what == WRITE:
        S[state.BOUNCE] = S[state.GPR + register_of(S)]
    S[state.PUT_OFF], S[state.PUT_OFF_AT], S[state.CYCLES] = what, now, sent
    S[state.ACCESS_PA], S[state.ACCESS_SIZE] = S[C0_BADVADDR] & -size, size
    S[state.ACCESS_SPACE] = state.MEMORY_SPACE
    S[state.RESUME] = S[state.ACCESS_ERROR] = 0
    S[state.SAMPLE] = 1
    return what


@jit
def finish(S):
    """The answer is there: the guest goes on. False, with nothing changed, where the hypervisor has to see to that."""
    put = S[state.PUT_OFF_AT] + word_of(S, TO_PUT)
    loaded = S[state.CYCLES] + word_of(S, TO_LOAD)
    entered = loaded + word_of(S, TO_ENTER)
    timers = min(S[state.TIMER], S[state.GUEST + state.TIMER])
    if S[state.ACCESS_ERROR] or S[C0_CAUSE] & INTERRUPTS or entered >= min(S[state.SEND_UNTIL], timers):
        return False
    if not put_and_load(S, put, loaded):
        return False
    S[state.CYCLES] = entered
    take_answer(S)
    S[C0_EPC] += 4
    S[state.PUT_OFF] = S[state.FAULT_COUNT] = 0
    S[state.SAMPLE] = 1
    return_from_exception(S)
    return True


@jit
def put_and_load(S, put, loaded):
    """The vCPU is put at the cycle `put` and back in the core at `loaded`: its timer is soft in between, its registers
    stay. False where the timer has met Compare."""
    hz, period, compare = word_of(S, HZ), word_of(S, PERIOD), S[state.GUEST + C0_COMPARE]
    cause, now, later = lent_timer.read(S)[0], nanoseconds(S, put), nanoseconds(S, loaded)
    stood = timer.count(S, state.GUEST, put)
    bias, since = soft_count.taken_over(hz, period, word_of(S, BIAS), now, now, stood, soft_count.MIN_DRIFT)
    expires = soft_count.expiry(hz, compare, stood, since)
    stands = (bias + soft_count.ticks(hz, period, later)) & M32
    if soft_count.has_matched(stands, compare, later, expires, period):
        return False
    note(S, BIAS, bias)
    note(S, EXPIRES, expires)
    save_image(S, cause)
    S[state.CYCLES] = loaded
    lent_timer.park(S, compare, cause)
    lent_timer.set_going(S, stands)
    return True


@jit
def save_image(S, cause):
    """What a put saves, with Cause as root reads it."""
    table = word_of(S, SAVED)
    for k in range(ld64(table)):
        number = ld64(table + 8 + 8 * k)
        note(S, number, S[state.GCP0 + number])
    note(S, COMPARE, S[state.GCP0 + COMPARE] & M32)
    note(S, CAUSE, cause)
    note(S, WIRED, S[state.GUEST + C0_WIRED])
    note(S, GUESTCTL2, S[C0_GUESTCTL2])


@jit
def take_answer(S):
    """Completes the guest's instruction, and counts it."""
    size, data, rt = S[state.ACCESS_SIZE], S[state.BOUNCE], register_of(S)
    is_store = S[state.PUT_OFF] == WRITE
    note(S, ADDRESS, S[state.ACCESS_PA])
    note(S, SIZE, size)
    note(S, IS_STORE, is_store)
    note(S, ANSWER, data)
    if is_store:
        note(S, STORES, word_of(S, STORES) + 1)
        note(S, STALE, S[state.GPR + rt])
        return
    note(S, LOADS, word_of(S, LOADS) + 1)
    note(S, STALE, data)
    if rt:
        opcode = S[C0_BADINSTR] >> 26
        needed = LOAD_NEEDED[opcode] + PART[opcode] * (S[C0_BADVADDR] & (size - 1))
        S[state.GPR + rt] = completed(needed, size, S[state.GPR + rt], data)
