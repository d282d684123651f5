"""Which values hold which general registers at a point of a block under translation.

A value is a host register. It holds one general register or none; `dirty` says that the state array does not know its
contents yet. They are stored there when the value is wanted for another register, and at the latest before anything
that looks at the state array itself; the way to tier T in the middle of a block stores them where it leaves.

What the values hold is also kept as one word, a byte for each: the register's number, 0 for none.
"""

from __future__ import annotations

from cpu.engine import shared as m
from cpu.engine import stencil_layout as e
from cpu.engine.code_buffer import place, stencil_field
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
def take(M, at, register):
    """Finds a value for `register`: the one that holds it, a free one, or what nothing has used for longest, which is
    then free. Returns (end of the code, value)."""
    value = holder(M, register)
    if value >= 0:
        return at, value
    value = 0
    for other in range(e.VALUES):
        if ld64(row(M, other) + REGISTER) == NONE:
            return at, other
        if ld64(row(M, other) + TIME) < ld64(row(M, value) + TIME):
            value = other
    at = store(M, at, value)
    hold(M, value, NONE, 0, 0)
    return at, value


@jit
def fetch(M, at, register, time):
    """Has `register` in a value, in use at `time`. Returns (end of the code, value)."""
    at, value = take(M, at, register)
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
