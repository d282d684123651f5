"""Floating-point arithmetic with the NaN encoding of IEEE 754-2008, and the operations that only MSA has.

`H`, `S` and `D` (half, single, double) hold the routines of cpu/isa/softfloat.py and those below, in the same style. A
NaN with the quiet bit clear signals; the first signalling operand, made quiet, or else the first quiet one is the
result. Where FS replaces a tiny result by zero the flags are `FLUSHED` alone: the caller knows what to raise. FS leaves
operands alone here as well.

Source: IEEE 754-2008; the choice among several NaNs as qemu-mips64el does it (tests/cpu/test_differential.py).
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.softfloat import (
    DIVIDE_BY_ZERO,
    DOWN,
    INEXACT,
    INVALID,
    LEADING,
    OVERFLOW,
    Format,
    cases,
    conversion,
    integer_magnitude,
    shift_right_jam,
)

FLUSHED = 32
NOWHERE = -100_000  # exponent of a zero that is added to something


class Format2008(Format):
    """A format in the 2008 encoding."""

    flushed = FLUSHED

    def __init__(self, name: str, width: int, fraction: int):
        super().__init__(name, width, fraction)
        self.default_nan = self.infinity | self.quiet_bit
        for body in _BODIES:
            setattr(self, body.__name__, self._routine(body))

    def is_signalling(self, a):
        return self.is_nan(a) & ((a & self.quiet_bit) == 0)

    def is_subnormal(self, a):
        return self.magnitude(a).ult(self.hidden) & ~self.is_zero(a)

    def nan_case(self, *operands):
        nan, first = self.is_nan(operands[-1]), operands[-1]
        for a in reversed(operands[:-1]):
            nan, first = nan | self.is_nan(a), self.is_nan(a).choose(a, first)
        signalling = self.is_signalling(operands[-1])
        for a in reversed(operands):
            signalling, first = signalling | self.is_signalling(a), self.is_signalling(a).choose(a, first)
        return nan, first | self.quiet_bit, signalling.choose(INVALID, 0)

    def converted_nan(self, source: Format, a):
        fraction, shift = a & (source.hidden - 1), self.fraction - source.fraction
        payload = fraction << shift if shift >= 0 else fraction >> -shift
        return (source.sign(a) << (self.width - 1)) | self.infinity | self.quiet_bit | payload

    def order(self, a):
        """A signed number that orders all but NaNs, with -0 below +0."""
        return (self.sign(a) != 0).choose(~self.magnitude(a), self.magnitude(a))


_BODIES: list[Callable] = []


def _per_format(body: Callable) -> Callable:
    _BODIES.append(body)
    return body


def _shift_right_pair(high, low, count):
    """The two words high:low >> count (0 or more), with the lost bits' OR in bit 0; high is below 2^63."""
    far = count.ugt(63)
    high, low = far.choose(0, high), far.choose(high | (low != 0).value, low)
    count = far.choose(count - 64, count)
    count = count.ugt(63).choose(63, count)
    return high >> count, shift_right_jam(low, count) | ((high << 1) << (63 - count))


