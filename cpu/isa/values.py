"""Values that instruction meanings compute with, and the operands of the int backend: plain Python integers.

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
and no register is written before it; `bad` is the address that a fault reports when it differs; more than eight bytes
are a vector; `call(routine, *values)` calls a `@routine`, a shared function from values to a tuple of values.

`each(routine, columns, *values)` calls a routine of two results, with `values` as its last operands, for each element
of the other operands, which are lists of the same length: (the first results, all bits of the second ones).

An MSA or LASX register is a Vector; its vocabulary is in cpu/isa/vectors.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

from cpu.isa.int_values import Int, bits_of
from cpu.isa.vectors import BITS, WIDE_BITS, IntVector

EXC_CODES = {
    "Int": 0, "Mod": 1, "TLBL": 2, "TLBS": 3, "AdEL": 4, "AdES": 5, "IBE": 6, "DBE": 7, "Sys": 8, "Bp": 9, "RI": 10,
    "CpU": 11, "Ov": 12, "Tr": 13, "MSAFPE": 14, "FPE": 15, "GSExc": 16, "TLBRI": 19, "TLBXI": 20, "MSADis": 21,
    "WATCH": 23, "MCheck": 24, "GE": 27,
}  # fmt: skip

VECTOR_BITS = {"msa": BITS, "lasx": WIDE_BITS}
"""Of the register files that hold vectors."""
MAX_SCALAR_BYTES = 8
"""An access of more is one of a vector."""


def routine(function: Callable) -> Callable:
    """Marks a function (i, *values) -> tuple of values that the IR backend compiles once and calls."""
    function.is_routine = True
    return function


def one_by_one(i, function: Callable, columns, values: tuple) -> tuple:
    """`i.each` of a backend that has nothing but `call` for it."""
    pairs = [i.call(function, *lanes, *values) for lanes in zip(*columns, strict=True)]
    return [result for result, _ in pairs], reduce(or_, (flags for _, flags in pairs))


class GuestTrap(Exception):
    """The instruction raised the architectural exception `code` (int backend)."""

    def __init__(self, code: str, coprocessor: int = 0):
        super().__init__(code)
        self.code = code
        self.coprocessor = coprocessor


class IntOperands:
    """One execution on the int backend.

    `machine` offers get(kind, number), set(kind, number, value), slot(name), set_slot(name, value), load(ea, size, bad,
    aligned), store(ea, size, value, bad, aligned), with plain integers; `kind` is "gpr", "fpr", "msa" (128 bits) or
    "lasx" (256 bits).
    """

    def __init__(self, machine, fields: dict[str, int]):
        object.__setattr__(self, "_machine", machine)
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str):
        fields = self._fields
        if name in fields:
            kind = REGISTER_KIND.get(name)
            if kind in VECTOR_BITS:
                return IntVector.of_bits(self._machine.get(kind, fields[name]), size=VECTOR_BITS[kind])
            return Int(self._machine.get(kind, fields[name]) if kind else fields[name])
        return Int(self._machine.slot(name))

    def __setattr__(self, name: str, value):
        if name in self._fields:
            kind = REGISTER_KIND[name]
            self._machine.set(kind, self._fields[name], value.bits if kind in VECTOR_BITS else bits_of(value))
        else:
            self._machine.set_slot(name, bits_of(value))

    def const(self, n: int):
        return Int(n)

    def vector(self, width: int, lanes):
        return IntVector(width, [bits_of(n) for n in lanes])

    def splat(self, width: int, value):
        return IntVector(width, [bits_of(value)] * (BITS // width))

    def trap(self, code: str, when=None, coprocessor: int = 0):
        if when is None or when.truth:
            raise GuestTrap(code, coprocessor)

    def load(self, address, size: int, signed: bool = True, bad=None, aligned: bool = False):
        value = self._machine.load(address.n, size, (address if bad is None else bad).n, aligned)
        if size > MAX_SCALAR_BYTES:
            return IntVector.of_bits(value, size=8 * size)
        return Int(value).sext(8 * size) if signed and size < 8 else Int(value)

    def store(self, address, size: int, value, bad=None, aligned: bool = False):
        stored = value.bits if size > MAX_SCALAR_BYTES else bits_of(value) & ((1 << 8 * size) - 1)
        self._machine.store(address.n, size, stored, (address if bad is None else bad).n, aligned)

    def modify(self, address, size: int, function, bad=None, aligned: bool = False):
        bad = address if bad is None else bad
        old = Int(self._machine.load(address.n, size, bad.n, aligned, write=True))
        self._machine.store(address.n, size, function(old).n & ((1 << 8 * size) - 1), bad.n, aligned)

    def call(self, function, *values):
        return function(self, *[v if isinstance(v, Int) else Int(v) for v in values])

    def each(self, function, columns, *values):
        return one_by_one(self, function, columns, values)


REGISTER_KIND = {
    **dict.fromkeys(("rs", "rt", "rd", "base", "index"), "gpr"),
    **dict.fromkeys(("fs", "ft", "fd", "fr"), "fpr"),
    **dict.fromkeys(("ws", "wt", "wd"), "msa"),
    **dict.fromkeys(("xs", "xd"), "lasx"),
}
