"""Tier E's code buffer: blocks of micro-ops become host code by copying stencils and filling in their holes.

A block is translated when it has run often enough in tier T; from then on its first word is a `b_native` that leads to
the host code. Everything else about it stays: its micro-ops, with which tier T takes over wherever the host code leaves
the straight way, and the links in them. The jump that goes with a link is made direct when both ends are translated
and undone with the link (blocks.py): an unlinked jump has displacement 0 and so leads behind itself, to tier T.

Code grows from the buffer's start, the exits to tier T from its end; when they meet, all blocks are dropped.
"""

from __future__ import annotations

import mmap

import numpy as np

from cpu.engine import shared as m
from cpu.engine.intrinsics import ld64, shr, st8, st32, st64
from cpu.engine.jit import jit, jit_as
from cpu.engine.micro import OP
from cpu.engine.softmmu_layout import JUMP_CACHE_MASK, JUMP_CACHE_OFFSET
from cpu.engine.stencils import (
    ABS8,
    ABS64,
    COLD,
    COLD_STUB,
    COUNT,
    ENTRY,
    FALL,
    FAR,
    FETCH,
    FIELD,
    H_ADD,
    H_AT,
    H_DOWN,
    H_FORM,
    H_SCALE,
    H_SOURCE,
    H_UP,
    HOLE_FIELDS,
    IP,
    K_BRANCH,
    K_FAR,
    K_GOTO,
    K_LEAVE,
    K_LIKELY,
    K_REGISTER,
    NEAR,
    NEXT,
    O_CLOBBER,
    O_COLD,
    O_KIND,
    O_READ0,
    O_READ2,
    O_SAME,
    O_STENCIL,
    O_UNIT,
    O_WORDS,
    O_WRITE,
    OP_FIELDS,
    REL32,
    S_CODE,
    S_HOLE,
    S_HOLES,
    S_SIZE,
    STENCIL_FIELDS,
    TAKEN,
    TARGET,
    THREADED,
    TO_THREADED,
    VALUES,
    ZERO,
    Stencils,
    available,
)
from soc.errors import SocError

B_COUNT, B_NATIVE = OP["b_count"], OP["b_native"]
BUFFER_BYTES = 32 << 20
STUB_BYTES = 16
# Room for one more block: 65 instructions and what belongs to them, none longer than 512 bytes.
MARGIN = 1 << 17
HOT_AFTER = 16
LARGEST_COUNT = (1 << 31) - 1
NONE = -1
LOOP_HELD = 16 * VALUES  # in M[HELD]: what the values hold where a loop begins
SINK = 32
NEVER_HOT = (1 << 47) - 1


class ExecutableMemoryError(SocError):
    """The host gives no memory that is writable and executable."""


def usable() -> bool:
    """Whether this host can run tier E: its instruction set, and memory that is writable and executable."""
    if not available():
        return False
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


class CodeBuffer:
    """Executable memory of one machine, with the stencils it is filled from. `size` in bytes."""

    def __init__(self, stencils: Stencils, size: int = BUFFER_BYTES):
        try:
            self._map = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        except OSError as cause:
            raise ExecutableMemoryError(
                f"no {size >> 20} MiB of writable and executable memory: {cause.strerror}.\nUse tier threaded."
            ) from cause
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._stencils = stencils
        self._held = np.zeros(3 * VALUES, np.int64)

    def attach(self, shared: np.ndarray, hot_after: int = HOT_AFTER) -> None:
        """Makes this the buffer of the machine with descriptor `shared`, whose blocks run `hot_after` times in tier T
        before they are translated."""
        for slot, array in (
            (m.CODE, self._bytes),
            (m.STENCIL_CODE, self._stencils.code),
            (m.STENCIL_OPS, self._stencils.ops),
            (m.STENCILS, self._stencils.stencils),
            (m.STENCIL_HOLES, self._stencils.holes),
            (m.HELD, self._held),
        ):
            shared[slot] = array.ctypes.data
        shared[m.CODE_LIMIT] = shared[m.CODE] + len(self._bytes)
        shared[m.HOT_AFTER] = hot_after
        reset_code(shared)


@jit
def stencil_field(M, stencil, field):
    return ld64(M[m.STENCILS] + 8 * (STENCIL_FIELDS * stencil + field))