@_per_format
def fused(fmt, i, a, b, c, negate, fcsr):
    """c + a * b, or c - a * b when `negate` is 1, rounded once."""
    a, b, c = fmt.low(a), fmt.low(b), fmt.low(c)
    sign = fmt.sign(a) ^ fmt.sign(b) ^ negate
    exponent_a, x = fmt.normalised(a)
    exponent_b, y = fmt.normalised(b)
    exponent_c, z = fmt.normalised(c)
    # The product in two words, its leading one where c has it: bit 62 of the upper word.
    high, low = (x << 1).mulhi_u(y), (x << 1) * y
    small = high.ult(1 << LEADING)
    high, low = small.choose((high << 1) | (low >> 63), high), small.choose(low << 1, low)
    exponent = exponent_a + exponent_b - fmt.bias + (~small).value
    exponent = (high == 0).choose(NOWHERE, exponent)
    exponent_c = (z == 0).choose(NOWHERE, exponent_c)
    # The one with the smaller exponent is shifted right; equal exponents need the order of the significands.
    swap = exponent.slt(exponent_c) | (exponent == exponent_c) & high.ult(z)
    distance = swap.choose(exponent_c - exponent, exponent - exponent_c)
    big_high, big_low = swap.choose(z, high), swap.choose(0, low)
    high, low = _shift_right_pair(swap.choose(high, z), swap.choose(low, 0), distance)
    opposite = sign != fmt.sign(c)
    sum_low, difference_low = big_low + low, big_low - low
    total_low = opposite.choose(difference_low, sum_low)
    total_high = opposite.choose(big_high - high - big_low.ult(low).value, big_high + high + sum_low.ult(big_low).value)
    none = (total_high | total_low) == 0
    result_sign = (none & opposite).choose(((fcsr & 3) == DOWN).value, swap.choose(fmt.sign(c), sign))
    # The leading one back to bit 62 of one word.
    lower = total_high == 0
    upper, rest = lower.choose(total_low, total_high), lower.choose(0, total_low)
    zeros = upper.clz()
    left = (zeros == 0).choose(0, zeros - 1)
    significand = (upper << left) | ((rest >> 1) >> (63 - left))
    sticky = ((rest << left) != 0).value
    significand = (zeros == 0).choose((significand >> 1) | (significand & 1), significand) | sticky
    exponent = swap.choose(exponent_c, exponent) + 1 - zeros - lower.choose(64, 0)
    total = i.call(fmt.pack, result_sign, exponent, significand, fcsr)
    infinite = fmt.is_infinite(a) | fmt.is_infinite(b)
    undefined = infinite & (fmt.is_zero(a) | fmt.is_zero(b))
    nan, chosen, flags = fmt.nan_case(c, a, b)
    return cases(
        total,
        (fmt.is_infinite(c), c, 0),
        (infinite, (sign << (fmt.width - 1)) | fmt.infinity, 0),
        (infinite & fmt.is_infinite(c) & opposite, fmt.default_nan, INVALID),
        (undefined, fmt.default_nan, INVALID),
        (nan, chosen, flags | undefined.choose(INVALID, 0)),
    )


@_per_format
def scale(fmt, i, a, power, fcsr):
    """a * 2^power; the power is signed and below 2^16."""
    a = fmt.low(a)
    exponent, significand = fmt.normalised(a)
    exponent = exponent + power
    exponent = exponent.sgt(2 * fmt.top).choose(2 * fmt.top, exponent)
    scaled = i.call(fmt.pack, fmt.sign(a), exponent, significand, fcsr)
    return cases(scaled, (fmt.is_infinite(a), a, 0), fmt.nan_case(a))


@_per_format
def round_to_integral(fmt, i, a, fcsr):
    """a rounded to an integer in the same format."""
    a = fmt.low(a)
    integer, inexact, _ = integer_magnitude(fmt, i, a, fcsr & 3)
    whole, _ = i.call(fmt.from_integer, integer, fcsr)
    return cases(
        (whole | (fmt.sign(a) << (fmt.width - 1)), inexact.choose(INEXACT, 0)),
        (fmt.exponent(a).uge(fmt.bias + fmt.fraction), a, 0),
        fmt.nan_case(a),
    )


@_per_format
def binary_logarithm(fmt, i, a, fcsr):
    """The exponent of a as a number."""
    a = fmt.low(a)
    exponent, _ = fmt.normalised(a)
    return cases(
        i.call(fmt.from_integer, exponent - fmt.bias, fcsr),
        (fmt.is_infinite(a), a, 0),
        (fmt.sign(a) != 0, fmt.default_nan, INVALID),
        (fmt.is_zero(a), fmt.infinity | fmt.sign_bit, DIVIDE_BY_ZERO),
        fmt.nan_case(a),
    )


