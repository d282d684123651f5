"""The IR backend of vectors (cpu/isa/vectors.py): LLVM's own vector types."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cpu.isa.errors import TableError
from cpu.isa.ir_values import Emitter, Ir, IrBool, text_of
from cpu.isa.vectors import BITS, WIDE_BITS

_INTRINSICS = {
    "sadd.sat": "{0} @llvm.sadd.sat.{1}({0}, {0})",
    "uadd.sat": "{0} @llvm.uadd.sat.{1}({0}, {0})",
    "ssub.sat": "{0} @llvm.ssub.sat.{1}({0}, {0})",
    "usub.sat": "{0} @llvm.usub.sat.{1}({0}, {0})",
    "ctlz": "{0} @llvm.ctlz.{1}({0}, i1)",
    "ctpop": "{0} @llvm.ctpop.{1}({0})",
}


def kind_of(width: int, size: int) -> str:
    """LLVM's type of `size` bits in lanes of `width`."""
    return f"<{size // width} x i{width}>"


def declarations() -> str:
    return "".join(
        f"declare {text.format(kind_of(width, size), f'v{size // width}i{width}')}\n"
        for text in _INTRINSICS.values()
        for size in (BITS, WIDE_BITS)
        for width in (8, 16, 32, 64)
    )


def _two(instruction: str) -> Callable:
    return lambda self, o: self._new(f"{instruction} {self.kind} {self.ssa}, {self.other(o)}")


def _shift(instruction: str) -> Callable:
    def shift(self, o):
        if isinstance(o, int):
            return self._new(f"{instruction} {self.kind} {self.ssa}, {self.other(o % self.width)}")
        count = self.out.op(f"and {self.kind} {self.other(o)}, {self.other(self.width - 1)}")
        return self._new(f"{instruction} {self.kind} {self.ssa}, {count}")

    return shift


def _compare(condition: str) -> Callable:
    def compare(self, o):
        ssa = self.out.op(f"icmp {condition} {self.kind} {self.ssa}, {self.other(o)}")
        return IrMask(self.out, ssa, self.width, self.size)

    return compare


def _extreme(condition: str) -> Callable:
    return lambda self, o: _compare(condition)(self, o).choose(self, o)


def _intrinsic(name: str) -> Callable:
    return lambda self, o: self._call(name, f", {self.kind} {self.other(o)}")


class IrVector:
    """`size` bits in lanes of `width` as an SSA name."""

    __slots__ = ("out", "size", "ssa", "width")
    __hash__ = None

    def __init__(self, out: Emitter, ssa: str, width: int = 64, size: int = BITS):
        self.out = out
        self.ssa = ssa
        self.width = width
        self.size = size

    @property
    def count(self) -> int:
        return self.size // self.width

    @property
    def kind(self) -> str:
        return kind_of(self.width, self.size)

    def _new(self, text: str):
        return IrVector(self.out, self.out.op(text), self.width, self.size)

    def _call(self, name: str, rest: str):
        return self._new(f"call {self.kind} @llvm.{name}.v{self.count}i{self.width}({self.kind} {self.ssa}{rest})")

    def of(self, width: int):
        if width == self.width:
            return self
        kind = kind_of(width, self.size)
        return IrVector(self.out, self.out.op(f"bitcast {self.kind} {self.ssa} to {kind}"), width, self.size)

    def other(self, o) -> str:
        """The other operand of an operation."""
        if isinstance(o, IrVector):
            if o.kind != self.kind:
                raise TableError(f"a meaning mixes lanes of {self.width} and {o.width} bits; use of(width)")
            return o.ssa
        return constant(self.width, [o] * self.count) if isinstance(o, int) else spread(o, self.width, self.size).ssa

    __add__, __sub__, __mul__ = _two("add"), _two("sub"), _two("mul")
    __and__, __or__, __xor__ = _two("and"), _two("or"), _two("xor")
    __lshift__, __rshift__, sra = _shift("shl"), _shift("lshr"), _shift("ashr")
    sdiv, srem, udiv, urem = _two("sdiv"), _two("srem"), _two("udiv"), _two("urem")
    sadd_sat, uadd_sat = _intrinsic("sadd.sat"), _intrinsic("uadd.sat")
    ssub_sat, usub_sat = _intrinsic("ssub.sat"), _intrinsic("usub.sat")
    smin, smax, umin, umax = _extreme("slt"), _extreme("sgt"), _extreme("ult"), _extreme("ugt")
    __eq__, __ne__ = _compare("eq"), _compare("ne")
    slt, sle, ult, ule = _compare("slt"), _compare("sle"), _compare("ult"), _compare("ule")

    def __rsub__(self, o):
        return self._new(f"sub {self.kind} {self.other(o)}, {self.ssa}")

    def __invert__(self):
        return self ^ -1

    def clz(self):
        return self._call("ctlz", ", i1 false")

    def popcount(self):
        return self._call("ctpop", "")

    def take(self, indices: Sequence[int], other):
        both = f"{self.kind} {self.ssa}, {self.kind} {other.ssa}"
        return self._new(f"shufflevector {both}, <{self.count} x i32> {constant(32, indices)}")

    def gather(self, numbers, other):
        made = [self, other]
        for k in range(self.count):
            number = (numbers & (self.count - 1)).lane(k)
            made = [lanes.with_lane(k, source.lane(number)) for lanes, source in zip(made, (self, other), strict=True)]
        return ((numbers & self.count) == 0).choose(*made)

    def lane(self, k):
        lane = self.out.op(f"extractelement {self.kind} {self.ssa}, i64 {text_of(k)}")
        return Ir(self.out, lane if self.width == 64 else self.out.op(f"zext i{self.width} {lane} to i64"))

    def with_lane(self, k, value):
        lane = text_of(value)
        if self.width < 64:
            lane = self.out.op(f"trunc i64 {lane} to i{self.width}")
        return self._new(f"insertelement {self.kind} {self.ssa}, i{self.width} {lane}, i64 {text_of(k)}")

    @property
    def is_zero(self):
        bits = self.out.op(f"bitcast {self.kind} {self.ssa} to i{self.size}")
        return IrBool(self.out, self.out.op(f"icmp eq i{self.size} {bits}, 0"))


