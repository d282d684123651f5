"""Decoding: tables derived from the instruction table, and the jitted walk over them.

A word is looked up by its opcode, then by the widest run of bits that all remaining candidates fix, and at the end by
mask and match in order of how many bits they fix. What nothing matches is a reserved instruction.
"""

from __future__ import annotations

import numpy as np

from cpu.engine.jit import jit
from cpu.engine.micro import (
    FLOWS,
    HELPER_ID,
    LOAD,
    MARKS,
    MODIFY,
    OP,
    OPS,
    STORE,
    UNITS,
    MicroOp,
    written_gpr_fields,
)
from cpu.isa import Flow, Instruction
from cpu.isa.table import GPR_FIELDS
from cpu.vz.mode import HALVES, NARROW, NARROW_COP0, NARROW_COP1

RESERVED = OP["reserved"]
MAX_SLOTS = 6


def _runs(mask: int) -> tuple[int, int]:
    """(low bit, width) of the widest run of ones, at most 8 wide."""
    best, at = (0, 0), 0
    while at < 32:
        width = 0
        while at + width < 32 and mask >> (at + width) & 1:
            width += 1
        if width > best[1]:
            best = (at, width)
        at += width + 1
    return best[0], min(best[1], 8)


class _Tables:
    def __init__(self) -> None:
        self.nodes: list[tuple[int, int, int]] = []  # low bit, mask, base in `entries`
        self.entries: list[int] = []  # >= 0: chain, < 0: node -(e + 1)
        self.chain: list[tuple[int, int, int, int]] = []  # mask, match, op, next
        ops = [op for op in OPS if op.instruction and op.variant in ("", "plain")]
        self._chain_end = self._add_chain([])
        self.root = self._node(ops, 26, 6, 0)

    def _add_chain(self, ops: list[MicroOp]) -> int:
        following = -1
        for op in sorted(ops, key=lambda op: op.instruction.mask.bit_count()):
            entry = op.instruction
            self.chain.append((entry.mask, entry.match, op.number, following))
            following = len(self.chain) - 1
        if following < 0:
            self.chain.append((0, 0, RESERVED, -1))
            following = len(self.chain) - 1
        return following

    def _node(self, ops: list[MicroOp], low: int, width: int, used: int) -> int:
        number, base = len(self.nodes), len(self.entries)
        self.nodes.append((low, (1 << width) - 1, base))
        self.entries += [0] * (1 << width)
        used |= ((1 << width) - 1) << low
        covered = _field(low, width)
        places: list[list[MicroOp]] = [[] for _ in range(1 << width)]
        for op in ops:
            fixed, bits = (op.instruction.mask & covered) >> low, (op.instruction.match & covered) >> low
            values = (bits,) if fixed == covered >> low else range(1 << width)
            for value in values:
                if (value ^ bits) & fixed == 0:
                    places[value].append(op)
        for value, here in enumerate(places):
            self.entries[base + value] = self._choose(here, used)
        return number

    def _choose(self, ops: list[MicroOp], used: int) -> int:
        if not ops:
            return self._chain_end
        common = ~used & 0xFFFFFFFF
        for op in ops:
            common &= op.instruction.mask
        low, width = _runs(common)
        if len(ops) <= 2 or width == 0:
            return self._add_chain(ops)
        return -(self._node(ops, low, width, used) + 1)


def _field(low: int, width: int) -> int:
    return ((1 << width) - 1) << low


_tables = _Tables()
NODE_LOW, NODE_MASK, NODE_BASE = (np.array(column, np.int64) for column in zip(*_tables.nodes, strict=True))
ENTRIES = np.array(_tables.entries, np.int64)
CHAIN_MASK, CHAIN_MATCH, CHAIN_OP, CHAIN_NEXT = (
    np.array(column, np.int64) for column in zip(*_tables.chain, strict=True)
)

# Per micro-op: how to pack fields, and what the block builder and the loop must know.
_count = len(OPS)
SLOTS = np.zeros(_count, np.int64)
SLOT_LOW, SLOT_WIDTH, SLOT_SIGNED, SLOT_AT, SLOT_SINK = (np.zeros((_count, MAX_SLOTS), np.int64) for _ in range(5))
FLOW = np.zeros(_count, np.int64)
LINK = np.full(_count, -1, np.int64)  # -1: none; 31; 256: field rd
HELPER = np.zeros(_count, np.int64)
UNIT = np.zeros(_count, np.int64)
ACCESS = np.zeros(_count, np.int64)
ACCESS_SIZE = np.zeros(_count, np.int64)
ACCESS_ALIGNED = np.zeros(_count, np.int64)
WRITES_GPR = np.full((_count, 2), -1, np.int64)  # low bits of the fields that name written general registers
READS_GPR = np.full((_count, 3), -1, np.int64)
READS_STATE = np.zeros(_count, np.int64)  # a branch that reads more than general registers
PREFETCH = np.full(_count, -1, np.int64)  # low bit of the field that makes a load a hint when it is 0
ODD_FPR = np.zeros(_count, np.int64)  # in the word: the lowest bits of the FPR fields of 32 bits
ODD_WIDE = np.zeros(_count, np.int64)  # and of those of 64 bits
READS_AND_WRITES = np.full((_count, 2), -1, np.int64)  # fields both read and written: the sink must read as 0

