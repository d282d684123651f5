"""Values that random cases start from: mostly the ones at which something changes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np

M64 = (1 << 64) - 1

EDGES = sorted(
    {
        (sign * (base + delta)) & M64
        for base in (0, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 33, 1 << 47, 1 << 62, 1 << 63)
        for delta in (-1, 0, 1)
        for sign in (1, -1)
    }
)


def integer(random: Random) -> int:
    """A 64-bit value."""
    kind = random.randrange(8)
    if kind < 3:
        return random.choice(EDGES)
    if kind == 3:
        return 1 << random.randrange(64)
    if kind == 4:
        return random.getrandbits(random.randrange(1, 65))
    if kind == 5:
        return -random.getrandbits(random.randrange(1, 64)) & M64
    if kind == 6:
        return double(random)
    return random.getrandbits(64)


def word(random: Random) -> int:
    """A sign-extended 32-bit value."""
    low = random.choice(EDGES) if random.randrange(2) else random.getrandbits(random.randrange(1, 33))
    low &= 0xFFFFFFFF
    return (low - (low >> 31 << 32)) & M64


def _pattern(random: Random, exponent_bits: int, fraction_bits: int) -> int:
    """A floating-point bit pattern: zeros, infinities, NaNs of both kinds, subnormals, limits, near 1, integers."""
    top, bias = (1 << exponent_bits) - 1, (1 << exponent_bits - 1) - 1
    ones, quiet = (1 << fraction_bits) - 1, 1 << fraction_bits - 1
    sign = random.getrandbits(1) << exponent_bits + fraction_bits
    fraction = random.choice((0, 1, 2, ones, ones - 1, quiet, quiet - 1, quiet + 1, random.getrandbits(fraction_bits)))
    kind = random.randrange(12)
    if kind == 0:
        return sign
    if kind == 1:
        return sign | top << fraction_bits
    if kind == 2:
        return sign | top << fraction_bits | (fraction or 1)
    if kind == 3:
        return sign | fraction
    if kind == 4:
        return sign | random.choice((1, 2, top - 1, top - 2)) << fraction_bits | fraction
    if kind == 5:
        # Halves and integers, where conversions round.
        whole = random.getrandbits(random.randrange(1, 10)) * 2 + random.getrandbits(1)
        length = whole.bit_length() - 1 if whole else 0
        fraction = (whole << fraction_bits - length) & ones if whole else 0
        return sign | (bias + length - 1 if whole else 0) << fraction_bits | fraction
    if kind < 9:
        # Around the limits of 32-bit and 64-bit integers, and of the neighbouring format.
        near = random.choice((0, 0, 23, 24, 30, 31, 32, 52, 53, 62, 63, 64, 126, 127, -22, -23, -24, -125, -126, -149))
        exponent = min(max(bias + near + random.randrange(-2, 3), 1), top - 1)
        return sign | exponent << fraction_bits | fraction
    if kind == 9:
        return sign | (bias + random.randrange(-3, 4)) << fraction_bits | random.getrandbits(fraction_bits)
    return random.getrandbits(1 + exponent_bits + fraction_bits)


def half(random: Random) -> int:
    """A 16-bit floating-point pattern."""
    return _pattern(random, 5, 10)


def single(random: Random) -> int:
    """A 32-bit floating-point pattern."""
    return _pattern(random, 8, 23)


def double(random: Random) -> int:
    """A 64-bit floating-point pattern."""
    return _pattern(random, 11, 52)


def float_register(random: Random) -> int:
    """The content of an FPR: a double, a pair of singles, a word or a long."""
    kind = random.randrange(8)
    if kind < 3:
        return double(random)
    if kind < 6:
        return single(random) | single(random) << 32
    if kind == 6:
        value = random.randrange(-1000, 1000)
        return struct.unpack("<Q", struct.pack("<d", value / random.choice((1, 2, 3, 1 << 20))))[0]
    return integer(random)


def vector_register(random: Random) -> int:
    """The 128 bits of an MSA register: elements of one format, mostly special ones."""
    kind = random.randrange(8)
    if kind < 2:
        return float_register(random) | float_register(random) << 64
    if kind < 5:
        width, element = random.choice(((16, half), (32, single), (64, double)))
        return sum(element(random) << at for at in range(0, 128, width))
    if kind == 5:
        return random.getrandbits(128)
    width = random.choice((8, 16, 32, 64))
    top = 1 << (width - 1)
    special = (0, 1, -1, 2, -2, top, top - 1, top + 1, top >> 1, random.getrandbits(width), random.getrandbits(width))
    return sum((random.choice(special) & ((1 << width) - 1)) << at for at in range(0, 128, width))


STOCK = 1 << 14


@cache
def stock(draw: Callable[[Random], int]) -> tuple[int, ...]:
    """Values of one pool, drawn once: a case that needs many takes them from here."""
    random = Random(draw.__name__)
    return tuple(draw(random) for _ in range(STOCK))


@cache
def stock_array(draw: Callable[[Random], int]) -> np.ndarray:
    """The same as 64-bit numbers; of a vector register two in a row."""
    values = stock(draw)
    if max(values) > M64:
        return np.array([(value & M64, value >> 64) for value in values], np.uint64)
    return np.array(values, np.uint64)
