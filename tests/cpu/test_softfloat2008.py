"""The arithmetic that only MSA has, against exact rationals and the host; NaNs in the 2008 encoding."""

from __future__ import annotations

import random
import struct
from fractions import Fraction

import pytest

from cpu.isa.softfloat import (
    DIVIDE_BY_ZERO,
    DOWN,
    INEXACT,
    INVALID,
    NEAREST,
    OVERFLOW,
    TOWARD_ZERO,
    UNDERFLOW,
    UP,
)
from cpu.isa.softfloat2008 import FLUSHED, H_TO_S, S_TO_H, D, Format2008, H, S
from tests.cpu.fpu_rig import floating
from tests.cpu.test_softfloat import exact, run

FS = 1 << 24
FORMATS = pytest.mark.parametrize("fmt", [S, D], ids=["single", "double"])


def rounded(fmt: Format2008, x: Fraction, mode: int) -> int:
    """The encoding of x rounded by `mode`; 0 is positive."""
    sign, size = fmt.sign_bit if x < 0 else 0, abs(x)
    if not size:
        return 0
    power = size.numerator.bit_length() - size.denominator.bit_length()
    power -= size < Fraction(2) ** power
    power = max(power, 1 - fmt.bias)
    units = size / Fraction(2) ** (power - fmt.fraction)
    whole, lost = units.numerator // units.denominator, units % 1
    up = {NEAREST: lost > Fraction(1, 2) or (lost == Fraction(1, 2) and whole & 1), TOWARD_ZERO: False}
    up |= {UP: lost and not sign, DOWN: lost and bool(sign)}
    bits = whole + bool(up[mode]) + ((power + fmt.bias - 1) << fmt.fraction)
    if bits >= fmt.infinity:
        inward = mode == TOWARD_ZERO or (mode == UP and sign) or (mode == DOWN and not sign)
        bits = fmt.largest if inward else fmt.infinity
    return bits | sign


def number(rng: random.Random, fmt: Format2008, near: int | None = None) -> int:
    while True:
        a = floating(rng, fmt.width, near)
        if fmt.infinity > a & (fmt.sign_bit - 1):
            return a


@FORMATS
def test_a_fused_sum_is_the_exact_one_rounded(fmt):
    rng, cancelled = random.Random(fmt.width), 0
    for _ in range(2500):
        mode, negate = rng.randrange(4), rng.getrandbits(1)
        a, b = number(rng, fmt), number(rng, fmt)
        product = exact(fmt, a) * exact(fmt, b) * (-1 if negate else 1)
        c = number(rng, fmt)
        if rng.randrange(2):  # so near to the product that much of the sum cancels
            c = rounded(fmt, -product, rng.randrange(4))
            c = max(0, min((c & (fmt.sign_bit - 1)) + rng.randrange(-3, 4), fmt.largest)) | c & fmt.sign_bit
        wanted = product + exact(fmt, c)
        got, flags = run(fmt.fused, a, b, c, negate, mode)
        if wanted:
            assert got == rounded(fmt, wanted, mode), (hex(a), hex(b), hex(c), negate, mode)
            cancelled += abs(wanted) * 2**20 < abs(exact(fmt, c))
            inexact = got & (fmt.sign_bit - 1) == fmt.infinity or exact(fmt, got) != wanted
            assert bool(flags & INEXACT) == inexact
        else:
            assert exact(fmt, got) == 0 and flags == 0
    assert cancelled > 200


@FORMATS
def test_signs_of_a_fused_zero(fmt):
    minus = fmt.sign_bit
    for mode in range(4):
        assert run(fmt.fused, fmt.one, fmt.one, fmt.one | minus, 0, mode) == (minus if mode == DOWN else 0, 0)
        assert run(fmt.fused, minus, fmt.one, minus, 0, mode) == (minus, 0)
        assert run(fmt.fused, 0, fmt.one, 0, 1, mode) == (minus if mode == DOWN else 0, 0)


@FORMATS
def test_special_operands_of_a_fused_sum(fmt):
    quiet, signalling = fmt.infinity | fmt.quiet_bit | 5, fmt.infinity | 7
    infinity, minus = fmt.infinity, fmt.infinity | fmt.sign_bit
    assert run(fmt.fused, infinity, fmt.one, minus, 0, 0) == (fmt.default_nan, INVALID)
    assert run(fmt.fused, infinity, fmt.one, infinity, 1, 0) == (fmt.default_nan, INVALID)
    assert run(fmt.fused, infinity, 0, fmt.one, 0, 0) == (fmt.default_nan, INVALID)
    assert run(fmt.fused, infinity, 0, quiet, 0, 0) == (quiet, INVALID)
    assert run(fmt.fused, infinity, fmt.one, fmt.one, 1, 0) == (minus, 0)
    assert run(fmt.fused, quiet, fmt.one, signalling, 0, 0) == (signalling | fmt.quiet_bit, INVALID)
    assert run(fmt.fused, quiet | 2, fmt.one, quiet, 0, 0) == (quiet, 0)


@FORMATS
def test_scaling_is_exact_until_it_rounds(fmt):
    rng = random.Random(3)
    for _ in range(500):
        a, power, mode = number(rng, fmt), rng.randrange(-2 * fmt.top, 2 * fmt.top), rng.randrange(4)
        wanted = rounded(fmt, exact(fmt, a) * Fraction(2) ** power, mode) or a & fmt.sign_bit
        assert run(fmt.scale, a, power, mode)[0] == wanted


