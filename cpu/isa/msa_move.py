"""MSA: loads, stores and moves, the control registers among them.

An access is sixteen bytes at any address; the format only scales the offset. An element that is loaded, stored or moved
keeps its bits.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Load/Store and Move".
"""

from __future__ import annotations

from cpu.isa.fpu import CAUSE, ENABLES, UNIMPLEMENTED
from cpu.isa.msa import DF, DF_N, WIDTHS, msa_insn
from cpu.isa.msa_signals import MSACSR_WRITABLE
from cpu.isa.vectors import BITS

MSAIR = 0x140
BYTES = BITS // 8


def _access(df: str, width: int) -> None:
    offset, scale = f"off_{df}", width.bit_length() - 4

    def address(i):
        return i.base + (getattr(i, offset) << scale)

    @msa_insn(f"ld.{df} wd, {offset}(base)", f"011110 {offset}:s10 base:5 wd:5 1000 {DF[df]}")
    def load(i):
        i.wd = i.load(address(i), BYTES)

    @msa_insn(f"st.{df} wd, {offset}(base)", f"011110 {offset}:s10 base:5 wd:5 1001 {DF[df]}")
    def store(i):
        i.store(address(i), BYTES, i.wd)


def _general(df: str, width: int) -> None:
    """Between an element and a general register."""

    @msa_insn(f"copy_s.{df} rd, ws[n]", f"011110 0010 {DF_N[df]} ws:5 rd:5 011001")
    def copy_s(i):
        i.rd = i.ws.of(width).lane(i.n).sext(width)

    @msa_insn(f"insert.{df} wd[n], rs", f"011110 0100 {DF_N[df]} rs:5 wd:5 011001")
    def insert(i):
        i.wd = i.wd.of(width).with_lane(i.n, i.rs)

    @msa_insn(f"fill.{df} wd, rs", f"011110 11000000 {DF[df]} rs:5 wd:5 011110")
    def fill(i):
        i.wd = i.splat(width, i.rs)

    if df != "d":

        @msa_insn(f"copy_u.{df} rd, ws[n]", f"011110 0011 {DF_N[df]} ws:5 rd:5 011001")
        def copy_u(i):
            i.rd = i.ws.of(width).lane(i.n)


def _within(df: str, width: int) -> None:
    @msa_insn(f"insve.{df} wd[n], ws[0]", f"011110 0101 {DF_N[df]} ws:5 wd:5 011001")
    def insve(i):
        i.wd = i.wd.of(width).with_lane(i.n, i.ws.of(width).lane(0))

    @msa_insn(f"ldi.{df} wd, s10", f"011110 110 {DF[df]} s10:s10 wd:5 000111")
    def ldi(i):
        i.wd = i.splat(width, i.s10)


for _df, _width in WIDTHS.items():
    _access(_df, _width)
    _general(_df, _width)
    _within(_df, _width)


@msa_insn("move.v wd, ws", "011110 0010111110 ws:5 wd:5 011001")
def move_v(i):
    i.wd = i.ws


@msa_insn("cfcmsa rd, cs", "011110 0001111110 cs:5 rd:5 011001")
def cfcmsa(i):
    """Control registers: MSAIR 0, MSACSR 1; the others read 0."""
    i.rd = (i.cs == 0).choose(MSAIR, (i.cs == 1).choose(i.msacsr.word, 0))


@msa_insn("ctcmsa cd, rs", "011110 0000111110 rs:5 cd:5 011001")
def ctcmsa(i):
    """A Cause bit written with its Enable bit set raises MSAFPE, with MSACSR written."""
    value = (i.cd == 1).choose(i.rs & MSACSR_WRITABLE, i.msacsr)
    i.msacsr = value
    caused = value.bits(CAUSE, 5) & value.bits(ENABLES, 5) | value & UNIMPLEMENTED
    i.trap("MSAFPE", when=(i.cd == 1) & (caused != 0))
