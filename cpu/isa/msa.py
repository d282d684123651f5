"""The MIPS SIMD Architecture: the forms its encodings have. The chapters are the files `msa_*.py`.

Formats of elements: b, h, w, d (8, 16, 32, 64 bits). A meaning sees its operands as lanes of the row's format.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868).
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.table import insn
from cpu.isa.vectors import BITS

WIDTHS = {"b": 8, "h": 16, "w": 32, "d": 64}
DF = {df: f"{number:02b}" for number, df in enumerate(WIDTHS)}
# Format and bit position in one field, format and element number in one field.
DF_M = {"b": "1110 m:3", "h": "110 m:4", "w": "10 m:5", "d": "0 m:6"}
DF_N = {"b": "00 n:4", "h": "100 n:3", "w": "1100 n:2", "d": "11100 n:1"}


def msa_insn(syntax: str, pattern: str, **properties):
    return insn(syntax, pattern, unit="msa", **properties)


def three_registers(name: str, operation: str, function: str, compute: Callable, formats: str = "bhwd") -> None:
    """3R: wd = compute(ws, wt)."""
    for df in formats:

        @msa_insn(f"{name}.{df} wd, ws, wt", f"011110 {operation} {DF[df]} wt:5 ws:5 wd:5 {function}")
        def row(i, width=WIDTHS[df]):
            i.wd = compute(i.ws.of(width), i.wt.of(width))


def accumulating(name: str, operation: str, function: str, compute: Callable, formats: str = "bhwd") -> None:
    """3R that reads its destination: wd = compute(wd, ws, wt)."""
    for df in formats:

        @msa_insn(f"{name}.{df} wd, ws, wt", f"011110 {operation} {DF[df]} wt:5 ws:5 wd:5 {function}")
        def row(i, width=WIDTHS[df]):
            i.wd = compute(i.wd.of(width), i.ws.of(width), i.wt.of(width))


def immediate(name: str, operation: str, function: str, field: str, compute: Callable) -> None:
    """I5: wd = compute(ws, immediate); the field is `u5` or `s5`."""
    width_of_field = {"u5": "5", "s5": "s5"}[field]
    for df, width in WIDTHS.items():
        pattern = f"011110 {operation} {DF[df]} {field}:{width_of_field} ws:5 wd:5 {function}"

        @msa_insn(f"{name}.{df} wd, ws, {field}", pattern)
        def row(i, width=width):
            i.wd = compute(i.ws.of(width), getattr(i, field))


def bit_position(name: str, operation: str, function: str, compute: Callable) -> None:
    """BIT: wd = compute(ws, m)."""
    for df, width in WIDTHS.items():

        @msa_insn(f"{name}.{df} wd, ws, m", f"011110 {operation} {DF_M[df]} ws:5 wd:5 {function}")
        def row(i, width=width):
            i.wd = compute(i.ws.of(width), i.m)


def two_registers(name: str, operation: str, compute: Callable) -> None:
    """2R: wd = compute(ws)."""
    for df, width in WIDTHS.items():

        @msa_insn(f"{name}.{df} wd, ws", f"011110 {operation} {DF[df]} ws:5 wd:5 011110")
        def row(i, width=width):
            i.wd = compute(i.ws.of(width))


def elements(register, width: int) -> list:
    """The elements of a register as values, the least significant first."""
    lanes = register.of(width)
    return [lanes.lane(k) for k in range(BITS // width)]


def of_all(a, number: int):
    """A vector of the shape of `a` with `number` in each lane."""
    return a & 0 | number


def low_half(a, signed: bool):
    """The even elements of half the width, extended: the lower half of each lane."""
    half = a.width // 2
    return (a << half).sra(half) if signed else (a << half) >> half


def high_half(a, signed: bool):
    """The odd elements of half the width, extended: the upper half of each lane."""
    half = a.width // 2
    return a.sra(half) if signed else a >> half
