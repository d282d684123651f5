"""MSA: integer arithmetic and fixed-point arithmetic.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Integer Arithmetic" and "Fixed-Point". Division by
zero is unpredictable there; here it is what QEMU does (target/mips/tcg/msa_helper.c).
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.msa import (
    WIDTHS,
    accumulating,
    bit_position,
    high_half,
    immediate,
    low_half,
    msa_insn,
    of_all,
    three_registers,
)


def least(a) -> int:
    """The most negative number of a vector's lanes."""
    return -(1 << (a.width - 1))


def largest(a) -> int:
    return (1 << (a.width - 1)) - 1


def absolute(a):
    """|a| as an unsigned number."""
    return a.smax(0 - a)


def max_a(a, b):
    return absolute(b).ult(absolute(a)).choose(a, b)


def min_a(a, b):
    return absolute(a).ult(absolute(b)).choose(a, b)


def adds_a(a, b):
    return absolute(a).umin(largest(a)).sadd_sat(absolute(b).umin(largest(b)))


def subsus_u(a, b):
    """An unsigned number minus a signed one, saturated to unsigned."""
    return b.slt(0).choose(a.uadd_sat(0 - b), a.usub_sat(b))


def subsuu_s(a, b):
    """The difference of unsigned numbers, saturated to signed."""
    return a.ult(b).choose(0 - (b - a).umin(least(a)), (a - b).umin(largest(a)))


def average(shift: str) -> Callable:
    return lambda a, b: (a & b) + getattr(a ^ b, shift)(1)


def rounded_average(shift: str) -> Callable:
    return lambda a, b: (a | b) - getattr(a ^ b, shift)(1)


def safe_divisor(a, b):
    """b, or 1 where it is 0 or the quotient would not fit."""
    return ((b == 0) | ((a == least(a)) & (b == -1))).choose(1, b)


def div_s(a, b):
    return (b == 0).choose(a.slt(0).choose(1, -1), a.sdiv(safe_divisor(a, b)))


def mod_s(a, b):
    return (b == 0).choose(a, a.srem(safe_divisor(a, b)))


def div_u(a, b):
    return (b == 0).choose(-1, a.udiv((b == 0).choose(1, b)))


def mod_u(a, b):
    return (b == 0).choose(a, a.urem((b == 0).choose(1, b)))


def dot_product(signed: bool) -> Callable:
    def compute(a, b):
        return high_half(a, signed) * high_half(b, signed) + low_half(a, signed) * low_half(b, signed)

    return compute


three_registers("addv", "000", "001110", lambda a, b: a + b)
three_registers("subv", "001", "001110", lambda a, b: a - b)
immediate("addvi", "000", "000110", "u5", lambda a, n: a + n)
immediate("subvi", "001", "000110", "u5", lambda a, n: a - n)
three_registers("add_a", "000", "010000", lambda a, b: absolute(a) + absolute(b))
three_registers("adds_a", "001", "010000", adds_a)
three_registers("adds_s", "010", "010000", lambda a, b: a.sadd_sat(b))
three_registers("adds_u", "011", "010000", lambda a, b: a.uadd_sat(b))
three_registers("ave_s", "100", "010000", average("sra"))
three_registers("ave_u", "101", "010000", average("__rshift__"))
three_registers("aver_s", "110", "010000", rounded_average("sra"))
three_registers("aver_u", "111", "010000", rounded_average("__rshift__"))
three_registers("subs_s", "000", "010001", lambda a, b: a.ssub_sat(b))
three_registers("subs_u", "001", "010001", lambda a, b: a.usub_sat(b))
three_registers("subsus_u", "010", "010001", subsus_u)
three_registers("subsuu_s", "011", "010001", subsuu_s)
three_registers("asub_s", "100", "010001", lambda a, b: a.slt(b).choose(b - a, a - b))
three_registers("asub_u", "101", "010001", lambda a, b: a.ult(b).choose(b - a, a - b))

three_registers("max_s", "010", "001110", lambda a, b: a.smax(b))
three_registers("max_u", "011", "001110", lambda a, b: a.umax(b))
three_registers("min_s", "100", "001110", lambda a, b: a.smin(b))
three_registers("min_u", "101", "001110", lambda a, b: a.umin(b))
three_registers("max_a", "110", "001110", max_a)
three_registers("min_a", "111", "001110", min_a)
immediate("maxi_s", "010", "000110", "s5", lambda a, n: a.smax(n))
immediate("maxi_u", "011", "000110", "u5", lambda a, n: a.umax(n))
immediate("mini_s", "100", "000110", "s5", lambda a, n: a.smin(n))
immediate("mini_u", "101", "000110", "u5", lambda a, n: a.umin(n))

three_registers("mulv", "000", "010010", lambda a, b: a * b)
accumulating("maddv", "001", "010010", lambda d, a, b: d + a * b)
accumulating("msubv", "010", "010010", lambda d, a, b: d - a * b)
three_registers("div_s", "100", "010010", div_s)
three_registers("div_u", "101", "010010", div_u)
three_registers("mod_s", "110", "010010", mod_s)
three_registers("mod_u", "111", "010010", mod_u)

# Sums and products of elements of half the width.
for _suffix, _signed, _bit in (("s", True, 0), ("u", False, 1)):
    _dot = dot_product(_signed)
    three_registers(f"dotp_{_suffix}", f"00{_bit}", "010011", _dot, "hwd")
    accumulating(f"dpadd_{_suffix}", f"01{_bit}", "010011", lambda d, a, b, dot=_dot: d + dot(a, b), "hwd")
    accumulating(f"dpsub_{_suffix}", f"10{_bit}", "010011", lambda d, a, b, dot=_dot: d - dot(a, b), "hwd")
    three_registers(
        f"hadd_{_suffix}", f"10{_bit}", "010101", lambda a, b, s=_signed: high_half(a, s) + low_half(b, s), "hwd"
    )
    three_registers(
        f"hsub_{_suffix}", f"11{_bit}", "010101", lambda a, b, s=_signed: high_half(a, s) - low_half(b, s), "hwd"
    )


bit_position("sat_s", "000", "001010", lambda a, m: a.smax(of_all(a, -1) << m).smin(~(of_all(a, -1) << m)))
bit_position("sat_u", "001", "001010", lambda a, m: a.umin(~(of_all(a, -2) << m)))


# Fixed-point: Q15 and Q31, products and sums in twice the width.
def _fixed_point(name: str, operation: str, compute: Callable) -> None:
    """wd = compute(wd, product, one half) in twice the width, scaled back and saturated."""
    for bit, df in enumerate("hw"):

        @msa_insn(f"{name}.{df} wd, ws, wt", f"011110 {operation} {bit} wt:5 ws:5 wd:5 011100")
        def row(i, width=WIDTHS[df]):
            point, halves = width - 1, []
            for half in (low_half, high_half):
                d, a, b = (half(v.of(2 * width), True) for v in (i.wd, i.ws, i.wt))
                scaled = compute(d << point, a * b, 1 << (point - 1)).sra(point)
                halves.append(scaled.smax(-(1 << point)).smin((1 << point) - 1))
            i.wd = halves[0] & ((1 << width) - 1) | halves[1] << width


_fixed_point("mul_q", "0100", lambda d, product, half: product)
_fixed_point("madd_q", "0101", lambda d, product, half: d + product)
_fixed_point("msub_q", "0110", lambda d, product, half: d - product)
_fixed_point("mulr_q", "1100", lambda d, product, half: product + half)
_fixed_point("maddr_q", "1101", lambda d, product, half: d + product + half)
_fixed_point("msubr_q", "1110", lambda d, product, half: d - product + half)