@FORMATS
def test_rounding_to_an_integer_keeps_sign_and_format(fmt):
    rng = random.Random(4)
    for _ in range(500):
        a, mode = number(rng, fmt), rng.randrange(4)
        x = exact(fmt, a)
        whole = {NEAREST: round(x), TOWARD_ZERO: int(x), UP: -(-x // 1), DOWN: x // 1}[mode]
        wanted = rounded(fmt, Fraction(whole), mode) & ~fmt.sign_bit | a & fmt.sign_bit
        assert run(fmt.round_to_integral, a, mode) == (wanted, INEXACT if whole != x else 0)


@FORMATS
@pytest.mark.parametrize("unsigned", [0, 1])
def test_conversion_to_integers_saturates(fmt, unsigned):
    rng, width = random.Random(5), fmt.width
    least, most = (0, (1 << width) - 1) if unsigned else (-(1 << width - 1), (1 << width - 1) - 1)
    for _ in range(500):
        a = number(rng, fmt)
        whole = round(exact(fmt, a))
        clamped = min(max(whole, least), most)
        flags = INVALID if clamped != whole else INEXACT if whole != exact(fmt, a) else 0
        assert run(fmt.to_saturated, a, NEAREST, width, unsigned) == (clamped % (1 << 64), flags)
    assert run(fmt.to_saturated, fmt.default_nan, NEAREST, width, unsigned) == (0, INVALID)


@FORMATS
def test_unsigned_integers_round_like_rationals(fmt):
    rng = random.Random(6)
    for _ in range(500):
        n, mode = (
            rng.getrandbits(rng.choice((64, 64, rng.randrange(1, 64)))) | rng.getrandbits(1) << 63,
            rng.randrange(4),
        )
        assert run(fmt.from_unsigned, n, mode)[0] == rounded(fmt, Fraction(n), mode)


@FORMATS
def test_the_logarithm_is_the_exponent(fmt):
    for power in (-fmt.bias - fmt.fraction + 1, -fmt.bias, -1, 0, 1, fmt.bias):
        a = rounded(fmt, Fraction(2) ** power, NEAREST)
        assert run(fmt.binary_logarithm, a, 0) == (rounded(fmt, Fraction(power), NEAREST), 0)
        if power > 1 - fmt.bias:
            assert run(fmt.binary_logarithm, a + fmt.hidden - 1, 0)[0] == rounded(fmt, Fraction(power), NEAREST)
    assert run(fmt.binary_logarithm, fmt.sign_bit, 0) == (fmt.infinity | fmt.sign_bit, DIVIDE_BY_ZERO)
    assert run(fmt.binary_logarithm, fmt.one | fmt.sign_bit, 0) == (fmt.default_nan, INVALID)


@FORMATS
def test_extremes_prefer_numbers_to_quiet_nans_and_know_signs_of_zero(fmt):
    minus, quiet = fmt.sign_bit, fmt.default_nan | 1
    assert [run(fmt.extreme, 0, minus, largest, 0)[0] for largest in (0, 1)] == [minus, 0]
    assert [run(fmt.extreme, minus | fmt.one, fmt.one + 1, largest, 1)[0] for largest in (0, 1)] == [
        minus | fmt.one,
        fmt.one + 1,
    ]
    assert [run(fmt.extreme, fmt.one, minus | fmt.one, largest, 1)[0] for largest in (0, 1)] == [
        minus | fmt.one,
        fmt.one,
    ]
    assert run(fmt.extreme, quiet, fmt.one, 0, 0) == run(fmt.extreme, fmt.one, quiet, 1, 1) == (fmt.one, 0)
    assert run(fmt.extreme, fmt.one, fmt.infinity | 1, 0, 0) == (fmt.infinity | fmt.quiet_bit | 1, INVALID)


def test_half_precision_converts_like_the_host():
    for bits in range(0, 0x7C00, 7):
        (x,) = struct.unpack("<e", struct.pack("<H", bits))
        (single,) = struct.unpack("<I", struct.pack("<f", x))
        assert run(H_TO_S, bits, 0) == (single, 0)
        assert run(S_TO_H, single, 0) == (bits, 0)
        above = single + 1
        assert run(S_TO_H, above, UP)[0] == bits + 1
        assert run(S_TO_H, above, DOWN)[0] == bits
    assert run(S_TO_H, 0x7FC12345, 0) == (0x7E09, 0), "the payload's upper bits"
    assert run(H_TO_S, 0x7C01, 0) == (0x7FC02000, INVALID)
    assert run(S_TO_H, 0x477FF000, NEAREST) == (H.infinity, OVERFLOW | INEXACT)


@FORMATS
def test_flushing_says_so_unless_the_result_is_exactly_zero(fmt):
    assert run(fmt.mul, fmt.hidden, fmt.one - 1, FS) == (0, FLUSHED)
    assert run(fmt.mul, fmt.hidden, fmt.one - 1, 0) == (fmt.hidden, UNDERFLOW | INEXACT)
    assert run(fmt.add, fmt.one, fmt.one, 1, FS) == (0, 0)
