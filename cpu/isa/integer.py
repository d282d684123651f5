"""Integer arithmetic, logic, shifts, bit fields, multiply and divide (MIPS64 Release 2).

Source: MIPS Architecture For Programmers, volume II (MD00087). 32-bit operations sign-extend their result; the model
takes the low 32 bits of operands that the manual wants sign-extended, as this core does.
"""

from __future__ import annotations

from cpu.isa.table import insn, insn64

MIN32, MIN64 = 1 << 31, 1 << 63


# Three registers
@insn("add rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100000")
def add(i):
    total = i.rs.word + i.rt.word
    i.trap("Ov", when=total != total.word)
    i.rd = total


@insn("addu rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100001")
def addu(i):
    i.rd = (i.rs + i.rt).word


@insn("sub rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100010")
def sub(i):
    total = i.rs.word - i.rt.word
    i.trap("Ov", when=total != total.word)
    i.rd = total


@insn("subu rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100011")
def subu(i):
    i.rd = (i.rs - i.rt).word


@insn("and rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100100")
def and_(i):
    i.rd = i.rs & i.rt


@insn("or rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100101")
def or_(i):
    i.rd = i.rs | i.rt


@insn("xor rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100110")
def xor(i):
    i.rd = i.rs ^ i.rt


@insn("nor rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 100111")
def nor(i):
    i.rd = ~(i.rs | i.rt)


@insn("lsa rd, rs, rt, sa1", "000000 rs:5 rt:5 rd:5 000 sa1:2 000101")
def lsa(i):
    i.rd = ((i.rs << (i.sa1 + 1)) + i.rt).word


@insn64("dlsa rd, rs, rt, sa1", "000000 rs:5 rt:5 rd:5 000 sa1:2 010101")
def dlsa(i):
    i.rd = (i.rs << (i.sa1 + 1)) + i.rt


@insn("slt rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 101010")
def slt(i):
    i.rd = i.rs.slt(i.rt).value


@insn("sltu rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 101011")
def sltu(i):
    i.rd = i.rs.ult(i.rt).value


def overflow(a, b, total):
    """Signed 64-bit overflow of total = a + b."""
    return ((a ^ total) & (b ^ total)).slt(0)


@insn64("dadd rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 101100")
def dadd(i):
    total = i.rs + i.rt
    i.trap("Ov", when=overflow(i.rs, i.rt, total))
    i.rd = total


@insn64("daddu rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 101101")
def daddu(i):
    i.rd = i.rs + i.rt


@insn64("dsub rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 101110")
def dsub(i):
    total = i.rs - i.rt
    i.trap("Ov", when=((i.rs ^ i.rt) & (i.rs ^ total)).slt(0))
    i.rd = total


@insn64("dsubu rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 101111")
def dsubu(i):
    i.rd = i.rs - i.rt


@insn("movz rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 001010")
def movz(i):
    i.rd = (i.rt == 0).choose(i.rs, i.rd)


@insn("movn rd, rs, rt", "000000 rs:5 rt:5 rd:5 00000 001011")
def movn(i):
    i.rd = (i.rt != 0).choose(i.rs, i.rd)


# Immediates
@insn("addi rt, rs, imm", "001000 rs:5 rt:5 imm:s16")
def addi(i):
    total = i.rs.word + i.imm
    i.trap("Ov", when=total != total.word)
    i.rt = total


@insn("addiu rt, rs, imm", "001001 rs:5 rt:5 imm:s16")
def addiu(i):
    i.rt = (i.rs + i.imm).word


@insn("slti rt, rs, imm", "001010 rs:5 rt:5 imm:s16")
def slti(i):
    i.rt = i.rs.slt(i.imm).value


@insn("sltiu rt, rs, imm", "001011 rs:5 rt:5 imm:s16")
def sltiu(i):
    i.rt = i.rs.ult(i.imm).value


@insn("andi rt, rs, imm", "001100 rs:5 rt:5 imm:16")
def andi(i):
    i.rt = i.rs & i.imm


@insn("ori rt, rs, imm", "001101 rs:5 rt:5 imm:16")
def ori(i):
    i.rt = i.rs | i.imm


