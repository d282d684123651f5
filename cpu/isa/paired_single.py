"""The FPU's format PS: two singles in one register, the operation on each, their exceptions together.

Source: MIPS Architecture For Programmers, volume II (MD00087).
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.fpu import CONDITIONS, FMT, condition_position, fpu_insn, raise_flags, raise_nothing
from cpu.isa.softfloat import S
from cpu.isa.table import FPR_FIELDS

PS = "10110"


def pair_insn(syntax: str, pattern: str, timing: str | None = None):
    """A row with pairs, which there are with Status.FR = 1 alone."""
    return fpu_insn(syntax, pattern, timing, FPR_FIELDS, fr1=True)


def lower(a):
    return a.uword


def upper(a):
    return a >> 32


def pair(high, low):
    """The register whose halves are the lower 32 bits of two values."""
    return (high << 32) | low.uword


def _each_half(name: str, syntax: str, pattern: str, operands: tuple[str, ...], timing: str, compute: Callable) -> None:
    """compute(i, operands...) gives (result, flags) of one half."""

    @pair_insn(f"{name}.ps {syntax}", pattern, timing)
    def operation(i):
        registers = [getattr(i, field) for field in operands]
        low, flags = compute(i, *(lower(a) for a in registers))
        high, more = compute(i, *(upper(a) for a in registers))
        raise_flags(i, flags | more)
        i.fd = pair(high, low)


def _binary(name: str, function: str, timing: str, compute: Callable) -> None:
    _each_half(name, "fd, fs, ft", f"010001 {PS} ft:5 fs:5 fd:5 {function}", ("fs", "ft"), timing, compute)


_binary("add", "000000", "fpu_add", lambda i, a, b: i.call(S.add, a, b, 0, i.fcsr))
_binary("sub", "000001", "fpu_add", lambda i, a, b: i.call(S.add, a, b, 1, i.fcsr))
_binary("mul", "000010", "fpu_multiply", lambda i, a, b: i.call(S.mul, a, b, i.fcsr))


def _multiply_add(name: str, function: str, subtract: int, sign: int) -> None:
    def compute(i, c, a, b):
        product, flags = i.call(S.mul, a, b, i.fcsr)
        total, more = i.call(S.add, product, c, subtract, i.fcsr)
        return total ^ sign, flags | more

    pattern = f"010011 fr:5 ft:5 fs:5 fd:5 {function} 110"
    _each_half(name, "fd, fr, fs, ft", pattern, ("fr", "fs", "ft"), "fpu_multiply", compute)


_multiply_add("madd", "100", 0, 0)
_multiply_add("msub", "101", 1, 0)
_multiply_add("nmadd", "110", 0, S.sign_bit)
_multiply_add("nmsub", "111", 1, S.sign_bit)


# Comparisons set condition codes cc (lower half) and cc + 1 (upper half); cc is even.
def _compare(condition: int) -> None:
    pattern = f"010001 {PS} ft:5 fs:5 cc:3 00 11 {condition:04b}"

    @pair_insn(f"c.{CONDITIONS[condition]}.ps cc, fs, ft", pattern, "fpu_add")
    def compare(i):
        low, flags = i.call(S.compare, lower(i.fs), lower(i.ft), condition >> 3)
        high, more = i.call(S.compare, upper(i.fs), upper(i.ft), condition >> 3)
        raise_flags(i, flags | more)
        first, second = condition_position(i), i.cc + 25
        value = i.fcsr & ~((i.const(1) << first) | (i.const(1) << second))
        value = value | (((low & condition & 7) != 0).value << first)
        i.fcsr = (value | (((high & condition & 7) != 0).value << second)).uword


for _condition in range(16):
    _compare(_condition)


# Moves: signs are bits here.
def _move(name: str, function: str, compute: Callable) -> None:
    @pair_insn(f"{name}.ps fd, fs", f"010001 {PS} 00000 fs:5 fd:5 {function}")
    def move(i):
        i.fd = compute(i.fs)


SIGNS = S.sign_bit << 32 | S.sign_bit

_move("abs", "000101", lambda a: a & ~SIGNS)
_move("mov", "000110", lambda a: a)
_move("neg", "000111", lambda a: a ^ SIGNS)


def _move_on_code(name: str, bit: int) -> None:
    """Each half by its own condition code."""

    @pair_insn(f"{name}.ps fd, fs, cc", f"010001 {PS} cc:3 0{bit} fs:5 fd:5 010001")
    def move(i):
        low = ((i.fcsr >> condition_position(i)) & 1 == bit).choose(i.fs, i.fd)
        high = ((i.fcsr >> (i.cc + 25)) & 1 == bit).choose(upper(i.fs), upper(i.fd))
        i.fd = pair(high, low)


_move_on_code("movf", 0)
_move_on_code("movt", 1)


@pair_insn("movz.ps fd, fs, rt", f"010001 {PS} rt:5 fs:5 fd:5 010010")
def movz(i):
    i.fd = (i.rt == 0).choose(i.fs, i.fd)


@pair_insn("movn.ps fd, fs, rt", f"010001 {PS} rt:5 fs:5 fd:5 010011")
def movn(i):
    i.fd = (i.rt != 0).choose(i.fs, i.fd)


# Pairs from halves, halves from pairs
def _pair(name: str, function: str, high: Callable, low: Callable) -> None:
    @pair_insn(f"{name}.ps fd, fs, ft", f"010001 {PS} ft:5 fs:5 fd:5 {function}")
    def merge(i):
        i.fd = pair(high(i.fs), low(i.ft))


_pair("pll", "101100", lower, lower)
_pair("plu", "101101", lower, upper)
_pair("pul", "101110", upper, lower)
_pair("puu", "101111", upper, upper)


@pair_insn("cvt.ps.s fd, fs, ft", f"010001 {FMT[S]} ft:5 fs:5 fd:5 100110", "fpu_convert")
def cvt_ps_s(i):
    i.fd = pair(i.fs, i.ft)


@pair_insn("cvt.s.pl fd, fs", f"010001 {PS} 00000 fs:5 fd:5 101000", "fpu_convert")
def cvt_s_pl(i):
    raise_nothing(i)
    i.fd = i.fd.insert(0, 32, i.fs)


@pair_insn("cvt.s.pu fd, fs", f"010001 {PS} 00000 fs:5 fd:5 100000", "fpu_convert")
def cvt_s_pu(i):
    raise_nothing(i)
    i.fd = i.fd.insert(0, 32, upper(i.fs))


@pair_insn("alnv.ps fd, fs, ft, rs", "010011 rs:5 ft:5 fs:5 fd:5 011110")
def alnv(i):
    """A pair at an address that is a multiple of four, from two at multiples of eight; other addresses leave fd."""
    offset = i.rs & 7
    straddling = (offset == 4).choose(pair(i.ft, upper(i.fs)), i.fd)
    i.fd = (offset == 0).choose(i.fs, straddling)
