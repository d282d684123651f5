"""The array backend of the value language: one value for each of many executions, as numpy arrays.

A meaning runs once for all executions of its row in a batch (tests/oracles/lockstep.py). Its values, booleans and
vectors are those of cpu/isa/values.py and cpu/isa/vectors.py, computed here by numpy; no code is shared with the int
backend or the IR backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cpu.isa.errors import TableError
from cpu.isa.vectors import BITS

U64, I64 = np.uint64, np.int64
M64 = (1 << 64) - 1
UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
SIGNED = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}


def bits_of(x):
    """The numbers of a value, or of a Python integer that a meaning names."""
    if isinstance(x, Array):
        return x.numbers
    if isinstance(x, bool) or not isinstance(x, int):
        raise TableError(f"a meaning mixes a value with {x!r}")
    return U64(x & M64)


def _signed(numbers):
    return numbers.view(I64)


def _magnitude(numbers):
    return np.where(_signed(numbers) < 0, -numbers, numbers)


def _leading_zeros(numbers):
    """Of 64-bit numbers: what is below the leading one is filled with ones."""
    filled = numbers
    for distance in (1, 2, 4, 8, 16, 32):
        filled = filled | filled >> U64(distance)
    return U64(64) - np.bitwise_count(filled)


def _high_product(a, b):
    """Bits 127:64 of the unsigned product, from four products of halves."""
    low, half = U64(0xFFFFFFFF), U64(32)
    a_low, a_high, b_low, b_high = a & low, a >> half, b & low, b >> half
    middle = a_high * b_low + (a_low * b_low >> half)
    other = a_low * b_high + (middle & low)
    return a_high * b_high + (middle >> half) + (other >> half)


def _operation(compute: Callable) -> Callable:
    """An operation on two values: compute(a, b) on their numbers."""

    def operation(self, o):
        return Array(compute(self.numbers, bits_of(o)))

    return operation


def _reflected(compute: Callable) -> Callable:
    def operation(self, o):
        return Array(compute(bits_of(o), self.numbers))

    return operation


def _comparison(compute: Callable, signed: bool = False) -> Callable:
    def operation(self, o):
        a, b = self.numbers, bits_of(o)
        return ArrayBool(compute(_signed(a), _signed(b)) if signed else compute(a, b))

    return operation


def _count(n):
    return n & U64(63)


def _rotate(a, b):
    return a >> _count(b) | a << _count(U64(64) - _count(b))


def _rotate_word(a, b):
    low, k = a & U64(0xFFFFFFFF), b & U64(31)
    return _extended(low >> k | low << (U64(32) - k), 32)


def _extended(numbers, bits: int):
    up = 64 - bits
    return (_signed(numbers << U64(up)) >> up).view(U64)


def _quotient(a, b):
    size = _magnitude(a) // _magnitude(b)
    return np.where(_signed(a ^ b) < 0, -size, size)


def _remainder(a, b):
    size = _magnitude(a) % _magnitude(b)
    return np.where(_signed(a) < 0, -size, size)


def _high_signed(a, b):
    zero = U64(0)
    return _high_product(a, b) - np.where(_signed(a) < 0, b, zero) - np.where(_signed(b) < 0, a, zero)


class Array:
    """A 64-bit value of each execution: an array of one number for each, or of one number for all."""

    __slots__ = ("numbers",)
    __hash__ = None

    def __init__(self, numbers):
        self.numbers = numbers

    @classmethod
    def constant(cls, n: int):
        return cls(np.array([n & M64], U64))

    __add__ = __radd__ = _operation(np.add)
    __sub__ = _operation(np.subtract)
    __rsub__ = _reflected(np.subtract)
    __mul__ = _operation(np.multiply)
    __and__ = __rand__ = _operation(np.bitwise_and)
    __or__ = _operation(np.bitwise_or)
    __xor__ = _operation(np.bitwise_xor)
    __lshift__ = _operation(lambda a, b: a << _count(b))
    __rshift__ = _operation(lambda a, b: a >> _count(b))
    sra = _operation(lambda a, b: (_signed(a) >> _signed(_count(b))).view(U64))
    ror = _operation(_rotate)
    ror32 = _operation(_rotate_word)
    mulhi_u = _operation(_high_product)
    mulhi_s = _operation(_high_signed)
    udiv = _operation(np.floor_divide)
    urem = _operation(np.remainder)
    sdiv = _operation(_quotient)
    srem = _operation(_remainder)
    __eq__ = _comparison(np.equal)
    __ne__ = _comparison(np.not_equal)
    ult = _comparison(np.less)
    ule = _comparison(np.less_equal)
    ugt = _comparison(np.greater)
    uge = _comparison(np.greater_equal)
    slt = _comparison(np.less, signed=True)
    sle = _comparison(np.less_equal, signed=True)
    sgt = _comparison(np.greater, signed=True)
    sge = _comparison(np.greater_equal, signed=True)

    def __invert__(self):
        return Array(~self.numbers)

    def __neg__(self):
        return Array(-self.numbers)

    def sext(self, bits: int):
        return Array(_extended(self.numbers, bits))

    def zext(self, bits: int):
        return self.bits(0, bits)

    @property
    def word(self):
        return self.sext(32)

    @property
    def uword(self):
        return self.zext(32)

    def bits(self, low: int, width: int):
        return Array(self.numbers >> U64(low) & U64((1 << width) - 1))

    def insert(self, low: int, width: int, value):
        mask = U64(((1 << width) - 1) << low)
        return Array(self.numbers & ~mask | bits_of(value) << U64(low) & mask)

    def clz(self):
        return Array(_leading_zeros(self.numbers))

    def popcount(self):
        return Array(np.bitwise_count(self.numbers).astype(U64))

    def bswap(self):
        return Array(self.numbers.byteswap())


class ArrayBool:
    """A truth value of each execution."""

    __slots__ = ("truth",)
    __hash__ = None

    def __init__(self, truth):
        self.truth = truth

    def __bool__(self):
        raise TableError("a meaning may not branch on a value; use choose")

    def __and__(self, o):
        return ArrayBool(self.truth & o.truth)

    def __or__(self, o):
        return ArrayBool(self.truth | o.truth)

    def __xor__(self, o):
        return ArrayBool(self.truth ^ o.truth)

    def __invert__(self):
        return ArrayBool(~self.truth)

    def choose(self, yes, no):
        return Array(np.where(self.truth, bits_of(yes), bits_of(no)))

    @property
    def value(self):
        return Array(self.truth.astype(U64))


def _lanewise(compute: Callable, signed: bool = False) -> Callable:
    """An operation on two lanes: compute(a, b, width), in the lanes' own type."""

    def operation(self, o):
        a, b = self.lanes, self.other(o)
        if signed:
            a, b = a.view(SIGNED[self.width]), b.view(SIGNED[self.width])
        return ArrayVector(compute(a, b, self.width).view(UNSIGNED[self.width]))

    return operation


