"""Tier E's translation: a block of micro-ops becomes host code.

A block is translated when it has run often enough in tier T; from then on its first word is a `b_native` that leads to
the host code. Everything else about it stays: its micro-ops, with which tier T takes over wherever the host code leaves
the straight way, and the links in them. The jump that goes with a link is made direct when both ends are translated
and undone with the link (blocks.py): an unlinked jump has displacement 0 and so leads behind itself, to tier T.
"""

from __future__ import annotations

from cpu.engine import shared as m
from cpu.engine import stencil_layout as e
from cpu.engine.blocks import side_block
from cpu.engine.code_buffer import (
    B_COUNT,
    B_NATIVE,
    LARGEST_COUNT,
    LOOP_HELD,
    MARGIN,
    NEVER_HOT,
    NONE,
    SINK,
    STUB_BYTES,
    op_field,
    place,
    stencil_field,
)
from cpu.engine.intrinsics import ld64, st32, st64
from cpu.engine.jit import jit


@jit
def forget(M, register):
    """No value holds this general register any more."""
    for k in range(e.VALUES):
        if ld64(M[m.HELD] + 16 * k) == register:
            st64(M[m.HELD] + 16 * k, NONE)


@jit
def holder(M, register):
    """Which value holds a general register, or -1."""
    for k in range(e.VALUES):
        if ld64(M[m.HELD] + 16 * k) == register:
            return k
    return -1


@jit
def take(M, register, time):
    """The value that holds `register` from now on: the one that did, or that nothing has used for longest."""
    value = holder(M, register)
    if value < 0:
        value = 0
        for k in range(e.VALUES):
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
        return place(M, at, e.FAR, 0, 0, count, pc, 0, cold)
    end = place(M, at, e.NEAR, 0, 0, count, 0, 0, cold)
    field = m.H_JUMP1 if ld64(pool + 8 * (block + m.H_LINK1)) == k + 1 else m.H_JUMP2
    hole = M[m.STENCIL_HOLES] + 8 * e.HOLE_FIELDS * stencil_field(M, e.NEAR, e.S_HOLE)
    while ld64(hole + 8 * e.H_SOURCE) != e.TARGET:
        hole += 8 * e.HOLE_FIELDS
    jump = at + ld64(hole + 8 * e.H_AT)
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
    block = side_block(ld64(M[m.SIDE] + (link - pool)))
    if block == side_block(ld64(M[m.SIDE] + (ip - pool))):
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
def block_charge(M, k, kind):
    """What leaving a block at the operation at k, or falling through a branch-likely there, takes off n."""
    words = 5 if kind == e.K_BRANCH else 1 if kind == e.K_REGISTER else 2 if kind == e.K_FAR else 3
    return ld64(M[m.POOL] + 8 * (k + words))


@jit
def exit_stub(M, ip):
    """Code that goes on in tier T at the micro-op at `ip`."""
    M[m.CODE_STUBS] -= STUB_BYTES
    place(M, M[m.CODE_STUBS], e.COLD_STUB, 0, ip, 0, 0, 0, 0)
    return M[m.CODE_STUBS]