@jit
def op_field(M, op, field):
    return ld64(M[m.STENCIL_OPS] + 8 * (OP_FIELDS * op + field))


@jit_as("int64(int64[::1], int64, int64, int64, int64, int64, int64, int64, int64)")
def place(M, at, stencil, uop, ip, count, wide, taken, cold):
    """Copies a stencil to `at` for the micro-op `uop` at `ip`; returns its end. `count`: the block's charge, `wide`: a
    pc or return address, `taken`, `cold`: where the jumps of these names lead."""
    source = M[m.STENCIL_CODE] + stencil_field(M, stencil, S_CODE)
    size = stencil_field(M, stencil, S_SIZE)
    for offset in range(0, size, 8):
        st64(at + offset, ld64(source + offset))
    end = at + size
    first = stencil_field(M, stencil, S_HOLE)
    for number in range(first, first + stencil_field(M, stencil, S_HOLES)):
        hole = M[m.STENCIL_HOLES] + 8 * HOLE_FIELDS * number
        where = at + ld64(hole + 8 * H_AT)
        form, kind = ld64(hole + 8 * H_FORM), ld64(hole + 8 * H_SOURCE)
        value = 0
        if kind == FIELD:
            down = ld64(hole + 8 * H_DOWN)
            value = uop << ld64(hole + 8 * H_UP)
            value = (value >> -down if down < 0 else shr(value, down)) * ld64(hole + 8 * H_SCALE)
        elif kind == COLD:
            value = cold
        elif kind == NEXT or kind == FALL:
            value = end
        elif kind == TAKEN:
            value = taken
        elif kind == THREADED:
            value = M[m.CODE]
        elif kind == TARGET:
            value = where + 4
        elif kind == COUNT:
            value = count
        elif kind == IP:
            value = ip
        elif kind == ENTRY:
            value = JUMP_CACHE_OFFSET + ((wide << 2) & (JUMP_CACHE_MASK << 4))
        else:
            value = wide
        value += ld64(hole + 8 * H_ADD)
        if form == REL32:
            st32(where, value - where)
        elif form == ABS8:
            st8(where, value)
        elif form == ABS64:
            st64(where, value)
        else:
            st32(where, value)
    return end


@jit
def reset_code(M):
    """Empties the code buffer, if there is one."""
    if M[m.CODE] != 0:
        M[m.CODE_NEXT] = place(M, M[m.CODE], TO_THREADED, 0, 0, 0, 0, 0, 0)
        M[m.CODE_STUBS] = M[m.CODE_LIMIT] - STUB_BYTES


@jit
def forget(M, register):
    """No value holds this general register any more."""
    for k in range(VALUES):
        if ld64(M[m.HELD] + 16 * k) == register:
            st64(M[m.HELD] + 16 * k, NONE)


@jit
def holder(M, register):
    """Which value holds a general register, or -1."""
    for k in range(VALUES):
        if ld64(M[m.HELD] + 16 * k) == register:
            return k
    return -1


@jit
def take(M, register, time):
    """The value that holds `register` from now on: the one that did, or that nothing has used for longest."""
    value = holder(M, register)
    if value < 0:
        value = 0
        for k in range(VALUES):
            if ld64(M[m.HELD] + 16 * k) == NONE:
                value = k
                break
            if ld64(M[m.HELD] + 16 * k + 8) < ld64(M[m.HELD] + 16 * value + 8):
                value = k
    st64(M[m.HELD] + 16 * value, register)
    st64(M[m.HELD] + 16 * value + 8, time)
    return value


@jit
def side(M, at, block, k, count, cold, loop):
    """One way out of a block: pc and link are words k and k + 1 of the pool; to the block itself it leads to `loop`.
    Returns the end of its code."""
    pool = M[m.POOL]
    pc, link = ld64(pool + 8 * k), ld64(pool + 8 * (k + 1))
    if link == m.FAR_LINK:
        return place(M, at, FAR, 0, 0, count, pc, 0, cold)
    end = place(M, at, NEAR, 0, 0, count, 0, 0, cold)
    field = m.H_JUMP1 if ld64(pool + 8 * (block + m.H_LINK1)) == k + 1 else m.H_JUMP2
    hole = M[m.STENCIL_HOLES] + 8 * HOLE_FIELDS * stencil_field(M, NEAR, S_HOLE)
    while ld64(hole + 8 * H_SOURCE) != TARGET:
        hole += 8 * HOLE_FIELDS
    jump = at + ld64(hole + 8 * H_AT)
    st64(pool + 8 * (block + field), jump)
    if is_own(M, block, k):
        st32(jump, loop - jump - 4)
    elif link != 0:
        link_native(M, pool + 8 * (k + 1), link)
    return end