def _lane_comparison(compute: Callable, signed: bool = False) -> Callable:
    def operation(self, o):
        a, b = self.lanes, self.other(o)
        if signed:
            a, b = a.view(SIGNED[self.width]), b.view(SIGNED[self.width])
        return ArrayMask(self.width, compute(a, b))

    return operation


def _lane_count(b, width: int):
    return b & b.dtype.type(width - 1)


def _saturated(total, overflow, up, width: int):
    """The signed `total`, or where it overflowed the limit on its side."""
    top = (1 << width - 1) - 1
    kind = SIGNED[width]
    return np.where(overflow, np.where(up, kind(top), kind(-top - 1)), total)


def _add_saturating(a, b, width: int):
    total = a + b
    return _saturated(total, ((a ^ total) & (b ^ total)) < 0, a >= 0, width)


def _subtract_saturating(a, b, width: int):
    total = a - b
    return _saturated(total, ((a ^ b) & (a ^ total)) < 0, a >= 0, width)


def _lane_magnitude(a, width: int):
    return np.where(a < 0, -a, a).view(UNSIGNED[width])


def _lane_quotient(a, b, width: int):
    size = (_lane_magnitude(a, width) // _lane_magnitude(b, width)).view(SIGNED[width])
    return np.where((a ^ b) < 0, -size, size)


def _lane_remainder(a, b, width: int):
    size = (_lane_magnitude(a, width) % _lane_magnitude(b, width)).view(SIGNED[width])
    return np.where(a < 0, -size, size)


class ArrayVector:
    """128 bits of each execution: an array of executions by lanes, lane 0 the least significant."""

    __slots__ = ("lanes",)
    __hash__ = None

    def __init__(self, lanes):
        self.lanes = lanes

    @classmethod
    def of_columns(cls, width: int, columns: Sequence):
        """The vector of values and ints, one for each lane."""
        kind = UNSIGNED[width]
        return cls(np.stack(np.broadcast_arrays(*(np.atleast_1d(bits_of(c)).astype(kind) for c in columns)), axis=1))

    @property
    def width(self) -> int:
        return 8 * self.lanes.itemsize

    def of(self, width: int):
        return ArrayVector(np.ascontiguousarray(self.lanes).view(UNSIGNED[width]))

    def other(self, o):
        """The lanes of the other operand of an operation."""
        if isinstance(o, ArrayVector):
            if o.width != self.width:
                raise TableError(f"a meaning mixes lanes of {self.width} and {o.width} bits; use of(width)")
            return o.lanes
        return np.atleast_1d(bits_of(o)).astype(self.lanes.dtype)[:, None]

    __add__ = _lanewise(lambda a, b, w: a + b)
    __sub__ = _lanewise(lambda a, b, w: a - b)
    __rsub__ = _lanewise(lambda a, b, w: b - a)
    __mul__ = _lanewise(lambda a, b, w: a * b)
    __and__ = _lanewise(lambda a, b, w: a & b)
    __or__ = _lanewise(lambda a, b, w: a | b)
    __xor__ = _lanewise(lambda a, b, w: a ^ b)
    __lshift__ = _lanewise(lambda a, b, w: a << _lane_count(b, w))
    __rshift__ = _lanewise(lambda a, b, w: a >> _lane_count(b, w))
    sra = _lanewise(lambda a, b, w: a >> _lane_count(b, w), signed=True)
    smin = _lanewise(lambda a, b, w: np.minimum(a, b), signed=True)
    smax = _lanewise(lambda a, b, w: np.maximum(a, b), signed=True)
    umin = _lanewise(lambda a, b, w: np.minimum(a, b))
    umax = _lanewise(lambda a, b, w: np.maximum(a, b))
    sadd_sat = _lanewise(_add_saturating, signed=True)
    ssub_sat = _lanewise(_subtract_saturating, signed=True)
    uadd_sat = _lanewise(lambda a, b, w: np.where(a + b < a, ~(a & 0), a + b))
    usub_sat = _lanewise(lambda a, b, w: np.where(a < b, a & 0, a - b))
    sdiv = _lanewise(_lane_quotient, signed=True)
    srem = _lanewise(_lane_remainder, signed=True)
    udiv = _lanewise(lambda a, b, w: a // b)
    urem = _lanewise(lambda a, b, w: a % b)
    __eq__ = _lane_comparison(np.equal)
    __ne__ = _lane_comparison(np.not_equal)
    ult = _lane_comparison(np.less)
    ule = _lane_comparison(np.less_equal)
    slt = _lane_comparison(np.less, signed=True)
    sle = _lane_comparison(np.less_equal, signed=True)

    def __invert__(self):
        return ArrayVector(~self.lanes)

    def clz(self):
        zeros = _leading_zeros(self.lanes.astype(U64)) - U64(64 - self.width)
        return ArrayVector(zeros.astype(self.lanes.dtype))

    def popcount(self):
        return ArrayVector(np.bitwise_count(self.lanes).astype(self.lanes.dtype))

    def _beside(self, other):
        return np.concatenate(np.broadcast_arrays(self.lanes, other.lanes), axis=1)

    def take(self, indices: Sequence[int], other):
        return ArrayVector(self._beside(other)[:, list(indices)])

    def gather(self, numbers, other):
        lanes = self._beside(other)
        return ArrayVector(np.take_along_axis(lanes, (numbers.lanes % lanes.shape[1]).astype(np.intp), axis=1))

    def lane(self, k):
        if isinstance(k, int):
            return Array(self.lanes[:, k].astype(U64))
        return Array(np.take_along_axis(self.lanes, k.numbers.astype(np.intp)[:, None], axis=1)[:, 0].astype(U64))

    def with_lane(self, k, value):
        position = (np.array([k]) if isinstance(k, int) else k.numbers.astype(np.intp))[:, None]
        return ArrayVector(np.where(np.arange(self.lanes.shape[1]) == position, self.other(value), self.lanes))

    @property
    def is_zero(self):
        return ArrayBool(~self.lanes.any(axis=1))


class ArrayMask:
    """One truth value for each lane of each execution."""

    __slots__ = ("truths", "width")

    def __init__(self, width: int, truths):
        self.width = width
        self.truths = truths

    def __bool__(self):
        raise TableError("a meaning may not branch on a value; use choose")

    def __and__(self, o):
        return ArrayMask(self.width, self.truths & o.truths)

    def __or__(self, o):
        return ArrayMask(self.width, self.truths | o.truths)

    def __invert__(self):
        return ArrayMask(self.width, ~self.truths)

    def choose(self, yes, no):
        shape = ArrayVector(np.zeros((1, BITS // self.width), UNSIGNED[self.width]))
        return ArrayVector(np.where(self.truths, shape.other(yes), shape.other(no)))

    @property
    def lanes(self):
        return self.choose(-1, 0)

    @property
    def any(self):
        return ArrayBool(self.truths.any(axis=1))


__all__ = ["Array", "ArrayBool", "ArrayMask", "ArrayVector"]