@_per_format
def extreme(fmt, i, a, b, largest, by_magnitude):
    """The smaller or, when `largest` is 1, the larger of a and b; of their magnitudes first when `by_magnitude` is 1.

    A quiet NaN loses against a number.
    """
    a, b = fmt.low(a), fmt.low(b)
    x, y = fmt.magnitude(a), fmt.magnitude(b)
    unsigned = (by_magnitude != 0) & (x != y)
    below = unsigned & x.ult(y) | ~unsigned & fmt.order(a).slt(fmt.order(b))
    chosen = (below ^ (largest != 0)).choose(a, b)
    quiet_a, quiet_b = fmt.is_nan(a) & ~fmt.is_signalling(a), fmt.is_nan(b) & ~fmt.is_signalling(b)
    nan, result, flags = fmt.nan_case(a, b)
    number = quiet_a & ~fmt.is_nan(b) | quiet_b & ~fmt.is_nan(a)
    return cases((chosen, 0), (nan, result, flags), (number, quiet_a.choose(b, a), 0))


@_per_format
def to_saturated(fmt, i, a, mode, width, unsigned):
    """a rounded by `mode` to an integer of `width` bits (16, 32 or 64); what does not fit is INVALID and becomes the
    nearest one that does, a NaN 0."""
    a = fmt.low(a)
    negative = fmt.sign(a) != 0
    integer, inexact, huge = integer_magnitude(fmt, i, a, mode)
    most = (i.const(1) << (width - 1)) - 1
    limit = (unsigned != 0).choose(negative.choose(0, (most << 1) | 1), most + fmt.sign(a))
    too_big = huge | integer.ugt(limit)
    integer = too_big.choose(limit, integer)
    return cases(
        (negative.choose(-integer, integer), inexact.choose(INEXACT, 0)),
        (too_big, negative.choose(-limit, limit), INVALID),
        (fmt.is_nan(a), 0, INVALID),
    )


@_per_format
def from_unsigned(fmt, i, a, fcsr):
    """The unsigned 64-bit integer a in this format."""
    zeros = a.clz()
    significand = (zeros == 0).choose(shift_right_jam(a, 1), a << (zeros - 1))
    return i.call(fmt.pack, i.const(0), fmt.bias + 63 - zeros, significand, fcsr)


@_per_format
def reciprocal(fmt, i, a, fcsr):
    """1 / a, which counts as an approximation: where it is a number it is INEXACT, and nothing else."""
    a = fmt.low(a)
    result, flags = i.call(fmt.div, i.const(fmt.one), a, fcsr)
    known = fmt.is_zero(a) | fmt.is_infinite(a) | fmt.is_nan(a)
    return result, known.choose(flags, INEXACT)


@_per_format
def reciprocal_root(fmt, i, a, fcsr):
    """1 / the root of a, likewise, rounded twice."""
    root, flags = i.call(fmt.sqrt, a, fcsr)
    result, more = i.call(fmt.reciprocal, root, fcsr)
    return result, flags | more


@_per_format
def to_fixed_point(fmt, i, a, fcsr):
    """a as Q15 or Q31, in half its width; what does not fit is OVERFLOW, and INEXACT."""
    width = fmt.width // 2
    larger, _ = i.call(fmt.scale, a, i.const(width - 1), fcsr)
    number, flags = i.call(fmt.to_saturated, larger, fcsr & 3, i.const(width), i.const(0))
    too_big = (flags == INVALID) & ~fmt.is_nan(fmt.low(a))
    return number, too_big.choose(OVERFLOW | INEXACT, flags)


H = Format2008("h2008", 16, 10)
S = Format2008("s2008", 32, 23)
D = Format2008("d2008", 64, 52)
H_TO_S, S_TO_H = conversion(H, S), conversion(S, H)
S_TO_D, D_TO_S = conversion(S, D), conversion(D, S)
S.from_other, D.from_other = D_TO_S, S_TO_D
S.from_half, S.to_half = H_TO_S, S_TO_H