@jit
def link_native(M, link, ip):
    """Makes the jump of the link at address `link` direct, if its block and the one that begins at `ip` are
    translated."""
    word = ld64(ip)
    if word & 0xFFFF != B_NATIVE:
        return
    pool = M[m.POOL]
    block = ld64(M[m.SIDE] + (link - pool)) >> 16
    if block == ld64(M[m.SIDE] + (ip - pool)) >> 16:
        return  # it has been from the start, to the loop in it
    at = pool + 8 * block
    field = m.H_JUMP1 if ld64(at + 8 * m.H_LINK1) == (link - pool) >> 3 else m.H_JUMP2
    jump = ld64(at + 8 * field)
    if jump != 0:
        st32(jump, (word >> 16) - jump - 4)


@jit
def join(M, block, ip):
    """Makes the jumps of other blocks of the page to a block just translated direct."""
    pool = M[m.POOL]
    other = ld64(M[m.PAGE_BLOCKS] + 8 * ld64(pool + 8 * (block + m.H_PAGE)))
    while other != 0:
        for field in range(m.H_LINK1, m.H_LINK2 + 1):
            link = ld64(pool + 8 * (other + field))
            if link != 0 and ld64(pool + 8 * link) == ip:
                link_native(M, pool + 8 * link, ip)
        other = ld64(pool + 8 * (other + m.H_NEXT))


@jit
def charge(M, k, kind):
    """What leaving a block at the operation at k, or falling through a branch-likely there, takes off n."""
    words = 5 if kind == K_BRANCH else 1 if kind == K_REGISTER else 2 if kind == K_FAR else 3
    return ld64(M[m.POOL] + 8 * (k + words))


@jit
def exit_stub(M, ip):
    """Code that goes on in tier T at the micro-op at `ip`."""
    M[m.CODE_STUBS] -= STUB_BYTES
    place(M, M[m.CODE_STUBS], COLD_STUB, 0, ip, 0, 0, 0, 0)
    return M[m.CODE_STUBS]


@jit
def operands(M, at, op, uop, time):
    """Fetches what an operation reads and no value holds. Returns (end of the code, variant of its stencil)."""
    number = 0
    for field in range(O_READ0, O_READ2 + 1):
        low = op_field(M, op, field)
        if low >= 0:
            register = (uop >> low) & 0xFF
            value = ZERO
            if register != 0:
                missing = holder(M, register) < 0
                value = take(M, register, time)
                if missing:
                    at = place(M, at, FETCH + value, register, 0, 0, 0, 0, 0)
            number = number * (VALUES + 1) + value
    low = op_field(M, op, O_WRITE)
    if low >= 0:
        register = (uop >> low) & 0xFF
        if op_field(M, op, O_SAME) == 0:
            number = number * VALUES + take(M, register, time)
        if register == SINK:
            forget(M, SINK)
    low = op_field(M, op, O_CLOBBER)
    if low >= 0:
        forget(M, (uop >> low) & 0xFF)
    return at, number


@jit
def translate_block(M, entry):
    """Translates the block whose first word is at `entry`, or lets it run in tier T for ever where that would gain
    nothing. False: the buffer is full."""
    if M[m.CODE_STUBS] - M[m.CODE_NEXT] < MARGIN:
        return False
    pool = M[m.POOL]
    k = (entry - pool) >> 3
    block = ld64(M[m.SIDE] + 8 * k) >> 16
    start = (M[m.CODE_NEXT] + 15) & ~15
    stubs = M[m.CODE_STUBS]
    for value in range(VALUES):
        st64(M[m.HELD] + LOOP_HELD + 8 * value, NONE)
    M[m.LOOP_FIRST] = 1
    while True:
        end, loops = translate_from(M, start, block, k + 1)
        if not loops or not narrow_loop(M):
            break
        M[m.CODE_STUBS] = stubs
    if end == 0:
        M[m.CODE_STUBS] = stubs
        for field in range(m.H_JUMP1, m.H_JUMP2 + 1):
            st64(pool + 8 * (block + field), 0)
        st64(entry, B_COUNT | NEVER_HOT << 16)
        return True
    M[m.CODE_NEXT] = end
    M[m.BLOCKS_TRANSLATED] += 1
    st64(entry, B_NATIVE | start << 16)
    join(M, block, entry)
    return True


