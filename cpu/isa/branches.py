"""Branches and jumps. A branch's meaning is its condition; blocks do the rest (delay slot, link, target).

Source: MIPS Architecture For Programmers, volume II (MD00087).
"""

from __future__ import annotations

from cpu.isa.table import Flow, branch, row


@branch("beq rs, rt, offset", "000100 rs:5 rt:5 offset:s16")
@branch("beql rs, rt, offset", "010100 rs:5 rt:5 offset:s16", likely=True)
def equal(i):
    return i.rs == i.rt


@branch("bne rs, rt, offset", "000101 rs:5 rt:5 offset:s16")
@branch("bnel rs, rt, offset", "010101 rs:5 rt:5 offset:s16", likely=True)
def not_equal(i):
    return i.rs != i.rt


@branch("blez rs, offset", "000110 rs:5 00000 offset:s16")
@branch("blezl rs, offset", "010110 rs:5 00000 offset:s16", likely=True)
def at_most_zero(i):
    return i.rs.sle(0)


@branch("bgtz rs, offset", "000111 rs:5 00000 offset:s16")
@branch("bgtzl rs, offset", "010111 rs:5 00000 offset:s16", likely=True)
def above_zero(i):
    return i.rs.sgt(0)


@branch("bltz rs, offset", "000001 rs:5 00000 offset:s16")
@branch("bltzl rs, offset", "000001 rs:5 00010 offset:s16", likely=True)
@branch("bltzal rs, offset", "000001 rs:5 10000 offset:s16", link=31)
@branch("bltzall rs, offset", "000001 rs:5 10010 offset:s16", likely=True, link=31)
def below_zero(i):
    return i.rs.slt(0)


@branch("bgez rs, offset", "000001 rs:5 00001 offset:s16")
@branch("bgezl rs, offset", "000001 rs:5 00011 offset:s16", likely=True)
@branch("bgezal rs, offset", "000001 rs:5 10001 offset:s16", link=31)
@branch("bgezall rs, offset", "000001 rs:5 10011 offset:s16", likely=True, link=31)
def at_least_zero(i):
    return i.rs.sge(0)


def condition_bit(i):
    """FCSR condition code cc: bit 23 for 0, bits 25 to 31 for 1 to 7."""
    return (i.fcsr >> (i.cc + (i.cc != 0).value + 23)) & 1


@branch("bc1f cc, offset", "010001 01000 cc:3 00 offset:s16", unit="fpu")
@branch("bc1fl cc, offset", "010001 01000 cc:3 10 offset:s16", likely=True, unit="fpu")
def condition_false(i):
    return condition_bit(i) == 0


@branch("bc1t cc, offset", "010001 01000 cc:3 01 offset:s16", unit="fpu")
@branch("bc1tl cc, offset", "010001 01000 cc:3 11 offset:s16", likely=True, unit="fpu")
def condition_true(i):
    return condition_bit(i) != 0


row("j target", "000010 target:26", flow=Flow.JUMP)
row("jal target", "000011 target:26", flow=Flow.JUMP, link=31)
row("jr rs", "000000 rs:5 00000 00000 hint:5 001000", flow=Flow.JUMP_REGISTER)
row("jalr rd, rs", "000000 rs:5 00000 rd:5 hint:5 001001", flow=Flow.JUMP_REGISTER, link="rd")
