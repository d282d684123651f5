"""Tier E's translation: a block of micro-ops becomes host code.

A block is translated when it has run often enough in tier T; from then on its first word is a `b_native` that leads to
the host code. Everything else about it stays: its micro-ops, with which tier T takes over wherever the host code leaves
the straight way, and the links in them. The jump that goes with a link is made direct when both ends are translated
and undone with the link (blocks.py): an unlinked jump has displacement 0 and so leads behind itself, to tier T.

At its start the code fetches registers that the block reads into values. A direct jump from where the values hold them
already enters behind that, at H_INNER. A block chooses what it begins with by what those hold that lead to it, and
one translated later brings the values to where its target wants them. So a loop of several blocks keeps its registers
in values all the way round.
"""

from __future__ import annotations

from cpu.cp0.registers import READ_AS_STORED
from cpu.engine import shared as m
from cpu.engine import stencil_layout as e
from cpu.engine.blocks import side_block
from cpu.engine.code_buffer import (
    B_COUNT,
    B_NATIVE,
    LARGEST_COUNT,
    MARGIN,
    NEVER_HOT,
    STUB_BYTES,
    WORD,
    aim,
    find_jump,
    is_guarded,
    op_field,
    place,
    stencil_field,
)
from cpu.engine.decode import cp0_number
from cpu.engine.held import (
    NONE,
    SINK,
    adapt,
    all_held,
    bytes_to_clean,
    clean_all,
    count,
    covers,
    fetch,
    forget,
    hold,
    hold_all,
    is_end,
    only,
    registers_read,
    store_dirty,
    take,
)
from cpu.engine.intrinsics import ld64, st64
from cpu.engine.jit import jit


@jit
def header(M, block, field):
    return ld64(M[m.POOL] + 8 * (block + field))


@jit
def target_of(M, block, k):
    """The translated block, or the one under translation, that the pc at word k with a link behind it leads to; 0 when
    there is none yet."""
    pool = M[m.POOL]
    if ld64(pool + 8 * k) == header(M, block, m.H_PC):
        return block
    link = ld64(pool + 8 * (k + 1))
    if link == 0 or ld64(link) & 0xFFFF != B_NATIVE:
        return 0
    return side_block(ld64(M[m.SIDE] + (link - pool)))


@jit
def due_stub(M, pc, charge, cold):
    """Code for the end of a block that leads to `pc`, where no jump leads on: out of budget to the loop, and by `cold`
    to tier T while there is no link."""
    M[m.CODE_STUBS] -= stencil_field(M, e.DUE, e.S_SIZE) + WORD
    place(M, M[m.CODE_STUBS], e.DUE, 0, 0, charge, pc, cold)
    return M[m.CODE_STUBS]


@jit
def side(M, at, block, k, charge, cold):
    """One way out of a block: pc and link are words k and k + 1 of the pool. Returns the end of its code."""
    pool = M[m.POOL]
    pc = ld64(pool + 8 * k)
    if ld64(pool + 8 * (k + 1)) == m.FAR_LINK:
        return place(M, at, e.FAR, 0, 0, charge, pc, 0)
    target = target_of(M, block, k)
    if target != 0:
        at = adapt(M, at, header(M, target, m.H_BEGINS))
    jump = find_jump(M, at, e.NEAR, e.TARGET)
    number = 0 if header(M, block, m.H_LINK1) == k + 1 else 1
    st64(pool + 8 * (block + m.H_JUMP1 + number), jump)
    st64(pool + 8 * (block + m.H_ENDS1 + number), all_held(M))
    end = place(M, at, e.NEAR, 0, 0, charge, 0, due_stub(M, pc, charge, cold))
    if target != 0:
        aim(jump, header(M, target, m.H_INNER))
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
    target = side_block(ld64(M[m.SIDE] + (ip - pool)))
    number = 0 if header(M, block, m.H_LINK1) == (link - pool) >> 3 else 1
    jump = header(M, block, m.H_JUMP1 + number)
    if jump != 0:
        fits = covers(header(M, block, m.H_ENDS1 + number), header(M, target, m.H_BEGINS))
        aim(jump, header(M, target, m.H_INNER) if fits else word >> 16)


