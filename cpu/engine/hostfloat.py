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
"""

from __future__ import annotations

from collections.abc import Callable

from cpu import state
from cpu.isa.ir import Emitter, Ir
from cpu.isa.softfloat import DOWN, EQUAL, INEXACT, LESS, NEAREST, TOWARD_ZERO, UP, D, Format, S

DECLARATIONS = """\
declare double @llvm.fma.f64(double, double, double)
declare double @llvm.sqrt.f64(double)
declare float @llvm.sqrt.f32(float)
declare double @llvm.roundeven.f64(double)
declare double @llvm.floor.f64(double)
declare double @llvm.ceil.f64(double)
"""
ENABLES, MODE = 0xF80, 3  # in FCSR
# D: remainders of results from 2^-959 up, of operands from 2^-895 up, are exact.
RESULT_FLOOR, OPERAND_FLOOR = 64, 128
EXACT_INTEGERS = 1 << 53

Cold = Callable[[str], None]
Routine = Callable[..., tuple[Ir, Ir]]


class HostFloat:
    """Emits the routines for one stencil. `cold(condition)` leaves where the i1 `condition` holds. `features` are the
    host's, as LLVM names them."""

    def __init__(self, out: Emitter, cold: Cold, features: frozenset[str]):
        self.out = out
        self.cold = cold
        self.features = features

    def find(self, function: Callable) -> Routine | None:
        """The routine in place of a softfloat one, or None where this host has none."""
        for fmt in (S, D):
            for name, needs in _NEEDS.items():
                if getattr(fmt, name) is function:
                    if needs[fmt] and needs[fmt] not in self.features:
                        return None
                    return lambda *values, fmt=fmt, name=name: getattr(self, name)(fmt, *values)
        return None

    # Values
    def text(self, value) -> str:
        return value.ssa if isinstance(value, Ir) else str(value)

    def number(self, fmt: Format, value) -> str:
        """An encoding as a host number."""
        if fmt is D:
            return self.out.op(f"bitcast i64 {self.text(value)} to double")
        low = self.out.op(f"trunc i64 {self.text(value)} to i32")
        return self.out.op(f"bitcast i32 {low} to float")

    def encoding(self, fmt: Format, number: str) -> Ir:
        if fmt is D:
            return Ir(self.out, self.out.op(f"bitcast double {number} to i64"))
        bits = self.out.op(f"bitcast float {number} to i32")
        return Ir(self.out, self.out.op(f"zext i32 {bits} to i64"))

    def wide(self, fmt: Format, number: str) -> str:
        return number if fmt is D else self.out.op(f"fpext float {number} to double")

    def narrow(self, fmt: Format, number: str) -> str:
        return number if fmt is D else self.out.op(f"fptrunc double {number} to float")

    def inexact(self, left: str, right: str = "0.0", kind: str = "double") -> Ir:
        """INEXACT where two numbers differ."""
        differ = self.out.op(f"fcmp une {kind} {left}, {right}")
        return Ir(self.out, self.out.op(f"select i1 {differ}, i64 {INEXACT}, i64 0"))

    # Guards
    def default_environment(self, bits: int = ENABLES | MODE) -> None:
        """Leaves where FCSR enables an exception, or rounds otherwise than to nearest."""
        held = self.out.op(f"and i64 {self.out.load_slot(state.FCSR)}, {bits}")
        self.cold(self.out.op(f"icmp ne i64 {held}, 0"))

    def in_range(self, fmt: Format, encoding: Ir, lowest: int, zero: str = "false") -> None:
        """Leaves unless the exponent field is `lowest` or more and finite, or the i1 `zero` holds."""
        out, unit = self.out, 1 << (fmt.fraction + 1)
        doubled = out.op(f"shl i64 {encoding.ssa}, {64 - fmt.width + 1}")
        unit <<= 64 - fmt.width
        above = out.op(f"sub i64 {doubled}, {_signed(lowest * unit)}")
        outside = out.op(f"icmp uge i64 {above}, {_signed((fmt.top - lowest) * unit)}")
        if zero == "false":
            self.cold(outside)
            return
        check, on = out.fresh("outside"), out.fresh("on")
        rare = out.op(f"call i1 @llvm.expect.i1(i1 {outside}, i1 false)")
        out.do(f"br i1 {rare}, label %{check}, label %{on}")
        out.label(check)
        self.cold(out.op(f"xor i1 {zero}, true"))
        out.do(f"br label %{on}")
        out.label(on)

    def is_zero(self, number: str, fmt: Format = D) -> str:
        return self.out.op(f"fcmp oeq {_KIND[fmt]} {number}, 0.0")

    # Routines
    def add(self, fmt: Format, a, b, subtract: int, fcsr):
        out, kind = self.out, _KIND[fmt]
        self.default_environment()
        x, y = self.number(fmt, a), self.number(fmt, b)
        plus, minus = ("fsub", "fadd") if subtract else ("fadd", "fsub")
        total = out.op(f"{plus} {kind} {x}, {y}")
        result = self.encoding(fmt, total)
        self.in_range(fmt, result, 1, self.is_zero(total, fmt))
        virtual = out.op(f"fsub {kind} {total}, {x}")
        rest = out.op(f"fsub {kind} {x}, {out.op(f'fsub {kind} {total}, {virtual}')}")
        error = out.op(f"{plus} {kind} {rest}, {out.op(f'{minus} {kind} {y}, {virtual}')}")
        return result, self.inexact(error, kind=kind)

    def mul(self, fmt: Format, a, b, fcsr):
        out = self.out
        self.default_environment()
        x, y = self.wide(fmt, self.number(fmt, a)), self.wide(fmt, self.number(fmt, b))
        product = out.op(f"fmul double {x}, {y}")
        rounded = self.narrow(fmt, product)
        result = self.encoding(fmt, rounded)
        zero = out.op(f"or i1 {self.is_zero(x)}, {self.is_zero(y)}")
        # A zero times an infinity is no zero.
        zero = out.op(f"and i1 {zero}, {self.is_zero(rounded, fmt)}")
        self.in_range(fmt, result, RESULT_FLOOR if fmt is D else 2, zero)
        if fmt is S:
            return result, self.inexact(self.wide(S, rounded), product)
        return result, self.inexact(self.fused(x, y, out.op(f"fneg double {product}")))

    def fused(self, x: str, y: str, z: str) -> str:
        return self.out.op(f"call double @llvm.fma.f64(double {x}, double {y}, double {z})")

    def div(self, fmt: Format, a, b, fcsr):
        out, kind = self.out, _KIND[fmt]
        self.default_environment()
        x, y = self.number(fmt, a), self.number(fmt, b)
        quotient = out.op(f"fdiv {kind} {x}, {y}")
        result = self.encoding(fmt, quotient)
        self.in_range(fmt, result, RESULT_FLOOR if fmt is D else 2)
        if fmt is S:
            back = out.op(f"fmul double {self.wide(S, quotient)}, {self.wide(S, y)}")
            return result, self.inexact(back, self.wide(S, x))
        self.in_range(fmt, self.encoding(fmt, x), OPERAND_FLOOR)
        return result, self.inexact(self.fused(out.op(f"fneg double {quotient}"), y, x))

    def sqrt(self, fmt: Format, a, fcsr):
        out, kind = self.out, _KIND[fmt]
        self.default_environment()
        x = self.number(fmt, a)
        root = out.op(f"call {kind} @llvm.sqrt.f{fmt.width}({kind} {x})")
        # The root of a negative number is a NaN, so its exponent is out of range.
        result = self.encoding(fmt, root)
        self.in_range(fmt, result, 1)
        if fmt is S:
            wide = self.wide(S, root)
            return result, self.inexact(out.op(f"fmul double {wide}, {wide}"), self.wide(S, x))
        self.in_range(fmt, self.encoding(fmt, x), OPERAND_FLOOR)
        return result, self.inexact(self.fused(out.op(f"fneg double {root}"), root, x))

    def compare(self, fmt: Format, a, b, signalling: int):
        out, kind = self.out, _KIND[fmt]
        x, y = self.number(fmt, a), self.number(fmt, b)
        self.cold(out.op(f"fcmp uno {kind} {x}, {y}"))
        less = out.op(f"select i1 {out.op(f'fcmp olt {kind} {x}, {y}')}, i64 {LESS}, i64 0")
        equal = out.op(f"fcmp oeq {kind} {x}, {y}")
        return Ir(out, out.op(f"select i1 {equal}, i64 {EQUAL}, i64 {less}")), Ir(out, "0")

    def to_integer(self, fmt: Format, a, mode, width: int):
        out = self.out
        # FCSR's own mode comes as a value.
        self.default_environment(ENABLES | MODE if isinstance(mode, Ir) else ENABLES)
        mode = NEAREST if isinstance(mode, Ir) else mode
        x = self.wide(fmt, self.number(fmt, a))
        whole = x
        if mode != TOWARD_ZERO:
            name = {NEAREST: "roundeven", UP: "ceil", DOWN: "floor"}[mode]
            whole = out.op(f"call double @llvm.{name}.f64(double {x})")
        # Below 2^62 in size, or 2^30: an integer of the width, whatever the rounding.
        size = out.op(f"and i64 {self.encoding(D, whole).ssa}, {(1 << 63) - 1}")
        self.cold(out.op(f"icmp uge i64 {size}, {(D.bias + width - 2) << D.fraction}"))
        integer = out.op(f"fptosi double {whole} to i{width}")
        back = out.op(f"sitofp i{width} {integer} to double")
        if width < 64:
            integer = out.op(f"sext i{width} {integer} to i64")
        return Ir(out, integer), self.inexact(back, x)

    def from_integer(self, fmt: Format, a, fcsr):
        out = self.out
        self.default_environment()
        moved = out.op(f"add i64 {self.text(a)}, {EXACT_INTEGERS}")
        self.cold(out.op(f"icmp ugt i64 {moved}, {2 * EXACT_INTEGERS}"))
        exact = out.op(f"sitofp i64 {self.text(a)} to double")
        rounded = self.narrow(fmt, exact)
        return self.encoding(fmt, rounded), self.inexact(self.wide(fmt, rounded), exact)

    def from_other(self, fmt: Format, a, fcsr):
        out = self.out
        if fmt is D:
            x = self.number(S, a)
            result = self.encoding(D, self.wide(S, x))
            self.in_range(D, result, 1, self.is_zero(x, S))
            return result, Ir(out, "0")
        self.default_environment()
        x = self.number(D, a)
        rounded = self.narrow(S, x)
        result = self.encoding(S, rounded)
        self.in_range(S, result, 2, self.is_zero(x))
        return result, self.inexact(self.wide(S, rounded), x)


_KIND = {S: "float", D: "double"}
# The feature of the host that a routine needs beyond plain arithmetic.
_NEEDS: dict[str, dict[Format, str]] = {
    "add": {S: "", D: ""},
    "mul": {S: "", D: "fma"},
    "div": {S: "", D: "fma"},
    "sqrt": {S: "", D: "fma"},
    "compare": {S: "", D: ""},
    "to_integer": {S: "sse4.1", D: "sse4.1"},
    "from_integer": {S: "", D: ""},
    "from_other": {S: "", D: ""},
}


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
