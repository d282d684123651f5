"""Where a core of the micro-op tiers is parked inside a block, told without the pool: for snapshots.

A micro-op has an address of the host; a `Place` has an instruction word and where its block leads, so another process
can take it up, in any tier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu import state
from cpu.engine import shared as m
from cpu.engine.blocks import B_COND, B_FAR, B_GOTO, B_REGISTER, B_TARGET, BOUNDARY_BYTES, emit
from cpu.engine.budget import charge
from cpu.engine.decode import decode_for, pack
from cpu.engine.loop import locate
from cpu.engine.micro import OPS
from cpu.engine.reference import Place, Registers
from cpu.isa.values import IntOperands
from cpu.vz.mode import MODES

if TYPE_CHECKING:
    from cpu.core import Core

_AFTER = {m.RESUME_STORED: 8, m.RESUME_CSR: 8}
"""Bytes from the micro-op that a core is parked at to where it goes on, by the way it does."""


def place(core: Core) -> Place | None:
    """Where a core of the micro-op tiers is parked; None: it stands between blocks."""
    S, M = core.S, core.memory.shared
    resume = int(S[state.RESUME])
    if not resume:
        return None
    ip = int(S[state.RESUME_IP]) - _AFTER.get(resume, 0)
    _, delay_slot, pc, _ = (int(value) for value in locate(M, ip))
    at = (ip - int(M[m.POOL])) >> 3
    following = None
    if delay_slot:
        following = _branches_to(core, at + 1)
    elif (pc + 4) & (BOUNDARY_BYTES - 1) == 0:
        following = pc + 4
    return Place(_word(int(core.memory.pool[at])), following)


def stand(core: Core, where: Place) -> None:
    """Has a core of the micro-op tiers, whose state says that it is parked, stand there: in a block of its scratch area
    that begins with the instruction."""
    S, M = core.S, core.memory.shared
    S[state.BLOCK_START], S[state.BLOCK_DONE] = S[state.CYCLES], S[state.INSTRUCTIONS]
    if where.following is not None:
        S[state.TARGET] = where.following
    block = (core.number + 1) * m.SCRATCH_WORDS
    core.memory.pool[block : block + m.HEADER] = 0
    core.memory.pool[block + m.H_PC] = S[state.PC]
    number = int(decode_for(int(S[state.UNITS]) & MODES, where.word))
    k = block + m.HEADER
    for word in (int(pack(number, where.word)), B_TARGET, int(charge(M, number))):
        k = emit(M, k, word, block, 0, int(S[state.RESUME_DELAY]))
    first = int(M[m.POOL]) + 8 * (block + m.HEADER)
    S[state.RESUME_IP] = first + _AFTER.get(int(S[state.RESUME]), 0)
    S[state.SLOW_POINTER] = S[state.STATE_ADDRESS] + 8 * state.BOUNCE


def _fields(uop: int) -> dict[str, int]:
    """The operand fields of a micro-op; r0 as a target is the sink, number 32."""
    fields = {}
    for slot in OPS[uop & 0xFFFF].slots:
        value = uop >> slot.low & (1 << slot.field.width) - 1
        fields[slot.field.name] = value - (value >> slot.field.width - 1 << slot.field.width) * slot.field.signed
    return fields


def _word(uop: int) -> int:
    instruction = OPS[uop & 0xFFFF].instruction
    if instruction.helper:
        return uop >> 32 & 0xFFFFFFFF
    return instruction.encode(**_fields(uop))


def _branches_to(core: Core, at: int) -> int:
    """The pc a block ends at, by the micro-op that ends it."""
    S, pool = core.S, core.memory.pool
    uop = int(pool[at])
    op = uop & 0xFFFF
    if op in (B_GOTO, B_FAR):
        return int(pool[at + 1])
    if op == B_TARGET:
        return int(S[state.TARGET])
    if op == B_REGISTER:
        return int(S[state.GPR + (uop >> 24 & 0xFF)])
    if op == B_COND:
        taken = bool(S[state.COND])
    else:
        taken = OPS[op].instruction.meaning(IntOperands(Registers(core), _fields(uop))).truth
    return int(pool[at + 1 if taken else at + 3])
