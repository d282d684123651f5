"""The instruction table: every instruction stands once, as an encoding pattern, an assembler syntax and a meaning.

A pattern is 32 bits, most significant first: literal bits and fields `name:width` (`name:sWIDTH` for a signed
immediate). A meaning is a function over values (`cpu/isa/values.py`); the int backend runs it (the reference), the
IR backend compiles it (the fast tiers). The decoder, assembler, disassembler, fuzzers and docs read `TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from cpu.isa.errors import TableError

# A field's name says which register file it names.
GPR_FIELDS = ("rs", "rt", "rd", "base", "index")
FPR_FIELDS = ("fs", "ft", "fd", "fr")
MSA_FIELDS = ("ws", "wt", "wd")
LASX_FIELDS = ("xs", "xd")
REGISTER_FIELDS = GPR_FIELDS + FPR_FIELDS + MSA_FIELDS + LASX_FIELDS

# What instructions share the time they take; cpu/costs.py gives the cycles. A row names its class where
# `cpu.engine.micro.timing_class` cannot know it.
TIMING_CLASSES = (
    "alu", "multiply", "divide", "branch", "load", "store", "sync", "cache", "cp0", "tlb", "csr",
    "fpu_move", "fpu_add", "fpu_convert", "fpu_multiply", "fpu_divide", "fpu_sqrt", "msa",
)  # fmt: skip


class Flow(Enum):
    """What an instruction does to the program counter; decides how a block is built around it."""

    PLAIN = "plain"  # falls through
    BOUNDARY = "boundary"  # falls through, but ends its block (it may change what the next fetch sees)
    BRANCH = "branch"  # conditional, PC-relative, delay slot
    LIKELY = "likely"  # the delay slot is nullified when not taken
    JUMP = "jump"  # J and JAL: 256 MB region
    JUMP_REGISTER = "jump register"
    TRAP = "trap"  # always raises or leaves (SYSCALL, BREAK, ERET)


@dataclass(frozen=True)
class Field:
    """One field of an encoding: `low` is its least significant bit in the word."""

    name: str
    low: int
    width: int
    signed: bool = False

    @property
    def is_register(self) -> bool:
        return self.name in REGISTER_FIELDS

    def extract(self, word: int) -> int:
        value = (word >> self.low) & ((1 << self.width) - 1)
        return value - (1 << self.width) if self.signed and value >> (self.width - 1) else value


@dataclass(frozen=True)
class Instruction:
    """One row of the table. `meaning` is None for a real instruction that is not modelled yet."""

    syntax: str
    pattern: str
    meaning: Callable | None
    flow: Flow = Flow.PLAIN
    link: int | str | None = None  # register (number or field) that receives the return address
    helper: str | None = None  # name of the operation in cpu/engine/helpers.py that carries it out
    unit: str | None = None  # "fpu", "msa" or "lasx": what it needs enabled
    mask: int = 0
    match: int = 0
    fields: tuple[Field, ...] = field(default=())
    prefetch: str | None = None  # field that makes a load a hint when it names r0: no access, no exception
    timing: str | None = None  # timing class, where it does not follow from the rest
    wide: tuple[str, ...] = ()  # FPR fields of 64 bits: with Status.FR = 0 they name an even register
    fr1: bool = False  # reserved with Status.FR = 0
    op64: bool = False  # a 64-bit operation: reserved in user mode with neither Status.UX nor PX set
    also: str | None = None  # name, when the first word of the syntax is shared by several encodings

    @property
    def mnemonic(self) -> str:
        return self.syntax.split()[0]

    @property
    def name(self) -> str:
        return self.also or self.mnemonic

    @property
    def operands(self) -> str:
        return self.syntax[len(self.mnemonic) :].strip()

    @property
    def coprocessor(self) -> int | None:
        """Number of the coprocessor whose major opcode the encoding has; None: it has that of none."""
        major = self.match >> 26
        return major & 3 if major >> 2 == 0b0100 else None

    @property
    def narrow(self) -> tuple[Field, ...]:
        """FPR fields of 32 bits: with Status.FR = 0 an odd one names the upper half of the register before."""
        return tuple(f for f in self.fields if f.name in FPR_FIELDS and f.name not in self.wide)

    def field(self, name: str) -> Field:
        for f in self.fields:
            if f.name == name:
                return f
        raise TableError(f"{self.name} has no field {name!r}; it has {[f.name for f in self.fields]}")

    def encode(self, **values: int) -> int:
        """The 32-bit word with the given field values; a missing field is 0."""
        word = self.match
        for name, value in values.items():
            f = self.field(name)
            if not -(1 << (f.width - 1)) * f.signed <= value < (1 << (f.width - f.signed)):
                raise TableError(f"{self.name}: {name} = {value} does not fit {f.width} bits")
            word |= (value & ((1 << f.width) - 1)) << f.low
        return word

    def is_hint(self, fields: dict[str, int]) -> bool:
        """A load to r0 is this core's prefetch: it does nothing (QEMU: target/mips/tcg/translate.c, gen_ld)."""
        return self.prefetch is not None and fields[self.prefetch] == 0

    def decode(self, word: int) -> dict[str, int]:
        return {f.name: f.extract(word) for f in self.fields}


