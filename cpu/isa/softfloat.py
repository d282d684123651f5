"""IEEE 754 arithmetic on integer values: the scalar FPU's operations as routines of the value language.

`S` (single) and `D` (double) hold the same routines. An operand is the encoding in the low bits of a value, what stands
above a single is ignored, and a result has zeros there. Routines that round take FCSR (rounding mode in bits 1:0, FS in
bit 24) and return (result, flags); flags have the order of FCSR's five-bit fields: `INVALID` to `INEXACT`.

The NaN encoding is legacy MIPS: a NaN with the quiet bit *set* signals. Any NaN operand gives the default NaN,
conversions included. Tininess is detected after rounding; underflow is raised only when inexact; FS
replaces a result that is subnormal before rounding by a zero of its sign, without flags, and leaves operands alone.

Source: IEEE 754-2008; MIPS Architecture For Programmers, volume I-A (MD00083), chapter 6; NaN selection and FS as
qemu-mips64el -cpu Loongson-3A4000 does them (tests/cpu/test_fpu_qemu.py).
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.values import routine

INVALID, DIVIDE_BY_ZERO, OVERFLOW, UNDERFLOW, INEXACT = 16, 8, 4, 2, 1
NEAREST, TOWARD_ZERO, UP, DOWN = range(4)
UNORDERED, EQUAL, LESS = 1, 2, 4  # relations, as the low bits of a C.cond condition

FCSR_FS = 24
LEADING = 62  # where the leading one of a normalised significand stands; bit 63 catches the carry of rounding
ROOT_BITS = 28  # bits of the root that the digit recurrence gives


class Format:
    """A binary floating-point format of `width` bits, `fraction` of them the fraction; exponents are kept biased."""

    flushed = 0  # what `pack` returns as flags when FS replaces a result

    def __init__(self, name: str, width: int, fraction: int):
        self.name = name
        self.width = width
        self.fraction = fraction
        self.top = (1 << (width - fraction - 1)) - 1  # exponent field of infinities and NaNs
        self.bias = self.top >> 1
        self.hidden = 1 << fraction
        self.infinity = self.top << fraction
        self.largest = self.infinity - 1
        self.sign_bit = 1 << (width - 1)
        self.quiet_bit = self.hidden >> 1
        self.default_nan = self.infinity | (self.quiet_bit - 1)
        self.one = self.bias << fraction
        for body in _BODIES:
            setattr(self, body.__name__, self._routine(body))

    def _routine(self, body: Callable) -> Callable:
        @routine
        def shared(i, *values):
            return body(self, i, *values)

        shared.__name__ = f"{body.__name__}_{self.name}"
        return shared

    def low(self, a):
        return a.zext(self.width) if self.width < 64 else a

    def sign(self, a):
        return a.bits(self.width - 1, 1)

    def magnitude(self, a):
        return a & (self.sign_bit - 1)

    def exponent(self, a):
        """The exponent field, with 1 for subnormals, whose significand has no hidden one."""
        field = a.bits(self.fraction, self.width - self.fraction - 1)
        return field + (field == 0).value

    def significand(self, a):
        fraction = a & (self.hidden - 1)
        return (self.magnitude(a).uge(self.hidden)).choose(fraction | self.hidden, fraction)

    def normalised(self, a):
        """(exponent, significand with its leading one at LEADING); a zero has significand 0."""
        raw = self.significand(a)
        zeros = raw.clz()
        return self.exponent(a) + (63 - self.fraction) - zeros, raw << (zeros - (63 - LEADING))

    def is_nan(self, a):
        return self.magnitude(a).ugt(self.infinity)

    def is_infinite(self, a):
        return self.magnitude(a) == self.infinity

    def is_zero(self, a):
        return self.magnitude(a) == 0

    def is_signalling(self, a):
        return self.is_nan(a) & ((a & self.quiet_bit) != 0)

    def nan_case(self, *operands):
        """(is one of them a NaN, the NaN that results, flags)."""
        nan, signalling = self.is_nan(operands[0]), self.is_signalling(operands[0])
        for operand in operands[1:]:
            nan, signalling = nan | self.is_nan(operand), signalling | self.is_signalling(operand)
        return nan, self.default_nan, signalling.choose(INVALID, 0)

    def converted_nan(self, source: Format, a):
        """What the NaN `a` of another format becomes in this one."""
        return self.default_nan


_BODIES: list[Callable] = []


def _per_format(body: Callable) -> Callable:
    _BODIES.append(body)
    return body


def cases(general, *special):
    """The (result, flags) of the last (condition, result, flags) that holds, else `general`."""
    result, flags = general
    for condition, special_result, special_flags in special:
        result = condition.choose(special_result, result)
        flags = condition.choose(special_flags, flags)
    return result, flags


def shift_right_jam(a, count):
    """a >> count (0 to 63), with the lost bits' OR in bit 0."""
    kept = a >> count
    return kept | ((kept << count) != a).value


