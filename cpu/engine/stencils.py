"""Stencils of tier E: the host code of every micro-op, compiled once by LLVM, with holes where its operands go.

A stencil is what a handler of tier T (threaded.py) is, less the dispatch: it works on the state array and falls through
to the next. Operand fields, immediates and jumps are external symbols; LLVM leaves a relocation for each, and
`code_buffer.py` puts the values in when it copies the bytes. Whatever is not the straight way (a soft-MMU miss, an
exception, a link not yet made) jumps to `cold`, with all values as they were: tier T takes over at the same micro-op,
which has changed nothing so far. So slow accesses, helpers and their exit records are T's alone. Only the end of a
block goes to the loop by itself, through `leave`: without budget, or where the jump cache does not know the target.

Arguments, in the registers that tier T passes them in: S, a value, n, the soft-MMU table TB, T's handler table HT,
further values. The values hold general registers that a block has loaded or written; which ones is known when it is
translated (held.py). An operation of `HELD` works on values alone: each combination of them is a variant of its
stencil; `fetch` loads what is missing, `store` puts a result into the state array. The other operations work on that.

Holes are named after what fills them: `GPR_l`, `FPR_l` offset in the state array of the register whose number is the
byte at bit l of the micro-op, `U_l_w`, `I_l_w` unsigned and signed field of w bits at bit l; sums of these, known.py.
"""

from __future__ import annotations

import itertools
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cpu import state
from cpu.cp0.fields import HWR_ULR, ST_ERL, ST_EXL, ST_KSU
from cpu.cp0.registers import C0_GUESTCTL0, C0_HWRENA, C0_STATUS, C0_USERLOCAL, READ_WIDE, READ_WORD
from cpu.engine import stencil_layout as e
from cpu.engine.hostfloat import HostFloat
from cpu.engine.hostvector import HostVector
from cpu.engine.known import Condition, Known, Sum, Term
from cpu.engine.micro import OP, OPS, R_LINK, UNIT_ENABLES, MicroOp, written_gpr_fields
from cpu.engine.softmmu_layout import JUMP_CACHE_MASK, JUMP_CACHE_OFFSET, TABLE_MASK, WRITE_OFFSET
from cpu.engine.threaded import ATTRIBUTES, PAGE
from cpu.isa import Flow
from cpu.isa.errors import TableError
from cpu.isa.ir import DECLARATIONS, Emitter, Frame, Ir, IrOperands, Routines
from cpu.isa.ir_values import IrBool
from cpu.isa.table import GPR_FIELDS
from cpu.isa.values import EXC_CODES, REGISTER_KIND
from cpu.vz.traps import INSTRUCTIONS

JUMPS = ("NEXT", "COLD", "TARGET", "TAKEN", "FALL", "THREADED", "LEAVE")

# Stencils that belong to no micro-op, in the order of their numbers.
FETCHES = tuple(f"fetch_{k}" for k in range(e.VALUES))
STORES = tuple(f"store_{k}" for k in range(e.VALUES))
MOVES = tuple(f"move_{into}_{k}" for into in range(e.VALUES) for k in range(e.VALUES))
CHECKS = {f"check_{unit}": enable for unit, enable in UNIT_ENABLES.items()}
SHARED = ("near", "due", "far", "cold", "threaded", "leave", *CHECKS, *FETCHES, *STORES, *MOVES)

