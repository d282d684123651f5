"""Random instruction sequences over the instruction table, valid by construction.

A case is reproduced by (layout, seed, number). Every modelled row of the table comes up in turn, at least once in
`len(rows(layout))` consecutive numbers; the other instructions around it are random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from cpu.isa import TABLE, Flow, Instruction
from cpu.isa.operands import SCALES
from soc.errors import SocError
from tests.oracles import layout as at
from tests.oracles import pools, system
from tests.oracles.layout import Layout

LONGEST = 12
M64 = (1 << 64) - 1
NOP = 0
FCSR_FS = 1 << 24
FENR_FS = 1 << 2  # the flush bit, as CTC1 to FENR takes it
FR, CU1, CU0, KX, SX, UX = 1 << 26, 1 << 29, 1 << 28, 1 << 7, 1 << 6, 1 << 5
USUAL_STATUS = CU1 | CU0 | FR | KX | SX | UX
USER_MODE_STATUS = CU1 | FR | KX | SX | UX | 2 << 3
NARROW_STATUS, PX = CU1 | CU0 | FR | KX | SX | 2 << 3, 1 << 23

BRANCHES = (Flow.BRANCH, Flow.LIKELY)
JUMPS = (Flow.JUMP, Flow.JUMP_REGISTER)


# Rows that only cases without quirks hold, each with its reason.
LEFT_OUT = {
    "sdbbp": "on QEMU the debug exception of EJTAG ends the run or enters UHI semihosting",
    **{name: "QEMU's processors have no LASX" for name, row in TABLE.items() if row.unit == "lasx"},
}


# 32-bit operations whose operands the manual wants sign-extended (else UNPREDICTABLE): they read only registers that
# hold sign-extended words.
WORD_OPERANDS = {
    "add", "addu", "addi", "addiu", "sub", "subu", "mul", "mult", "multu", "madd", "maddu", "msub", "msubu",
    "div", "divu", "srl", "srlv", "sra", "srav", "rotr", "rotrv", "clz", "clo", "ext", "ins", "seb", "seh", "wsbh",
    "gsmult", "gsmultu", "gsdiv", "gsdivu", "gsmod", "gsmodu",
}  # fmt: skip

# Rows that always leave a sign-extended word.
WORD_RESULTS = WORD_OPERANDS | {
    "slt", "sltu", "slti", "sltiu", "lui", "sll", "sllv", "lb", "lbu", "lh", "lhu", "lw", "lwl", "ll", "sc", "scd",
    "gslbx", "gslhx", "gslwx", "mfc1", "cfc1", "mfhc1", "dclz", "dclo",
}  # fmt: skip

# Operand size of the accesses that must be aligned on this core; all others may be unaligned.
ALIGNED = {"ll": 4, "sc": 4, "lld": 8, "scd": 8}

# QEMU 7.2 wants these aligned, unlike every other ordinary access of this core; which takes them unaligned too.
ALIGNED_INDEXED = ("lwxc1", "ldxc1", "swxc1", "sdxc1")

# QEMU looks at the address of SC only when the link stands; the manual, and this core, let its faults come first.
CONDITIONAL = ("sc", "scd")

# Branches that their registers alone keep from being taken: QEMU takes them as NOP, so that an exception in their delay
# slot has BD = 0; the manual knows no such case.
NEVER_TAKEN = ("bne", "bgtz", "bltz", "bltzal")

# QEMU takes these for NOP when they name r0, also while MSA is off; the manual has the exception first.
COPIES = tuple(name for name, row in TABLE.items() if "rd, ws[" in row.syntax)

# QEMU 7.2's translator crashes when the index register is r0, and takes the destination f0 for r0, a prefetch.
INDEXED_WITHOUT_ZERO = tuple(name for name, row in TABLE.items() if "off8(base,index)" in row.syntax)

# Addresses outside the scratch area, for the kernel layout: each raises an address error or a TLB refill.
FAULTING = (
    0x0000_0000_0000_4000,  # useg
    0x0000_0000_7FFF_FFF0,
    0x0000_0000_8000_0000,  # xuseg above useg
    0x0000_7FFF_FFFF_FFF0,
    0x0001_0000_0000_0000,  # beyond 48 segment bits
    0x3FFF_FFFF_FFFF_FFF0,
    0x4000_0000_0000_1000,  # xsseg
    0x4001_0000_0000_0000,
    0x9801_0000_0000_1000,  # xkphys beyond 48 physical bits
    0xC000_0000_0000_2000,  # xkseg
    0xC000_FFFF_7FFF_0000,
    0xC001_0000_0000_0000,
    0xFFFF_FFFF_7FFF_FE00,
    0xFFFF_FFFF_C000_0210,  # sseg
    0xFFFF_FFFF_E000_0210,  # kseg3
)


@dataclass(frozen=True)
class Step:
    """One instruction of a case; `target` is the index of the step a branch or jump goes to."""

    name: str
    fields: tuple[tuple[str, int], ...] = ()
    target: int | None = None

    @property
    def row(self) -> Instruction:
        return TABLE[self.name]

    def get(self, field: str) -> int:
        return dict(self.fields)[field]


@dataclass(frozen=True)
class Case:
    """A sequence with the state it starts from.

    `targets`: (register, step, skew) of the registers that hold the address of a step, plus a skew of 0 to 3 bytes.
    `bases`: registers that hold an address in the scratch area; `free`: those whose values may be any.
    """

    number: int
    layout: Layout
    steps: tuple[Step, ...]
    registers: tuple[int, ...]
    targets: tuple[tuple[int, int, int], ...]
    bases: tuple[int, ...]
    free: tuple[int, ...]
    hi: int
    lo: int
    fcsr: int
    msacsr: int
    vectors: tuple[int, ...]
    scratch: bytes
    status: int
    config5: int
    start: int

    @property
    def slot(self) -> int:
        return self.number % at.SLOTS

    @property
    def block(self) -> int:
        return self.layout.block(self.slot)

    @property
    def scratch_address(self) -> int:
        return self.layout.scratch(self.slot)

    @property
    def end(self) -> int:
        return self.start + 4 * len(self.steps)

    @property
    def gpr(self) -> tuple[int, ...]:
        values = list(self.registers)
        for register, step, skew in self.targets:
            values[register] = self.start + 4 * step + skew
        return tuple(values)

    def word(self, index: int) -> int:
        """The encoded instruction `index`, with branch offset or jump target filled in."""
        step = self.steps[index]
        fields = dict(step.fields)
        if step.row.flow in BRANCHES:
            fields["offset"] = step.target - index - 1
        elif step.row.flow is Flow.JUMP:
            fields["target"] = (self.start + 4 * step.target) >> 2 & 0x3FFFFFF
        return step.row.encode(**fields)

    def words(self) -> list[int]:
        """The code: the sequence, then the way back to the runner."""
        user_mode = self.layout.window is not None
        tail = TABLE["syscall"].encode() if user_mode else TABLE["j"].encode(target=self.layout.done >> 2 & 0x3FFFFFF)
        return [*(self.word(n) for n in range(len(self.steps))), tail, NOP]

    def without(self, index: int) -> Case | None:
        """The case with one step dropped; None when that is not a valid sequence."""
        steps = [
            replace(s, target=s.target - 1) if s.target is not None and s.target > index else s
            for n, s in enumerate(self.steps)
            if n != index
        ]
        targets = tuple((register, step - (step > index), skew) for register, step, skew in self.targets)
        case = replace(self, steps=tuple(steps), targets=targets)
        return case if steps and case.is_valid() else None

    def is_valid(self) -> bool:
        """Every branch has its delay slot, which holds no branch (UNPREDICTABLE), and every loop counts down."""
        flows = [s.row.flow for s in self.steps]
        for n, (step, flow) in enumerate(zip(self.steps, flows, strict=True)):
            if flow in BRANCHES or flow in JUMPS:
                if n + 1 == len(flows) or flows[n + 1] in BRANCHES + JUMPS:
                    return False
                if step.target is not None and step.target <= n and self.steps[n + 1] != count_down(step.get("rs")):
                    return False
        return True


CONTROL_REGISTERS = (0, 25, 26, 28, 31)  # FIR, FCCR, FEXR, FENR, FCSR
LOOP_BRANCHES = ("bgtz", "bgtzl", "bne", "bnel")


@cache
def rows(layout: Layout) -> tuple[str, ...]:
    """Names of the table's rows that a case of this layout can hold.

    Rows carried out by a helper (CP0, cache, TLB, hardware registers) are left out: their effects are system state that
    differs between boards. Without quirks there is one board, and those that oracles have a meaning for are in.
    """
    names = []
    for name, row in TABLE.items():
        modelled = row.meaning is not None or (row.flow in JUMPS and row.helper is None)
        if name in system.MEANINGS or name in LEFT_OUT:
            modelled = not layout.quirks
        elif row.helper or (row.flow is Flow.TRAP and not layout.kernel):
            # In user mode a trap is a signal, which would end the batch.
            modelled = False
        if modelled:
            names.append(name)
    return tuple(names)


@cache
def halves(layout: Layout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scalar rows and those of MSA."""
    msa = tuple(name for name in rows(layout) if TABLE[name].unit == "msa")
    return tuple(name for name in rows(layout) if name not in msa), msa