@jit
def join(M, block, ip):
    """Makes the jumps of other blocks of the page to a block just translated direct."""
    pool = M[m.POOL]
    other = ld64(M[m.PAGE_BLOCKS] + 8 * header(M, block, m.H_PAGE))
    while other != 0:
        for field in range(m.H_LINK1, m.H_LINK2 + 1):
            link = header(M, other, field)
            if link != 0 and ld64(pool + 8 * link) == ip:
                link_native(M, pool + 8 * link, ip)
        other = header(M, other, m.H_NEXT)


@jit
def reads_first(M, k):
    """(general registers that the micro-ops from word k on read in values before they write them, as a mask; the first
    of them in values, as a word)."""
    seen, mask, word = 0, 0, 0
    while True:
        uop = ld64(M[m.POOL] + 8 * k)
        op = uop & 0xFFFF
        new = registers_read(M, uop) & ~seen
        for field in range(e.O_READ0, e.O_READ2 + 1):
            low = op_field(M, op, field)
            register = (uop >> low) & 0xFF if low >= 0 else 0
            home = 8 * (register % e.VALUES)
            if (new >> register) & 1 and (word >> home) & 0xFF == NONE:
                word |= register << home
        mask |= new
        seen |= new
        if is_end(op_field(M, op, e.O_KIND)):
            return mask, word
        low = max(op_field(M, op, e.O_WRITE), op_field(M, op, e.O_CLOBBER))
        if low >= 0:
            seen |= 1 << ((uop >> low) & 0xFF)
        k += op_field(M, op, e.O_WORDS)


@jit
def beginning(M, block, ip):
    """What the values hold where a block begins, as a word: registers it reads that some block leading to it holds, or
    its first ones."""
    pool = M[m.POOL]
    mask, best = reads_first(M, ((ip - pool) >> 3) + 1)
    most = 0
    other = ld64(M[m.PAGE_BLOCKS] + 8 * header(M, block, m.H_PAGE))
    while other != 0:
        for number in range(2):
            link = header(M, other, m.H_LINK1 + number)
            if link != 0 and ld64(pool + 8 * link) == ip and header(M, other, m.H_JUMP1 + number) != 0:
                word = only(header(M, other, m.H_ENDS1 + number), mask)
                if count(word) > most:
                    best, most = word, count(word)
        other = header(M, other, m.H_NEXT)
    return best


@jit
def block_charge(M, k, kind):
    """What leaving a block at the operation at k, or falling through a branch-likely there, takes off n."""
    words = 5 if kind == e.K_BRANCH else 1 if kind == e.K_REGISTER else 2 if kind == e.K_FAR else 3
    return ld64(M[m.POOL] + 8 * (k + words))


@jit
def exit_stub(M, ip):
    """Code that stores what only values know and goes on in tier T at the micro-op at `ip`."""
    M[m.CODE_STUBS] -= STUB_BYTES + bytes_to_clean(M)
    end = store_dirty(M, M[m.CODE_STUBS])
    place(M, end, e.COLD_STUB, 0, ip, 0, 0, 0)
    return M[m.CODE_STUBS]


@jit
def operands(M, at, k, time):
    """Fetches what an operation reads and no value holds, and finds a value for what it writes. Returns (end of the
    code, variant of its stencil, value written or -1)."""
    uop = ld64(M[m.POOL] + 8 * k)
    op = uop & 0xFFFF
    if op_field(M, op, e.O_DIRECT) != 0:
        at = clean_all(M, at)
    number, into = 0, -1
    for field in range(e.O_READ0, e.O_READ2 + 1):
        low = op_field(M, op, field)
        if low >= 0:
            register = (uop >> low) & 0xFF
            value = e.ZERO
            if register != 0:
                at, value = fetch(M, at, register, k, time)
            if field == e.O_READ0:
                into = value
            number = number * (e.VALUES + 1) + value
    low = op_field(M, op, e.O_WRITE)
    if low < 0:
        return at, number, -1
    if op_field(M, op, e.O_SAME) == 0:
        at, into = take(M, at, (uop >> low) & 0xFF, k, time)
        number = number * e.VALUES + into
    return at, number, into