_KINDS = {"load": LOAD, "store": STORE, "modify": MODIFY}


def _fill() -> None:
    for op in OPS:
        k, entry = op.number, op.instruction
        if entry is None:
            continue
        FLOW[k] = FLOWS[entry.flow]
        LINK[k] = {None: -1, "rd": 256}.get(entry.link, entry.link)
        HELPER[k] = HELPER_ID[entry.helper] if entry.helper else 0
        UNIT[k] = UNITS[entry.unit]
        if op.access:
            kind, size, aligned = op.access
            ACCESS[k], ACCESS_SIZE[k], ACCESS_ALIGNED[k] = _KINDS[kind], size, aligned
        written = written_gpr_fields(op)
        for n, slot in enumerate(op.slots):
            SLOTS[k] = n + 1
            SLOT_LOW[k, n], SLOT_WIDTH[k, n] = slot.field.low, slot.field.width
            SLOT_SIGNED[k, n], SLOT_AT[k, n] = slot.field.signed, slot.low
            SLOT_SINK[k, n] = slot.field.name in written
        fields = {f.name: f for f in entry.fields}
        ODD_FPR[k] = sum(1 << f.low for f in entry.narrow)
        ODD_WIDE[k] = sum(1 << f.low for f in entry.fields if f.name in entry.wide)
        if entry.prefetch:
            PREFETCH[k] = fields[entry.prefetch].low
        for n, name in enumerate(sorted(written)):
            WRITES_GPR[k, n] = fields[name].low
        reads = [name for name in sorted(op.reads) if name in fields and name in GPR_FIELDS]
        if entry.flow is Flow.JUMP_REGISTER:
            reads = ["rs"]
        for n, name in enumerate(reads):
            READS_GPR[k, n] = fields[name].low
        READS_STATE[k] = any(name not in fields for name in op.reads) or entry.unit is not None
        for n, name in enumerate(name for name in sorted(written) if name in op.reads):
            READS_AND_WRITES[k, n] = fields[name].low


def _reserved_in(entry: Instruction) -> int:
    """The modes (cpu/vz/mode.py) in which an instruction is reserved."""
    modes = HALVES if entry.fr1 else 0
    if entry.op64:
        modes |= {None: NARROW, 0: NARROW_COP0, 1: NARROW_COP1}[entry.coprocessor]
    return modes


_fill()
RESERVED_IN = np.array([_reserved_in(op.instruction) if op.instruction else 0 for op in OPS], np.int64)
ODD_OP = np.array([OP.get(op.name + MARKS["odd"], 0) for op in OPS], np.int64)
TEST_OP = np.array([OP.get(op.name + MARKS["test"], 0) for op in OPS], np.int64)


@jit
def decode(word):
    """Micro-op number of an instruction word."""
    node = 0
    while True:
        entry = ENTRIES[NODE_BASE[node] + ((word >> NODE_LOW[node]) & NODE_MASK[node])]
        if entry < 0:
            node = -entry - 1
            continue
        while entry >= 0:
            if (word & CHAIN_MASK[entry]) == CHAIN_MATCH[entry]:
                return CHAIN_OP[entry]
            entry = CHAIN_NEXT[entry]
        return RESERVED


@jit
def decode_for(modes, word):
    """Micro-op number of an instruction word in the modes of cpu/vz/mode.py. With HALVES 64 bits need an even register,
    and an odd one is a half."""
    number = decode(word)
    if RESERVED_IN[number] & modes:
        return RESERVED
    if not modes & HALVES:
        return number
    if word & ODD_WIDE[number]:
        return RESERVED
    return ODD_OP[number] if word & ODD_FPR[number] else number


@jit
def pack(number, word):
    """The micro-op of an instruction word already decoded to `number`."""
    packed = number
    if HELPER[number] != 0:
        packed |= word << 32
    for n in range(SLOTS[number]):
        value = (word >> SLOT_LOW[number, n]) & ((1 << SLOT_WIDTH[number, n]) - 1)
        if SLOT_SINK[number, n] != 0 and value == 0:
            value = 32
        if SLOT_SIGNED[number, n] != 0 and value >> (SLOT_WIDTH[number, n] - 1):
            value -= 1 << SLOT_WIDTH[number, n]
        if HELPER[number] == 0 or SLOT_AT[number, n] < 32:
            packed |= value << SLOT_AT[number, n]
    return packed


@jit
def cp0_number(word):
    """register * 8 + select of a move from or to CP0."""
    return ((word >> 11) & 31) * 8 + (word & 7)
