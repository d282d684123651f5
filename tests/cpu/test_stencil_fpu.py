"""Tier E's arithmetic on the host's unit gives the bits of softfloat: results, FCSR and traps, on operands that meet
the boundaries of every guard in cpu/engine/hostfloat.py."""

from __future__ import annotations

import struct
from random import Random

import pytest

from cpu.engine import shared
from cpu.isa import TABLE, Flow
from tests.cpu.core_rig import KSEG0, STATUS, Rig, needs_stencil, physical
from tests.cpu.fpu_rig import FPR, GPR, floating

pytestmark = needs_stencil

ROWS = [
    row
    for row in TABLE.values()
    if row.unit == "fpu" and row.flow is Flow.PLAIN and row.meaning and {f.name for f in row.fields} & {"fs", "fd"}
    and not any(f.name in ("base", "rt", "rs") for f in row.fields)
]  # fmt: skip
RECORDS, RESULTS = KSEG0 + 0x10_0000, KSEG0 + 0x20_0000
RECORD, RESULT = 40, 16
BOUNDARIES = [
    (exponent << 52) | fraction
    for exponent in (0, 1, 2, 53, 54, 63, 64, 65, 127, 128, 129, 1022, 1023, 1075, 1076, 1084, 1085, 2045, 2046, 2047)
    for fraction in (0, 1, (1 << 52) - 1)
] + [0x7FEFFFFFFFFFFFFF, 0x7CA8000000000000, 0x8000000000000000, 0xFFEFFFFFFFFFFFFF]
BOUNDARIES_S = [
    (exponent << 23) | fraction for exponent in (0, 1, 2, 126, 127, 253, 254, 255) for fraction in (0, 1, (1 << 23) - 1)
]
INTEGERS = [1 << 53, (1 << 53) + 1, -(1 << 53), -(1 << 53) - 1, (1 << 63) - 1, -(1 << 63), (1 << 24) + 1, 1 << 31, -1]

HANDLER = """
        .org 0x180
        dmfc0   $k1, $epc               # an enabled exception: the result stays as it was
        daddiu  $k1, $k1, 4
        dmtc0   $k1, $epc
        eret
"""
LOOP = """
        ld      $t0, 0($a0)
        ldc1    $f2, 8($a0)
        ldc1    $f4, 16($a0)
        ldc1    $f6, 24($a0)
        ldc1    $f8, 32($a0)
        b       1f
        ctc1    $t0, $31
1:      .word   {word}
        b       2f
        nop
2:      cfc1    $t1, $31
        sdc1    $f8, 0($a1)
        sd      $t1, 8($a1)
        daddiu  $a0, $a0, {record}
        daddiu  $a2, $a2, -1
        bnez    $a2, {label}
        daddiu  $a1, $a1, {result}
"""


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


def results(tier: str, data: bytes, seed: int) -> list[bytes]:
    """For each row, what its loop over all records left in memory."""
    rig = Rig(tier, hot_after=0)
    rig.load(HANDLER, KSEG0)
    rig.memory.write(physical(RECORDS), data)
    count, found = len(data) // RECORD, []
    for number, row in enumerate(ROWS):
        others = {f.name: Random(f"{seed} {number}").getrandbits(f.width) for f in row.fields if not f.is_register}
        word = row.encode(**{f.name: (FPR | GPR)[f.name] for f in row.fields if f.is_register}, **others)
        text = LOOP.format(word=word, record=RECORD, result=RESULT, label=f"L{number}")
        rig.set(rig.load(f"L{number}:{text}\n wait 0").entry, STATUS, a0=RECORDS, a1=RESULTS, a2=count)
        rig.finish(100 * count)
        found.append(rig.memory.read(physical(RESULTS), RESULT * count))
    if tier == "stencil":
        assert rig.memory.shared[shared.BLOCKS_TRANSLATED] >= len(ROWS)
    return found


def compare(seed: int, count: int) -> None:
    data = records(Random(seed), count)
    for row, ours, theirs in zip(ROWS, results("stencil", data, seed), results("threaded", data, seed), strict=True):
        for k in range(count):
            at = slice(k * RESULT, (k + 1) * RESULT)
            if ours[at] != theirs[at]:
                given = struct.unpack_from("<5Q", data, k * RECORD)
                shown = [struct.unpack("<2Q", side[at]) for side in (ours, theirs)]
                pytest.fail(
                    f"{row.name} of fcsr, fs, ft, fr, fd = {[hex(v) for v in given]}: fd, fcsr = "
                    f"{[hex(v) for v in shown[0]]}, softfloat says {[hex(v) for v in shown[1]]}"
                )


def test_every_operation_agrees_with_softfloat():
    compare(1, 1200)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_every_operation_agrees_with_softfloat_for_long(seed):
    compare(seed, 20_000)