TABLE: dict[str, Instruction] = {}


def parse_pattern(pattern: str) -> tuple[int, int, tuple[Field, ...]]:
    """(mask, match, fields) of an encoding pattern."""
    at, mask, match, fields = 32, 0, 0, []
    for token in pattern.split():
        if ":" in token:
            name, width = token.split(":")
            signed = width.startswith("s")
            bits = int(width.lstrip("s"))
            at -= bits
            fields.append(Field(name, at, bits, signed))
        else:
            for bit in token:
                at -= 1
                if bit in "01":
                    mask |= 1 << at
                    match |= int(bit) << at
                elif bit != "x":
                    raise TableError(f"pattern {pattern!r}: bit {bit!r} is none of 0, 1, x")
    if at:
        raise TableError(f"pattern {pattern!r} has {32 - at} bits, needs 32")
    return mask, match, tuple(fields)


def add(entry: Instruction) -> None:
    if entry.timing is not None and entry.timing not in TIMING_CLASSES:
        raise TableError(f"{entry.name}: timing class {entry.timing!r}; there are {', '.join(TIMING_CLASSES)}")
    if entry.name in TABLE:
        raise TableError(f"instruction {entry.name} stands twice in the table")
    TABLE[entry.name] = entry


def insn(syntax: str, pattern: str, **properties):
    """Decorator: adds an instruction with the decorated function as its meaning."""

    def register(meaning):
        mask, match, fields = parse_pattern(pattern)
        add(Instruction(syntax, pattern, meaning, mask=mask, match=match, fields=fields, **properties))
        return meaning

    return register


def insn64(syntax: str, pattern: str, **properties):
    """Decorator: likewise, for a 64-bit operation."""
    return insn(syntax, pattern, op64=True, **properties)


def branch(syntax: str, pattern: str, likely: bool = False, **properties):
    """Decorator: a conditional branch; the meaning returns the condition and has no other effect."""
    return insn(syntax, pattern, flow=Flow.LIKELY if likely else Flow.BRANCH, **properties)


def row(syntax: str, pattern: str, **properties) -> None:
    """Adds an instruction without a value meaning: a jump, or one carried out by a helper."""
    mask, match, fields = parse_pattern(pattern)
    add(Instruction(syntax, pattern, None, mask=mask, match=match, fields=fields, **properties))


def not_modelled(syntax: str, pattern: str, **properties) -> None:
    """A real instruction of this core that the simulator does not carry out yet: executing it stops the run."""
    row(syntax, pattern, helper="not_modelled", **properties)
