"""Tier E's vectors on the host's unit give the bits of softfloat: results, MSACSR and traps, on operands that meet the
boundaries of every guard in cpu/engine/hostvector.py, in one element among ordinary ones or in all."""

from __future__ import annotations

import re
import struct
from random import Random

import pytest

from cpu.isa import TABLE
from cpu.isa.softfloat2008 import D, Format2008, S
from tests.cpu.core_rig import needs_stencil
from tests.cpu.fpu_rig import floating
from tests.cpu.row_loops import RowLoops

pytestmark = needs_stencil

REGISTERS = {"ws": 2, "wt": 4, "wd": 8}
ROWS = [
    row
    for row in TABLE.values()
    if row.unit == "msa" and re.fullmatch(r"f.*\.[hwd]", row.name) and {f.name for f in row.fields} <= set(REGISTERS)
]
LOOPS = RowLoops(
    ROWS,
    REGISTERS,
    load="""
        ld      $t0, 0($a0)
        ld.d    $w2, 8($a0)
        ld.d    $w4, 24($a0)
        ld.d    $w8, 40($a0)
        b       1f
        ctcmsa  $1, $t0
""",
    record_words=7,
    store="""
        cfcmsa  $t1, $1
        st.d    $w8, 0($a1)
        sd      $t1, 16($a1)
""",
    result_words=3,
    cp0={"config5_msaen": 1},
)
NUMBERS = {S: "<f", D: "<d"}
# Where half precision, Q15 and Q31 end, and numbers of them begin to be rounded.
NARROW = {S: (65504.0, 65520.0, 65536.0, 2.0**-14, 2.0**-24, 1.0, 1 - 2.0**-16), D: (1.0, 1 - 2.0**-32, 0.5, 2.0**-32)}
# Exponents of products at which a guard begins or ends.
ENDS = {S: (1, 2, 3, S.top - 2, S.top - 1, S.top), D: (1, 2, 63, 64, 65, D.top - 4, D.top - 3, D.top - 2, D.top - 1)}
INTEGERS = {
    fmt: [
        sign * (1 << power) + more for power in (0, *powers, fmt.width - 1) for more in (-1, 0, 1) for sign in (1, -1)
    ]
    for fmt, powers in {S: (24, 29, 30, 31), D: (53, 61, 62, 63)}.items()
}


def encoding(fmt: Format2008, number: float) -> int:
    return int.from_bytes(struct.pack(NUMBERS[fmt], number), "little")


def ordinary(random: Random, fmt: Format2008) -> float:
    """A number whose sums and products with others like it are often exact."""
    bits = random.choice((2, 8, fmt.fraction // 2, fmt.fraction))
    return random.randrange(-(1 << bits), 1 << bits) * 2.0 ** random.randrange(-8, 9)


def small(random: Random, fmt: Format2008) -> tuple[int, int, int]:
    """Elements of Q15 or Q31, some of them halfway between two."""
    bits = fmt.width // 2 + 1
    return tuple(encoding(fmt, random.randrange(1 - (1 << bits), 1 << bits) * 2.0**-bits) for _ in range(3))


def scaled(random: Random, fmt: Format2008) -> tuple[int, int, int]:
    """Elements whose second one is an integer: the power of FEXP2."""
    a, _, c = lanes(random, fmt)
    return a, random.randrange(-20, 20) % (1 << fmt.width), c


def lanes(random: Random, fmt: Format2008) -> tuple[int, int, int]:
    """Elements of ws, wt, wd."""
    a, b = ordinary(random, fmt), ordinary(random, fmt)
    c = random.choice((ordinary(random, fmt), 0.0, a * b, -a * b))
    near = random.choice((0, 0, -1, 1)) if c else 0
    return encoding(fmt, a), encoding(fmt, b), encoding(fmt, c) + near


def wild(random: Random, fmt: Format2008) -> tuple[int, int, int]:
    kind = random.randrange(6)
    if kind == 0:
        return tuple(random.choice(INTEGERS[fmt]) % (1 << fmt.width) for _ in range(3))
    if kind == 1:
        return tuple(encoding(fmt, random.choice(NARROW[fmt])) + random.choice((-1, 0, 1)) for _ in range(3))
    a = floating(random, fmt.width)
    exponent = a >> fmt.fraction & fmt.top
    if kind == 2:
        power = random.choice((0, 1, 2, fmt.top - 2, fmt.top - 1, fmt.top)) - exponent
        return a, power % (1 << fmt.width), floating(random, fmt.width)
    b = floating(random, fmt.width, exponent)
    if random.randrange(2):
        other = max(0, min(fmt.top - 1, random.choice(ENDS[fmt]) + fmt.bias - exponent))
        b = b & ~fmt.infinity | other << fmt.fraction
    return a, b, floating(random, fmt.width, random.choice((exponent, b >> fmt.fraction & fmt.top)))


def records(random: Random, count: int) -> bytes:
    data = bytearray()
    for _ in range(count):
        # Mostly the environment in which the host's unit is used.
        enables = random.getrandbits(5) << 7 | random.getrandbits(1) << 18
        msacsr = random.choice((0, 0, 0, 0, 0, 0x7C, 1 << 24, random.getrandbits(2), enables))
        fmt = random.choice((S, D))
        count = 128 // fmt.width
        strange = random.choice((0, 0, 1, 1, count))
        usual = random.choice((lanes, lanes, small, scaled))
        elements = [wild(random, fmt) for _ in range(strange)] + [usual(random, fmt) for _ in range(count - strange)]
        random.shuffle(elements)
        data += struct.pack("<Q", msacsr)
        for register in zip(*elements, strict=True):
            data += b"".join(element.to_bytes(fmt.width // 8, "little") for element in register)
    return bytes(data)


def test_every_operation_agrees_with_softfloat():
    LOOPS.compare(records(Random(1), 5000), 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_every_operation_agrees_with_softfloat_for_long(seed):
    LOOPS.compare(records(Random(seed), 20_000), seed)
