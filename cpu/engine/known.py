"""Values that are known when a stencil is placed: sums of immediate fields of the micro-op.

LLVM sees no arithmetic on them. A sum fills one hole, in the instruction that uses it where x86-64 has an immediate
there; and a condition on one that would trap is looked at before the stencil is placed. The name of a sum's hole says
what fills it: `SUM_c` and then `_factor_kind_low_width` for each field, `m` for minus.
"""

from __future__ import annotations

from dataclasses import dataclass

from cpu.isa.ir_values import Emitter, Ir, IrBool


@dataclass(frozen=True)
class Term:
    """A field of the micro-op, unsigned ("U") or signed ("I"), times a factor."""

    factor: int
    kind: str
    low: int
    width: int

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest value."""
        half = 1 << (self.width - 1)
        ends = (-half, half - 1) if self.kind == "I" else (0, 2 * half - 1)
        products = [self.factor * end for end in ends]
        return min(products), max(products)


@dataclass(frozen=True)
class Sum:
    """A constant and terms."""

    constant: int
    terms: tuple[Term, ...]

    def plus(self, other: Sum | int, factor: int = 1) -> Sum:
        if isinstance(other, int):
            return Sum(self.constant + factor * other, self.terms)
        return Sum(self.constant + factor * other.constant, self.terms + other.times(factor).terms)

    def times(self, factor: int) -> Sum:
        terms = tuple(Term(factor * t.factor, t.kind, t.low, t.width) for t in self.terms)
        return Sum(factor * self.constant, terms)

    @property
    def fits(self) -> bool:
        """Whether it is always a 32-bit signed number."""
        low = self.constant + sum(t.range[0] for t in self.terms)
        high = self.constant + sum(t.range[1] for t in self.terms)
        return -(1 << 31) <= low and high < 1 << 31

    @property
    def name(self) -> str:
        numbers = [self.constant, *(x for t in self.terms for x in (t.factor, t.kind, t.low, t.width))]
        return "_".join(["SUM", *(str(x).replace("-", "m") for x in numbers)])

    @staticmethod
    def named(name: str) -> Sum:
        """The sum whose hole has this name."""
        _, constant, *rest = name.replace("m", "-").split("_")
        terms = (Term(int(f), kind, int(low), int(w)) for f, kind, low, w in zip(*[iter(rest)] * 4, strict=True))
        return Sum(int(constant), tuple(terms))


class Known(Ir):
    """A sum as a value of the IR backend."""

    __slots__ = ("sum",)

    def __init__(self, out: Emitter, value: Sum):
        self.out = out
        self.sum = value

    @property
    def ssa(self) -> str:
        match self.sum:
            case Sum(0, (Term(1, kind, low, width),)):
                return f"ptrtoint (ptr @{kind}_{low}_{width} to i64)"
        return self.out.op(f'call i64 asm "movq $${self.sum.name}, $0", "=r"()')

    def __add__(self, o):
        if isinstance(o, Known | int):
            return Known(self.out, self.sum.plus(o.sum if isinstance(o, Known) else o))
        return self.__radd__(o)

    def __radd__(self, o):
        if isinstance(o, int):
            return self + o
        return self if o.ssa == "0" else Offset(o, self)

    def __sub__(self, o):
        if isinstance(o, Known | int):
            return Known(self.out, self.sum.plus(o.sum if isinstance(o, Known) else o, -1))
        return super().__sub__(o)

    def __rsub__(self, o):
        return Known(self.out, self.sum.times(-1).plus(o)) if isinstance(o, int) else super().__rsub__(o)

    def __lshift__(self, o):
        scaled = self.sum.times(1 << o) if isinstance(o, int) else None
        return Known(self.out, scaled) if scaled is not None and scaled.fits else super().__lshift__(o)

    def sext(self, bits: int):
        return self if bits == 32 else super().sext(bits)

    def shift(self, kind: str, value: Ir) -> Ir:
        name = {"shl": "shlq", "lshr": "shrq", "ashr": "sarq"}[kind]
        return self._apply(name, value)

    def _apply(self, name: str, value: Ir) -> Ir:
        return value._new(f'call i64 asm "{name} $${self.sum.name}, $0", "=r,0,~{{flags}}"(i64 {value.ssa})')

    def _logical(self, name: str, operator: str, value: Ir) -> Ir:
        # Of 0 LLVM makes less.
        return value._two(operator, self) if value.ssa == "0" else self._apply(name, value)

    def __rand__(self, o):
        return self._logical("andq", "and", o)

    def __ror__(self, o):
        return self._logical("orq", "or", o)

    def __rxor__(self, o):
        return self._logical("xorq", "xor", o)

    def _compare(self, kind: str, o):
        if kind in ("sgt", "slt") and isinstance(o, Known | int):
            difference = (self - o).sum
            return Condition(self, kind, o, difference if kind == "sgt" else difference.times(-1))
        return super()._compare(kind, o)


class Offset(Ir):
    """A value and a known one."""

    __slots__ = ("base", "known")

    def __init__(self, base: Ir, known: Known):
        super().__init__(base.out, base._two("add", known).ssa)
        self.base, self.known = base, known

    def sext(self, bits: int):
        if bits != 32:
            return super().sext(bits)
        # LLVM would load a negative number into a register of its own.
        text = f'call i32 asm "leal {self.known.sum.name}(${{1:q}}), $0", "=r,r"(i64 {self.base.ssa})'
        return self._new(f"sext i32 {self.out.op(text)} to i64")


class Condition(IrBool):
    """Holds where `sum` is positive."""

    __slots__ = ("sum",)

    def __init__(self, left: Known, kind: str, right, positive: Sum):
        super().__init__(left.out, Ir._compare(left, kind, right).ssa)
        self.sum = positive