@insn("xori rt, rs, imm", "001110 rs:5 rt:5 imm:16")
def xori(i):
    i.rt = i.rs ^ i.imm


@insn("lui rt, imm", "001111 00000 rt:5 imm:s16")
def lui(i):
    i.rt = i.imm << 16


@insn64("daddi rt, rs, imm", "011000 rs:5 rt:5 imm:s16")
def daddi(i):
    total = i.rs + i.imm
    i.trap("Ov", when=overflow(i.rs, i.imm, total))
    i.rt = total


@insn64("daddiu rt, rs, imm", "011001 rs:5 rt:5 imm:s16")
def daddiu(i):
    i.rt = i.rs + i.imm


# Shifts
@insn("sll rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 000000")
def sll(i):
    i.rd = (i.rt << i.sa).word


@insn("srl rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 000010")
def srl(i):
    i.rd = (i.rt.uword >> i.sa).word


@insn("rotr rd, rt, sa", "000000 00001 rt:5 rd:5 sa:5 000010")
def rotr(i):
    i.rd = i.rt.ror32(i.sa)


@insn("sra rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 000011")
def sra(i):
    i.rd = i.rt.word.sra(i.sa)


@insn("sllv rd, rt, rs", "000000 rs:5 rt:5 rd:5 00000 000100")
def sllv(i):
    i.rd = (i.rt << (i.rs & 31)).word


@insn("srlv rd, rt, rs", "000000 rs:5 rt:5 rd:5 00000 000110")
def srlv(i):
    i.rd = (i.rt.uword >> (i.rs & 31)).word


@insn("rotrv rd, rt, rs", "000000 rs:5 rt:5 rd:5 00001 000110")
def rotrv(i):
    i.rd = i.rt.ror32(i.rs)


@insn("srav rd, rt, rs", "000000 rs:5 rt:5 rd:5 00000 000111")
def srav(i):
    i.rd = i.rt.word.sra(i.rs & 31)


@insn64("dsllv rd, rt, rs", "000000 rs:5 rt:5 rd:5 00000 010100")
def dsllv(i):
    i.rd = i.rt << i.rs


@insn64("dsrlv rd, rt, rs", "000000 rs:5 rt:5 rd:5 00000 010110")
def dsrlv(i):
    i.rd = i.rt >> i.rs


@insn64("drotrv rd, rt, rs", "000000 rs:5 rt:5 rd:5 00001 010110")
def drotrv(i):
    i.rd = i.rt.ror(i.rs)


@insn64("dsrav rd, rt, rs", "000000 rs:5 rt:5 rd:5 00000 010111")
def dsrav(i):
    i.rd = i.rt.sra(i.rs)


@insn64("dsll rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 111000")
def dsll(i):
    i.rd = i.rt << i.sa


@insn64("dsrl rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 111010")
def dsrl(i):
    i.rd = i.rt >> i.sa


@insn64("drotr rd, rt, sa", "000000 00001 rt:5 rd:5 sa:5 111010")
def drotr(i):
    i.rd = i.rt.ror(i.sa)


@insn64("dsra rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 111011")
def dsra(i):
    i.rd = i.rt.sra(i.sa)


@insn64("dsll32 rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 111100")
def dsll32(i):
    i.rd = i.rt << (i.sa + 32)


@insn64("dsrl32 rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 111110")
def dsrl32(i):
    i.rd = i.rt >> (i.sa + 32)


@insn64("drotr32 rd, rt, sa", "000000 00001 rt:5 rd:5 sa:5 111110")
def drotr32(i):
    i.rd = i.rt.ror(i.sa + 32)


@insn64("dsra32 rd, rt, sa", "000000 00000 rt:5 rd:5 sa:5 111111")
def dsra32(i):
    i.rd = i.rt.sra(i.sa + 32)


# HI and LO
@insn("mfhi rd", "000000 00000 00000 rd:5 00000 010000")
def mfhi(i):
    i.rd = i.hi


@insn("mthi rs", "000000 rs:5 00000 00000 00000 010001")
def mthi(i):
    i.hi = i.rs