@jit
def is_left(M, op, uop):
    """Whether tier T carries out a micro-op: one without a stencil, one that always traps, or the read of a CP0
    register that is more than what is stored."""
    if op_field(M, op, e.O_KIND) == e.K_LEAVE or is_guarded(M, op, uop):
        return True
    read = op_field(M, op, e.O_CP0_READ)
    return read != 0 and READ_AS_STORED[cp0_number(uop >> 32)] & read == 0


@jit
def written(M, op, uop, into, time):
    """An operation has written value `into`, or a register of the state array."""
    if into >= 0:
        register = (uop >> op_field(M, op, e.O_WRITE)) & 0xFF
        if register == SINK:
            hold(M, into, NONE, 0, 0)
        else:
            hold(M, into, register, time, 1)
    low = op_field(M, op, e.O_CLOBBER)
    if low >= 0:
        forget(M, (uop >> low) & 0xFF)


@jit
def translate_block(M, entry):
    """Translates the block whose first word is at `entry`, or lets it run in tier T for ever where that would gain
    nothing. False: the buffer is full."""
    if M[m.CODE_STUBS] - M[m.CODE_NEXT] < MARGIN:
        return False
    pool = M[m.POOL]
    block = side_block(ld64(M[m.SIDE] + (entry - pool)))
    stubs = M[m.CODE_STUBS]
    begins = beginning(M, block, entry)
    fetches = stencil_field(M, e.FETCH, e.S_SIZE) * count(begins)
    start = (M[m.CODE_NEXT] + fetches + 15 & ~15) - fetches
    hold_all(M, 0)
    inner = adapt(M, start, begins)
    st64(pool + 8 * (block + m.H_BEGINS), begins)
    st64(pool + 8 * (block + m.H_INNER), inner)
    end = translate_from(M, inner, block, ((entry - pool) >> 3) + 1)
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
def translate_from(M, at, block, k):
    """Translates the micro-ops of a block from word k of the pool on. Returns the end of the code, or 0 when nothing of
    it is worth it."""
    pool = M[m.POOL]
    checked, done = 0, 0
    while True:
        ip = pool + 8 * k
        uop = ld64(ip)
        op = uop & 0xFFFF
        kind = op_field(M, op, e.O_KIND)
        if is_left(M, op, uop):
            return place(M, clean_all(M, at), e.COLD_STUB, 0, ip, 0, 0, 0) if done else 0
        done += 1
        at, number, into = operands(M, at, k, done)
        if kind >= e.K_BRANCH:
            at = clean_all(M, at)
        cold = 0
        if e.K_BRANCH <= kind < e.K_FAR or op_field(M, op, e.O_COLD) != 0:
            cold = exit_stub(M, ip)
        unit = op_field(M, op, e.O_UNIT)
        if unit != 0 and (checked >> unit) & 1 == 0:
            at = place(M, at, unit, 0, 0, 0, 0, cold)
            checked |= 1 << unit
        charge = block_charge(M, k, kind) if kind >= e.K_BRANCH else 0
        if charge > LARGEST_COUNT:
            return 0
        if kind == e.K_GOTO:
            return side(M, at, block, k + 1, charge, cold)
        if kind == e.K_FAR:
            return place(M, at, e.FAR, 0, 0, charge, ld64(ip + 8), 0)
        stencil = op_field(M, op, e.O_STENCIL) + number
        words = op_field(M, op, e.O_WORDS)
        here = at
        at = place(M, at, stencil, uop, ip, charge, ld64(ip + 8) if words == 2 else 0, cold)
        if kind == e.K_REGISTER:
            return at
        if kind == e.K_BRANCH or kind == e.K_LIKELY:
            held = all_held(M)
            at = side(M, at, block, k + 3 if kind == e.K_BRANCH else k + 1, charge, cold)
            taken = find_jump(M, here, stencil, e.TAKEN)
            if taken != 0:
                aim(taken, at)
            hold_all(M, held)
            if kind == e.K_BRANCH:
                return side(M, at, block, k + 1, charge, cold)
        written(M, op, uop, into, done)
        k += words
