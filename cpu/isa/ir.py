"""The IR backend of the value language: meanings become LLVM IR text.

`IrOperands` offers what `IntOperands` does (cpu/isa/values.py); where an operand lives and how control leaves a
handler is asked of a `frame`, so that each fast tier supplies its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cpu import state
from cpu.isa.errors import TableError
from cpu.isa.ir_values import Emitter, Ir, IrBool, text_of
from cpu.isa.ir_vectors import IrVector, declarations, kind_of, spread, vector
from cpu.isa.values import EXC_CODES, MAX_SCALAR_BYTES, REGISTER_KIND, VECTOR_BITS, one_by_one
from cpu.isa.vectors import BITS

DECLARATIONS = """\
declare i64 @llvm.fshr.i64(i64, i64, i64)
declare i32 @llvm.fshr.i32(i32, i32, i32)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.ctpop.i64(i64)
declare i64 @llvm.bswap.i64(i64)
declare i1 @llvm.expect.i1(i1, i1)
""" + declarations()


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
                value = out.op(f"insertvalue {kind} {value}, i64 {text_of(result)}, {k}")
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
        return Ir(self._out, text_of(n))

    def __getattr__(self, name: str):
        return Ir(self._out, self._out.load_slot(slot_offset(name)))

    def __setattr__(self, name: str, value):
        raise TableError(f"a routine may not write {name}; return the value")

    def call(self, function: Callable, *values):
        name, results = self._routines.need(function, len(values))
        kind = "{" + ", ".join(["i64"] * results) + "}"
        arguments = ", ".join(["ptr %S"] + [f"i64 {text_of(v)}" for v in values])
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
    here by its number, which `field` gives; a tier that knows better overrides `register`, `read` and `write`."""

    out: Emitter

    def field(self, name: str) -> str:
        """Value of an immediate field, or the number in a register field."""
        raise NotImplementedError

    def immediate(self, name: str) -> Ir:
        """Value of an immediate field."""
        return Ir(self.out, self.field(name))

    def is_checked(self, condition: IrBool) -> bool:
        """Whether the tier sees by other means that an instruction for which `condition` holds traps."""
        return False

    def trap(self, condition: str, code: int, coprocessor: int) -> None:
        """Leaves with an exception where the i1 `condition` holds."""
        raise NotImplementedError

    def pointer(self, ea: str, size: int, bad: str, access: str, aligned: bool) -> str:
        """Host pointer of a memory access: "load", "store" or "modify"."""
        raise NotImplementedError

    def read(self, name: str) -> str:
        """Value of the register that a field names."""
        return self.out.load(self.register(name))

    def write(self, name: str, value: str) -> None:
        self.out.do(f"store i64 {value}, ptr {self.register(name)}, align 8")

    def call(self, function: Callable, values: tuple) -> tuple | None:
        """Results of a routine that the tier has its own code for, or None."""
        return None

    def each(self, function: Callable, columns: Sequence[Sequence[Ir]], values: tuple) -> tuple | None:
        """Likewise of a routine called for each element."""
        return None

    def register(self, name: str) -> str:
        """Pointer to the register, of whichever file, that a field names."""
        number = self.field(name)
        if REGISTER_KIND[name] == "gpr":
            return self.out.slot(number)
        offset = self.out.op(f"mul i64 {number}, {state.FPR_STRIDE}")
        return self.out.slot(self.out.op(f"add i64 {offset}, {state.FPR}"))


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
            if REGISTER_KIND.get(name) in VECTOR_BITS:
                return self._vector(self._frame.register(name), VECTOR_BITS[REGISTER_KIND[name]], 8)
            if name in REGISTER_KIND:
                return Ir(self._out, self._frame.read(name))
            return self._frame.immediate(name)
        return Ir(self._out, self._out.load_slot(slot_offset(name)))

    def __setattr__(self, name: str, value):
        self.writes.add(name)
        if REGISTER_KIND.get(name) in VECTOR_BITS:
            self._store_vector(self._frame.register(name), value, 8)
        elif name in self._names:
            self._frame.write(name, text_of(value))
        else:
            self._out.store_slot(slot_offset(name), text_of(value))

    def _vector(self, pointer: str, bits: int, align: int):
        loaded = self._out.op(f"load {kind_of(64, bits)}, ptr {pointer}, align {align}")
        return IrVector(self._out, loaded, size=bits)

    def _store_vector(self, pointer: str, value, align: int) -> None:
        lanes = value.of(64)
        self._out.do(f"store {lanes.kind} {lanes.ssa}, ptr {pointer}, align {align}")

    def const(self, n: int):
        return Ir(self._out, text_of(n))

    def vector(self, width: int, lanes):
        return vector(self._out, width, lanes)

    def splat(self, width: int, value):
        if isinstance(value, int):
            return vector(self._out, width, [value] * (BITS // width))
        return spread(value, width)

    def trap(self, code: str, when=None, coprocessor: int = 0):
        if when is None or not self._frame.is_checked(when):
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
        if size > MAX_SCALAR_BYTES:
            return self._vector(pointer, 8 * size, 1)
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
        if size > MAX_SCALAR_BYTES:
            self._store_vector(pointer, value, 1)
        else:
            self._stored(pointer, size, text_of(value))

    def modify(self, address, size: int, function, bad=None, aligned: bool = False):
        pointer = self._access("modify", address, size, bad, aligned)
        self._stored(pointer, size, function(self._loaded(pointer, size, False)).ssa)

    def call(self, function: Callable, *values):
        return self._frame.call(function, values) or self._shared.call(function, *values)

    def each(self, function, columns, *values):
        return self._frame.each(function, columns, values) or one_by_one(self, function, columns, values)
