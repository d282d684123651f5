"""Values that instruction meanings compute with, and the int backend: plain Python integers.

A meaning `def daddu(i): i.rd = i.rs + i.rt` sees an operand object `i`: its attributes are the fields of the encoding
(register fields read and write registers, immediates are values) and the slots of `cpu/state.py` (`i.hi`, `i.fcsr`).
Both backends offer the same `Value` and `Bool`; `cpu/isa/ir.py` is the other one.

Value: 64 bits. `+ - * & | ^ ~ << >>` (logical shifts, counts modulo 64), `sra`, `ror`, `ror32`, `word` (sign-extended
low 32 bits), `uword`, `sext(n)`, `zext(n)`, `bits(low, width)`, `insert(low, width, v)`, `== !=`, `slt sle sgt sge ult
ule ugt uge` (Bool), `mulhi_s mulhi_u`, `sdiv srem udiv urem` (never give them a zero divisor or the overflowing pair:
choose first), `clz` (64 for 0), `popcount`, `bswap`. Bool: `& | ^ ~`, `choose(yes, no)`, `value` (0 or 1). There is no
`if` on a Bool: both sides of a `choose` are computed.

Operand object, besides attributes: `const(n)`; `trap(code, when=Bool)` raises before anything later takes effect;
`load(address, size, signed=True, bad=None, aligned=False)`, `store(address, size, value, ...)` and
`modify(address, size, function, ...)` (read-modify-write of one aligned unit): at most one of them per instruction,
and no register is written before it; `bad` is the address that a fault reports when it differs; `call(routine,
*values)` calls a `@routine`, a shared function from values to a tuple of values.
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.errors import TableError

M64 = (1 << 64) - 1

EXC_CODES = {
    "Int": 0, "Mod": 1, "TLBL": 2, "TLBS": 3, "AdEL": 4, "AdES": 5, "IBE": 6, "DBE": 7, "Sys": 8, "Bp": 9, "RI": 10,
    "CpU": 11, "Ov": 12, "Tr": 13, "MSAFPE": 14, "FPE": 15, "GSExc": 16, "TLBRI": 19, "TLBXI": 20, "MSADis": 21,
    "WATCH": 23, "GE": 27,
}  # fmt: skip


def routine(function: Callable) -> Callable:
    """Marks a function (i, *values) -> tuple of values that the IR backend compiles once and calls."""
    function.is_routine = True
    return function


class GuestTrap(Exception):
    """The instruction raised the architectural exception `code` (int backend)."""

    def __init__(self, code: str, coprocessor: int = 0):
        super().__init__(code)
        self.code = code
        self.coprocessor = coprocessor


def _bits(x) -> int:
    if isinstance(x, Int):
        return x.n
    if isinstance(x, bool) or not isinstance(x, int):
        raise TableError(f"a meaning mixes a value with {x!r}")
    return x & M64


def _signed(n: int) -> int:
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
        return Int(self.n + _bits(o))

    __radd__ = __add__

    def __sub__(self, o):
        return Int(self.n - _bits(o))

    def __rsub__(self, o):
        return Int(_bits(o) - self.n)

    def __mul__(self, o):
        return Int(self.n * _bits(o))

    def __and__(self, o):
        return Int(self.n & _bits(o))

    __rand__ = __and__

    def __or__(self, o):
        return Int(self.n | _bits(o))

    def __xor__(self, o):
        return Int(self.n ^ _bits(o))

    def __invert__(self):
        return Int(~self.n)

    def __neg__(self):
        return Int(-self.n)

    def __lshift__(self, o):
        return Int(self.n << (_bits(o) & 63))

    def __rshift__(self, o):
        return Int(self.n >> (_bits(o) & 63))

    def sra(self, o):
        return Int(_signed(self.n) >> (_bits(o) & 63))

    def ror(self, o):
        k = _bits(o) & 63
        return Int((self.n >> k) | (self.n << (64 - k)))

    def ror32(self, o):
        k, w = _bits(o) & 31, self.n & 0xFFFFFFFF
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
        return Int((self.n & ~mask) | ((_bits(value) << low) & mask))

    def __eq__(self, o):
        return IntBool(self.n == _bits(o))

    def __ne__(self, o):
        return IntBool(self.n != _bits(o))

    def slt(self, o):
        return IntBool(_signed(self.n) < _signed(_bits(o)))

    def sle(self, o):
        return IntBool(_signed(self.n) <= _signed(_bits(o)))

    def sgt(self, o):
        return IntBool(_signed(self.n) > _signed(_bits(o)))

    def sge(self, o):
        return IntBool(_signed(self.n) >= _signed(_bits(o)))

    def ult(self, o):
        return IntBool(self.n < _bits(o))

    def ule(self, o):
        return IntBool(self.n <= _bits(o))

    def ugt(self, o):
        return IntBool(self.n > _bits(o))

    def uge(self, o):
        return IntBool(self.n >= _bits(o))

    def mulhi_s(self, o):
        return Int((_signed(self.n) * _signed(_bits(o))) >> 64)

    def mulhi_u(self, o):
        return Int((self.n * _bits(o)) >> 64)

    def udiv(self, o):
        return Int(self.n // _bits(o))

    def urem(self, o):
        return Int(self.n % _bits(o))

    def sdiv(self, o):
        a, b = _signed(self.n), _signed(_bits(o))
        return Int(abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1))

    def srem(self, o):
        a, b = _signed(self.n), _signed(_bits(o))
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
        return Int(_bits(yes) if self.truth else _bits(no))

    @property
    def value(self):
        return Int(int(self.truth))


class IntOperands:
    """One execution on the int backend.

    `machine` offers get(kind, number), set(kind, number, value), slot(name), set_slot(name, value), load(ea, size, bad,
    aligned), store(ea, size, value, bad, aligned), with plain integers; `kind` is "gpr", "fpr" or "msa" (lists of
    ints).
    """

    def __init__(self, machine, fields: dict[str, int]):
        object.__setattr__(self, "_machine", machine)
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str):
        fields = self._fields
        if name in fields:
            kind = REGISTER_KIND.get(name)
            return Int(self._machine.get(kind, fields[name]) if kind else fields[name])
        return Int(self._machine.slot(name))

    def __setattr__(self, name: str, value):
        if name in self._fields:
            self._machine.set(REGISTER_KIND[name], self._fields[name], _bits(value))
        else:
            self._machine.set_slot(name, _bits(value))

    def const(self, n: int):
        return Int(n)

    def trap(self, code: str, when=None, coprocessor: int = 0):
        if when is None or when.truth:
            raise GuestTrap(code, coprocessor)

    def load(self, address, size: int, signed: bool = True, bad=None, aligned: bool = False):
        value = self._machine.load(address.n, size, (address if bad is None else bad).n, aligned)
        return Int(value).sext(8 * size) if signed and size < 8 else Int(value)

    def store(self, address, size: int, value, bad=None, aligned: bool = False):
        mask = (1 << 8 * size) - 1
        self._machine.store(address.n, size, _bits(value) & mask, (address if bad is None else bad).n, aligned)

    def modify(self, address, size: int, function, bad=None, aligned: bool = False):
        bad = address if bad is None else bad
        old = Int(self._machine.load(address.n, size, bad.n, aligned, write=True))
        self._machine.store(address.n, size, function(old).n & ((1 << 8 * size) - 1), bad.n, aligned)

    def call(self, function, *values):
        return function(self, *[v if isinstance(v, Int) else Int(v) for v in values])


REGISTER_KIND = {
    **dict.fromkeys(("rs", "rt", "rd", "base", "index"), "gpr"),
    **dict.fromkeys(("fs", "ft", "fd", "fr"), "fpr"),
    **dict.fromkeys(("ws", "wt", "wd"), "msa"),
}