def _rounding(mode, sign, unit: int):
    """What to add below the last bit kept, `unit`, before truncating (ties to even are put right afterwards)."""
    away = (mode == UP) & (sign == 0) | (mode == DOWN) & (sign != 0)
    return (mode == NEAREST).choose(unit >> 1, away.choose(unit - 1, 0))


@_per_format
def pack(fmt, i, sign, exponent, significand, fcsr):
    """Rounds significand * 2^(exponent - bias - LEADING); the significand is 0 or normalised, its bit 0 sticky."""
    unit = 1 << (LEADING - fmt.fraction)
    increment = _rounding(fcsr & 3, sign, unit)
    below = exponent.slt(1)
    carries = (significand + increment).uge(1 << (LEADING + 1))
    tiny = exponent.slt(0) | (exponent == 0) & ~carries
    shift = below.choose(1 - exponent, 0)
    shift = shift.ugt(63).choose(63, shift)
    shifted = shift_right_jam(significand, shift)
    lost = shifted & (unit - 1)
    rounded = (shifted + increment) >> (LEADING - fmt.fraction)
    tie = (lost == unit >> 1) & ((fcsr & 3) == NEAREST)
    rounded = rounded & ~tie.value
    # The hidden one adds 1 to the exponent field, and so does a carry out of the fraction.
    base = below.choose(0, exponent - 1)
    packed = (significand == 0).choose(0, (base << fmt.fraction) + rounded)
    inexact = lost != 0
    flags = inexact.choose(tiny.choose(UNDERFLOW | INEXACT, INEXACT), 0)
    too_big = packed.uge(fmt.infinity)
    flush = below & ((fcsr & (1 << FCSR_FS)) != 0)
    packed, flags = cases(
        (packed, flags),
        (too_big, (increment == 0).choose(fmt.largest, fmt.infinity), OVERFLOW | INEXACT),
        (flush & (significand != 0), 0, fmt.flushed),
    )
    return packed | (sign << (fmt.width - 1)), flags


@_per_format
def add(fmt, i, a, b, subtract, fcsr):
    """a + b, or a - b when `subtract` is 1."""
    a, b = fmt.low(a), fmt.low(b)
    added = b ^ (subtract << (fmt.width - 1))
    swap = fmt.magnitude(a).ult(fmt.magnitude(b))
    big, small = swap.choose(added, a), swap.choose(a, added)
    # One bit of headroom under LEADING for the carry of the addition.
    align = LEADING - 1 - fmt.fraction
    exponent = fmt.exponent(big)
    distance = exponent - fmt.exponent(small)
    distance = distance.ugt(63).choose(63, distance)
    x, y = fmt.significand(big) << align, shift_right_jam(fmt.significand(small) << align, distance)
    opposite = fmt.sign(big) != fmt.sign(small)
    total = opposite.choose(x - y, x + y)
    zeros = total.clz()
    cancelled = (total == 0) & opposite
    sign = cancelled.choose(((fcsr & 3) == DOWN).value, fmt.sign(big))
    sum_ = i.call(fmt.pack, sign, exponent + 2 - zeros, total << (zeros - 1), fcsr)
    return cases(
        sum_,
        (fmt.is_infinite(big), big, 0),
        (fmt.is_infinite(small) & opposite, fmt.default_nan, INVALID),
        fmt.nan_case(a, b),
    )


