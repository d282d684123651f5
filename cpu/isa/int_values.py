"""The int backend's values: plain Python integers (the language is that of cpu/isa/values.py)."""

from __future__ import annotations

from cpu.isa.errors import TableError
from cpu.words import M64


def bits_of(x) -> int:
    if isinstance(x, Int):
        return x.n
    if isinstance(x, bool) or not isinstance(x, int):
        raise TableError(f"a meaning mixes a value with {x!r}")
    return x & M64


def signed_of(n: int) -> int:
    return n - (1 << 64) if n >> 63 else n


class Int:
    """A 64-bit value as a Python integer 0..2^64-1."""

    __slots__ = ("n",)
    __hash__ = None

    def __init__(self, n: int):
        self.n = n & M64

    def __repr__(self) -> str:
        return f"Int({self.n:#x})"

    def __add__(self, o):
        return Int(self.n + bits_of(o))

    __radd__ = __add__

    def __sub__(self, o):
        return Int(self.n - bits_of(o))

    def __rsub__(self, o):
        return Int(bits_of(o) - self.n)

    def __mul__(self, o):
        return Int(self.n * bits_of(o))

    def __and__(self, o):
        return Int(self.n & bits_of(o))

    __rand__ = __and__

    def __or__(self, o):
        return Int(self.n | bits_of(o))

    def __xor__(self, o):
        return Int(self.n ^ bits_of(o))

    def __invert__(self):
        return Int(~self.n)

    def __neg__(self):
        return Int(-self.n)

    def __lshift__(self, o):
        return Int(self.n << (bits_of(o) & 63))

    def __rshift__(self, o):
        return Int(self.n >> (bits_of(o) & 63))

    def sra(self, o):
        return Int(signed_of(self.n) >> (bits_of(o) & 63))

    def ror(self, o):
        k = bits_of(o) & 63
        return Int((self.n >> k) | (self.n << (64 - k)))

    def ror32(self, o):
        k, w = bits_of(o) & 31, self.n & 0xFFFFFFFF
        return Int((w >> k) | (w << (32 - k))).word

    def sext(self, bits: int):
        low = self.n & ((1 << bits) - 1)
        return Int(low - ((low >> (bits - 1)) << bits))

    def zext(self, bits: int):
        return Int(self.n & ((1 << bits) - 1))

    @property
    def word(self):
        return self.sext(32)

    @property
    def uword(self):
        return self.zext(32)

    def bits(self, low: int, width: int):
        return Int((self.n >> low) & ((1 << width) - 1))

    def insert(self, low: int, width: int, value):
        mask = ((1 << width) - 1) << low
        return Int((self.n & ~mask) | ((bits_of(value) << low) & mask))

    def __eq__(self, o):
        return IntBool(self.n == bits_of(o))

    def __ne__(self, o):
        return IntBool(self.n != bits_of(o))

    def slt(self, o):
        return IntBool(signed_of(self.n) < signed_of(bits_of(o)))

    def sle(self, o):
        return IntBool(signed_of(self.n) <= signed_of(bits_of(o)))

    def sgt(self, o):
        return IntBool(signed_of(self.n) > signed_of(bits_of(o)))

    def sge(self, o):
        return IntBool(signed_of(self.n) >= signed_of(bits_of(o)))

    def ult(self, o):
        return IntBool(self.n < bits_of(o))

    def ule(self, o):
        return IntBool(self.n <= bits_of(o))

    def ugt(self, o):
        return IntBool(self.n > bits_of(o))

    def uge(self, o):
        return IntBool(self.n >= bits_of(o))

    def mulhi_s(self, o):
        return Int((signed_of(self.n) * signed_of(bits_of(o))) >> 64)

    def mulhi_u(self, o):
        return Int((self.n * bits_of(o)) >> 64)

    def udiv(self, o):
        return Int(self.n // bits_of(o))

    def urem(self, o):
        return Int(self.n % bits_of(o))

    def sdiv(self, o):
        a, b = signed_of(self.n), signed_of(bits_of(o))
        return Int(abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1))

    def srem(self, o):
        a, b = signed_of(self.n), signed_of(bits_of(o))
        return Int(abs(a) % abs(b) * (-1 if a < 0 else 1))

    def clz(self):
        return Int(64 - self.n.bit_length())

    def popcount(self):
        return Int(self.n.bit_count())

    def bswap(self):
        return Int(int.from_bytes(self.n.to_bytes(8, "little"), "big"))


class IntBool:
    """A truth value of the int backend."""

    __slots__ = ("truth",)

    def __init__(self, truth: bool):
        self.truth = truth

    def __bool__(self):
        raise TableError("a meaning may not branch on a value; use choose")

    def __and__(self, o):
        return IntBool(self.truth and o.truth)

    def __or__(self, o):
        return IntBool(self.truth or o.truth)

    def __xor__(self, o):
        return IntBool(self.truth != o.truth)

    def __invert__(self):
        return IntBool(not self.truth)

    def choose(self, yes, no):
        return Int(bits_of(yes) if self.truth else bits_of(no))

    @property
    def value(self):
        return Int(int(self.truth))
