"""MSA's floating point on the host's unit: the routines of hostfloat.py on all elements of a vector at once, and the
operations that only softfloat2008.py has.

One element that needs softfloat takes the whole instruction there. Its flags are those of all elements together.

* Fused sum in S: the product is exact in D, and so is what TwoSum gives for it and the addend there.
* In D: its error is gamma + alpha2 of the algorithm ErrFma (S. Boldo and J.-M. Muller, Exact and Approximated Error of
  the FMA, 2011). It asks that nothing underflows; nothing does where the error of the product is exact, as sums of
  multiples of the smallest number are rounded as if exponents had no lower end.
"""

from __future__ import annotations

from collections.abc import Sequence

from cpu import state
from cpu.engine.hostfloat import ENABLES, MODE, RESULT_FLOOR, SCALAR, Cold, HostFloat
from cpu.isa.ir import Emitter, Ir
from cpu.isa.ir_vectors import IrVector, vector
from cpu.isa.msa_signals import FS, Element
from cpu.isa.softfloat import INEXACT, NEAREST
from cpu.isa.softfloat2008 import D, Format2008, H, S

SUMMAND_END = D.top - 2  # two numbers with exponents below this are added without overflow


class Elements(IrVector):
    """An operand: of each element just the bits of its format, whatever the sign."""

    def sext(self, bits: int):
        return self