@cache
def first_operand(name: str) -> str:
    return TABLE[name].operands.split(",")[0].strip()


@cache
def destinations(name: str) -> tuple[str, ...]:
    """Names of the fields of general registers that a row may write."""
    first = ("rt", "rd") if name == "gslq" else (first_operand(name),)
    return tuple(field for field in first if field in ("rt", "rd"))


@cache
def offset_field(name: str) -> str | None:
    """Name of the field that a load or store adds to its base."""
    row = TABLE[name]
    if "base" not in row.decode(0):
        return None
    return next((f.name for f in row.fields if f.name != "base" and f.signed), None)


def count_down(register: int) -> Step:
    return Step("daddiu", (("rs", register), ("rt", register), ("imm", -1)))


class Builder:
    """Builds one case; knows which registers are still as they began."""

    def __init__(self, layout: Layout, seed: int, number: int):
        self.layout, self.number = layout, number
        self.random = random = Random(f"{layout.name} {seed} {number}")
        self.length = random.randint(1, LONGEST)
        self.scratch = layout.scratch(number % at.SLOTS)
        self.general = [n for n in range(32) if n not in at.RESERVED]
        words, integers = (random.choices(pools.stock(draw), k=32) for draw in (pools.word, pools.integer))
        kinds = random.getrandbits(32)
        self.words = {0, *(n for n in self.general if kinds >> n & 1)}
        self.registers = [words[n] if n in self.words else integers[n] for n in range(32)]
        for n in (0, *at.RESERVED):
            self.registers[n] = 0
        # Register 31 has no role: the linking branches write it.
        self.roles = roles = random.sample(self.general[1:-1], 15)
        self.bases, self.faulting, self.indexes, self.spare = roles[:3], roles[3:4], roles[4:6], roles[6:8]
        self.counter, self.jumps, self.constants = roles[8], roles[9:12], roles[12:]
        self.floats = random.sample(range(1, 32), 6)
        self.loop = random.randrange(8) == 0
        for n in self.bases:
            self.registers[n] = self.scratch + random.randrange(96, 160)
        self.registers[self.bases[0]] &= ~7
        for n in self.faulting:
            self.registers[n] = random.choice(FAULTING) + 8 * random.randrange(2)
        for n in self.indexes:
            self.registers[n] = random.randrange(-64, 64) & M64
        self.registers[self.indexes[0]] &= ~7
        self.registers[self.spare[0]] = self.fcsr() | random.choice((0, 0, random.getrandbits(6) << 12))
        if layout.quirks:
            self.registers[self.spare[0]] &= ~FENR_FS
        self.registers[self.spare[1]] = self.msacsr() | random.choice((0, 0, random.getrandbits(6) << 12))
        for n in self.bases + self.faulting + self.indexes + self.spare:
            if not self.is_word(self.registers[n]):
                self.words.discard(n)
        if not self.is_word(layout.code):
            self.words -= set(self.jumps)
        if layout is at.NARROW:
            self.words -= set(self.bases)
        self.protected = set(self.bases)
        if self.loop:
            # What a later instruction of the loop overwrites, an earlier one reads in the next turn.
            self.protected = set(roles)
            self.registers[self.counter] = random.randrange(4)
            for n in self.constants:
                self.registers[n] = pools.word(random)
            self.words = {0, self.counter, *self.constants}
        self.written: set[int] = set()
        self.targets: dict[int, tuple[int, int]] = {}
        self.steps: list[Step] = []

    @staticmethod
    def is_word(value: int) -> bool:
        return value <= 0x7FFFFFFF or value >= M64 - 0x7FFFFFFF

    def build(self) -> Case:
        random = self.random
        names = rows(self.layout)
        wanted = names[self.number % len(names)]
        if self.unsuitable(wanted):
            raise _Exhausted
        place = random.randrange(self.length)
        if place == self.length - 1 and TABLE[wanted].flow in BRANCHES + JUMPS:
            self.length += 1
        if self.loop:
            self.length += 2
        for index in range(self.length - 2 * self.loop):
            self.steps.append(self.step(index, wanted if index == place else None))
        if self.loop:
            self.close_loop()
        status = USUAL_STATUS if self.layout.window is None else USER_MODE_STATUS
        if self.layout is at.NARROW:
            status = NARROW_STATUS | random.choice((0, PX, PX))
        if self.layout.window is not None and not random.randrange(16):
            status ^= CU1
        elif self.layout.kernel and not random.randrange(12):
            status ^= random.choice((CU1, UX, KX, SX, KX | SX | UX))
        elif not self.layout.quirks and not random.randrange(12):
            status ^= FR
        if self.layout is at.NARROW and not status & UX:
            self.widen_bases()
        config5 = 0 if self.layout.kernel and not random.randrange(24) else at.MSAEN
        code_words = len(self.steps) + 2
        start = self.layout.code_slot(self.number % at.SLOTS) + 4 * random.randrange(at.CODE_SLOT // 4 - code_words + 1)
        return Case(
            number=self.number,
            layout=self.layout,
            steps=tuple(self.steps),
            registers=tuple(self.registers),
            targets=tuple((register, *place) for register, place in sorted(self.targets.items())),
            bases=tuple(self.bases),
            free=tuple(n for n in self.general[1:] if n not in self.roles),
            hi=pools.integer(random),
            lo=pools.integer(random),
            fcsr=self.fcsr(),
            msacsr=self.msacsr(),
            vectors=tuple(random.choices(pools.stock(pools.vector_register), k=32)),
            scratch=random.randbytes(at.SCRATCH_BYTES),
            status=status,
            config5=config5,
            start=start,
        )

    def widen_bases(self) -> None:
        """Gives addresses upper halves, which do not count without 64-bit addresses. On QEMU they do where the offset
        is 0; and an SC may fail whose sum is not that of its LL."""
        offsets = ((step, offset_field(step.name)) for step in self.steps)
        whole = {
            step.get("base") for step, field in offsets if field and (step.get(field) == 0 or step.name in ALIGNED)
        }
        for n in set(self.bases) - whole:
            self.registers[n] |= self.random.choice((0, self.random.getrandbits(32) << 32))

    def close_loop(self) -> None:
        """A branch back, which counts down in its delay slot: a case without it has no loop and always ends."""
        if self.steps[-1].row.flow in BRANCHES + JUMPS:
            self.steps.append(self.plain(len(self.steps)))
        name = self.random.choice(LOOP_BRANCHES)
        operands = {"rs": self.counter} if name.startswith("bgtz") else {"rs": self.counter, "rt": 0}
        self.steps.append(Step(name, tuple(operands.items()), self.random.randrange(len(self.steps))))
        self.steps.append(count_down(self.counter))

    def fcsr(self) -> int:
        """Random rounding mode, flags and conditions. Cause is 0: an enabled cause would raise at once.

        With quirks FS stays 0.
        """
        random = self.random
        value = random.getrandbits(2) | random.getrandbits(5) << 2 | random.getrandbits(8) << 24 & 0xFE000000
        value |= random.getrandbits(1) << 23
        if self.layout.kernel and not random.randrange(4):
            value |= random.getrandbits(5) << 7
        if not self.layout.quirks and not random.randrange(4):
            value |= FCSR_FS
        return value

    def msacsr(self) -> int:
        """Random rounding mode and flags, sometimes FS, NX and enabled exceptions. Cause is 0."""
        random = self.random
        value = random.getrandbits(2) | random.getrandbits(5) << 2
        value |= random.choice((0, 0, 1)) << 24 | random.getrandbits(1) << 18
        if value >> 18 & 1 or self.layout.kernel:
            value |= random.choice((0, random.getrandbits(5), 1 << random.randrange(5))) << 7
        return value

    def unsuitable(self, name: str) -> bool:
        """Rows that do not fit: in a loop, INS (wants a word in its destination), GSMOD (wants the end) and LL/SC; a
        second SC, because only the first one after an LL is predictable."""
        if not self.layout.quirks:
            return False
        if self.loop:
            return name in ("ins", "gsmod", *ALIGNED)
        return name in CONDITIONAL and any(step.name in CONDITIONAL for step in self.steps)

    def step(self, index: int, wanted: str | None) -> Step:
        last = index == self.length - 1
        in_slot = index > 0 and self.steps[-1].row.flow in BRANCHES + JUMPS
        name = wanted
        if wanted and self.unsuitable(wanted):
            raise _Exhausted
        while name is None or not self.allowed(name, last, in_slot):
            if name is wanted and name is not None:
                # The wanted row is a branch and its place is a delay slot: the step before gives way.
                self.steps[-1] = self.plain(index - 1)
                in_slot = False
                continue
            name = self.random.choice(self.random.choice(halves(self.layout)))
            if self.steps and self.steps[-1].name in ("ll", "lld") and self.random.randrange(2):
                name = {"ll": "sc", "lld": "scd"}[self.steps[-1].name]
        step = self.operands(name, index)
        self.note(step, index)
        return step

    def plain(self, index: int) -> Step:
        step = self.operands("daddu", index)
        self.note(step, index)
        return step

    def allowed(self, name: str, last: bool, in_slot: bool) -> bool:
        # A branch in a delay slot is UNPREDICTABLE; a branch at the end would take the runner's jump as its delay slot.
        return not self.unsuitable(name) and (TABLE[name].flow not in BRANCHES + JUMPS or not (last or in_slot))

    def skippable(self, index: int) -> bool:
        """Whether a branch or jump before may pass step `index` by."""
        ahead = [s.target for s in self.steps if s.target is not None] + [step for step, _ in self.targets.values()]
        return any(target > index for target in ahead) or (index > 0 and self.steps[-1].row.flow is Flow.LIKELY)

    def note(self, step: Step, index: int) -> None:
        """Keeps book of what a step may have changed."""
        row = step.row
        changed = set()
        changed.update(step.get(name) for name in destinations(step.name))
        if row.link is not None:
            changed.add(row.link if isinstance(row.link, int) else step.get(row.link))
        changed.discard(0)
        self.written |= changed
        if self.loop:
            return
        if step.name in WORD_RESULTS and not self.skippable(index):
            self.words |= changed
        elif step.name not in WORD_RESULTS:
            self.words -= changed

    def unchanged(self, registers: list[int]) -> list[int]:
        return [n for n in registers if n not in self.written]

    def operands(self, name: str, index: int) -> Step:
        row, random = TABLE[name], self.random
        fields: dict[str, int] = {}
        target = None
        if row.flow in BRANCHES or row.flow is Flow.JUMP:
            target = random.randint(index + 1, self.length)
        for f in row.fields:
            if f.name in ("rs", "rt", "rd", "base", "index"):
                fields[f.name] = self.register(name, f.name)
            elif f.width == 5 and f.is_register:
                # Mostly few registers, so that results flow into later instructions and operands coincide.
                lowest = int(self.layout.quirks and name in INDEXED_WITHOUT_ZERO)
                fields[f.name] = random.choice(self.floats) if random.randrange(4) else random.randrange(lowest, 32)
            elif f.signed:
                fields[f.name] = self.immediate(f.width)
            else:
                fields[f.name] = random.getrandbits(f.width)
        if row.flow is Flow.JUMP_REGISTER:
            self.jump_register(fields, index)
        elif row.link is not None and fields.get("rs") == row.link:
            # A branch that links into the register it tests could not be executed again after an exception.
            fields["rs"] = random.choice([n for n in self.general if n != row.link])
        if row.flow in BRANCHES or row.flow is Flow.JUMP:
            fields.pop("offset", None)
            fields.pop("target", None)
        if "base" in fields:
            self.place(name, fields)
        if self.layout.kernel and self.layout.quirks and name in NEVER_TAKEN and fields["rs"] == fields.get("rt", 0):
            fields["rs"] = random.choice([n for n in self.general[1:-1] if n != fields["rs"]])
        if "rt" in fields and fields["rt"] in (fields.get("base"), fields.get("index")):
            # A branch may go to its own delay slot, which then runs twice: it must not lose its address.
            fields["rt"] = random.choice([n for n in self.general[1:] if n not in self.protected | set(self.indexes)])
        special = OPERAND_RULES.get(name)
        if special and (self.layout.quirks or name in OWN_RULES):
            special(self, fields)
        return Step(name, tuple(fields.items()), target)

    def register(self, name: str, field: str) -> int:
        """A general register: mostly among a few, so that results flow into later instructions."""
        random = self.random
        writes = field in destinations(name)
        if name in WORD_OPERANDS and self.layout.quirks and (not writes or name == "ins"):
            return random.choice(sorted(self.words - self.protected) if writes else sorted(self.words))
        previous = self.steps[-1] if self.steps else None
        if writes and previous and previous.row.flow in BRANCHES + JUMPS and random.randrange(3) == 0:
            # A delay slot that overwrites what its branch has read, or the link.
            read = [v for n, v in previous.fields if n in ("rs", "rt", "rd")] + [31]
            free = [n for n in read if n not in self.protected]
            if free:
                return random.choice(free)
        if writes and (self.loop or random.randrange(16)):
            # Overwriting a base register would end the memory accesses of the case.
            return random.choice([n for n in self.general if n not in self.protected])
        if random.randrange(3) == 0:
            return random.choice(sorted(self.written | {0}))
        return random.choice(self.general)

    def immediate(self, width: int) -> int:
        random = self.random
        top = 1 << (width - 1)
        return random.choice((0, 1, -1, top - 1, -top, random.randrange(-top, top), random.randrange(-top, top)))

    def jump_register(self, fields: dict[str, int], index: int) -> None:
        random = self.random
        faulting = self.unchanged(self.faulting) if self.layout.kernel and random.randrange(16) == 0 else []
        if faulting:
            fields["rs"] = register = faulting[0]
        else:
            free = [n for n in self.jumps if n not in self.written and n not in self.targets]
            if not free:
                raise _Exhausted
            fields["rs"] = register = random.choice(free)
            skew = random.randrange(1, 4) if self.layout.kernel and random.randrange(32) == 0 else 0
            self.targets[register] = (random.randint(index + 1, self.length), skew)
        # Hint bits are reserved, except that of the hazard barrier, which has no effect here.
        fields["hint"] = random.choice((0, 16))
        if fields.get("rd") == register:
            # JALR into its own source could not be executed again after an exception.
            fields["rd"] = 31 if register != 31 else 0

    def place(self, name: str, fields: dict[str, int]) -> None:
        """Makes base, index and offset meet in the scratch area (or, sometimes, at an address that faults)."""
        random = self.random
        quirks = self.layout.quirks
        indexed, even = "index" in fields, quirks and name in ALIGNED_INDEXED
        fields["base"] = base = self.pick_base(even, not (quirks and name in CONDITIONAL))
        origin = self.registers[base]
        if indexed:
            index = self.unchanged(self.indexes[:1] if even else self.indexes)
            if not index:
                raise _Exhausted
            fields["index"] = random.choice(index if quirks else [*index, 0])
            origin += self.registers[fields["index"]]
        if offset_field(name) is None:
            return
        offset = TABLE[name].field(offset_field(name))
        if base in self.faulting:
            fields[offset.name] = random.randrange(-8, 8) or int(self.layout is at.NARROW)
            return
        # 16 bytes of room on both sides: for the widest access, and for those that align their address down.
        origin = (origin - self.scratch) & M64
        origin -= origin >> 63 << 64
        scale = SCALES.get(offset.name, 1)
        top = scale << (offset.width - 1)
        move = random.randrange(max(-top, 16 - origin), min(top - scale, at.SCRATCH_BYTES - 32 - origin) + 1)
        size = ALIGNED.get(name)
        if size and not (self.layout.kernel and not (quirks and name in CONDITIONAL) and random.randrange(16) == 0):
            move -= (origin + move) % size
        fields[offset.name] = move // scale

    def pick_base(self, even: bool, may_fault: bool) -> int:
        random = self.random
        if may_fault and self.layout.kernel and random.randrange(24) == 0:
            faulting = self.unchanged(self.faulting)
            if faulting:
                return random.choice(faulting)
        bases = self.unchanged(self.bases[:1] if even else self.bases)
        if not bases:
            raise _Exhausted
        return random.choice(bases)

    def signed_remainder(self, fields: dict[str, int]) -> None:
        """QEMU's GSMOD zero-extends its operands (see compare.py): negative ones only at the end of a case."""
        if len(self.steps) == self.length - 1 and fields["rd"] not in (fields["rs"], fields["rt"]):
            return
        calm = [n for n in self.words - self.written if self.registers[n] <= 0x7FFFFFFF and n not in self.jumps]
        fields.update(rs=self.random.choice(calm), rt=self.random.choice(calm))

    def conditional(self, fields: dict[str, int], size: int) -> None:
        """Mostly to the address of the LL before it. An SC of the other size at that address is UNPREDICTABLE."""
        link = next((step for step in reversed(self.steps) if step.name in ("ll", "lld")), None)
        if link is None or link.get("base") in self.written or link.get("base") not in self.bases:
            return
        there = {"base": link.get("base"), "offset": link.get("offset")}
        if ALIGNED[link.name] == size:
            if self.random.randrange(4) and (self.registers[there["base"]] + there["offset"]) % size == 0:
                fields.update(there)
        elif self.registers[fields["base"]] + fields["offset"] == self.registers[there["base"]] + there["offset"]:
            fields["offset"] += 8

    def control(self, fields: dict[str, int]) -> None:
        """CTC1 takes a value made for it: FS stays 0, and an enabled Cause is rare."""
        register = self.spare[0]
        if register in self.written:
            raise _Exhausted
        fields["rt"] = register
        choice = self.random.randrange(8)
        fields["fcr"] = (31, 31, 31, 31, 25, 26, 28, fields["fcr"])[choice]

    def msa_control(self, fields: dict[str, int]) -> None:
        """CTCMSA likewise; mostly of MSACSR."""
        register = self.spare[1]
        if register in self.written:
            raise _Exhausted
        fields.update(rs=register, cd=self.random.choice((1, 1, 1, fields["cd"])))

    def copy(self, fields: dict[str, int]) -> None:
        fields["rd"] = fields["rd"] or 31

    def condition_pair(self, fields: dict[str, int]) -> None:
        """Paired-single comparisons and moves use codes cc and cc + 1: an odd cc is UNPREDICTABLE."""
        fields["cc"] &= 6

    def bit_field(self, fields: dict[str, int]) -> None:
        """Mostly a field that fits; one that does not is a reserved instruction on this core and on QEMU."""
        if self.random.randrange(8) == 0:
            return
        low = next(name for name in fields if name.startswith("lsb"))
        high = next(name for name in fields if name.startswith("msb"))
        if high.startswith("msbd"):
            fields[high] = min(fields[high], 31 - fields[low])
        elif fields[high] < fields[low]:
            fields[low], fields[high] = fields[high], fields[low]

    def cp0_register(self, fields: dict[str, int], choices: tuple[tuple[int, int], ...]) -> None:
        fields["c0"], fields["sel"] = self.random.choice(choices)

    def hardware_register(self, fields: dict[str, int]) -> None:
        fields["c0"] = self.random.choice(system.HARDWARE)

    def read_control(self, fields: dict[str, int]) -> None:
        """Only registers that exist: reading another is UNPREDICTABLE."""
        fields["fcr"] = self.random.choice(CONTROL_REGISTERS)


class SequenceError(SocError):
    """The generator cannot make a case."""


class _Exhausted(Exception):
    """Every base register has been overwritten: the case is started again with the next random state."""


BIT_FIELDS = ("ext", "dextm", "dextu", "ins", "dinsu", "dins")

# Rows whose rules in `OPERAND_RULES` are not made for QEMU's sake.
OWN_RULES = ("ctc1", "ctcmsa", *CONDITIONAL, *BIT_FIELDS, *system.MEANINGS)

# Rows whose operands need more than their field's kind says.
OPERAND_RULES: dict[str, Callable[[Builder, dict[str, int]], None]] = {
    **dict.fromkeys(BIT_FIELDS, Builder.bit_field),
    "cfc1": Builder.read_control,
    "ctc1": Builder.control,
    **dict.fromkeys(COPIES, Builder.copy),
    **dict.fromkeys((n for n, row in TABLE.items() if "cc" in row.operands and ".ps" in n), Builder.condition_pair),
    "ctcmsa": Builder.msa_control,
    **dict.fromkeys(("mfc0", "dmfc0"), lambda builder, fields: builder.cp0_register(fields, system.READABLE)),
    **dict.fromkeys(("mtc0", "dmtc0"), lambda builder, fields: builder.cp0_register(fields, system.WRITABLE)),
    "rdhwr": Builder.hardware_register,
    "sc": lambda builder, fields: builder.conditional(fields, 4),
    "scd": lambda builder, fields: builder.conditional(fields, 8),
    "gsmod": Builder.signed_remainder,
    # The manual wants the destination in both fields.
    **dict.fromkeys(("clz", "clo", "dclz", "dclo"), lambda builder, fields: fields.update(rt=fields["rd"])),
}


def generate(layout: Layout, seed: int, number: int) -> Case:
    """Case `number` of the run with `seed`."""
    for attempt in range(100):
        try:
            return Builder(layout, seed if attempt == 0 else f"{seed}.{attempt}", number).build()
        except _Exhausted:
            continue
    raise SequenceError(
        f"no valid case for layout {layout.name}, seed {seed}, number {number} in 100 attempts: "
        f"a row of the table needs operands that the builder cannot give; see OPERAND_RULES"
    )


__all__ = ["LEFT_OUT", "Case", "Step", "generate", "rows"]