@_per_format
def mul(fmt, i, a, b, fcsr):
    a, b = fmt.low(a), fmt.low(b)
    sign = fmt.sign(a) ^ fmt.sign(b)
    exponent_a, x = fmt.normalised(a)
    exponent_b, y = fmt.normalised(b)
    high, low = (x << 1).mulhi_u(y), (x << 1) * y
    small = high.ult(1 << LEADING)
    significand = small.choose((high << 1) | (low >> 63), high) | (small.choose(low << 1, low) != 0).value
    exponent = exponent_a + exponent_b - fmt.bias + (~small).value
    product = i.call(fmt.pack, sign, exponent, significand, fcsr)
    signed = sign << (fmt.width - 1)
    zero, infinite = fmt.is_zero(a) | fmt.is_zero(b), fmt.is_infinite(a) | fmt.is_infinite(b)
    return cases(
        product,
        (zero, signed, 0),
        (infinite, signed | fmt.infinity, 0),
        (zero & infinite, fmt.default_nan, INVALID),
        fmt.nan_case(a, b),
    )


@_per_format
def div(fmt, i, a, b, fcsr):
    a, b = fmt.low(a), fmt.low(b)
    sign = fmt.sign(a) ^ fmt.sign(b)
    exponent_a, x = fmt.normalised(a)
    exponent_b, y = fmt.normalised(b)
    zero = fmt.is_zero(b)
    dividend = x >> (LEADING - fmt.fraction)
    divisor = zero.choose(1, y >> (LEADING - fmt.fraction))
    less = dividend.ult(divisor)
    quotient = i.const(1)
    remainder = less.choose(dividend << 1, dividend) - divisor
    # Each step brings as many quotient bits as a remainder leaves free in 64.
    step, leading = 63 - fmt.fraction, 0
    while leading < fmt.fraction + 2:
        remainder = remainder << step
        digit = remainder.udiv(divisor)
        remainder = remainder - digit * divisor
        quotient = (quotient << step) | digit
        leading += step
    significand = (quotient << (LEADING - leading)) | (remainder != 0).value
    exponent = exponent_a - exponent_b + fmt.bias - less.value
    ratio = i.call(fmt.pack, sign, exponent, significand, fcsr)
    signed = sign << (fmt.width - 1)
    none, infinite = fmt.is_zero(a), fmt.is_infinite(a)
    return cases(
        ratio,
        (zero, signed | fmt.infinity, DIVIDE_BY_ZERO),
        (none | fmt.is_infinite(b), signed, 0),
        (infinite, signed | fmt.infinity, 0),
        ((none & zero) | (infinite & fmt.is_infinite(b)), fmt.default_nan, INVALID),
        fmt.nan_case(a, b),
    )


@routine
def square_root(i, radicand):
    """(root, remainder) of a radicand under 2^56: one bit of the root per step."""
    root, remainder = i.const(0), radicand
    for k in reversed(range(ROOT_BITS)):
        trial = root + (1 << 2 * k)
        fits = remainder.uge(trial)
        remainder = fits.choose(remainder - trial, remainder)
        root = fits.choose((root >> 1) + (1 << 2 * k), root >> 1)
    return root, remainder


@_per_format
def sqrt(fmt, i, a, fcsr):
    a = fmt.low(a)
    exponent, significand = fmt.normalised(a)
    exponent = exponent - fmt.bias
    radicand = significand >> (LEADING - 2 * ROOT_BITS + 2 - (exponent & 1))
    root, remainder = i.call(square_root, radicand)
    leading = ROOT_BITS - 1
    if fmt.fraction + 2 > leading:
        # As many bits again by one division (P. Zimmermann, Karatsuba Square Root, 1999): the radicand's low half is 0.
        twice = (root == 0).choose(1, root << 1)
        numerator = remainder << ROOT_BITS
        digits = numerator.udiv(twice)
        root = (root << ROOT_BITS) + digits
        remainder = ((numerator - digits * twice) << ROOT_BITS) - digits * digits
        over = remainder.slt(0)
        remainder = over.choose(remainder + (root << 1) - 1, remainder)
        root = root - over.value
        leading += ROOT_BITS
    rounded = i.call(
        fmt.pack,
        i.const(0),
        exponent.sra(1) + fmt.bias,
        (root << (LEADING - leading)) | (remainder != 0).value,
        fcsr,
    )
    return cases(
        rounded,
        (fmt.is_infinite(a), a, 0),
        (fmt.sign(a) != 0, fmt.default_nan, INVALID),
        (fmt.is_zero(a), a, 0),
        fmt.nan_case(a),
    )


