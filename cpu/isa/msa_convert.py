"""MSA: floating-point conversions.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Floating-Point Conversion".
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.fpu import ROUNDING_MODE
from cpu.isa.msa import WIDTHS, elements, msa_insn
from cpu.isa.msa_signals import EXACT_UNDERFLOW, deliver, element
from cpu.isa.softfloat import TOWARD_ZERO
from cpu.isa.softfloat2008 import D_TO_S, H_TO_S, S_TO_D, S_TO_H, D, Format2008, H, S
from cpu.isa.vectors import BITS

# Format of the result: itself and the one that its exchange and fixed-point conversions pair it with.
PAIRS = {"w": (S, H), "d": (D, S)}
WIDEN = {S: H_TO_S, D: S_TO_D}
NARROW = {H: S_TO_H, S: D_TO_S}


def _unary(name: str, operation: str, lanes: dict[str, Callable]) -> None:
    for bit, (df, lane) in enumerate(lanes.items()):

        @msa_insn(f"{name}.{df} wd, ws", f"011110 {operation} {bit} ws:5 wd:5 011110")
        def row(i, width=WIDTHS[df], lane=lane):
            deliver(i, width, lane, [elements(i.ws, width)])


# Integers of the same width
def _to_integer(name: str, operation: str, unsigned: int, mode: int | None) -> None:
    def lane(fmt: Format2008) -> Callable:
        def compute(i, a, msacsr):
            return i.call(fmt.to_saturated, a, msacsr & ROUNDING_MODE if mode is None else mode, fmt.width, unsigned)

        return element(name, fmt, fmt, compute, actions=0)

    _unary(name, operation, {df: lane(fmt) for df, (fmt, _) in PAIRS.items()})


def _from_integer(name: str, operation: str, signed: bool) -> None:
    def lane(fmt: Format2008) -> Callable:
        def compute(i, a, msacsr):
            if signed:
                return i.call(fmt.from_integer, a.sext(fmt.width), msacsr)
            return i.call(fmt.from_unsigned, a, msacsr)

        return element(name, fmt, fmt, compute, floating=0)

    _unary(name, operation, {df: lane(fmt) for df, (fmt, _) in PAIRS.items()})


_to_integer("ftrunc_s", "110010001", 0, TOWARD_ZERO)
_to_integer("ftrunc_u", "110010010", 1, TOWARD_ZERO)
_to_integer("ftint_s", "110011100", 0, None)
_to_integer("ftint_u", "110011101", 1, None)
_from_integer("ffint_s", "110011110", True)
_from_integer("ffint_u", "110011111", False)


def _exchange(name: str, source: Format2008, to: Format2008, convert: Callable, actions: int = EXACT_UNDERFLOW):
    return element(name, source, to, lambda i, a, msacsr: i.call(convert, a, msacsr), actions)


# To a format of half the width: ws gives the left (upper) half, wt the right one.
def _narrowing(name: str, operation: str, bit: int, df: str, to: Format2008, lane: Callable) -> None:
    @msa_insn(f"{name}.{df} wd, ws, wt", f"011110 {operation} {bit} wt:5 ws:5 wd:5 011011")
    def row(i):
        right, left = (elements(register, 2 * to.width) for register in (i.wt, i.ws))
        deliver(i, to.width, lane, [right + left])


for _bit, (_df, (_wide, _narrow)) in enumerate(zip("hw", PAIRS.values(), strict=True)):
    # QEMU sees no exact underflow in half precision.
    _actions = EXACT_UNDERFLOW if _narrow is S else 0
    _narrowing("fexdo", "1000", _bit, _df, _narrow, _exchange("fexdo", _wide, _narrow, NARROW[_narrow], _actions))
    _narrowing("ftq", "1010", _bit, _df, _narrow, _exchange("ftq", _wide, _narrow, _wide.to_fixed_point, 0))


# From a format of half the width: the left (upper) or the right half of ws.
def from_fixed_point(fmt: Format2008, a):
    """The elements of a vector, sign-extended Q15 or Q31, as numbers: always exact."""
    negative = a.slt(0)
    size = negative.choose(0 - a, a)
    leading = fmt.width - 1 - size.clz()
    exponent = leading + (fmt.bias - (fmt.width // 2 - 1))
    fraction = (size << (fmt.fraction - leading)) & (fmt.hidden - 1)
    number = (exponent << fmt.fraction) | fraction | negative.choose(fmt.sign_bit, 0)
    return (size == 0).choose(0, number)


for _bit, (_df, (_wide, _narrow)) in enumerate(PAIRS.items()):
    _lane = _exchange("fexup", _narrow, _wide, WIDEN[_wide])
    for _side, _place in (("l", 1), ("r", 0)):
        _half = range(_place * BITS // _wide.width, (_place + 1) * BITS // _wide.width)

        @msa_insn(f"fexup{_side}.{_df} wd, ws", f"011110 11001100{1 - _place} {_bit} ws:5 wd:5 011110")
        def _widened(i, fmt=_wide, lane=_lane, half=_half):
            numbers = elements(i.ws, fmt.width // 2)
            deliver(i, fmt.width, lane, [[numbers[k] for k in half]])

        @msa_insn(f"ffq{_side}.{_df} wd, ws", f"011110 11001101{1 - _place} {_bit} ws:5 wd:5 011110")
        def _from_fixed_point(i, fmt=_wide, half=_half):
            width = fmt.width // 2
            numbers = i.ws.of(width)
            twice = numbers.take([k for k in half for _ in range(2)], numbers)
            i.wd = from_fixed_point(fmt, twice.of(fmt.width).sra(width))
