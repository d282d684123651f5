"""Loongson extensions: three-operand multiply and divide, indexed and paired loads and stores, CPUCFG, configuration
registers, the stable counter.

Source: GNU binutils opcodes (names); Loongson-3A4000 as seen from Linux 6.1: arch/mips/include/asm/mach-loongson64/
loongson_regs.h (encodings of the 0x32 group); the order of pairs in memory: QEMU 7.2: target/mips/tcg/translate.c,
gen_loongson_lswc2. Quotients by zero are as for DIV.
"""

from __future__ import annotations

from cpu.isa.integer import MIN32, MIN64, divide_signed, divide_unsigned
from cpu.isa.table import FPR_FIELDS, insn, not_modelled, row


@insn("gsmult rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010000", timing="multiply")
def gsmult(i):
    i.rd = (i.rs * i.rt).word


@insn("gsdmult rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010001", timing="multiply")
def gsdmult(i):
    i.rd = i.rs * i.rt


@insn("gsmultu rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010010", timing="multiply")
def gsmultu(i):
    i.rd = (i.rs * i.rt).word


@insn("gsdmultu rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010011", timing="multiply")
def gsdmultu(i):
    i.rd = i.rs * i.rt


# x/0 gives 0, the overflowing pair gives its dividend; a remainder by zero gives 0.
def quotient(a, b, least):
    q, _ = divide_signed(a, b, least)
    return (b == 0).choose(0, q)


def remainder(a, b, least):
    _, r = divide_signed(a, b, least)
    return (b == 0).choose(0, r)


@insn("gsdiv rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010100", timing="divide")
def gsdiv(i):
    i.rd = quotient(i.rs.word, i.rt.word, -MIN32).word


@insn("gsddiv rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010101", timing="divide")
def gsddiv(i):
    i.rd = quotient(i.rs, i.rt, -MIN64)


@insn("gsdivu rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010110", timing="divide")
def gsdivu(i):
    q, _ = divide_unsigned(i.rs.uword, i.rt.uword)
    i.rd = (i.rt.uword == 0).choose(0, q).word


@insn("gsddivu rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 010111", timing="divide")
def gsddivu(i):
    q, _ = divide_unsigned(i.rs, i.rt)
    i.rd = (i.rt == 0).choose(0, q)


@insn("gsmod rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 011100", timing="divide")
def gsmod(i):
    i.rd = remainder(i.rs.word, i.rt.word, -MIN32).word


@insn("gsdmod rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 011101", timing="divide")
def gsdmod(i):
    i.rd = remainder(i.rs, i.rt, -MIN64)


@insn("gsmodu rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 011110", timing="divide")
def gsmodu(i):
    _, r = divide_unsigned(i.rs.uword, i.rt.uword)
    i.rd = (i.rt.uword == 0).choose(0, r).word


@insn("gsdmodu rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 011111", timing="divide")
def gsdmodu(i):
    _, r = divide_unsigned(i.rs, i.rt)
    i.rd = (i.rt == 0).choose(0, r)


# Indexed loads and stores with an 8-bit offset.
def _indexed_load(name: str, function: str, size: int) -> None:
    @insn(f"{name} rt, off8(base,index)", f"110110 base:5 rt:5 index:5 off8:s8 {function}", prefetch="rt")
    def load(i):
        i.rt = i.load(i.base + i.index + i.off8, size)


def _indexed_store(name: str, function: str, size: int) -> None:
    @insn(f"{name} rt, off8(base,index)", f"111110 base:5 rt:5 index:5 off8:s8 {function}")
    def store(i):
        i.store(i.base + i.index + i.off8, size, i.rt)


_indexed_load("gslbx", "000", 1)
_indexed_load("gslhx", "001", 2)
_indexed_load("gslwx", "010", 4)
_indexed_load("gsldx", "011", 8)
_indexed_store("gssbx", "000", 1)
_indexed_store("gsshx", "001", 2)
_indexed_store("gsswx", "010", 4)
_indexed_store("gssdx", "011", 8)

# Two registers at once, that of the higher address in the lowest bits.
PAIR_BYTES = 16


def pair_address(i):
    return i.base + (i.off_q << 4)


@insn("gslq rd, rt, off_q(base)", "110010 base:5 rt:5 0 off_q:s9 1 rd:5")
def gslq(i):
    loaded = i.load(pair_address(i), PAIR_BYTES)
    i.rt = loaded.lane(0)
    i.rd = loaded.lane(1)


@insn("gssq rd, rt, off_q(base)", "111010 base:5 rt:5 0 off_q:s9 1 rd:5")
def gssq(i):
    i.store(pair_address(i), PAIR_BYTES, i.vector(64, [i.rt, i.rd]))


@insn("gslqc1 fd, ft, off_q(base)", "110010 base:5 ft:5 1 off_q:s9 1 fd:5", unit="fpu", wide=FPR_FIELDS)
def gslqc1(i):
    loaded = i.load(pair_address(i), PAIR_BYTES)
    i.ft = loaded.lane(0)
    i.fd = loaded.lane(1)


@insn("gssqc1 fd, ft, off_q(base)", "111010 base:5 ft:5 1 off_q:s9 1 fd:5", unit="fpu", wide=FPR_FIELDS)
def gssqc1(i):
    i.store(pair_address(i), PAIR_BYTES, i.vector(64, [i.ft, i.fd]))


row("cpucfg rd, rs", "110010 rs:5 01000 rd:5 00100 011000", helper="cpucfg")
row("drdtime rd, rs", "110010 rs:5 01001 rd:5 00100 011000", helper="drdtime")
# Configuration register number rs, data rd; accesses that leave the core, as uncached loads and stores do.
row("rdcsr rd, rs", "110010 rs:5 00000 rd:5 00100 011000", helper="rdcsr", timing="csr")
row("wrcsr rd, rs", "110010 rs:5 00001 rd:5 00100 011000", helper="wrcsr", timing="csr")
row("drdcsr rd, rs", "110010 rs:5 00010 rd:5 00100 011000", helper="drdcsr", timing="csr")
row("dwrcsr rd, rs", "110010 rs:5 00011 rd:5 00100 011000", helper="dwrcsr", timing="csr")
# The guest context's copy of one, for root.
row("rdgcsr rd, rs", "110010 rs:5 00100 rd:5 00100 011000", helper="rdgcsr", timing="csr")
row("wrgcsr rd, rs", "110010 rs:5 00101 rd:5 00100 011000", helper="wrgcsr", timing="csr")
row("drdgcsr rd, rs", "110010 rs:5 00110 rd:5 00100 011000", helper="drdgcsr", timing="csr")
row("dwrgcsr rd, rs", "110010 rs:5 00111 rd:5 00100 011000", helper="dwrgcsr", timing="csr")
row("lddir rt, rs, level", "110010 rs:5 rt:5 level:5 00010 011000", helper="lddir")
row("ldpte rs, level", "110010 rs:5 00000 level:5 00011 011000", helper="ldpte")
not_modelled("gsle rs, rt", "011100 rs:5 rt:5 0000000000 100110")
not_modelled("gsgt rs, rt", "011100 rs:5 rt:5 0000000000 100111")
# The rest of the two groups: bounds-checked loads and stores.
not_modelled("gslwc2 code", "110010 code:26")
not_modelled("gsswc2 code", "111010 code:26")
