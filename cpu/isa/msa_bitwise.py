"""MSA: bitwise operations, shifts and bit counts.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Bitwise".
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.msa import (
    DF_M,
    WIDTHS,
    accumulating,
    bit_position,
    msa_insn,
    of_all,
    three_registers,
    two_registers,
)


# All 128 bits, with a register or with an immediate in every byte.
def _whole(name: str, operation: str, compute: Callable) -> None:
    @msa_insn(f"{name}.v wd, ws, wt", f"011110 {operation} wt:5 ws:5 wd:5 011110")
    def row(i):
        i.wd = compute(i.wd, i.ws, i.wt)


def _byte_immediate(name: str, operation: str, function: str, compute: Callable) -> None:
    @msa_insn(f"{name}.b wd, ws, i8", f"011110 {operation} i8:8 ws:5 wd:5 {function}")
    def row(i):
        i.wd = compute(i.wd.of(8), i.ws.of(8), i.splat(8, i.i8))


def bmnz(d, a, b):
    return a & b | d & ~b


def bmz(d, a, b):
    return a & ~b | d & b


def bsel(d, a, b):
    return a & ~d | b & d


_whole("and", "00000", lambda d, a, b: a & b)
_whole("or", "00001", lambda d, a, b: a | b)
_whole("nor", "00010", lambda d, a, b: ~(a | b))
_whole("xor", "00011", lambda d, a, b: a ^ b)
_whole("bmnz", "00100", bmnz)
_whole("bmz", "00101", bmz)
_whole("bsel", "00110", bsel)
_byte_immediate("andi", "00", "000000", lambda d, a, b: a & b)
_byte_immediate("ori", "01", "000000", lambda d, a, b: a | b)
_byte_immediate("nori", "10", "000000", lambda d, a, b: ~(a | b))
_byte_immediate("xori", "11", "000000", lambda d, a, b: a ^ b)
_byte_immediate("bmnzi", "00", "000001", bmnz)
_byte_immediate("bmzi", "01", "000001", bmz)
_byte_immediate("bseli", "10", "000001", bsel)


# Shifts and single bits: the count is an element of wt or an immediate.
def _by_element_or_immediate(name: str, operation: str, compute: Callable) -> None:
    three_registers(name, operation, "001101", compute)
    bit_position(f"{name}i", operation, "001001", compute)


_by_element_or_immediate("sll", "000", lambda a, n: a << n)
_by_element_or_immediate("sra", "001", lambda a, n: a.sra(n))
_by_element_or_immediate("srl", "010", lambda a, n: a >> n)
_by_element_or_immediate("bclr", "011", lambda a, n: a & ~(of_all(a, 1) << n))
_by_element_or_immediate("bset", "100", lambda a, n: a | (of_all(a, 1) << n))
_by_element_or_immediate("bneg", "101", lambda a, n: a ^ (of_all(a, 1) << n))


def rounding(a, n):
    """-1 in the lanes whose last bit shifted out by n is 1."""
    return ((a & ((of_all(a, 1) << n) >> 1)) != 0).lanes


def srar(a, n):
    return a.sra(n) - rounding(a, n)


def srlr(a, n):
    return (a >> n) - rounding(a, n)


three_registers("srar", "001", "010101", srar)
three_registers("srlr", "010", "010101", srlr)
bit_position("srari", "010", "001010", srar)
bit_position("srlri", "011", "001010", srlr)


# Bits n+1 of ws from the left or right, the others of wd.
def binsl(d, a, n):
    return bmnz(d, a, of_all(a, 1 << (a.width - 1)).sra(n))


def binsr(d, a, n):
    return bmnz(d, a, ~(of_all(a, -2) << n))


for _name, _operation, _insert in (("binsl", "110", binsl), ("binsr", "111", binsr)):
    accumulating(_name, _operation, "001101", _insert)
    for _df, _width in WIDTHS.items():

        @msa_insn(f"{_name}i.{_df} wd, ws, m", f"011110 {_operation} {DF_M[_df]} ws:5 wd:5 001001")
        def _row(i, width=_width, insert=_insert):
            i.wd = insert(i.wd.of(width), i.ws.of(width), i.m)


two_registers("pcnt", "11000001", lambda a: a.popcount())
two_registers("nloc", "11000010", lambda a: (~a).clz())
two_registers("nlzc", "11000011", lambda a: a.clz())
