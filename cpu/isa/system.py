"""Traps, system control, and the instructions that CP0 carries out (cpu/engine/helpers.py).

Sources: MIPS Architecture For Programmers, volumes II and III (MD00087, MD00091); VZ module (MD00848).
"""

from __future__ import annotations

from cpu.isa.table import Flow, insn, not_modelled, row


@insn("syscall code", "000000 code:20 001100", flow=Flow.TRAP)
def syscall(i):
    i.trap("Sys")


@insn("break code", "000000 code:20 001101", flow=Flow.TRAP)
def break_(i):
    i.trap("Bp")


@insn("sdbbp code", "011100 code:20 111111", flow=Flow.TRAP)
def sdbbp(i):
    """No debugger is attached to EJTAG here: a reserved instruction."""
    i.trap("RI")


def _trap(name: str, function: str, condition) -> None:
    @insn(f"{name} rs, rt, code", f"000000 rs:5 rt:5 code:10 {function}")
    def trap(i):
        i.trap("Tr", when=condition(i.rs, i.rt))


def _trap_immediate(name: str, opcode: str, condition) -> None:
    @insn(f"{name} rs, imm", f"000001 rs:5 {opcode} imm:s16")
    def trap(i):
        i.trap("Tr", when=condition(i.rs, i.imm))


_trap("tge", "110000", lambda a, b: a.sge(b))
_trap("tgeu", "110001", lambda a, b: a.uge(b))
_trap("tlt", "110010", lambda a, b: a.slt(b))
_trap("tltu", "110011", lambda a, b: a.ult(b))
_trap("teq", "110100", lambda a, b: a == b)
_trap("tne", "110110", lambda a, b: a != b)
_trap_immediate("tgei", "01000", lambda a, b: a.sge(b))
_trap_immediate("tgeiu", "01001", lambda a, b: a.uge(b))
_trap_immediate("tlti", "01010", lambda a, b: a.slt(b))
_trap_immediate("tltiu", "01011", lambda a, b: a.ult(b))
_trap_immediate("teqi", "01100", lambda a, b: a == b)
_trap_immediate("tnei", "01110", lambda a, b: a != b)

# CP0 moves: reads go on inside their block, writes end it.
row("mfc0 rt, c0, sel", "010000 00000 rt:5 c0:5 00000000 sel:3", helper="mfc0")
row("dmfc0 rt, c0, sel", "010000 00001 rt:5 c0:5 00000000 sel:3", helper="dmfc0", op64=True)
row("mtc0 rt, c0, sel", "010000 00100 rt:5 c0:5 00000000 sel:3", flow=Flow.BOUNDARY, helper="mtc0")
row("dmtc0 rt, c0, sel", "010000 00101 rt:5 c0:5 00000000 sel:3", flow=Flow.BOUNDARY, helper="dmtc0", op64=True)
row("di rt", "010000 01011 rt:5 01100 00000 000 000", flow=Flow.BOUNDARY, helper="di")
row("ei rt", "010000 01011 rt:5 01100 00000 100 000", flow=Flow.BOUNDARY, helper="ei")
row("rdpgpr rd, rt", "010000 01010 rt:5 rd:5 00000000000", helper="rdpgpr")
row("wrpgpr rd, rt", "010000 01110 rt:5 rd:5 00000000000", helper="wrpgpr")
row("tlbr", "010000 1 0000000000000000000 000001", flow=Flow.BOUNDARY, helper="tlbr", timing="tlb")
row("tlbwi", "010000 1 0000000000000000000 000010", flow=Flow.BOUNDARY, helper="tlbwi", timing="tlb")
row("tlbinv", "010000 1 0000000000000000000 000011", flow=Flow.BOUNDARY, helper="tlbinv", timing="tlb")
row("tlbinvf", "010000 1 0000000000000000000 000100", flow=Flow.BOUNDARY, helper="tlbinvf", timing="tlb")
row("tlbwr", "010000 1 0000000000000000000 000110", flow=Flow.BOUNDARY, helper="tlbwr", timing="tlb")
row("tlbp", "010000 1 0000000000000000000 001000", helper="tlbp", timing="tlb")
row("eret", "010000 1 0000000000000000000 011000", flow=Flow.TRAP, helper="eret")
not_modelled("deret", "010000 1 0000000000000000000 011111", flow=Flow.TRAP)
row("wait code", "010000 1 code:19 100000", flow=Flow.BOUNDARY, helper="wait")
row("rdhwr rt, c0", "011111 00000 rt:5 c0:5 00000 111011", helper="rdhwr")

# VZ: root's moves to and from the guest context, root's operations on the guest TLB, and the guest's call of root.
row("mfgc0 rt, c0, sel", "010000 00011 rt:5 c0:5 00000000 sel:3", helper="mfgc0")
row("dmfgc0 rt, c0, sel", "010000 00011 rt:5 c0:5 00100000 sel:3", helper="dmfgc0", op64=True)
row("mtgc0 rt, c0, sel", "010000 00011 rt:5 c0:5 01000000 sel:3", flow=Flow.BOUNDARY, helper="mtgc0")
row("dmtgc0 rt, c0, sel", "010000 00011 rt:5 c0:5 01100000 sel:3", flow=Flow.BOUNDARY, helper="dmtgc0", op64=True)
row("tlbgr", "010000 1 0000000000000000000 001001", flow=Flow.BOUNDARY, helper="tlbgr")
row("tlbgwi", "010000 1 0000000000000000000 001010", flow=Flow.BOUNDARY, helper="tlbgwi")
row("tlbginv", "010000 1 0000000000000000000 001011", flow=Flow.BOUNDARY, helper="tlbginv")
row("tlbginvf", "010000 1 0000000000000000000 001100", flow=Flow.BOUNDARY, helper="tlbginvf")
row("tlbgwr", "010000 1 0000000000000000000 001110", flow=Flow.BOUNDARY, helper="tlbgwr")
row("tlbgp", "010000 1 0000000000000000000 010000", helper="tlbgp")
row("hypcall code", "010000 1 0000 code:10 00000 101000", flow=Flow.TRAP, helper="hypcall")
