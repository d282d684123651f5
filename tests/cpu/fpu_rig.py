"""One FPU instruction at a time, on the int backend and on qemu-mips64el: the same cases in, the same outcomes out.

QEMU runs a static program that reads records from standard input. A record loads the registers, jumps to a stub that
holds the instruction, and is answered by what the instruction left behind. SIGFPE lands behind the stub.
"""

from __future__ import annotations

import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cpu.isa.table import Instruction
from cpu.isa.values import GuestTrap, IntOperands

COMPILER = "mips64el-linux-gnuabi64-gcc"
QEMU = "qemu-mips64el"

# The registers that every encoding of the tests uses.
FPR = {"fs": 2, "ft": 4, "fr": 6, "fd": 8}
GPR = {"rd": 12, "rt": 12, "rs": 13, "base": 14, "index": 15}
BUFFER = 0x10000  # address of the 16 bytes of memory on the int backend; 16-byte aligned as in QEMU's program

PROGRAM = """
        .set noreorder
        .set noat
        .globl __start
        .text
__start:
        dla     $4, act
        dla     $5, trapped
        sd      $5, 8($4)
        move    $5, $4
        li      $4, 8                   # SIGFPE
        move    $6, $0
        li      $7, 16
        li      $2, 5013                # rt_sigaction
        syscall
        dla     $16, records
        dla     $17, answers
        move    $19, $29
        dla     $20, stubs
        move    $18, $16
1:      move    $4, $0
        move    $5, $18
        li      $6, 0x100000
        li      $2, 5000                # read
        syscall
        blez    $2, 2f
        nop
        b       1b
        daddu   $18, $18, $2
2:      beq     $16, $18, done
        nop
        ctc1    $0, $31
        ld      $8, 0($16)
        dsll    $8, $8, 4
        daddu   $8, $8, $20
        ldc1    $f8, 16($16)
        ldc1    $f2, 24($16)
        ldc1    $f4, 32($16)
        ldc1    $f6, 40($16)
        dla     $14, memory
        ld      $9, 56($16)
        sd      $9, 0($14)
        ld      $9, 64($16)
        sd      $9, 8($14)
        ld      $12, 48($16)
        ld      $13, 72($16)
        ld      $15, 80($16)
        ld      $9, 8($16)
        ctc1    $9, $31
        jalr    $8
        nop
        b       3f
        move    $10, $0
trapped:
        li      $10, 1
        move    $29, $19
3:      sdc1    $f8, 0($17)
        cfc1    $9, $31
        sd      $9, 8($17)
        sd      $12, 16($17)
        dla     $14, memory
        ld      $9, 0($14)
        sd      $9, 24($17)
        ld      $9, 8($14)
        sd      $9, 32($17)
        sd      $10, 40($17)
        daddiu  $17, $17, 48
        b       2b
        daddiu  $16, $16, 88
done:   dla     $18, answers
4:      beq     $18, $17, 5f
        li      $4, 1
        move    $5, $18
        dsubu   $6, $17, $18
        li      $2, 5001                # write
        syscall
        b       4b
        daddu   $18, $18, $2
5:      move    $4, $0
        li      $2, 5058                # exit
        syscall
        .align  4
stubs:
{stubs}
        .data
        .align  4
act:    .word   0x40000000, 0           # SA_NODEFER
        .dword  0, 0, 0
        .bss
        .align  4
memory: .space  16
        .align  4
records: .space {records}
        .space  0x100000
answers: .space {answers}
"""


def floating(rng: random.Random, width: int, near: int | None = None) -> int:
    """An encoding that is likely to meet a boundary of the arithmetic; `near` another operand's exponent field."""
    fraction, exponents = (23, 8) if width == 32 else (52, 11)
    top, bias, ones = (1 << exponents) - 1, (1 << (exponents - 1)) - 1, (1 << fraction) - 1
    exponent = rng.choice(
        [
            0,
            1,
            top - 1,
            top,
            bias,
            rng.randrange(top),
            bias + rng.randrange(-fraction - 3, fraction + 4),
            bias + rng.choice((31, 30, 63, 62)),
            (bias - fraction + rng.randrange(-12, 4)) % top,
            bias // 2 + rng.randrange(-2, 3),
            *([max(0, min(top - 1, near + rng.randrange(-3, 4)))] * 3 if near is not None else []),
            *([max(0, min(top - 1, near + rng.randrange(-fraction - 4, fraction + 5)))] if near is not None else []),
            *([(2 * bias - near + rng.randrange(-fraction - 4, 4)) % top] if near is not None else []),
        ]
    )
    bits = rng.choice(
        [
            0,
            1,
            ones,
            ones - 1,
            1 << (fraction - 1),
            (1 << (fraction - 1)) - 1,
            (1 << (fraction - 1)) + 1,
            rng.getrandbits(fraction),
            rng.getrandbits(fraction),
            ones & ~((1 << rng.randrange(fraction)) - 1),
            1 << rng.randrange(fraction),
            rng.getrandbits(fraction) & ~((1 << rng.randrange(fraction)) - 1),
        ]
    )
    return rng.getrandbits(1) << (width - 1) | exponent << fraction | bits


