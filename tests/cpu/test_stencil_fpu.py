"""Tier E's arithmetic on the host's unit gives the bits of softfloat: results, FCSR and traps, on operands that meet
the boundaries of every guard in cpu/engine/hostfloat.py."""

from __future__ import annotations

import struct
from random import Random

import pytest

from cpu.isa import TABLE, Flow
from tests.cpu.core_rig import needs_stencil
from tests.cpu.fpu_rig import FPR, GPR, floating
from tests.cpu.row_loops import RowLoops

pytestmark = needs_stencil

ROWS = [
    row
    for row in TABLE.values()
    if row.unit == "fpu" and row.flow is Flow.PLAIN and row.meaning and {f.name for f in row.fields} & {"fs", "fd"}
    and not any(f.name in ("base", "rt", "rs") for f in row.fields)
]  # fmt: skip
BOUNDARIES = [
    (exponent << 52) | fraction
    for exponent in (0, 1, 2, 53, 54, 63, 64, 65, 127, 128, 129, 1022, 1023, 1075, 1076, 1084, 1085, 2045, 2046, 2047)
    for fraction in (0, 1, (1 << 52) - 1)
] + [0x7FEFFFFFFFFFFFFF, 0x7CA8000000000000, 0x8000000000000000, 0xFFEFFFFFFFFFFFFF]
BOUNDARIES_S = [
    (exponent << 23) | fraction for exponent in (0, 1, 2, 126, 127, 253, 254, 255) for fraction in (0, 1, (1 << 23) - 1)
]
INTEGERS = [1 << 53, (1 << 53) + 1, -(1 << 53), -(1 << 53) - 1, (1 << 63) - 1, -(1 << 63), (1 << 24) + 1, 1 << 31, -1]

LOOPS = RowLoops(
    ROWS,
    FPR | GPR,
    load="""
        ld      $t0, 0($a0)
        ldc1    $f2, 8($a0)
        ldc1    $f4, 16($a0)
        ldc1    $f6, 24($a0)
        ldc1    $f8, 32($a0)
        b       1f
        ctc1    $t0, $31
""",
    record_words=5,
    store="""
        cfc1    $t1, $31
        sdc1    $f8, 0($a1)
        sd      $t1, 8($a1)
""",
    result_words=2,
)


def operand(random: Random, near: int | None = None) -> int:
    kind = random.randrange(12)
    if kind == 0:
        return random.choice(BOUNDARIES) | random.getrandbits(1) << 63
    if kind == 1:
        return random.getrandbits(32) << 32 | random.choice(BOUNDARIES_S) | random.getrandbits(1) << 31
    if kind == 2:
        return random.choice(INTEGERS) & (1 << 64) - 1
    if kind < 5:
        return random.getrandbits(32) << 32 | floating(random, 32)
    if kind == 5:
        return struct.unpack("<Q", struct.pack("<d", random.uniform(-1e6, 1e6)))[0]
    return floating(random, 64, near)


def records(random: Random, count: int) -> bytes:
    data = bytearray()
    for _ in range(count):
        # Mostly the environment in which the host's unit is used.
        fcsr = random.choice((0, 0, 0, 0, 0x7C, 1 << 24, random.getrandbits(2), random.getrandbits(5) << 7))
        fs = operand(random)
        ft = operand(random, fs >> 52 & 0x7FF)
        fr = operand(random, fs >> 52 & 0x7FF)
        data += struct.pack("<5Q", fcsr | random.getrandbits(1) << 23, fs, ft, fr, random.getrandbits(64))
    return bytes(data)


def test_every_operation_agrees_with_softfloat():
    LOOPS.compare(records(Random(1), 1200), 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_every_operation_agrees_with_softfloat_for_long(seed):
    LOOPS.compare(records(Random(seed), 20_000), seed)
