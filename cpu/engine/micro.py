"""Micro-operations: what the instruction table becomes for the engine. Everything here is derived from `TABLE`.

A micro-op is 64 bits: `op16 | a8 | b8 | imm32`. Register fields take a, b, then bytes of imm32 from the bottom;
immediates follow, the widest last with all the bits that are left. A helper's imm32 is the instruction word itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cpu.cp0.fields import CONFIG5_MSAEN, CONFIG_LASXEN, ST_CU1
from cpu.engine import cache
from cpu.isa import TABLE, Flow, Instruction
from cpu.isa.errors import TableError
from cpu.isa.ir import Emitter, Frame, IrOperands, Routines
from cpu.isa.table import GPR_FIELDS, Field

# Operations that stand for no instruction of their own. A charge is that of the whole block, see budget.py.
INTERNAL = (
    "b_goto",  # [op][pc][link][charge]: go on at pc, same page
    "b_far",  # [op][pc][charge]: go on at pc through the jump cache
    "b_cond",  # like a fused branch, on the COND slot
    "b_likely",  # like a branch likely, on the COND slot
    "b_register",  # [op b][charge]: go on at register b
    "b_target",  # [op][charge]: go on at the TARGET slot
    "set_target",  # TARGET = register b
    "set_link",  # [op a][value]: register a = return address
    "clear_sink",  # the sink slot reads as r0 for an operand that is read and written
    "b_count",  # [op count48]: a block that runs in tier T until it is hot
    "b_native",  # [op address48]: a block that tier E has translated
    "b_stop",  # [op][pc][charge]: leave in the middle of a block, without a boundary
    "reserved",  # reserved instruction
)
# Exit reasons of a handler.
(R_LINK, R_TRAP, R_MEMORY, R_HELPER, R_STORED, R_STOP, R_UNIT, R_HOT) = range(1, 9)

UNITS = {None: 0, "fpu": 1, "msa": 2, "lasx": 3}
UNIT_ENABLES = {"fpu": ST_CU1, "msa": CONFIG5_MSAEN, "lasx": CONFIG_LASXEN}  # the bit of the slot UNITS
FLOWS = {flow: number for number, flow in enumerate(Flow)}
LOAD, STORE, MODIFY = 1, 2, 3
MARKS = {"": "", "plain": "", "test": "?", "odd": "!"}  # what a variant adds to the instruction's name

# The general registers a helper writes; the first takes slot a.
HELPER_WRITES = {
    "mfc0": "rt", "dmfc0": "rt", "di": "rt", "ei": "rt", "rdpgpr": "rd", "wrpgpr": "rd", "rdhwr": "rt", "cpucfg": "rd",
    "mfgc0": "rt", "dmfgc0": "rt", "lddir": "rt",
    "rdcsr": "rd", "drdcsr": "rd", "rdgcsr": "rd", "drdgcsr": "rd", "drdtime": "rd rs",
}  # fmt: skip


@dataclass(frozen=True)
class Slot:
    """Where a field's value sits in a micro-op."""

    field: Field
    low: int
    width: int
    signed: bool


@dataclass
class MicroOp:
    """One operation of the engine; `variant` is "", "test" (a branch that only evaluates its condition), "plain" (no
    handler) or "odd" (with Status.FR = 0, where an odd FPR is the upper half of the one before)."""

    number: int
    name: str
    instruction: Instruction | None = None
    variant: str = ""
    slots: tuple[Slot, ...] = ()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    access: tuple[str, int, bool] | None = None  # kind, size, must be aligned
    timing: str = "alu"
    extras: dict = field(default_factory=dict)