@jit
def narrow_loop(M):
    """After a translation of a block that loops to itself: whether its loop may begin with other values than were
    assumed. At first none are; then those that its end holds; then of these the ones that the end holds again."""
    first = M[m.LOOP_FIRST]
    M[m.LOOP_FIRST] = 0
    changed = False
    for value in range(VALUES):
        assumed = ld64(M[m.HELD] + LOOP_HELD + 8 * value)
        register = ld64(M[m.HELD] + 16 * value)
        if register != assumed and (first or assumed != NONE):
            st64(M[m.HELD] + LOOP_HELD + 8 * value, register if first else NONE)
            changed = True
    return changed


@jit
def enter_loop(M, at):
    """Fetches the values with which a block's loop begins; returns where it does."""
    for value in range(VALUES):
        register = ld64(M[m.HELD] + LOOP_HELD + 8 * value)
        st64(M[m.HELD] + 16 * value, register)
        st64(M[m.HELD] + 16 * value + 8, -1)
        if register != NONE:
            at = place(M, at, FETCH + value, register, 0, 0, 0, 0, 0)
    return at


@jit
def translate_from(M, start, block, k):
    """Translates the micro-ops of a block from word k of the pool on. Returns (end of the code, whether the block loops
    to itself); end 0: nothing of it is worth it."""
    pool = M[m.POOL]
    at = loop = enter_loop(M, start)
    checked, done = 0, 0
    while True:
        ip = pool + 8 * k
        uop = ld64(ip)
        op = uop & 0xFFFF
        kind = op_field(M, op, O_KIND)
        if kind == K_LEAVE:
            return place(M, at, COLD_STUB, 0, ip, 0, 0, 0, 0) if done else 0, False
        cold = 0
        if kind >= K_BRANCH or op_field(M, op, O_COLD) != 0:
            cold = exit_stub(M, ip)
        unit = op_field(M, op, O_UNIT)
        if unit > checked:
            at = place(M, at, unit, 0, 0, 0, 0, 0, cold)
            checked = unit
        count = charge(M, k, kind) if kind >= K_BRANCH else 0
        if count > LARGEST_COUNT:
            return 0, False
        at, number = operands(M, at, op, uop, done)
        stencil = op_field(M, op, O_STENCIL) + number
        done += 1
        if kind == K_GOTO:
            return side(M, at, block, k + 1, count, cold, loop), is_own(M, block, k + 1)
        if kind == K_FAR:
            return place(M, at, FAR, 0, 0, count, ld64(ip + 8), 0, cold), False
        if kind == K_REGISTER:
            return place(M, at, stencil, uop, ip, count, 0, 0, cold), False
        if kind == K_BRANCH or kind == K_LIKELY:
            fall_at = k + 3 if kind == K_BRANCH else k + 1
            is_far = ld64(pool + 8 * (fall_at + 1)) == m.FAR_LINK
            taken = at + stencil_field(M, stencil, S_SIZE) + stencil_field(M, FAR if is_far else NEAR, S_SIZE)
            at = place(M, at, stencil, uop, ip, count, 0, taken, cold)
            at = side(M, at, block, fall_at, count, cold, loop)
            if kind == K_BRANCH:
                return side(M, at, block, k + 1, count, cold, loop), is_own(M, block, k + 1)
            k += 4
            continue
        words = op_field(M, op, O_WORDS)
        at = place(M, at, stencil, uop, ip, 0, ld64(ip + 8) if words == 2 else 0, 0, cold)
        k += words


@jit
def is_own(M, block, k):
    """Whether the pc at word k, with a link behind it, is the block's own."""
    pool = M[m.POOL]
    return ld64(pool + 8 * (k + 1)) != m.FAR_LINK and ld64(pool + 8 * k) == ld64(pool + 8 * (block + m.H_PC))
