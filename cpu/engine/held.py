"""Which values hold which general registers at a point of a block under translation.

A value is a host register. It holds one general register or none; `dirty` says that the state array does not know its
contents yet. They are stored there when the value is wanted for another register, and at the latest before anything
that looks at the state array itself; the way to tier T in the middle of a block stores them where it leaves.

What the values hold is also kept as one word, a byte for each: the register's number, 0 for none.
"""

from __future__ import annotations

from cpu.engine import shared as m
from cpu.engine import stencil_layout as e
from cpu.engine.code_buffer import op_field, place, stencil_field
from cpu.engine.intrinsics import ld64, st64
from cpu.engine.jit import jit

NONE = 0
SINK = 32
REGISTER, TIME, DIRTY, ROW = 0, 8, 16, 24  # a row of M[HELD]


@jit
def row(M, value):
    return M[m.HELD] + ROW * value


@jit
def hold(M, value, register, time, dirty):
    at = row(M, value)
    st64(at + REGISTER, register)
    st64(at + TIME, time)
    st64(at + DIRTY, dirty)


@jit
def holder(M, register):
    """The value that holds a general register, or -1."""
    for value in range(e.VALUES):
        if ld64(row(M, value) + REGISTER) == register:
            return value
    return -1


@jit
def forget(M, register):
    """No value holds this general register any more."""
    value = holder(M, register)
    if value >= 0:
        hold(M, value, NONE, 0, 0)


@jit
def store(M, at, value):
    """Stores what only this value knows. Returns the end of the code."""
    if ld64(row(M, value) + DIRTY) != 0:
        at = place(M, at, e.STORE + value, ld64(row(M, value) + REGISTER), 0, 0, 0, 0)
    return at


@jit
def store_dirty(M, at):
    """The same for all values, on a way that leaves here."""
    for value in range(e.VALUES):
        at = store(M, at, value)
    return at


@jit
def clean_all(M, at):
    """Stores what only the values know. Returns the end of the code."""
    at = store_dirty(M, at)
    for value in range(e.VALUES):
        st64(row(M, value) + DIRTY, 0)
    return at


@jit
def bytes_to_clean(M):
    """How long the code of `store_dirty` would be."""
    size = 0
    for value in range(e.VALUES):
        if ld64(row(M, value) + DIRTY) != 0:
            size += stencil_field(M, e.STORE + value, e.S_SIZE)
    return size


@jit
def registers_read(M, uop):
    """The general registers that a micro-op reads in values, as a mask."""
    op = uop & 0xFFFF
    mask = 0
    for field in range(e.O_READ0, e.O_READ2 + 1):
        low = op_field(M, op, field)
        if low >= 0:
            mask |= 1 << ((uop >> low) & 0xFF)
    return mask & ~1


@jit
def is_end(kind):
    """Whether the block's values end at a micro-op of this kind."""
    return kind == e.K_LEAVE or kind == e.K_BRANCH or kind >= e.K_GOTO


@jit
def least_wanted(M, k, registers):
    """Those of a mask of general registers that the block reads last, or not at all, from word k of the pool on."""
    while True:
        uop = ld64(M[m.POOL] + 8 * k)
        left = registers & ~registers_read(M, uop)
        if left == 0:
            return registers
        if is_end(op_field(M, uop & 0xFFFF, e.O_KIND)):
            return left
        registers = left
        k += op_field(M, uop & 0xFFFF, e.O_WORDS)


@jit
def victim(M, k, time):
    """The value to give up at word k of the pool: of those not in use at `time`, the one whose register the block wants
    last, or nothing has used for longest."""
    mask = 0
    for value in range(e.VALUES):
        if ld64(row(M, value) + TIME) < time:
            mask |= 1 << ld64(row(M, value) + REGISTER)
    mask = least_wanted(M, k, mask)
    found, oldest = 0, time
    for value in range(e.VALUES):
        if (mask >> ld64(row(M, value) + REGISTER)) & 1 and ld64(row(M, value) + TIME) < oldest:
            found, oldest = value, ld64(row(M, value) + TIME)
    return found


@jit
def take(M, at, register, k, time):
    """Finds a value for `register` at word k of the pool: the one that holds it, or one that is now free. Returns (end
    of the code, value)."""
    value = holder(M, register)
    if value < 0:
        value = holder(M, NONE)
    if value < 0:
        value = victim(M, k, time)
        at = store(M, at, value)
        hold(M, value, NONE, 0, 0)
    return at, value


@jit
def fetch(M, at, register, k, time):
    """Has `register` in a value, in use at `time`. Returns (end of the code, value)."""
    at, value = take(M, at, register, k, time)
    if ld64(row(M, value) + REGISTER) == register:
        st64(row(M, value) + TIME, time)
    else:
        at = place(M, at, e.FETCH + value, register, 0, 0, 0, 0)
        hold(M, value, register, time, 0)
    return at, value


@jit
def all_held(M):
    """What the values hold, as a word."""
    word = 0
    for value in range(e.VALUES):
        word |= ld64(row(M, value) + REGISTER) << (8 * value)
    return word


@jit
def has(word, value):
    """The register in `value`, of such a word."""
    return (word >> (8 * value)) & 0xFF


@jit
def only(word, registers):
    """Of such a word, the values that hold registers of a mask."""
    kept = 0
    for value in range(e.VALUES):
        if (registers >> has(word, value)) & 1:
            kept |= has(word, value) << (8 * value)
    return kept


@jit
def count(word):
    """How many values hold something."""
    number = 0
    for value in range(e.VALUES):
        number += has(word, value) != NONE
    return number


@jit
def hold_all(M, word):
    """Clean values hold what a word says."""
    for value in range(e.VALUES):
        hold(M, value, has(word, value), 0, 0)


@jit
def covers(word, wanted):
    """Whether every value that holds a register in `wanted` holds the same in `word`."""
    for value in range(e.VALUES):
        if has(wanted, value) != NONE and has(wanted, value) != has(word, value):
            return False
    return True


@jit
def adapt(M, at, wanted):
    """Brings clean values to where `wanted` has them. Returns the end of the code."""
    for value in range(e.VALUES):
        register = has(wanted, value)
        if register == NONE or register == ld64(row(M, value) + REGISTER):
            continue
        other = holder(M, register)
        if other >= 0:
            at = place(M, at, e.MOVE + e.VALUES * value + other, 0, 0, 0, 0, 0)
        else:
            at = place(M, at, e.FETCH + value, register, 0, 0, 0, 0)
        hold(M, value, register, 0, 0)
    return at
