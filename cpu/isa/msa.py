"""The MIPS SIMD Architecture: control registers; the rest of the unit is named, not modelled.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868).
"""

from __future__ import annotations

from cpu.isa.table import Flow, insn, not_modelled

MSAIR = 0x140
MSACSR_WRITABLE = 0x0107FFFF  # FS, NX, Cause, Enables, Flags, RM
UNIMPLEMENTED = 1 << 17
CAUSE, ENABLES = 12, 7


@insn("cfcmsa rd, cs", "011110 0001111110 cs:5 rd:5 011001", unit="msa")
def cfcmsa(i):
    """Control registers: MSAIR 0, MSACSR 1; the others read 0."""
    i.rd = (i.cs == 0).choose(MSAIR, (i.cs == 1).choose(i.msacsr.word, 0))


@insn("ctcmsa cd, rs", "011110 0000111110 rs:5 cd:5 011001", unit="msa")
def ctcmsa(i):
    """A Cause bit written with its Enable bit set raises MSAFPE, with MSACSR written."""
    value = (i.cd == 1).choose(i.rs & MSACSR_WRITABLE, i.msacsr)
    i.msacsr = value
    caused = value.bits(CAUSE, 5) & value.bits(ENABLES, 5) | value & UNIMPLEMENTED
    i.trap("MSAFPE", when=(i.cd == 1) & (caused != 0))


not_modelled("msa code", "011110 code:26", unit="msa")
# BZ.V, BNZ.V, BZ.df, BNZ.df
not_modelled("msabzv code", "010001 01011 code:21", unit="msa", flow=Flow.TRAP)
not_modelled("msabnzv code", "010001 01111 code:21", unit="msa", flow=Flow.TRAP)
not_modelled("msabzdf code", "010001 11 code:24", unit="msa", flow=Flow.TRAP)