STUB = """\
        .word   {stub.word:#010x}
        jr      $31
        .word   {stub.then:#010x}
        nop"""


@dataclass(frozen=True)
class Stub:
    """One encoding: a row of the table with its fields that are not registers, and what QEMU executes behind it."""

    entry: Instruction
    fields: dict[str, int]
    then: int = 0

    @property
    def registers(self) -> dict[str, int]:
        # What the instruction writes or moves must be a register that the answer shows: $f8.
        shown = {name: 8 for name in shown_fields(self.entry)}
        return {f.name: (FPR | GPR | shown)[f.name] for f in self.entry.fields if f.is_register}

    @property
    def word(self) -> int:
        return self.entry.encode(**self.fields, **self.registers)

    def __str__(self) -> str:
        return f"{self.entry.syntax} {self.fields}"


def shown_fields(entry: Instruction) -> tuple[str, ...]:
    if entry.name in ("mtc1", "dmtc1", "mthc1"):
        return ("fs",)
    return ("ft",) if entry.mnemonic in ("lwc1", "ldc1", "gslwxc1", "gsldxc1") else ()


@dataclass(frozen=True)
class Case:
    stub: int
    fcsr: int
    fd: int
    fs: int
    ft: int
    fr: int
    rt: int
    memory: tuple[int, int]
    rs: int
    index: int

    def pack(self) -> bytes:
        return struct.pack(
            "<11Q",
            self.stub,
            self.fcsr,
            self.fd,
            self.fs,
            self.ft,
            self.fr,
            self.rt,
            *self.memory,
            self.rs,
            self.index,
        )


@dataclass(frozen=True)
class Outcome:
    fd: int
    fcsr: int
    rt: int
    memory: tuple[int, int]
    trapped: int

    def __str__(self) -> str:
        memory = " ".join(f"{m:#x}" for m in self.memory)
        return f"fd {self.fd:#018x} fcsr {self.fcsr:#010x} rt {self.rt:#x} memory {memory} trapped {self.trapped}"


class Machine:
    """The registers and sixteen bytes of memory that the int backend works on."""

    def __init__(self, case: Case):
        self.fpr = {2: case.fs, 4: case.ft, 6: case.fr, 8: case.fd}
        self.gpr = {12: case.rt, 13: case.rs, 14: BUFFER, 15: case.index}
        self.slots = {"fcsr": case.fcsr, "msacsr": 0}
        self.memory = bytearray(struct.pack("<2Q", *case.memory))

    def get(self, kind: str, number: int) -> int:
        return (self.fpr if kind == "fpr" else self.gpr)[number]

    def set(self, kind: str, number: int, value: int) -> None:
        (self.fpr if kind == "fpr" else self.gpr)[number] = value

    def slot(self, name: str) -> int:
        return self.slots[name]

    def set_slot(self, name: str, value: int) -> None:
        self.slots[name] = value

    def load(self, address: int, size: int, bad: int, aligned: bool, write: bool = False) -> int:
        at = address - BUFFER
        assert 0 <= at <= 16 - size
        return int.from_bytes(self.memory[at : at + size], "little")

    def store(self, address: int, size: int, value: int, bad: int, aligned: bool) -> None:
        at = address - BUFFER
        assert 0 <= at <= 16 - size
        self.memory[at : at + size] = value.to_bytes(size, "little")


def execute(stub: Stub, machine: Machine, exception: str = "FPE") -> int:
    """1 when the instruction raised `exception`, the only one it may raise."""
    try:
        stub.entry.meaning(IntOperands(machine, stub.entry.decode(stub.word)))
    except GuestTrap as trap:
        assert trap.code == exception
        return 1
    return 0


def run_int(stub: Stub, case: Case) -> Outcome:
    machine = Machine(case)
    trapped = execute(stub, machine)
    fcsr = machine.slots["fcsr"]
    return Outcome(machine.fpr[8], fcsr, machine.gpr[12], struct.unpack("<2Q", machine.memory), trapped)


def run_qemu(stubs: list[Stub], cases: list[Case], folder: Path) -> list[Outcome]:
    source, program = folder / "fpu.S", folder / "fpu"
    words = "\n".join(STUB.format(stub=stub) for stub in stubs)
    source.write_text(PROGRAM.format(stubs=words, records=88 * len(cases), answers=48 * len(cases)))
    options = "-mabi=64 -march=mips64r2 -static -nostdlib -mno-abicalls -fno-pic -G0 -Wl,-e,__start".split()
    subprocess.run([COMPILER, *options, str(source), "-o", str(program)], check=True)
    answered = subprocess.run(
        [QEMU, "-cpu", "Loongson-3A4000", str(program)],
        input=b"".join(case.pack() for case in cases),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert len(answered) == 48 * len(cases), "QEMU's program ended early"
    return [
        Outcome(fd, fcsr & 0xFFFFFFFF, rt, (m0, m1), trapped)
        for fd, fcsr, rt, m0, m1, trapped in struct.iter_unpack("<6Q", answered)
    ]
