"""MSA: floating-point arithmetic and comparisons.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Floating-Point Arithmetic", "Floating-Point
Non-Arithmetic" and "Floating-Point Compare". Where the manual allows an approximation (FRCP, FRSQRT) the steps are
rounded one by one, as qemu-mips64el does.
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.msa import WIDTHS, elements, msa_insn
from cpu.isa.msa_signals import SUBNORMAL_OPERANDS_ARE_EXACT, deliver, element
from cpu.isa.softfloat import EQUAL, LESS, UNORDERED
from cpu.isa.softfloat2008 import D, Format2008, S

FORMATS = {"w": S, "d": D}


# Encodings: 3RF and 2RF, the format in one bit.
def _rows(name: str, operands: str, operation: str, function: str, read: tuple[str, ...], compute: Callable, **how):
    """wd = compute(i, format, the elements of the registers `read`, msacsr) of each element."""
    fields = "wt:5 ws:5" if "wt" in operands else "ws:5"
    for bit, (df, fmt) in enumerate(FORMATS.items()):
        lane = element(name, fmt, fmt, lambda i, *values, fmt=fmt: compute(i, fmt, *values), **how)

        @msa_insn(f"{name}.{df} {operands}", f"011110 {operation} {bit} {fields} wd:5 {function}")
        def row(i, width=WIDTHS[df], lane=lane):
            deliver(i, width, lane, [elements(getattr(i, field), width) for field in read])


def _arithmetic(name: str, operation: str, compute: Callable, **how) -> None:
    _rows(name, "wd, ws, wt", operation, "011011", ("ws", "wt"), compute, **how)


def _unary(name: str, operation: str, compute: Callable, **how) -> None:
    _rows(name, "wd, ws", operation, "011110", ("ws",), compute, **how)


def _multiply_add(name: str, operation: str, negate: int) -> None:
    def compute(i, fmt, d, a, b, msacsr):
        return i.call(fmt.fused, a, b, d, negate, msacsr)

    _rows(name, "wd, ws, wt", operation, "011011", ("wd", "ws", "wt"), compute)


def scaled(i, fmt: Format2008, a, power, msacsr):
    """a * 2^power; the power is an integer element, and nothing changes beyond four times the largest exponent."""
    power, reach = power.sext(fmt.width), 4 * (fmt.bias + 1)
    power = power.slt(-reach).choose(-reach, power.slt(reach).choose(power, reach))
    return i.call(fmt.scale, a, power, msacsr)


_arithmetic("fadd", "0000", lambda i, fmt, a, b, msacsr: i.call(fmt.add, a, b, 0, msacsr))
_arithmetic("fsub", "0001", lambda i, fmt, a, b, msacsr: i.call(fmt.add, a, b, 1, msacsr))
_arithmetic("fmul", "0010", lambda i, fmt, a, b, msacsr: i.call(fmt.mul, a, b, msacsr))
_arithmetic("fdiv", "0011", lambda i, fmt, a, b, msacsr: i.call(fmt.div, a, b, msacsr))
_multiply_add("fmadd", "0100", 0)
_multiply_add("fmsub", "0101", 1)
_arithmetic("fexp2", "0111", scaled, floating=1)
for _name, _operation, _largest, _by_magnitude in (
    ("fmin", "1100", 0, 0),
    ("fmin_a", "1101", 0, 1),
    ("fmax", "1110", 1, 0),
    ("fmax_a", "1111", 1, 1),
):
    _arithmetic(
        _name,
        _operation,
        lambda i, fmt, a, b, msacsr, how=(_largest, _by_magnitude): i.call(fmt.extreme, a, b, *how),
        actions=0,
    )
_unary("fsqrt", "110010011", lambda i, fmt, a, msacsr: i.call(fmt.sqrt, a, msacsr))
_unary("frsqrt", "110010100", lambda i, fmt, a, msacsr: i.call(fmt.reciprocal_root, a, msacsr), actions=0)
_unary("frcp", "110010101", lambda i, fmt, a, msacsr: i.call(fmt.reciprocal, a, msacsr), actions=0)
_unary("frint", "110010110", lambda i, fmt, a, msacsr: i.call(fmt.round_to_integral, a, msacsr))
_unary("flog2", "110010111", lambda i, fmt, a, msacsr: i.call(fmt.binary_logarithm, a, msacsr))


# The bits of FCLASS, the positive numbers' after the negative ones'.
SIGNALLING_NAN, QUIET_NAN, INFINITE, NORMAL, SUBNORMAL, ZERO = 1, 2, 4, 8, 16, 32
POSITIVE_CLASS = 4  # further to the left


def classes(fmt: Format2008, a):
    """For each element of a vector one bit that says what it is."""
    size = fmt.magnitude(a)
    kind = size.ult(fmt.hidden).choose(SUBNORMAL, NORMAL)
    kind = (size == 0).choose(ZERO, (size == fmt.infinity).choose(INFINITE, kind))
    kind = kind << a.slt(0).choose(0, POSITIVE_CLASS)
    nan = ((a & fmt.quiet_bit) == 0).choose(SIGNALLING_NAN, QUIET_NAN)
    return size.ule(fmt.infinity).choose(kind, nan)


for _bit, (_df, _fmt) in enumerate(FORMATS.items()):

    @msa_insn(f"fclass.{_df} wd, ws", f"011110 110010000 {_bit} ws:5 wd:5 011110")
    def _fclass(i, width=WIDTHS[_df], fmt=_fmt):
        i.wd = classes(fmt, i.ws.of(width))


# Comparisons: all ones where one of the relations holds; the signalling ones are invalid for quiet NaNs too.
GREATER = 8
RELATIONS = {
    "af": 0, "un": UNORDERED, "eq": EQUAL, "ueq": UNORDERED | EQUAL, "lt": LESS, "ult": UNORDERED | LESS,
    "le": LESS | EQUAL, "ule": UNORDERED | LESS | EQUAL,
    "or": LESS | EQUAL | GREATER, "une": UNORDERED | LESS | GREATER, "ne": LESS | GREATER,
}  # fmt: skip


def compare(i, fmt: Format2008, a, b, signalling, relations, msacsr):
    relation, flags = i.call(fmt.compare, a, b, signalling)
    relation = (relation == 0).choose(GREATER, relation)
    return ((relation & relations) != 0).choose(-1, 0), flags


def _comparisons(df: str, fmt: Format2008, bit: int) -> None:
    width = WIDTHS[df]
    lane = element(
        "compare", fmt, fmt, lambda i, *values: compare(i, fmt, *values), SUBNORMAL_OPERANDS_ARE_EXACT, floating=2
    )
    for number, (relation, relations) in enumerate(RELATIONS.items()):
        operation, function = (number, "011010") if number < 8 else (number - 7, "011100")
        for signalling, letter in enumerate("cs"):
            pattern = f"011110 {operation + 8 * signalling:04b} {bit} wt:5 ws:5 wd:5 {function}"

            @msa_insn(f"f{letter}{relation}.{df} wd, ws, wt", pattern)
            def row(i, how=(signalling, relations)):
                deliver(i, width, lane, [elements(i.ws, width), elements(i.wt, width)], *how)


for _bit, (_df, _fmt) in enumerate(FORMATS.items()):
    _comparisons(_df, _fmt, _bit)