def pack_slots(instruction: Instruction) -> tuple[Slot, ...]:
    """Places of the fields of an instruction in its micro-op."""
    if instruction.flow in (Flow.BRANCH, Flow.LIKELY):
        fields = [f for f in instruction.fields if f.name != "offset"]
    elif instruction.flow is Flow.JUMP:
        fields = []
    else:
        fields = list(instruction.fields)
    registers = [f for f in fields if f.is_register]
    registers.sort(key=lambda f: f.name not in HELPER_WRITES.get(instruction.helper, "").split()[:1])
    immediates = sorted((f for f in fields if not f.is_register), key=lambda f: (f.width, f.signed))
    if instruction.helper:
        immediates = []
    places, slots = [16, 24, 32, 40], []
    if len(registers) > 4:
        raise TableError(f"{instruction.name} has more than four register fields")
    for f, low in zip(registers, places, strict=False):
        slots.append(Slot(f, low, 8, False))
    at = max(32, 16 + 8 * len(registers))
    for k, f in enumerate(immediates):
        last = k == len(immediates) - 1
        width = 64 - at if last else 8
        if f.width + (not f.signed) > width and not (last and f.width <= width):
            raise TableError(f"{instruction.name}: field {f.name} does not fit its micro-op")
        if f.signed and not last:
            raise TableError(f"{instruction.name}: two signed fields")
        slots.append(Slot(f, at, width, f.signed))
        at += width
    return tuple(slots)


class _Probe(Frame):
    """A frame that only lets a meaning run, to see what it uses."""

    def __init__(self, out: Emitter):
        self.out = out

    def field(self, name: str) -> str:
        return "0"

    def trap(self, condition: str, code: int, coprocessor: int) -> None:
        pass

    def pointer(self, ea: str, size: int, bad: str, access: str, aligned: bool) -> str:
        return "null"


def probe() -> dict[str, tuple[list[str], list[str], tuple[str, int, bool] | None]]:
    """Of each instruction, what its meaning reads, writes and accesses."""
    found, routines = {}, Routines()
    for instruction in TABLE.values():
        out = Emitter()
        operands = IrOperands(out, routines, _Probe(out), tuple(f.name for f in instruction.fields))
        if instruction.meaning is not None:
            instruction.meaning(operands)
        found[instruction.name] = sorted(operands.reads), sorted(operands.writes), operands.access
    return found


def timing_class(instruction: Instruction, access: tuple[str, int, bool] | None) -> str:
    """The class of cpu.isa.table.TIMING_CLASSES: what the row says, or what follows from it."""
    if instruction.timing is not None:
        return instruction.timing
    if instruction.flow not in (Flow.PLAIN, Flow.BOUNDARY, Flow.TRAP):
        return "branch"
    if access is not None:
        return "load" if access[0] == "load" else "store"
    if instruction.unit is not None:
        return {"fpu": "fpu_move", "msa": "msa", "lasx": "msa"}[instruction.unit]
    return "cp0" if instruction.helper else "alu"


def _build() -> list[MicroOp]:
    ops = [MicroOp(0, "none")]
    seen = cache.kept("operands", probe)
    if seen.keys() != TABLE.keys():
        seen = probe()  # rows from outside of these sources
    for name in INTERNAL:
        ops.append(MicroOp(len(ops), name))
    for instruction in TABLE.values():
        reads, writes, access = seen[instruction.name]
        access = None if access is None else tuple(access)
        odd = instruction.narrow and not instruction.fr1
        if instruction.flow in (Flow.JUMP, Flow.JUMP_REGISTER):
            variants = ("plain",)  # only a number for the decoder: the block builder makes internal operations of it
        else:
            tested = instruction.flow is Flow.BRANCH or (instruction.flow is Flow.LIKELY and instruction.link)
            variants = ("", "test") if tested else ("", "odd") if odd else ("",)
        for variant in variants:
            ops.append(
                MicroOp(
                    len(ops),
                    instruction.name + MARKS[variant],
                    instruction,
                    variant,
                    pack_slots(instruction),
                    frozenset(reads),
                    frozenset(writes),
                    access,
                    timing_class(instruction, access),
                )
            )
    return ops


OPS: list[MicroOp] = _build()
OP: dict[str, int] = {op.name: op.number for op in OPS}
HELPERS: list[str] = sorted({op.instruction.helper for op in OPS if op.instruction and op.instruction.helper})
HELPER_ID: dict[str, int] = {name: k + 1 for k, name in enumerate(HELPERS)}


def written_gpr_fields(op: MicroOp) -> set[str]:
    """GPR fields an op writes: those need the sink when they name r0."""
    fields = {f for f in op.writes if f in GPR_FIELDS}
    if op.instruction:
        fields.update(HELPER_WRITES.get(op.instruction.helper, "").split())
    return fields
