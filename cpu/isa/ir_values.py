"""The IR backend's values: SSA names in the text of an LLVM function (the language is that of cpu/isa/values.py)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cpu.isa.errors import TableError


@dataclass
class Emitter:
    """Lines of one function, with fresh names."""

    lines: list[str] = field(default_factory=list)
    names: int = 0

    def op(self, text: str) -> str:
        self.names += 1
        self.lines.append(f"  %t{self.names} = {text}")
        return f"%t{self.names}"

    def do(self, text: str) -> None:
        self.lines.append("  " + text)

    def fresh(self, stem: str) -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def label(self, name: str) -> None:
        self.lines.append(name + ":")

    def load(self, pointer: str, bits: int = 64) -> str:
        return self.op(f"load i{bits}, ptr {pointer}, align {8 if bits == 64 else 1}")

    def slot(self, offset: str | int) -> str:
        return self.op(f"getelementptr i64, ptr %S, i64 {offset}")

    def load_slot(self, offset: str | int) -> str:
        return self.load(self.slot(offset))

    def store_slot(self, offset: str | int, value: str | int) -> None:
        self.do(f"store i64 {value}, ptr {self.slot(offset)}, align 8")

    def unlikely(self, condition: str, label: str) -> None:
        """Goes to `label` when the condition holds, which is rare; falls on otherwise."""
        expected = self.op(f"call i1 @llvm.expect.i1(i1 {condition}, i1 false)")
        on = self.fresh("on")
        self.do(f"br i1 {expected}, label %{label}, label %{on}")
        self.label(on)


def text_of(x) -> str:
    if isinstance(x, Ir):
        return x.ssa
    if isinstance(x, bool) or not isinstance(x, int):
        raise TableError(f"a meaning mixes a value with {x!r}")
    x &= (1 << 64) - 1
    return str(x - (1 << 64) if x >> 63 else x)


class Ir:
    """A 64-bit value as an SSA name or constant."""

    __slots__ = ("out", "ssa")
    __hash__ = None

    def __init__(self, out: Emitter, ssa: str):
        self.out = out
        self.ssa = ssa

    def _new(self, text: str):
        return Ir(self.out, self.out.op(text))

    def _two(self, operation: str, o):
        return self._new(f"{operation} i64 {self.ssa}, {text_of(o)}")

    def _count(self, o, mask: int = 63) -> str:
        if isinstance(o, int):
            return str(o & mask)
        return self.out.op(f"and i64 {o.ssa}, {mask}")

    def _compare(self, kind: str, o):
        return IrBool(self.out, self.out.op(f"icmp {kind} i64 {self.ssa}, {text_of(o)}"))

    def __add__(self, o):
        return self._two("add", o)

    __radd__ = __add__

    def __sub__(self, o):
        return self._two("sub", o)

    def __rsub__(self, o):
        return self._new(f"sub i64 {text_of(o)}, {self.ssa}")

    def __mul__(self, o):
        return self._two("mul", o)

    def __and__(self, o):
        return self._two("and", o)

    __rand__ = __and__

    def __or__(self, o):
        return self._two("or", o)

    def __xor__(self, o):
        return self._two("xor", o)

    def __invert__(self):
        return self._two("xor", -1)

    def __neg__(self):
        return 0 - self

    def __lshift__(self, o):
        return self._shift("shl", o)

    def __rshift__(self, o):
        return self._shift("lshr", o)

    def sra(self, o):
        return self._shift("ashr", o)

    def _shift(self, kind: str, o):
        return self._new(f"{kind} i64 {self.ssa}, {o & 63}") if isinstance(o, int) else o.shift(kind, self)

    def shift(self, kind: str, value: Ir) -> Ir:
        """`value` shifted by this: "shl", "lshr" or "ashr"."""
        return value._new(f"{kind} i64 {value.ssa}, {self._count(self)}")

    def ror(self, o):
        return self._new(f"call i64 @llvm.fshr.i64(i64 {self.ssa}, i64 {self.ssa}, i64 {self._count(o)})")

    def ror32(self, o):
        low = self.out.op(f"trunc i64 {self.ssa} to i32")
        count = self.out.op(f"trunc i64 {self._count(o, 31)} to i32")
        turned = self.out.op(f"call i32 @llvm.fshr.i32(i32 {low}, i32 {low}, i32 {count})")
        return self._new(f"sext i32 {turned} to i64")

    def sext(self, bits: int):
        return (
            self._new(f"sext i{bits} {self.out.op(f'trunc i64 {self.ssa} to i{bits}')} to i64") if bits < 64 else self
        )

    def zext(self, bits: int):
        return self & ((1 << bits) - 1)

    @property
    def word(self):
        return self.sext(32)

    @property
    def uword(self):
        return self.zext(32)

    def bits(self, low: int, width: int):
        return (self >> low) & ((1 << width) - 1)

    def insert(self, low: int, width: int, value):
        mask = ((1 << width) - 1) << low
        return (self & ~mask) | ((value << low) & mask)

    def __eq__(self, o):
        return self._compare("eq", o)

    def __ne__(self, o):
        return self._compare("ne", o)

    def slt(self, o):
        return self._compare("slt", o)

    def sle(self, o):
        return self._compare("sle", o)

    def sgt(self, o):
        return self._compare("sgt", o)

    def sge(self, o):
        return self._compare("sge", o)

    def ult(self, o):
        return self._compare("ult", o)

    def ule(self, o):
        return self._compare("ule", o)

    def ugt(self, o):
        return self._compare("ugt", o)

    def uge(self, o):
        return self._compare("uge", o)

    def _high(self, extend: str, o):
        a = self.out.op(f"{extend} i64 {self.ssa} to i128")
        b = self.out.op(f"{extend} i64 {text_of(o)} to i128")
        high = self.out.op(f"lshr i128 {self.out.op(f'mul i128 {a}, {b}')}, 64")
        return self._new(f"trunc i128 {high} to i64")

    def mulhi_s(self, o):
        return self._high("sext", o)

    def mulhi_u(self, o):
        return self._high("zext", o)

    def udiv(self, o):
        return self._two("udiv", o)

    def urem(self, o):
        return self._two("urem", o)

    def sdiv(self, o):
        return self._two("sdiv", o)

    def srem(self, o):
        return self._two("srem", o)

    def clz(self):
        return self._new(f"call i64 @llvm.ctlz.i64(i64 {self.ssa}, i1 false)")

    def popcount(self):
        return self._new(f"call i64 @llvm.ctpop.i64(i64 {self.ssa})")

    def bswap(self):
        return self._new(f"call i64 @llvm.bswap.i64(i64 {self.ssa})")


class IrBool:
    """A truth value of the IR backend."""

    __slots__ = ("out", "ssa")

    def __init__(self, out: Emitter, ssa: str):
        self.out = out
        self.ssa = ssa

    def __bool__(self):
        raise TableError("a meaning may not branch on a value; use choose")

    def __and__(self, o):
        return IrBool(self.out, self.out.op(f"and i1 {self.ssa}, {o.ssa}"))

    def __or__(self, o):
        return IrBool(self.out, self.out.op(f"or i1 {self.ssa}, {o.ssa}"))

    def __xor__(self, o):
        return IrBool(self.out, self.out.op(f"xor i1 {self.ssa}, {o.ssa}"))

    def __invert__(self):
        return IrBool(self.out, self.out.op(f"xor i1 {self.ssa}, true"))

    def choose(self, yes, no):
        return Ir(self.out, self.out.op(f"select i1 {self.ssa}, i64 {text_of(yes)}, i64 {text_of(no)}"))

    @property
    def value(self):
        return Ir(self.out, self.out.op(f"zext i1 {self.ssa} to i64"))
