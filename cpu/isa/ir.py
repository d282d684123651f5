"""The IR backend of the value language: meanings become LLVM IR text.

`IrOperands` offers what `IntOperands` does (cpu/isa/values.py); where an operand lives and how control leaves a
handler is asked of a `frame`, so that each fast tier supplies its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cpu import state
from cpu.isa.errors import TableError
from cpu.isa.values import EXC_CODES, REGISTER_KIND

DECLARATIONS = """\
declare i64 @llvm.fshr.i64(i64, i64, i64)
declare i32 @llvm.fshr.i32(i32, i32, i32)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.ctpop.i64(i64)
declare i64 @llvm.bswap.i64(i64)
declare i1 @llvm.expect.i1(i1, i1)
"""


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


def _text(x) -> str:
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
        return self._new(f"{operation} i64 {self.ssa}, {_text(o)}")

    def _count(self, o, mask: int = 63) -> str:
        if isinstance(o, int):
            return str(o & mask)
        return self.out.op(f"and i64 {o.ssa}, {mask}")

    def _compare(self, kind: str, o):
        return IrBool(self.out, self.out.op(f"icmp {kind} i64 {self.ssa}, {_text(o)}"))

    def __add__(self, o):
        return self._two("add", o)

    __radd__ = __add__

    def __sub__(self, o):
        return self._two("sub", o)

    def __rsub__(self, o):
        return self._new(f"sub i64 {_text(o)}, {self.ssa}")

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
        return self._new(f"shl i64 {self.ssa}, {self._count(o)}")

    def __rshift__(self, o):
        return self._new(f"lshr i64 {self.ssa}, {self._count(o)}")

    def sra(self, o):
        return self._new(f"ashr i64 {self.ssa}, {self._count(o)}")

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
        b = self.out.op(f"{extend} i64 {_text(o)} to i128")
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
        return Ir(self.out, self.out.op(f"select i1 {self.ssa}, i64 {_text(yes)}, i64 {_text(no)}"))

    @property
    def value(self):
        return Ir(self.out, self.out.op(f"zext i1 {self.ssa} to i64"))


@dataclass
class Routines:
    """Shared functions that meanings call, each emitted once into the module."""

    functions: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> (text, number of results)
    known: dict[Callable, str] = field(default_factory=dict)

    def need(self, function: Callable, arguments: int) -> tuple[str, int]:
        """(IR name, number of results)."""
        if function not in self.known:
            name = f"@routine_{len(self.known)}_{function.__name__.replace('<', '').replace('>', '')}"
            self.known[function] = name
            out = Emitter()
            parameters = [Ir(out, f"%p{k}") for k in range(arguments)]
            results = function(RoutineOperands(out, self), *parameters)
            kind = "{" + ", ".join(["i64"] * len(results)) + "}"
            value = "poison"
            for k, result in enumerate(results):
                value = out.op(f"insertvalue {kind} {value}, i64 {_text(result)}, {k}")
            head = ", ".join(["ptr %S"] + [f"i64 %p{k}" for k in range(arguments)])
            body = "\n".join(out.lines)
            text = (
                f"define internal fastcc {kind} {name}({head}) nounwind noinline {{\n{body}\n  ret {kind} {value}\n}}"
            )
            self.functions[name] = (text, len(results))
        name = self.known[function]
        return name, self.functions[name][1]

    @property
    def text(self) -> str:
        return "\n".join(text for text, _ in self.functions.values())


class RoutineOperands:
    """What a routine sees as `i`: constants, slots to read, further routines."""

    def __init__(self, out: Emitter, routines: Routines):
        object.__setattr__(self, "_out", out)
        object.__setattr__(self, "_routines", routines)

    def const(self, n: int):
        return Ir(self._out, _text(n))

    def __getattr__(self, name: str):
        return Ir(self._out, self._out.load_slot(slot_offset(name)))

    def __setattr__(self, name: str, value):
        raise TableError(f"a routine may not write {name}; return the value")

    def call(self, function: Callable, *values):
        name, results = self._routines.need(function, len(values))
        kind = "{" + ", ".join(["i64"] * results) + "}"
        arguments = ", ".join(["ptr %S"] + [f"i64 {_text(v)}" for v in values])
        packed = self._out.op(f"call fastcc {kind} {name}({arguments})")
        return tuple(Ir(self._out, self._out.op(f"extractvalue {kind} {packed}, {k}")) for k in range(results))


def slot_offset(name: str) -> int:
    if name not in state.SLOTS or state.SLOTS[name][1] != 1:
        raise TableError(
            f"a meaning names {name!r}, which is neither a field of its encoding nor a slot of cpu/state.py"
        )
    return state.SLOTS[name][0]


class Frame:
    """What a tier supplies to an emission: where operands are, and how control leaves. A register operand is found
    here by its number, which `field` gives; a tier that knows better overrides `read` and `write`."""

    out: Emitter

    def field(self, name: str) -> str:
        """Value of an immediate field, or the number in a register field."""
        raise NotImplementedError

    def trap(self, condition: str, code: int, coprocessor: int) -> None:
        """Leaves with an exception where the i1 `condition` holds."""
        raise NotImplementedError

    def pointer(self, ea: str, size: int, bad: str, access: str, aligned: bool) -> str:
        """Host pointer of a memory access: "load", "store" or "modify"."""
        raise NotImplementedError

    def read(self, name: str) -> str:
        """Value of the register that a field names."""
        return self.out.load(self._register(name))

    def write(self, name: str, value: str) -> None:
        self.out.do(f"store i64 {value}, ptr {self._register(name)}, align 8")

    def call(self, function: Callable, values: tuple) -> tuple | None:
        """Results of a routine that the tier has its own code for, or None."""
        return None

    def _register(self, name: str) -> str:
        number = self.field(name)
        if REGISTER_KIND[name] == "gpr":
            return self.out.slot(number)
        if REGISTER_KIND[name] == "fpr":
            offset = self.out.op(f"mul i64 {number}, {state.FPR_STRIDE}")
            return self.out.slot(self.out.op(f"add i64 {offset}, {state.FPR}"))
        raise TableError(f"field {name}: MSA operands have no IR form yet")


class IrOperands:
    """One emission into `out`, with operands and exits supplied by `frame`. What the meaning used is recorded."""

    def __init__(self, out: Emitter, routines: Routines, frame: Frame, fields: tuple[str, ...]):
        object.__setattr__(self, "_out", out)
        object.__setattr__(self, "_shared", RoutineOperands(out, routines))
        object.__setattr__(self, "_frame", frame)
        object.__setattr__(self, "_names", fields)
        object.__setattr__(self, "reads", set())
        object.__setattr__(self, "writes", set())
        object.__setattr__(self, "access", None)

    def __getattr__(self, name: str):
        self.reads.add(name)
        if name in self._names:
            if name in REGISTER_KIND:
                return Ir(self._out, self._frame.read(name))
            return Ir(self._out, self._frame.field(name))
        return Ir(self._out, self._out.load_slot(slot_offset(name)))

    def __setattr__(self, name: str, value):
        self.writes.add(name)
        if name in self._names:
            self._frame.write(name, _text(value))
        else:
            self._out.store_slot(slot_offset(name), _text(value))

    def const(self, n: int):
        return Ir(self._out, _text(n))

    def trap(self, code: str, when=None, coprocessor: int = 0):
        self._frame.trap("true" if when is None else when.ssa, EXC_CODES[code], coprocessor)

    def _access(self, kind: str, address, size: int, bad, aligned: bool) -> str:
        if self.access:
            raise TableError("a meaning makes more than one memory access")
        if self.writes:
            raise TableError("a meaning writes a register before its memory access")
        object.__setattr__(self, "access", (kind, size, aligned))
        return self._frame.pointer(address.ssa, size, (address if bad is None else bad).ssa, kind, aligned)

    def load(self, address, size: int, signed: bool = True, bad=None, aligned: bool = False):
        pointer = self._access("load", address, size, bad, aligned)
        return self._loaded(pointer, size, signed)

    def _loaded(self, pointer: str, size: int, signed: bool):
        raw = self._out.op(f"load i{8 * size}, ptr {pointer}, align 1")
        if size == 8:
            return Ir(self._out, raw)
        return Ir(self._out, self._out.op(f"{'sext' if signed else 'zext'} i{8 * size} {raw} to i64"))

    def _stored(self, pointer: str, size: int, value: str):
        if size < 8:
            value = self._out.op(f"trunc i64 {value} to i{8 * size}")
        self._out.do(f"store i{8 * size} {value}, ptr {pointer}, align 1")

    def store(self, address, size: int, value, bad=None, aligned: bool = False):
        pointer = self._access("store", address, size, bad, aligned)
        self._stored(pointer, size, _text(value))

    def modify(self, address, size: int, function, bad=None, aligned: bool = False):
        pointer = self._access("modify", address, size, bad, aligned)
        self._stored(pointer, size, function(self._loaded(pointer, size, False)).ssa)

    def call(self, function: Callable, *values):
        return self._frame.call(function, values) or self._shared.call(function, *values)
