"""Floating-point routines on the host's unit, for the cases in which it provably gives what softfloat.py gives.

A routine here computes result and flags of the softfloat routine of the same name, or goes to `cold` before anything is
written. It needs the host's default environment: round to nearest even, no exception unmasked, subnormals kept. The
guest must round to nearest too, and have no exception enabled. NaNs, infinities as results, and results near the ends
of the exponent range are left to softfloat, so the only flag that can come up is Inexact: it is set exactly where the
rounding error, which these operations give as a number of their own, is not zero.

* Sum: the error of T. J. Dekker's and D. E. Knuth's TwoSum. Only finite sums get here; where a step of it overflows all
  the same (an operand is the largest number), the sum is inexact, and the NaN that results is not zero.
* Product, quotient, root in D: the remainder by one fused operation, which is exact while exponents are far from the
  smallest (J.-M. Muller et al., Handbook of Floating-Point Arithmetic, section 4.4).
* The same in S: the product of two singles is exact in D, so it is compared there.

The text is that of one operation, or (hostvector.py) of one on each element of a vector: `kind` and `constant` give
LLVM's types and constants, `any` makes one condition of those of the elements.
"""

from __future__ import annotations

from collections.abc import Callable

from cpu import state
from cpu.isa.ir import Emitter, Ir
from cpu.isa.softfloat import DOWN, EQUAL, INEXACT, LESS, NEAREST, TOWARD_ZERO, UP, D, Format, S
from cpu.words import signed

ENABLES, MODE = 0xF80, 3  # in FCSR, and in MSACSR
# Exponents. D: remainders of results from 2^-959 up, of operands from 2^-895 up, are exact. S: no result is tiny.
RESULT_FLOOR, OPERAND_FLOOR = {32: 2, 64: 64}, 128
EXACT_INTEGERS = 1 << 53
SCALAR = {16: "half", 32: "float", 64: "double"}

Cold = Callable[[str], None]
Routine = Callable[..., tuple[Ir, Ir]]


