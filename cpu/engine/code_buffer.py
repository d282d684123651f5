"""Tier E's code buffer: executable memory, and how a stencil gets into it.

Code grows from the buffer's start, the exits to tier T from its end; when they meet, all blocks are dropped.
"""

from __future__ import annotations

import mmap

import numpy as np

from cpu.engine import shared as m
from cpu.engine import stencil_layout as e
from cpu.engine.intrinsics import ld8, ld32, ld64, shr, st8, st32, st64
from cpu.engine.jit import jit, jit_as
from cpu.engine.micro import OP
from cpu.engine.softmmu_layout import JUMP_CACHE_MASK, JUMP_CACHE_OFFSET
from cpu.engine.stencil_tables import Stencils
from cpu.engine.stencils import available
from soc.errors import SocError

B_COUNT, B_NATIVE = OP["b_count"], OP["b_native"]
BUFFER_BYTES = 32 << 20
STUB_BYTES = 16
WORD = 8  # stencils are copied by words
CONSTANTS_ALIGN = 64
# Room for one more block: 65 instructions and what belongs to them, none longer than 512 bytes.
MARGIN = 1 << 17
HOT_AFTER = 16
LARGEST_COUNT = (1 << 31) - 1
HELD_FIELDS = 3
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
        self.code = np.frombuffer(self._map, np.uint8)
        self._stencils = stencils
        self._held = np.zeros(HELD_FIELDS * e.VALUES, np.int64)

    def attach(self, shared: np.ndarray, hot_after: int = HOT_AFTER) -> None:
        """Makes this the buffer of the machine with descriptor `shared`, whose blocks run `hot_after` times in tier T
        before they are translated. ExecutableMemoryError where it has no room for a block."""
        for slot, array in (
            (m.CODE, self.code),
            (m.STENCIL_CODE, self._stencils.code),
            (m.STENCIL_OPS, self._stencils.ops),
            (m.STENCILS, self._stencils.stencils),
            (m.STENCIL_HOLES, self._stencils.holes),
            (m.HELD, self._held),
        ):
            shared[slot] = array.ctypes.data
        shared[m.CODE_LIMIT] = shared[m.CODE] + len(self.code)
        shared[m.HOT_AFTER] = hot_after
        # First what every block may need: the ways to tier T and to the loop, and constants.
        shared[m.CODE_LEAVE] = place(shared, shared[m.CODE], e.TO_THREADED, 0, 0, 0, 0, 0)
        leave_end = int(place(shared, shared[m.CODE_LEAVE], e.TO_LOOP, 0, 0, 0, 0, 0)) - int(shared[m.CODE])
        at = leave_end + -leave_end % CONSTANTS_ALIGN
        end = at + len(self._stencils.constants)
        if len(self.code) - end <= MARGIN:
            raise ExecutableMemoryError(
                f"a code buffer of {len(self.code)} bytes; more than {end + MARGIN} are needed for one block"
            )
        self.code[at:end] = self._stencils.constants
        shared[m.CODE_CONSTANTS] = shared[m.CODE] + at
        shared[m.CODE_FIRST] = shared[m.CODE] + end
        reset_code(shared)


@jit
def stencil_field(M, stencil, field):
    return ld64(M[m.STENCILS] + 8 * (e.STENCIL_FIELDS * stencil + field))


@jit
def op_field(M, op, field):
    return ld64(M[m.STENCIL_OPS] + 8 * (e.OP_FIELDS * op + field))


@jit
def field_value(M, hole, uop):
    """What the field of a micro-op that belongs to a hole makes."""
    value = uop << ld64(hole + 8 * e.H_UP)
    down = ld64(hole + 8 * e.H_DOWN)
    return (value >> -down if down < 0 else shr(value, down)) * ld64(hole + 8 * e.H_SCALE)


@jit
def is_guarded(M, op, uop):
    """Whether a micro-op traps whatever its registers hold: the sum that guards its operation is positive."""
    value = 0
    first = op_field(M, op, e.O_GUARD)
    for number in range(first, first + op_field(M, op, e.O_GUARDS)):
        hole = M[m.STENCIL_HOLES] + 8 * e.HOLE_FIELDS * number
        value += field_value(M, hole, uop) + ld64(hole + 8 * e.H_ADD)
    return value > 0


@jit_as("int64(int64[::1], int64, int64, int64, int64, int64, int64, int64)")
def place(M, at, stencil, uop, ip, count, wide, cold):
    """Copies a stencil to `at` for the micro-op `uop` at `ip`; returns its end. `count`: the block's charge, `wide`: a
    pc or return address, `cold`: where the jumps of that name lead. Those to TARGET and TAKEN lead behind themselves
    until they are aimed."""
    source = M[m.STENCIL_CODE] + stencil_field(M, stencil, e.S_CODE)
    size = stencil_field(M, stencil, e.S_SIZE)
    for offset in range(0, size, WORD):
        st64(at + offset, ld64(source + offset))
    end = at + size
    first = stencil_field(M, stencil, e.S_HOLE)
    for number in range(first, first + stencil_field(M, stencil, e.S_HOLES)):
        hole = M[m.STENCIL_HOLES] + 8 * e.HOLE_FIELDS * number
        where = at + ld64(hole + 8 * e.H_AT)
        form, kind = ld64(hole + 8 * e.H_FORM), ld64(hole + 8 * e.H_SOURCE)
        value = 0
        if kind == e.FIELD:
            value = field_value(M, hole, uop)
        elif kind == e.COLD:
            value = cold
        elif kind == e.NEXT or kind == e.FALL:
            value = end
        elif kind == e.THREADED:
            value = M[m.CODE]
        elif kind == e.LEAVE:
            value = M[m.CODE_LEAVE]
        elif kind == e.TARGET or kind == e.TAKEN:
            value = where + 4
        elif kind == e.COUNT:
            value = count
        elif kind == e.CONSTANT:
            value = M[m.CODE_CONSTANTS]
        elif kind == e.IP:
            value = ip
        elif kind == e.ENTRY:
            value = JUMP_CACHE_OFFSET + ((wide << 2) & (JUMP_CACHE_MASK << 4))
        else:
            value = wide
        value += ld64(hole + 8 * e.H_ADD)
        if form == e.REL32:
            st32(where, value - where)
        elif form == e.ABS8:
            st8(where, value)
        elif form == e.ABS64:
            st64(where, value)
        elif form == e.MORE8:
            st8(where, ld8(where) + value)
        elif form == e.MORE32:
            st32(where, ld32(where) + value)
        else:
            st32(where, value)
    return end


@jit
def find_jump(M, at, stencil, source):
    """Address of the displacement of the first jump to `source`, TARGET or TAKEN, of a stencil placed at `at`; 0 where
    it has none, as for a branch that is never taken."""
    first = stencil_field(M, stencil, e.S_HOLE)
    for number in range(first, first + stencil_field(M, stencil, e.S_HOLES)):
        hole = M[m.STENCIL_HOLES] + 8 * e.HOLE_FIELDS * number
        if ld64(hole + 8 * e.H_SOURCE) == source:
            return at + ld64(hole + 8 * e.H_AT)
    return 0


@jit
def aim(jump, target):
    """Makes the jump whose displacement is at `jump` lead to `target`."""
    st32(jump, target - jump - 4)


@jit
def reset_code(M):
    """Empties the code buffer, if there is one."""
    if M[m.CODE] != 0:
        M[m.CODE_NEXT] = M[m.CODE_FIRST]
        M[m.CODE_STUBS] = M[m.CODE_LIMIT]