# What compiled code is mostly made of.
HELD = frozenset(
    "addu subu daddu dsubu and or xor nor slt sltu mul addiu daddiu andi ori xori slti sltiu lui "
    "sll srl sra dsll dsrl dsra dsll32 dsrl32 dsra32 rotr drotr drotr32 ext dext dextm dextu ins dins movz movn "
    "seb seh mult multu dmult dmultu mflo mfhi lb lbu lh lhu lw lwu ld sb sh sw sd "
    "ldc1 lwc1 sdc1 swc1 mtc1 dmtc1 mfc1 dmfc1 beq bne blez bgtz bltz bgez beql bnel b_register set_link".split()
)
# Of these: operands may change places.
COMMUTING = frozenset("addu daddu and or xor nor mul mult multu dmult dmultu beq bne beql bnel".split())
# Helpers that are stencils where cpu.cp0.registers.READ_AS_STORED says so. CP0_SLOT: the offset of the register in the
# state array, from the instruction in the upper half of a helper's micro-op.
CP0_READS = {"mfc0": READ_WORD, "dmfc0": READ_WIDE}
CP0_SLOT = Sum(8 * state.CP0, (Term(8 * 8, "U", 32 + 11, 5), Term(8, "U", 32, 3)))
HARDWARE_NUMBER = Sum(0, (Term(1, "U", 32 + 11, 5),))  # of RDHWR, likewise


class Left(TableError):
    """An operation without a stencil: tier T carries it out."""


def available() -> bool:
    """Whether this host has tier E's instruction set and object format."""
    return sys.platform == "linux" and platform.machine().lower() in ("x86_64", "amd64")


@dataclass(frozen=True)
class Shape:
    """The general register fields of an operation, by their low bit in the micro-op; -1: none."""

    reads: tuple[int, ...]
    write: int
    commutes: bool = False
    guard: Sum | None = None

    @property
    def is_same(self) -> bool:
        """The field written is the first one read, and stays in the value it is in."""
        return self.write in self.reads

    def variants(self) -> Iterator[tuple[tuple[int, ...], int]]:
        """(value of each read field or ZERO, value that takes the result or -1), in the order of their number."""
        for values in itertools.product(range(e.VALUES + 1), repeat=len(self.reads)):
            if self.write < 0 or self.is_same:
                yield values, values[0] if self.is_same and values[0] != e.ZERO else -1
            else:
                yield from ((values, into) for into in range(e.VALUES))

    def originals(self) -> list[int]:
        """Of each variant the number of the one whose code it shares: where operands may change places, another's."""
        numbers = {variant: number for number, variant in enumerate(self.variants())}
        return [numbers[tuple(sorted(reads)) if self.commutes else reads, into] for reads, into in numbers]


def shape(op: MicroOp) -> Shape:
    """Which operands of an operation are values."""
    if op.name not in HELD:
        return Shape((), -1)
    places = {s.field.name: s.low for s in op.slots if s.field.name in GPR_FIELDS}
    if op.name == "b_register":
        return Shape((24,), -1)
    if op.name == "set_link":
        return Shape((), 16)
    writes = [places[name] for name in sorted(places) if name in op.writes]
    reads = [places[name] for name in sorted(places) if name in op.reads]
    reads.sort(key=lambda low: low not in writes)
    if len(reads) > 3 or len(writes) > 1:
        raise TableError(f"{op.name} has too many operands to be in HELD")
    return Shape(tuple(reads), writes[0] if writes else -1, op.name in COMMUTING)