@jit
def operands(M, at, op, uop, time):
    """Fetches what an operation reads and no value holds. Returns (end of the code, variant of its stencil)."""
    number = 0
    for field in range(e.O_READ0, e.O_READ2 + 1):
        low = op_field(M, op, field)
        if low >= 0:
            register = (uop >> low) & 0xFF
            value = e.ZERO
            if register != 0:
                missing = holder(M, register) < 0
                value = take(M, register, time)
                if missing:
                    at = place(M, at, e.FETCH + value, register, 0, 0, 0, 0, 0)
            number = number * (e.VALUES + 1) + value
    low = op_field(M, op, e.O_WRITE)
    if low >= 0:
        register = (uop >> low) & 0xFF
        if op_field(M, op, e.O_SAME) == 0:
            number = number * e.VALUES + take(M, register, time)
        if register == SINK:
            forget(M, SINK)
    low = op_field(M, op, e.O_CLOBBER)
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
    block = side_block(ld64(M[m.SIDE] + 8 * k))
    start = (M[m.CODE_NEXT] + 15) & ~15
    stubs = M[m.CODE_STUBS]
    for value in range(e.VALUES):
        st64(M[m.HELD] + LOOP_HELD + 8 * value, NONE)
    first = True
    while True:
        end, loops = translate_from(M, start, block, k + 1)
        if not loops or not narrow_loop(M, first):
            break
        first = False
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
def narrow_loop(M, first):
    """After a translation of a block that loops to itself: whether its loop may begin with other values than were
    assumed. At first none are; then those that its end holds; then of these the ones that the end holds again."""
    changed = False
    for value in range(e.VALUES):
        assumed = ld64(M[m.HELD] + LOOP_HELD + 8 * value)
        register = ld64(M[m.HELD] + 16 * value)
        if register != assumed and (first or assumed != NONE):
            st64(M[m.HELD] + LOOP_HELD + 8 * value, register if first else NONE)
            changed = True
    return changed


@jit
def enter_loop(M, at):
    """Fetches the values with which a block's loop begins; returns where it does."""
    for value in range(e.VALUES):
        register = ld64(M[m.HELD] + LOOP_HELD + 8 * value)
        st64(M[m.HELD] + 16 * value, register)
        st64(M[m.HELD] + 16 * value + 8, -1)
        if register != NONE:
            at = place(M, at, e.FETCH + value, register, 0, 0, 0, 0, 0)
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
        kind = op_field(M, op, e.O_KIND)
        if kind == e.K_LEAVE:
            return place(M, at, e.COLD_STUB, 0, ip, 0, 0, 0, 0) if done else 0, False
        cold = 0
        if kind >= e.K_BRANCH or op_field(M, op, e.O_COLD) != 0:
            cold = exit_stub(M, ip)
        unit = op_field(M, op, e.O_UNIT)
        if unit != 0 and (checked >> unit) & 1 == 0:
            at = place(M, at, unit, 0, 0, 0, 0, 0, cold)
            checked |= 1 << unit
        count = block_charge(M, k, kind) if kind >= e.K_BRANCH else 0
        if count > LARGEST_COUNT:
            return 0, False
        at, number = operands(M, at, op, uop, done)
        stencil = op_field(M, op, e.O_STENCIL) + number
        done += 1
        if kind == e.K_GOTO:
            return side(M, at, block, k + 1, count, cold, loop), is_own(M, block, k + 1)
        if kind == e.K_FAR:
            return place(M, at, e.FAR, 0, 0, count, ld64(ip + 8), 0, cold), False
        if kind == e.K_REGISTER:
            return place(M, at, stencil, uop, ip, count, 0, 0, cold), False
        if kind == e.K_BRANCH or kind == e.K_LIKELY:
            fall_at = k + 3 if kind == e.K_BRANCH else k + 1
            is_far = ld64(pool + 8 * (fall_at + 1)) == m.FAR_LINK
            taken = at + stencil_field(M, stencil, e.S_SIZE) + stencil_field(M, e.FAR if is_far else e.NEAR, e.S_SIZE)
            at = place(M, at, stencil, uop, ip, count, 0, taken, cold)
            at = side(M, at, block, fall_at, count, cold, loop)
            if kind == e.K_BRANCH:
                return side(M, at, block, k + 1, count, cold, loop), is_own(M, block, k + 1)
            k += 4
            continue
        words = op_field(M, op, e.O_WORDS)
        at = place(M, at, stencil, uop, ip, 0, ld64(ip + 8) if words == 2 else 0, 0, cold)
        k += words


@jit
def is_own(M, block, k):
    """Whether the pc at word k, with a link behind it, is the block's own."""
    pool = M[m.POOL]
    return ld64(pool + 8 * (k + 1)) != m.FAR_LINK and ld64(pool + 8 * k) == ld64(pool + 8 * (block + m.H_PC))
