"""Vectors in instruction meanings, and their int backend: lists of plain Python integers.

`i.ws` and its like are vectors of two 64-bit lanes, those of LASX of four; lane 0 is the least significant. Vectors of
both sizes do the same. Both backends offer the same `Vector` and `Mask`; `cpu/isa/ir_vectors.py` is the other one.

Vector: `of(width)`, the same bits as lanes of 8, 16, 32 or 64 bits. Lane by lane, the other operand a vector of the
same shape, a value (its low bits) or an int: `+ - * & | ^ ~ << >>`, `sra` (counts modulo the width), `smin smax umin
umax`, `sadd_sat uadd_sat ssub_sat usub_sat`, `sdiv udiv srem urem` (never give them a zero divisor or the overflowing
pair), `clz`, `popcount`, `== != slt sle ult ule` (Mask). `take(indices, other)`: the lanes with these numbers, those of
`other` counted on; `gather(numbers, other)`: likewise with a vector of numbers, modulo the number of lanes of both.
`lane(k)` is a value (zero-extended), `with_lane(k, value)` a vector; k is an int or a value below the number of lanes.
`is_zero` is a Bool.
Mask: `& | ~`, `choose(yes, no)`, `lanes` (all ones or zeros), `any` (Bool).

Operand object: `vector(width, lanes)` makes a vector of values and ints, `splat(width, value)` 128 bits of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cpu.isa.errors import TableError
from cpu.isa.int_values import Int, IntBool

BITS = 128
WIDE_BITS = 256


class IntMask:
    """One truth value for each lane."""

    __slots__ = ("truths", "width")

    def __init__(self, width: int, truths: list[bool]):
        self.width = width
        self.truths = truths

    def __bool__(self):
        raise TableError("a meaning may not branch on a value; use choose")

    def __and__(self, o):
        return IntMask(self.width, [a and b for a, b in zip(self.truths, o.truths, strict=True)])

    def __or__(self, o):
        return IntMask(self.width, [a or b for a, b in zip(self.truths, o.truths, strict=True)])

    def __invert__(self):
        return IntMask(self.width, [not a for a in self.truths])

    def choose(self, yes, no):
        shape = IntVector(self.width, [0] * len(self.truths))
        pairs = zip(self.truths, shape.other(yes), shape.other(no), strict=True)
        return IntVector(self.width, [a if truth else b for truth, a, b in pairs])

    @property
    def lanes(self):
        return self.choose(-1, 0)

    @property
    def any(self):
        return IntBool(any(self.truths))


def _elementwise(signed: bool, compute: Callable[[int, int, int], int]) -> Callable:
    """An operation on two lanes of `width` bits: compute(a, b, width)."""

    def operation(self, o):
        a, b = (self.signed, self.signed_other(o)) if signed else (self.numbers, self.other(o))
        return IntVector(self.width, [compute(x, y, self.width) for x, y in zip(a, b, strict=True)])

    return operation


def _comparison(signed: bool, compute: Callable[[int, int], bool]) -> Callable:
    def operation(self, o):
        a, b = (self.signed, self.signed_other(o)) if signed else (self.numbers, self.other(o))
        return IntMask(self.width, [compute(x, y) for x, y in zip(a, b, strict=True)])

    return operation


def _clamp_signed(n: int, width: int) -> int:
    top = 1 << (width - 1)
    return min(max(n, -top), top - 1)


def _clamp_unsigned(n: int, width: int) -> int:
    return min(max(n, 0), (1 << width) - 1)


def _divide(a: int, b: int) -> int:
    """The quotient rounded towards zero."""
    return abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1)


class IntVector:
    """Lanes of `width` bits as Python integers 0..2^width-1."""

    __slots__ = ("numbers", "width")
    __hash__ = None

    def __init__(self, width: int, numbers: list[int]):
        self.width = width
        self.numbers = [n & ((1 << width) - 1) for n in numbers]

    @classmethod
    def of_bits(cls, bits: int, width: int = 64, size: int = BITS):
        return cls(width, [bits >> at for at in range(0, size, width)])

    @property
    def bits(self) -> int:
        return sum(n << self.width * k for k, n in enumerate(self.numbers))

    def __repr__(self) -> str:
        return f"IntVector({self.width}, {[hex(n) for n in self.numbers]})"

    def of(self, width: int):
        return IntVector.of_bits(self.bits, width, self.width * len(self.numbers))

    @property
    def signed(self) -> list[int]:
        return [n - (n >> (self.width - 1) << self.width) for n in self.numbers]

    def other(self, o) -> list[int]:
        """The lanes of the other operand of an operation."""
        if isinstance(o, IntVector):
            if (o.width, len(o.numbers)) != (self.width, len(self.numbers)):
                raise TableError(f"a meaning mixes lanes of {self.width} and {o.width} bits; use of(width)")
            return o.numbers
        n = o if isinstance(o, int) else o.n
        return [n & ((1 << self.width) - 1)] * len(self.numbers)

    def signed_other(self, o) -> list[int]:
        return IntVector(self.width, self.other(o)).signed

    __add__ = _elementwise(False, lambda a, b, w: a + b)
    __sub__ = _elementwise(False, lambda a, b, w: a - b)
    __rsub__ = _elementwise(False, lambda a, b, w: b - a)
    __mul__ = _elementwise(False, lambda a, b, w: a * b)
    __and__ = _elementwise(False, lambda a, b, w: a & b)
    __or__ = _elementwise(False, lambda a, b, w: a | b)
    __xor__ = _elementwise(False, lambda a, b, w: a ^ b)
    __lshift__ = _elementwise(False, lambda a, b, w: a << b % w)
    __rshift__ = _elementwise(False, lambda a, b, w: a >> b % w)
    sra = _elementwise(True, lambda a, b, w: a >> b % w)
    smin = _elementwise(True, lambda a, b, w: min(a, b))
    smax = _elementwise(True, lambda a, b, w: max(a, b))
    umin = _elementwise(False, lambda a, b, w: min(a, b))
    umax = _elementwise(False, lambda a, b, w: max(a, b))
    sadd_sat = _elementwise(True, lambda a, b, w: _clamp_signed(a + b, w))
    uadd_sat = _elementwise(False, lambda a, b, w: _clamp_unsigned(a + b, w))
    ssub_sat = _elementwise(True, lambda a, b, w: _clamp_signed(a - b, w))
    usub_sat = _elementwise(False, lambda a, b, w: _clamp_unsigned(a - b, w))
    sdiv = _elementwise(True, lambda a, b, w: _divide(a, b))
    srem = _elementwise(True, lambda a, b, w: a - b * _divide(a, b))
    udiv = _elementwise(False, lambda a, b, w: a // b)
    urem = _elementwise(False, lambda a, b, w: a % b)
    __eq__ = _comparison(False, lambda a, b: a == b)
    __ne__ = _comparison(False, lambda a, b: a != b)
    slt = _comparison(True, lambda a, b: a < b)
    sle = _comparison(True, lambda a, b: a <= b)
    ult = _comparison(False, lambda a, b: a < b)
    ule = _comparison(False, lambda a, b: a <= b)

    def __invert__(self):
        return IntVector(self.width, [~n for n in self.numbers])

    def clz(self):
        return IntVector(self.width, [self.width - n.bit_length() for n in self.numbers])

    def popcount(self):
        return IntVector(self.width, [n.bit_count() for n in self.numbers])

    def take(self, indices: Sequence[int], other):
        lanes = self.numbers + other.numbers
        return IntVector(self.width, [lanes[k] for k in indices])

    def gather(self, numbers, other):
        lanes = self.numbers + other.numbers
        return IntVector(self.width, [lanes[k % len(lanes)] for k in numbers.numbers])

    def lane(self, k):
        return Int(self.numbers[k if isinstance(k, int) else k.n])

    def with_lane(self, k, value):
        numbers = list(self.numbers)
        numbers[k if isinstance(k, int) else k.n] = value if isinstance(value, int) else value.n
        return IntVector(self.width, numbers)

    @property
    def is_zero(self):
        return IntBool(not any(self.numbers))