class Stencil(Frame):
    """One stencil under construction; also the frame of its meaning."""

    def __init__(self, name: str, features: frozenset[str], op: MicroOp | None = None):
        self.name = name
        self.op = op
        self.out = Emitter()
        self.colds: list[str] = []
        self.values = [f"%v{k}" for k in range(e.VALUES)]
        self.held: dict[int, str] = {}  # low bit of a read field -> its value
        self.into = -1
        self.operands: IrOperands | None = None
        self.host = HostFloat(self.out, self.cold, features)
        self.calm = False  # no flag that the operation raises is enabled
        self.guard: Sum | None = None  # where it is positive, the operation always traps

    # The frame
    def field(self, name: str) -> str:
        return self.immediate(name).ssa

    def immediate(self, name: str) -> Known:
        slot = self._slot(name)
        if REGISTER_KIND.get(name):
            raise TableError(f"{self.name}: the number of register {name} is no value here")
        term = Term(1, "I" if slot.signed else "U", slot.low, min(slot.width, slot.field.width))
        return Known(self.out, Sum(0, (term,)))

    def is_checked(self, condition: IrBool) -> bool:
        if self.guard is not None or not isinstance(condition, Condition):
            return False
        self.guard = condition.sum
        return True

    def _slot(self, name: str):
        slot = next((s for s in self.op.slots if s.field.name == name), None)
        if slot is None:
            raise TableError(f"{self.op.name}: field {name} has no place in its micro-op")
        return slot

    def register(self, name: str) -> str:
        kind = "GPR" if REGISTER_KIND[name] == "gpr" else "FPR"
        return self.offset(hole(f"{kind}_{self._slot(name).low}"))

    def offset(self, hole_text: str) -> str:
        return self.out.op(f"getelementptr i8, ptr %S, i64 {hole_text}")

    def read(self, name: str) -> str:
        if self.operands.writes & set(REGISTER_KIND):
            raise Left(f"{self.name}: reads {name} after writing a register, which may be the same")
        value = self.held.get(self._slot(name).low) if REGISTER_KIND[name] == "gpr" else None
        return self.out.load(self.register(name)) if value is None else value

    def write(self, name: str, value: str) -> None:
        if REGISTER_KIND[name] == "gpr" and self.into >= 0:
            self.values[self.into] = value
        else:
            self.out.do(f"store i64 {value}, ptr {self.register(name)}, align 8")

    def trap(self, condition: str, code: int, coprocessor: int) -> None:
        if self.calm and code in (EXC_CODES["FPE"], EXC_CODES["MSAFPE"]):
            return
        self.cold(condition)

    def pointer(self, ea: str, size: int, bad: str, access: str, aligned: bool) -> str:
        out = self.out
        index = out.op(f"and i64 {out.op(f'lshr i64 {ea}, 8')}, {TABLE_MASK << 4}")
        if access != "load":
            index = out.op(f"add i64 {index}, {WRITE_OFFSET}")
        entry = out.op(f"getelementptr i8, ptr %TB, i64 {index}")
        page = out.op(f"and i64 {ea}, {PAGE | (size - 1)}")
        self.cold(out.op(f"icmp ne i64 {out.load(entry)}, {page}"))
        addend = out.load(out.op(f"getelementptr i64, ptr {entry}, i64 1"))
        return out.op(f"inttoptr i64 {out.op(f'add i64 {ea}, {addend}')} to ptr")

    def call(self, function: Callable, values: tuple) -> tuple:
        routine = self.host.find(function)
        if routine is None:
            raise Left(f"{self.name}: {function.__name__} is not for this host's unit")
        self.calm = True
        return routine(*values)

    def each(self, function: Callable, columns: Sequence[Sequence[Ir]], values: tuple) -> tuple:
        element = getattr(function, "element", None)
        if element is None:
            raise Left(f"{self.name}: {function.__name__} is more than what the host's unit gives")
        self.host = HostVector(self.out, self.cold, self.host.features, len(columns[0]))
        return self.host.elements(self.operands, element, columns, values)

    # Control
    def cold(self, condition: str = "true") -> None:
        """Tier T takes over where the condition holds."""
        if self.operands is not None and self.operands.writes:
            raise Left(f"{self.name}: may leave after a write")
        label = self.out.fresh("cold")
        self.colds.append(label)
        if condition == "true":
            self.out.do(f"br label %{label}")
            self.out.label(self.out.fresh("dead"))
        else:
            self.out.unlikely(condition, label)

    def jump(self, target: str, values: list[str] | None = None, n: str = "%n") -> None:
        """To a symbol or pointer, with the values given (unknown ones otherwise)."""
        values = values or ["poison"] * e.VALUES
        given = ["ptr %S", f"i64 {values[0]}", f"i64 {n}", "ptr %TB", "ptr %HT", *(f"i64 {v}" for v in values[1:])]
        self.out.do(f"musttail call ghccc void {target}({', '.join(given)})")
        self.out.do("ret void")

    def next(self) -> None:
        self.jump("@NEXT", self.values)

    def threaded(self, ip: str, n: str = "%n") -> None:
        """Goes on in tier T at the micro-op at address `ip`."""
        out = self.out
        word = out.load(out.op(f"inttoptr i64 {ip} to ptr"))
        handler = out.op(f"getelementptr ptr, ptr %HT, i64 {out.op(f'and i64 {word}, 65535')}")
        self.jump(out.op(f"load ptr, ptr {handler}, align 8"), [ip, word, *["poison"] * (e.VALUES - 2)], n)

    def far(self, pc: str, offset: str) -> None:
        """To the block at virtual address `pc`, whose entry of the jump cache is at `offset` of TB."""
        out = self.out
        entry = out.op(f"getelementptr i8, ptr %TB, i64 {offset}")
        n = out.op(f"sub i64 %n, {hole('COUNT')}")
        unknown = out.op(f"icmp ne i64 {out.load(entry)}, {pc}")
        leave = out.fresh("leave")
        out.unlikely(out.op(f"or i1 {unknown}, {out.op(f'icmp sle i64 {n}, 0')}"), leave)
        ip = out.load(out.op(f"getelementptr i64, ptr {entry}, i64 1"))
        word = out.load(out.op(f"inttoptr i64 {ip} to ptr"))
        interpreted = out.fresh("interpreted")
        number = out.op(f"and i64 {word}, 65535")
        out.unlikely(out.op(f"icmp ne i64 {number}, {OP['b_native']}"), interpreted)
        self.jump(out.op(f"inttoptr i64 {out.op(f'lshr i64 {word}, 16')} to ptr"), None, n)
        out.label(interpreted)
        self.jump("@THREADED", [ip, *["poison"] * (e.VALUES - 1)], n)
        out.label(leave)
        self.jump("@LEAVE", [pc, *["poison"] * (e.VALUES - 1)], n)

    def far_register(self, pc: str) -> None:
        offset = self.out.op(f"and i64 {self.out.op(f'shl i64 {pc}, 2')}, {JUMP_CACHE_MASK << 4}")
        self.far(pc, self.out.op(f"add i64 {offset}, {JUMP_CACHE_OFFSET}"))

    def branch(self, condition: str) -> None:
        taken = self.out.fresh("taken")
        self.out.unlikely(condition, taken)
        self.jump("@FALL", self.values)
        self.out.label(taken)
        self.jump("@TAKEN", self.values)

    # Bodies
    def shared(self) -> None:
        out = self.out
        if self.name == "near":
            # By hand, as LLVM does not fold the condition into the jump. An unlinked jump leads behind itself, and from
            # there, as one without budget does, to "due".
            text = "subq $$COUNT, $0; jg TARGET"
            n = out.op(f'call i64 asm sideeffect "{text}", "={{r12}},0,~{{flags}}"(i64 %n)')
            self.jump("@COLD", None, n)
        elif self.name == "due":
            unlinked = out.fresh("unlinked")
            out.unlikely(out.op("icmp sgt i64 %n, 0"), unlinked)
            self.jump("@LEAVE", [wide_hole(out, "PC"), *["poison"] * (e.VALUES - 1)])
            out.label(unlinked)
            self.jump("@COLD", None, out.op(f"add i64 %n, {hole('COUNT')}"))
        elif self.name == "leave":
            out.store_slot(state.PC, "%v0")
            out.store_slot(state.EXIT_N, "%n")
            out.store_slot(state.EXIT_REASON, R_LINK)
            out.store_slot(state.EXIT_CODE, 0)
            out.do("ret void")
        elif self.name == "far":
            self.far(wide_hole(out, "PC"), hole("ENTRY"))
        elif self.name == "cold":
            self.jump("@THREADED", [wide_hole(out, "IP"), *["poison"] * (e.VALUES - 1)])
        elif self.name == "threaded":
            self.threaded("%v0")
        elif self.name in FETCHES:
            self.values[FETCHES.index(self.name)] = out.load(self.offset(hole("GPR_0")))
            self.next()
        elif self.name in STORES:
            out.do(f"store i64 {self.values[STORES.index(self.name)]}, ptr {self.offset(hole('GPR_0'))}, align 8")
            self.next()
        elif self.name in MOVES:
            into, value = divmod(MOVES.index(self.name), e.VALUES)
            self.values[into] = self.values[value]
            self.next()
        else:
            wanted = CHECKS[self.name]
            have = out.op(f"and i64 {out.load_slot(state.UNITS)}, {wanted}")
            self.cold(out.op(f"icmp ne i64 {have}, {wanted}"))
            self.next()

    def internal(self) -> None:
        out, name = self.out, self.op.name
        if name in ("b_cond", "b_likely"):
            self.branch(out.op(f"icmp ne i64 {out.load_slot(state.COND)}, 0"))
        elif name == "b_register":
            self.far_register(self.general(24))
        elif name == "b_target":
            self.far_register(out.load_slot(state.TARGET))
        elif name == "set_target":
            out.store_slot(state.TARGET, self.general(24))
            self.next()
        elif name == "set_link":
            self.values[self.into] = wide_hole(out, "VALUE")
            self.next()
        elif name == "clear_sink":
            out.store_slot(state.SINK, 0)
            self.next()
        else:
            raise Left(f"operation {name}")

    def general(self, low: int) -> str:
        """The general register whose number is at bit `low`."""
        value = self.held.get(low)
        return self.out.load(self.offset(hole(f"GPR_{low}"))) if value is None else value

    def read_cp0(self) -> None:
        """MFC0 or DMFC0 of a register that cpu.cp0.registers.READ_AS_STORED lists, in root's kernel mode."""
        out = self.out
        self.cold(out.op(f"icmp ne i64 {out.load_slot(state.BANK)}, 0"))
        status = out.load_slot(C0_STATUS)
        at_level = out.op(f"icmp ne i64 {out.op(f'and i64 {status}, {ST_EXL | ST_ERL}')}, 0")
        by_mode = out.op(f"icmp eq i64 {out.op(f'and i64 {status}, {ST_KSU}')}, 0")
        self.cold(out.op(f"xor i1 {out.op(f'or i1 {at_level}, {by_mode}')}, true"))
        offset = Known(out, CP0_SLOT).ssa
        value = Ir(out, out.load(out.op(f"getelementptr i8, ptr %S, i64 {offset}")))
        if CP0_READS[self.op.instruction.helper] == READ_WORD:
            value = value.sext(32)
        out.do(f"store i64 {value.ssa}, ptr {self.register('rt')}, align 8")
        self.next()

    def read_hardware(self) -> None:
        """RDHWR of UserLocal, by which a program finds what belongs to its thread, where HWREna allows it."""
        out, needs = self.out, INSTRUCTIONS["rdhwr"]
        self.cold(out.op(f"icmp ne i64 {Known(out, HARDWARE_NUMBER).ssa}, {HWR_ULR}"))
        bank = out.load_slot(state.BANK)
        refused = out.op(f"icmp ne i64 {out.op(f'and i64 {out.load_slot(C0_GUESTCTL0)}, {needs}')}, {needs}")
        self.cold(out.op(f"and i1 {refused}, {out.op(f'icmp ne i64 {bank}, 0')}"))
        hwrena, userlocal = (
            out.load(out.slot(out.op(f"add i64 {bank}, {register}"))) for register in (C0_HWRENA, C0_USERLOCAL)
        )
        self.cold(out.op(f"icmp eq i64 {out.op(f'and i64 {hwrena}, {1 << HWR_ULR}')}, 0"))
        out.do(f"store i64 {userlocal}, ptr {self.register('rt')}, align 8")
        self.next()

    def instruction(self) -> None:
        out, op = self.out, self.op
        entry = op.instruction
        if entry.helper in CP0_READS:
            self.read_cp0()
            return
        if entry.helper == "rdhwr":
            self.read_hardware()
            return
        if entry.helper or entry.meaning is None or entry.flow in (Flow.TRAP, Flow.BOUNDARY):
            raise Left(f"{op.name}: {entry.flow.value}")
        if len(written_gpr_fields(op)) > 1:
            raise Left(f"{op.name}: writes two general registers")
        self.operands = IrOperands(out, Routines(), self, tuple(f.name for f in entry.fields))
        result = entry.meaning(self.operands)
        if op.variant == "test":
            out.store_slot(state.COND, out.op(f"zext i1 {result.ssa} to i64"))
            self.next()
        elif entry.flow in (Flow.BRANCH, Flow.LIKELY):
            self.branch(result.ssa)
        else:
            self.next()

    def text(self) -> str:
        begun = list(self.values)
        if self.op is None:
            self.shared()
        elif self.op.instruction is None:
            self.internal()
        else:
            self.instruction()
        for label in self.colds:
            self.out.label(label)
            self.jump("@COLD", begun)
        body = "\n".join(self.out.lines)
        return f"define dso_local ghccc void @{self.name}({_PARAMETERS}) {ATTRIBUTES} optsize {{\nentry:\n{body}\n}}"