class HostVector(HostFloat):
    """Emits the routines for the stencil of an instruction of MSA with `count` elements."""

    formats = (S, D)
    needs = HostFloat.needs | {
        "fused": {32: "fma", 64: "fma"},
        "round_to_integral": {32: "sse4.1", 64: "sse4.1"},
        "extreme": {},
        "to_saturated": {32: "sse4.1", 64: "sse4.1"},
        "from_unsigned": {},
        "reciprocal": {},
        "reciprocal_root": {},
        "scale": {},
        "binary_logarithm": {},
        "to_fixed_point": {32: "sse4.1", 64: "sse4.1"},
        "from_half": {32: "f16c"},
        "to_half": {32: "f16c"},
    }

    def __init__(self, out: Emitter, cold: Cold, features: frozenset[str], count: int):
        super().__init__(out, cold, features)
        self.count = count

    def elements(self, i, element: Element, columns: Sequence[Sequence[Ir]], values: tuple) -> tuple[list[Ir], Ir]:
        """(results, flags) of an operation on elements; `columns` has a list of them for each operand."""
        self.leave_with(state.MSACSR, ENABLES | MODE | FS)
        result, flags = element.compute(i, *(self.operand(element.source, column) for column in columns), *values)
        return [result.lane(k) for k in range(self.count)], flags

    def operand(self, fmt: Format2008, column: Sequence[Ir]) -> Elements:
        return Elements(self.out, vector(self.out, fmt.width, column).ssa, fmt.width, fmt.width * self.count)

    def default_environment(self, bits: int = 0) -> None:
        """`elements` has looked."""

    # Shapes
    def kind(self, scalar: str) -> str:
        return f"<{self.count} x {scalar}>"

    def constant(self, scalar: str, number: str | int) -> str:
        return f"splat ({scalar} {number})"

    def any(self, condition: str) -> str:
        bits = self.out.op(f"bitcast {self.kind('i1')} {condition} to i{self.count}")
        return self.out.op(f"icmp ne i{self.count} {bits}, 0")

    def integer_width(self, fmt: Format2008) -> int:
        return fmt.width

    def value(self, ssa: str, width: int, signed: bool = False) -> IrVector:
        return IrVector(self.out, ssa, width, width * self.count)

    # Routines
    def fused(self, fmt: Format2008, a, b, c, negate: int, msacsr):
        scalar = SCALAR[fmt.width]
        x, y, z = (self.number(fmt, value) for value in (a, b, c))
        if negate:
            x = self.negated(x, scalar)
        result = self.intrinsic("fma", scalar, x, y, z)
        lost = (self.fused_double if fmt.width == 64 else self.fused_single)(x, y, z, result)
        return self.encoding(fmt, result), self.inexact(lost)

    def fused_single(self, x: str, y: str, z: str, result: str) -> str:
        """Where x * y + z is not `result`."""
        product = self.product(self.wide(S, x), self.wide(S, y))
        total, error = self.two_sum("double", product, self.wide(S, z))
        self.in_range(S, result, RESULT_FLOOR[S.width], self.is_zero(total))
        return self.logical("or", self.differ(error), self.differ(total, self.wide(S, result)))

    def fused_double(self, x: str, y: str, z: str, result: str) -> str:
        """Where x * y + z is not `result`."""
        product = self.product(x, y)
        zero = self.zero_product(x, y, product)
        self.in_range(D, product, RESULT_FLOOR[D.width], zero, SUMMAND_END)
        self.in_range(D, z, 0, end=SUMMAND_END)
        alpha1, alpha2 = self.two_sum("double", z, self.remainder(x, y, product))
        beta1, beta2 = self.two_sum("double", product, alpha1)
        difference = self.out.op(f"fsub {self.kind('double')} {beta1}, {result}")
        gamma = self.out.op(f"fadd {self.kind('double')} {difference}, {beta2}")
        return self.differ(gamma, self.negated(alpha2))

    def round_to_integral(self, fmt: Format2008, a, msacsr):
        scalar, x = SCALAR[fmt.width], self.number(fmt, a)
        self.cold(self.any(self.compared("uno", x, x, scalar)))
        whole = self.intrinsic("roundeven", scalar, x)
        return self.encoding(fmt, whole), self.inexact(self.differ(whole, x, scalar))

    def extreme(self, fmt: Format2008, a, b, largest: int, by_magnitude: int):
        x, y = self.number(fmt, a), self.number(fmt, b)
        self.cold(self.any(self.compared("uno", x, y, SCALAR[fmt.width])))
        below = _order(fmt, a).slt(_order(fmt, b))
        if by_magnitude:
            size, other = a & (fmt.sign_bit - 1), b & (fmt.sign_bit - 1)
            below = size.slt(other) | (size == other) & below
        return below.choose(b, a) if largest else below.choose(a, b), Ir(self.out, "0")

    def to_saturated(self, fmt: Format2008, a, mode, width: int, unsigned: int):
        integer, flags = self.to_integer(fmt, a, mode, width)
        if unsigned:
            self.not_negative(integer)
        return integer, flags

    def from_unsigned(self, fmt: Format2008, a, msacsr):
        self.not_negative(a)
        return self.from_integer(fmt, a, msacsr)

    def reciprocal(self, fmt: Format2008, a, msacsr):
        result, _ = self.div(fmt, fmt.one, a, msacsr)
        return result, Ir(self.out, str(INEXACT))

    def reciprocal_root(self, fmt: Format2008, a, msacsr):
        root, _ = self.sqrt(fmt, a, msacsr)
        return self.reciprocal(fmt, root, msacsr)

    def scale(self, fmt: Format2008, a, power, msacsr):
        exponent, zero = (a >> fmt.fraction) & fmt.top, fmt.magnitude(a) == 0
        normal = (exponent - 1).ult(fmt.top - 1) & (exponent + power - 1).ult(fmt.top - 1)
        self.cold((~(normal | zero)).any.ssa)
        return zero.choose(a, a + (power << fmt.fraction)), Ir(self.out, "0")

    def binary_logarithm(self, fmt: Format2008, a, msacsr):
        """Of a positive normal number: the exponent field as the fraction of 2^fraction, less that and the bias."""
        self.not_negative(a)
        self.in_range(fmt, self.number(fmt, a), 1)
        scalar, one = SCALAR[fmt.width], (fmt.bias + fmt.fraction) << fmt.fraction
        raised = self.number(fmt, (a >> fmt.fraction) | one)
        low = self.constant(scalar, str(float(fmt.hidden + fmt.bias)))
        exponent = self.out.op(f"fsub {self.kind(scalar)} {raised}, {low}")
        return self.encoding(fmt, exponent), Ir(self.out, "0")

    def to_fixed_point(self, fmt: Format2008, a, msacsr):
        x, width = self.wide(fmt, self.number(fmt, a)), fmt.width // 2
        return self.rounded(self.product(x, self.constant("double", str(float(1 << (width - 1))))), NEAREST, width)

    def from_half(self, fmt: Format2008, a, msacsr):
        x = self.number(H, a)
        self.in_range(H, x, 0)
        return self.encoding(S, self.convert("fpext", "half", x, "float")), Ir(self.out, "0")

    def to_half(self, fmt: Format2008, a, msacsr):
        x = self.number(S, a)
        rounded = self.convert("fptrunc", "float", x, "half")
        self.in_range(H, rounded, 2, self.is_zero(x, S))
        back = self.convert("fpext", "half", rounded, "float")
        return self.encoding(H, rounded), self.inexact(self.differ(back, x, "float"))

    def not_negative(self, integers: IrVector) -> None:
        """Leaves where the uppermost bit of an integer is set."""
        self.cold(integers.slt(0).any.ssa)


def _order(fmt: Format2008, a: IrVector) -> IrVector:
    """Signed numbers that order all but NaNs, with -0 below +0."""
    return a ^ (a.sra(fmt.width - 1) >> 1)