class IrMask:
    """One truth value for each lane of `width` bits of a vector of `size`."""

    __slots__ = ("out", "size", "ssa", "width")

    def __init__(self, out: Emitter, ssa: str, width: int, size: int):
        self.out = out
        self.ssa = ssa
        self.width = width
        self.size = size

    def __bool__(self):
        raise TableError("a meaning may not branch on a value; use choose")

    @property
    def count(self) -> int:
        return self.size // self.width

    def _new(self, text: str):
        return IrMask(self.out, self.out.op(text), self.width, self.size)

    @property
    def kind(self) -> str:
        return f"<{self.count} x i1>"

    def __and__(self, o):
        return self._new(f"and {self.kind} {self.ssa}, {o.ssa}")

    def __or__(self, o):
        return self._new(f"or {self.kind} {self.ssa}, {o.ssa}")

    def __invert__(self):
        return self._new(f"xor {self.kind} {self.ssa}, {constant(1, [1] * self.count)}")

    def choose(self, yes, no):
        shape = IrVector(self.out, "poison", self.width, self.size)
        chosen = f"{shape.kind} {shape.other(yes)}, {shape.kind} {shape.other(no)}"
        return shape._new(f"select {self.kind} {self.ssa}, {chosen}")

    @property
    def lanes(self):
        kind = kind_of(self.width, self.size)
        return IrVector(self.out, self.out.op(f"sext {self.kind} {self.ssa} to {kind}"), self.width, self.size)

    @property
    def any(self):
        bits = self.out.op(f"bitcast {self.kind} {self.ssa} to i{self.count}")
        return IrBool(self.out, self.out.op(f"icmp ne i{self.count} {bits}, 0"))


def constant(width: int, lanes: Sequence[int]) -> str:
    """A vector constant."""
    return "<" + ", ".join(f"i{width} {n & ((1 << width) - 1)}" for n in lanes) + ">"


def spread(value: Ir, width: int, size: int = BITS) -> IrVector:
    """The low bits of a value in each lane."""
    first = IrVector(value.out, "poison", width, size).with_lane(0, value)
    return first.take([0] * first.count, first)


def vector(out: Emitter, width: int, lanes: Sequence[Ir | int]) -> IrVector:
    """Lanes of values and ints."""
    known = constant(width, [n if isinstance(n, int) else 0 for n in lanes])
    made = IrVector(out, known, width, width * len(lanes))
    for k, lane in enumerate(lanes):
        if not isinstance(lane, int):
            made = made.with_lane(k, lane)
    return made