_PARAMETERS = "ptr %S, i64 %v0, i64 %n, ptr %TB, ptr %HT, " + ", ".join(f"i64 %v{k}" for k in range(1, e.VALUES))


def hole(name: str) -> str:
    return f"ptrtoint (ptr @{name} to i64)"


def wide_hole(out: Emitter, name: str) -> str:
    return out.op(f'call i64 asm "movabsq $${name}, $0", "=r"()')


def _range(name: str) -> tuple[int, int]:
    """Values a hole can take, from the first up to the second."""
    kind, *numbers = name.split("_")
    width = int(numbers[1]) if len(numbers) > 1 else 31
    if kind == "I":
        return -(1 << (width - 1)), 1 << (width - 1)
    return 0, 1 << width


def functions(features: frozenset[str]) -> tuple[list[str], list[str], dict[int, Shape], dict[str, str]]:
    """(LLVM IR of the stencils that work on values, of the others, shapes of the operations that have stencils, reason
    for each that has none)."""
    held, direct = [], [Stencil(name, features).text() for name in SHARED]
    shapes: dict[int, Shape] = {}
    left: dict[str, str] = {}
    for op in OPS:
        if op.variant in ("plain", "odd"):
            continue
        form = shape(op)
        try:
            texts = []
            originals = form.originals()
            for number, (reads, into) in enumerate(form.variants()):
                if originals[number] != number:
                    continue
                stencil = Stencil(f"s_{op.number}_{number}", features, op)
                stencil.held = {low: "0" if v == e.ZERO else f"%v{v}" for low, v in zip(form.reads, reads, strict=True)}
                stencil.into = into
                texts.append(stencil.text())
        except Left as reason:
            left[op.name] = str(reason)
            continue
        (held if op.name in HELD else direct).extend(texts)
        shapes[op.number] = replace(form, guard=stencil.guard)
    return held, direct, shapes, left


def module_text(stencils: list[str]) -> str:
    """The LLVM module of some stencils."""
    body = "\n".join(stencils)
    names = sorted(set(re.findall(r"ptr @([A-Z]+(?:_\d+)*) to", body)))
    lines = [DECLARATIONS]
    for number, name in enumerate(names):
        low, high = _range(name)
        # Weak, as LLVM takes any other symbol for not 0 and for different from every other.
        lines.append(f"@{name} = extern_weak dso_local global i8, !absolute_symbol !{number}")
        lines.append(f"!{number} = !{{i64 {low}, i64 {high}}}")
    lines += [f"declare dso_local ghccc void @{name}({_PARAMETERS})" for name in JUMPS]
    return "\n".join([*lines, body])