@_per_format
def compare(fmt, i, a, b, signalling):
    """(relation, flags): UNORDERED, EQUAL, LESS or 0; `signalling` 1: a quiet NaN is invalid too."""
    a, b = fmt.low(a), fmt.low(b)
    x, y = fmt.magnitude(a), fmt.magnitude(b)
    x, y = (fmt.sign(a) != 0).choose(-x, x), (fmt.sign(b) != 0).choose(-y, y)
    nan = fmt.is_nan(a) | fmt.is_nan(b)
    relation = nan.choose(UNORDERED, (x == y).choose(EQUAL, x.slt(y).choose(LESS, 0)))
    invalid = fmt.is_signalling(a) | fmt.is_signalling(b) | (nan & (signalling != 0))
    return relation, invalid.choose(INVALID, 0)


def integer_magnitude(fmt, i, a, mode):
    """(|a| rounded by `mode` to an integer, is it inexact, is it 2^64 or more)."""
    sign = fmt.sign(a)
    power = fmt.exponent(a) - fmt.bias
    aligned = fmt.significand(a) << (63 - fmt.fraction)
    # Below 1 the integer part is 0: a half keeps its bit, less than a half only counts as inexact.
    aligned = power.slt(0).choose(aligned >> 1, aligned)
    aligned = power.slt(-1).choose((aligned != 0).value, aligned)
    shift = 63 - power
    shift = power.slt(0).choose(63, power.sgt(63).choose(0, shift))
    integer = aligned >> shift
    lost = aligned - (integer << shift)
    half = (i.const(1) << shift) >> 1
    inexact = lost != 0
    nearest = lost.ugt(half) | (lost == half) & ((integer & 1) != 0)
    away = (mode == NEAREST) & nearest | (mode == UP) & (sign == 0) | (mode == DOWN) & (sign != 0)
    return integer + (away & inexact).value, inexact, power.sgt(63)


@_per_format
def to_integer(fmt, i, a, mode, width):
    """a rounded by `mode` to a signed integer of `width` bits (32 or 64), sign-extended; invalid gives the largest."""
    a = fmt.low(a)
    sign = fmt.sign(a)
    integer, inexact, huge = integer_magnitude(fmt, i, a, mode)
    largest = (i.const(1) << (width - 1)) - 1
    invalid = fmt.is_nan(a) | huge | integer.ugt(largest + sign)
    signed = (sign != 0).choose(-integer, integer)
    return invalid.choose(largest, signed), invalid.choose(INVALID, inexact.choose(INEXACT, 0))


@_per_format
def from_integer(fmt, i, a, fcsr):
    """The signed 64-bit integer a in this format."""
    sign = a >> 63
    size = (sign != 0).choose(-a, a)
    zeros = size.clz()
    significand = (zeros == 0).choose(size >> 1, size << (zeros - 1))
    return i.call(fmt.pack, sign, fmt.bias + 63 - zeros, significand, fcsr)


def conversion(source: Format, to: Format) -> Callable:
    """The routine (a, fcsr) that converts the value a of format `source` to format `to`."""

    @routine
    def convert(i, a, fcsr):
        a = source.low(a)
        exponent, significand = source.normalised(a)
        converted = i.call(to.pack, source.sign(a), exponent + (to.bias - source.bias), significand, fcsr)
        return cases(
            converted,
            (source.is_infinite(a), (source.sign(a) << (to.width - 1)) | to.infinity, 0),
            (source.is_nan(a), to.converted_nan(source, a), source.is_signalling(a).choose(INVALID, 0)),
        )

    convert.__name__ = f"{source.name}_to_{to.name}"
    return convert


S = Format("s", 32, 23)
D = Format("d", 64, 52)
S.from_other = conversion(D, S)
D.from_other = conversion(S, D)