@insn("mflo rd", "000000 00000 00000 rd:5 00000 010010")
def mflo(i):
    i.rd = i.lo


@insn("mtlo rs", "000000 rs:5 00000 00000 00000 010011")
def mtlo(i):
    i.lo = i.rs


def set_hilo(i, product):
    i.hi = (product >> 32).word
    i.lo = product.word


def hilo(i):
    return (i.hi << 32) | i.lo.uword


@insn("mult rs, rt", "000000 rs:5 rt:5 00000 00000 011000", timing="multiply")
def mult(i):
    set_hilo(i, i.rs.word * i.rt.word)


@insn("multu rs, rt", "000000 rs:5 rt:5 00000 00000 011001", timing="multiply")
def multu(i):
    set_hilo(i, i.rs.uword * i.rt.uword)


@insn("madd rs, rt", "011100 rs:5 rt:5 00000 00000 000000", timing="multiply")
def madd(i):
    set_hilo(i, hilo(i) + i.rs.word * i.rt.word)


@insn("maddu rs, rt", "011100 rs:5 rt:5 00000 00000 000001", timing="multiply")
def maddu(i):
    set_hilo(i, hilo(i) + i.rs.uword * i.rt.uword)


@insn("msub rs, rt", "011100 rs:5 rt:5 00000 00000 000100", timing="multiply")
def msub(i):
    set_hilo(i, hilo(i) - i.rs.word * i.rt.word)


@insn("msubu rs, rt", "011100 rs:5 rt:5 00000 00000 000101", timing="multiply")
def msubu(i):
    set_hilo(i, hilo(i) - i.rs.uword * i.rt.uword)


@insn("mul rd, rs, rt", "011100 rs:5 rt:5 rd:5 00000 000010", timing="multiply")
def mul(i):
    i.rd = (i.rs.word * i.rt.word).word


@insn64("dmult rs, rt", "000000 rs:5 rt:5 00000 00000 011100", timing="multiply")
def dmult(i):
    a, b = i.rs, i.rt
    i.hi = a.mulhi_s(b)
    i.lo = a * b


@insn64("dmultu rs, rt", "000000 rs:5 rt:5 00000 00000 011101", timing="multiply")
def dmultu(i):
    a, b = i.rs, i.rt
    i.hi = a.mulhi_u(b)
    i.lo = a * b


def divide_signed(a, b, least):
    """(quotient, remainder); x/0 and least/-1 give what this core and QEMU give: x/1 after replacing the divisor."""
    unsafe = (b == 0) | ((a == least) & (b == -1))
    b = unsafe.choose(1, b)
    return a.sdiv(b), a.srem(b)


def divide_unsigned(a, b):
    b = (b == 0).choose(1, b)
    return a.udiv(b), a.urem(b)


@insn("div rs, rt", "000000 rs:5 rt:5 00000 00000 011010", timing="divide")
def div(i):
    quotient, remainder = divide_signed(i.rs.word, i.rt.word, -MIN32)
    i.hi = remainder.word
    i.lo = quotient.word


@insn("divu rs, rt", "000000 rs:5 rt:5 00000 00000 011011", timing="divide")
def divu(i):
    quotient, remainder = divide_unsigned(i.rs.uword, i.rt.uword)
    i.hi = remainder.word
    i.lo = quotient.word


@insn64("ddiv rs, rt", "000000 rs:5 rt:5 00000 00000 011110", timing="divide")
def ddiv(i):
    i.lo, i.hi = divide_signed(i.rs, i.rt, -MIN64)


@insn64("ddivu rs, rt", "000000 rs:5 rt:5 00000 00000 011111", timing="divide")
def ddivu(i):
    i.lo, i.hi = divide_unsigned(i.rs, i.rt)


# Counting and moving bits
@insn("clz rd, rs", "011100 rs:5 rt:5 rd:5 00000 100000")
def clz(i):
    i.rd = i.rs.uword.clz() - 32


@insn("clo rd, rs", "011100 rs:5 rt:5 rd:5 00000 100001")
def clo(i):
    i.rd = (~i.rs).uword.clz() - 32


@insn64("dclz rd, rs", "011100 rs:5 rt:5 rd:5 00000 100100")
def dclz(i):
    i.rd = i.rs.clz()