class HostFloat:
    """Emits the routines for one stencil. `cold(condition)` leaves where the i1 `condition` holds. `features` are the
    host's, as LLVM names them."""

    formats: tuple[Format, ...] = (S, D)
    # The routines, and by width the feature of the host that they need beyond plain arithmetic.
    needs: dict[str, dict[int, str]] = {
        "add": {},
        "mul": {64: "fma"},
        "div": {64: "fma"},
        "sqrt": {64: "fma"},
        "compare": {},
        "to_integer": {32: "sse4.1", 64: "sse4.1"},
        "from_integer": {},
        "from_other": {},
    }

    def __init__(self, out: Emitter, cold: Cold, features: frozenset[str]):
        self.out = out
        self.cold = cold
        self.features = features

    def find(self, function: Callable) -> Routine | None:
        """The routine in place of a softfloat one, or None where this host has none."""
        for fmt in self.formats:
            for name, needs in self.needs.items():
                if getattr(fmt, name, None) is function:
                    if fmt.width in needs and needs[fmt.width] not in self.features:
                        return None
                    return lambda *values, fmt=fmt, name=name: getattr(self, name)(fmt, *values)
        return None

    # Shapes
    def kind(self, scalar: str) -> str:
        """LLVM's type of operands that are each of type `scalar`."""
        return scalar

    def constant(self, scalar: str, number: str | int) -> str:
        """A number in each operand."""
        return str(number)

    def any(self, condition: str) -> str:
        """The i1 that says whether `condition` holds somewhere."""
        return condition

    def integer_width(self, fmt: Format) -> int:
        """Width of the integer that holds an encoding of `fmt`, or what it is converted from."""
        return 64

    def value(self, ssa: str, width: int, signed: bool = False) -> Ir:
        """An integer of `width` bits as a value."""
        if width < 64:
            ssa = self.out.op(f"{'sext' if signed else 'zext'} i{width} {ssa} to i64")
        return Ir(self.out, ssa)

    # Numbers
    def text(self, value, width: int) -> str:
        """A value, or a constant of this width."""
        return self.constant(f"i{width}", value) if isinstance(value, int) else value.ssa

    def number(self, fmt: Format, value) -> str:
        """An encoding as a host number."""
        width, held = fmt.width, self.integer_width(fmt)
        encoding = self.text(value, held)
        if width < held:
            encoding = self.out.op(f"trunc i{held} {encoding} to i{width}")
        return self.out.op(f"bitcast {self.kind(f'i{width}')} {encoding} to {self.kind(SCALAR[width])}")

    def bits(self, fmt: Format, number: str) -> str:
        """The encoding as an integer of its own width."""
        return self.out.op(f"bitcast {self.kind(SCALAR[fmt.width])} {number} to {self.kind(f'i{fmt.width}')}")

    def encoding(self, fmt: Format, number: str) -> Ir:
        """The encoding as a value."""
        return self.value(self.bits(fmt, number), fmt.width)

    def wide(self, fmt: Format, number: str) -> str:
        return number if fmt.width == 64 else self.convert("fpext", "float", number, "double")

    def narrow(self, fmt: Format, number: str) -> str:
        return number if fmt.width == 64 else self.convert("fptrunc", "double", number, "float")

    def convert(self, operation: str, source: str, operand: str, to: str) -> str:
        return self.out.op(f"{operation} {self.kind(source)} {operand} to {self.kind(to)}")

    def intrinsic(self, name: str, scalar: str, *operands: str) -> str:
        """A call of llvm.`name`, whose operands and result are of one type."""
        kind = self.kind(scalar)
        return self.out.op(f"call {kind} @llvm.{name}({', '.join(f'{kind} {operand}' for operand in operands)})")

    # Conditions
    def differ(self, left: str, right: str = "", scalar: str = "double") -> str:
        """Where two numbers differ, or one is not 0."""
        return self.compared("une", left, right or self.constant(scalar, "0.0"), scalar)

    def compared(self, relation: str, left: str, right: str, scalar: str) -> str:
        return self.out.op(f"fcmp {relation} {self.kind(scalar)} {left}, {right}")

    def is_zero(self, number: str, fmt: Format = D) -> str:
        scalar = SCALAR[fmt.width]
        return self.compared("oeq", number, self.constant(scalar, "0.0"), scalar)

    def logical(self, operation: str, left: str, right: str) -> str:
        return self.out.op(f"{operation} {self.kind('i1')} {left}, {right}")

    def inexact(self, condition: str) -> Ir:
        """INEXACT where the condition holds somewhere."""
        return Ir(self.out, self.out.op(f"select i1 {self.any(condition)}, i64 {INEXACT}, i64 0"))

    # Guards
    def default_environment(self, bits: int = ENABLES | MODE) -> None:
        """Leaves where FCSR enables an exception, or rounds otherwise than to nearest."""
        self.leave_with(state.FCSR, bits)

    def leave_with(self, slot: int, bits: int) -> None:
        """Leaves where a control register has one of these bits."""
        held = self.out.op(f"and i64 {self.out.load_slot(slot)}, {bits}")
        self.cold(self.out.op(f"icmp ne i64 {held}, 0"))

    def in_range(self, fmt: Format, number: str, lowest: int, zero: str = "", end: int | None = None) -> None:
        """Leaves unless the exponent field is `lowest` or more, but below `end` (None: finite), or `zero` holds."""
        out, scalar, unit = self.out, f"i{fmt.width}", 2 << fmt.fraction
        kind = self.kind(scalar)
        doubled = out.op(f"shl {kind} {self.bits(fmt, number)}, {self.constant(scalar, 1)}")
        above = out.op(f"sub {kind} {doubled}, {self.constant(scalar, signed(lowest * unit, fmt.width))}")
        size = signed(((fmt.top if end is None else end) - lowest) * unit, fmt.width)
        outside = out.op(f"icmp uge {kind} {above}, {self.constant(scalar, size)}")
        if not zero:
            self.cold(self.any(outside))
            return
        check, on = out.fresh("outside"), out.fresh("on")
        rare = out.op(f"call i1 @llvm.expect.i1(i1 {self.any(outside)}, i1 false)")
        out.do(f"br i1 {rare}, label %{check}, label %{on}")
        out.label(check)
        other = self.logical("xor", zero, self.constant("i1", "true"))
        self.cold(self.any(self.logical("and", outside, other)))
        out.do(f"br label %{on}")
        out.label(on)

    # Exact transformations
    def two_sum(self, scalar: str, x: str, y: str, subtract: int = 0) -> tuple[str, str]:
        """(x + y or x - y, its rounding error)."""
        out, kind = self.out, self.kind(scalar)
        plus, minus = ("fsub", "fadd") if subtract else ("fadd", "fsub")
        total = out.op(f"{plus} {kind} {x}, {y}")
        virtual = out.op(f"fsub {kind} {total}, {x}")
        rest = out.op(f"fsub {kind} {x}, {out.op(f'fsub {kind} {total}, {virtual}')}")
        return total, out.op(f"{plus} {kind} {rest}, {out.op(f'{minus} {kind} {y}, {virtual}')}")

    def product(self, x: str, y: str) -> str:
        return self.out.op(f"fmul {self.kind('double')} {x}, {y}")

    def remainder(self, x: str, y: str, product: str) -> str:
        """x * y - product."""
        return self.intrinsic("fma", "double", x, y, self.negated(product))

    def negated(self, number: str, scalar: str = "double") -> str:
        return self.out.op(f"fneg {self.kind(scalar)} {number}")

    def zero_product(self, x: str, y: str, product: str, fmt: Format = D) -> str:
        """Where a product is 0 because a factor is."""
        factor = self.logical("or", self.is_zero(x), self.is_zero(y))
        # A zero times an infinity is no zero.
        return self.logical("and", factor, self.is_zero(product, fmt))

    # Routines
    def add(self, fmt: Format, a, b, subtract: int, fcsr):
        scalar = SCALAR[fmt.width]
        self.default_environment()
        total, error = self.two_sum(scalar, self.number(fmt, a), self.number(fmt, b), subtract)
        self.in_range(fmt, total, 1, self.is_zero(total, fmt))
        return self.encoding(fmt, total), self.inexact(self.differ(error, scalar=scalar))

    def mul(self, fmt: Format, a, b, fcsr):
        self.default_environment()
        x, y = self.wide(fmt, self.number(fmt, a)), self.wide(fmt, self.number(fmt, b))
        product = self.product(x, y)
        rounded = self.narrow(fmt, product)
        self.in_range(fmt, rounded, RESULT_FLOOR[fmt.width], self.zero_product(x, y, rounded, fmt))
        if fmt.width == 64:
            lost = self.differ(self.remainder(x, y, product))
        else:
            lost = self.differ(self.wide(fmt, rounded), product)
        return self.encoding(fmt, rounded), self.inexact(lost)

    def div(self, fmt: Format, a, b, fcsr):
        self.default_environment()
        x, y = self.number(fmt, a), self.number(fmt, b)
        quotient = self.out.op(f"fdiv {self.kind(SCALAR[fmt.width])} {x}, {y}")
        self.in_range(fmt, quotient, RESULT_FLOOR[fmt.width])
        if fmt.width == 64:
            self.in_range(fmt, x, OPERAND_FLOOR)
            lost = self.differ(self.remainder(quotient, y, x))
        else:
            lost = self.differ(self.product(self.wide(fmt, quotient), self.wide(fmt, y)), self.wide(fmt, x))
        return self.encoding(fmt, quotient), self.inexact(lost)

    def sqrt(self, fmt: Format, a, fcsr):
        self.default_environment()
        x = self.number(fmt, a)
        root = self.intrinsic("sqrt", SCALAR[fmt.width], x)
        # The root of a negative number is a NaN, so its exponent is out of range.
        self.in_range(fmt, root, 1)
        if fmt.width == 64:
            self.in_range(fmt, x, OPERAND_FLOOR)
            lost = self.differ(self.remainder(root, root, x))
        else:
            wide = self.wide(fmt, root)
            lost = self.differ(self.product(wide, wide), self.wide(fmt, x))
        return self.encoding(fmt, root), self.inexact(lost)

    def compare(self, fmt: Format, a, b, signalling: int):
        out, scalar = self.out, SCALAR[fmt.width]
        x, y = self.number(fmt, a), self.number(fmt, b)
        self.cold(self.any(self.compared("uno", x, y, scalar)))
        width = self.integer_width(fmt)
        holds, kind = self.kind("i1"), self.kind(f"i{width}")
        equal, less, none = (self.constant(f"i{width}", n) for n in (EQUAL, LESS, 0))
        below = out.op(f"select {holds} {self.compared('olt', x, y, scalar)}, {kind} {less}, {kind} {none}")
        same = self.compared("oeq", x, y, scalar)
        relation = out.op(f"select {holds} {same}, {kind} {equal}, {kind} {below}")
        return self.value(relation, width), Ir(out, "0")

    def to_integer(self, fmt: Format, a, mode, width: int):
        # The control register's own mode comes as a value.
        self.default_environment(ENABLES | MODE if isinstance(mode, Ir) else ENABLES)
        mode = NEAREST if isinstance(mode, Ir) else mode
        return self.rounded(self.wide(fmt, self.number(fmt, a)), mode, width)

    def rounded(self, x: str, mode: int, width: int):
        """A double as an integer of `width` bits, and its flags."""
        whole = x
        if mode != TOWARD_ZERO:
            whole = self.intrinsic({NEAREST: "roundeven", UP: "ceil", DOWN: "floor"}[mode], "double", x)
        # Below 2^(width - 1) in size: an integer of the width, also where only its fraction has still to go.
        self.in_range(D, whole, 0, end=D.bias + width - 1)
        integer = self.convert("fptosi", "double", whole, f"i{width}")
        back = self.convert("sitofp", f"i{width}", integer, "double")
        return self.value(integer, width, signed=True), self.inexact(self.differ(back, x))

    def from_integer(self, fmt: Format, a, fcsr):
        out, scalar = self.out, f"i{self.integer_width(fmt)}"
        integer, kind = self.text(a, self.integer_width(fmt)), self.kind(scalar)
        self.default_environment()
        if self.integer_width(fmt) == 64:
            moved = out.op(f"add {kind} {integer}, {self.constant(scalar, EXACT_INTEGERS)}")
            self.cold(self.any(out.op(f"icmp ugt {kind} {moved}, {self.constant(scalar, 2 * EXACT_INTEGERS)}")))
        exact = self.convert("sitofp", scalar, integer, "double")
        rounded = self.narrow(fmt, exact)
        return self.encoding(fmt, rounded), self.inexact(self.differ(self.wide(fmt, rounded), exact))

    def from_other(self, fmt: Format, a, fcsr):
        if fmt.width == 64:
            x = self.number(S, a)
            widened = self.wide(S, x)
            self.in_range(D, widened, 1, self.is_zero(x, S))
            return self.encoding(D, widened), Ir(self.out, "0")
        self.default_environment()
        x = self.number(D, a)
        rounded = self.narrow(S, x)
        self.in_range(S, rounded, 2, self.is_zero(x))
        return self.encoding(S, rounded), self.inexact(self.differ(self.wide(S, rounded), x))