@insn64("dclo rd, rs", "011100 rs:5 rt:5 rd:5 00000 100101")
def dclo(i):
    i.rd = (~i.rs).clz()


@insn("seb rd, rt", "011111 00000 rt:5 rd:5 10000 100000")
def seb(i):
    i.rd = i.rt.sext(8)


@insn("seh rd, rt", "011111 00000 rt:5 rd:5 11000 100000")
def seh(i):
    i.rd = i.rt.sext(16)


BYTES = 0x00FF00FF00FF00FF
HALVES = 0x0000FFFF0000FFFF


@insn("wsbh rd, rt", "011111 00000 rt:5 rd:5 00010 100000")
def wsbh(i):
    i.rd = (((i.rt >> 8) & BYTES) | ((i.rt & BYTES) << 8)).word


@insn64("dsbh rd, rt", "011111 00000 rt:5 rd:5 00010 100100")
def dsbh(i):
    i.rd = ((i.rt >> 8) & BYTES) | ((i.rt & BYTES) << 8)


@insn64("dshd rd, rt", "011111 00000 rt:5 rd:5 00101 100100")
def dshd(i):
    swapped = ((i.rt >> 16) & HALVES) | ((i.rt & HALVES) << 16)
    i.rd = swapped.ror(32)


# Bit fields. msbd = size - 1 and msb = position + size - 1, with 32 added as the variant says.
def low_mask(size):
    """A mask of `size` ones, 1..64."""
    return ~(size & 0) >> (64 - size)


def extract(source, position, size):
    return (source << (64 - position - size)) >> (64 - size)


def insert(old, source, position, size):
    mask = low_mask(size) << position
    return (old & ~mask) | ((source << position) & mask)


@insn("ext rt, rs, lsb, msbd", "011111 rs:5 rt:5 msbd:5 lsb:5 000000")
def ext(i):
    i.trap("RI", when=(i.lsb + i.msbd).sgt(31))
    i.rt = extract(i.rs, i.lsb, i.msbd + 1).word


@insn64("dextm rt, rs, lsb, msbdm", "011111 rs:5 rt:5 msbdm:5 lsb:5 000001")
def dextm(i):
    i.trap("RI", when=(i.lsb + i.msbdm).sgt(31))
    i.rt = extract(i.rs, i.lsb, i.msbdm + 33)


@insn64("dextu rt, rs, lsbu, msbd", "011111 rs:5 rt:5 msbd:5 lsbu:5 000010")
def dextu(i):
    i.trap("RI", when=(i.lsbu + i.msbd).sgt(31))
    i.rt = extract(i.rs, i.lsbu + 32, i.msbd + 1)


@insn64("dext rt, rs, lsb, msbd", "011111 rs:5 rt:5 msbd:5 lsb:5 000011")
def dext(i):
    i.rt = extract(i.rs, i.lsb, i.msbd + 1)


@insn("ins rt, rs, lsb, msb", "011111 rs:5 rt:5 msb:5 lsb:5 000100")
def ins(i):
    i.trap("RI", when=i.msb.slt(i.lsb))
    i.rt = insert(i.rt, i.rs, i.lsb, i.msb - i.lsb + 1).word


@insn64("dinsm rt, rs, lsb, msbm", "011111 rs:5 rt:5 msbm:5 lsb:5 000101")
def dinsm(i):
    i.rt = insert(i.rt, i.rs, i.lsb, i.msbm - i.lsb + 33)


@insn64("dinsu rt, rs, lsbu, msbu", "011111 rs:5 rt:5 msbu:5 lsbu:5 000110")
def dinsu(i):
    i.trap("RI", when=i.msbu.slt(i.lsbu))
    i.rt = insert(i.rt, i.rs, i.lsbu + 32, i.msbu - i.lsbu + 1)


@insn64("dins rt, rs, lsb, msb", "011111 rs:5 rt:5 msb:5 lsb:5 000111")
def dins(i):
    i.trap("RI", when=i.msb.slt(i.lsb))
    i.rt = insert(i.rt, i.rs, i.lsb, i.msb - i.lsb + 1)
