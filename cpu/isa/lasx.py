"""LASX, Loongson's 256-bit vectors: the instructions that a kernel switches contexts with.

Register n of LASX is register n of MSA, lanes 0 and 1, with two more lanes above it, which MSA and the FPU leave alone.
No manual of the MIPS-era encodings is public. These rows are those whose encodings stand as numbers in the Loongson
4.19 tree: arch/mips/include/asm/asmmacro.h, with their use in arch/mips/loongson64/loongson-3/lasx.S and
arch/mips/kvm/lasx.S; mnemonics as in Loongson's header of intrinsics, loongson-asxintrin.h. What the number of XVSELI.D
selects is inferred from that use. On a core without LASX every row is a reserved instruction.
"""

from __future__ import annotations

from cpu.isa.table import insn, not_modelled
from cpu.isa.vectors import WIDE_BITS

BYTES = WIDE_BITS // 8
LANES = WIDE_BITS // 64
FIRST_OWN_LANE = 2
"""Lanes 0 and 1 are reached by MSA's COPY_S.D and INSERT.D, whose next encodings those of lanes 2 and 3 are."""


def lasx_insn(syntax: str, pattern: str):
    return insn(syntax, pattern, unit="lasx")


@lasx_insn("xvld.b xd, off_b(base)", "110010 off_b:s10 base:5 xd:5 011001")
def xvld_b(i):
    i.xd = i.load(i.base + i.off_b, BYTES)


@lasx_insn("xvst.b xd, off_b(base)", "111010 off_b:s10 base:5 xd:5 011001")
def xvst_b(i):
    i.store(i.base + i.off_b, BYTES, i.xd)


@lasx_insn("xvcopy_s.d rd, xs[upper]", "011110 0010 11101 upper:1 xs:5 rd:5 011001")
def xvcopy_s_d(i):
    i.rd = i.xs.lane(i.upper + FIRST_OWN_LANE)


@lasx_insn("xinsert.d xd[upper], rs", "011110 0100 11101 upper:1 rs:5 xd:5 011001")
def xinsert_d(i):
    i.xd = i.xd.with_lane(i.upper + FIRST_OWN_LANE, i.rs)


@lasx_insn("xvseli.d xd, xs, select", "111011 010000 select:4 xs:5 xd:5 001010")
def xvseli_d(i):
    """Lane k is that of xs where bit k of `select` is set."""
    lanes = ((i.select.bits(k, 1) != 0).choose(i.xs.lane(k), i.xd.lane(k)) for k in range(LANES))
    i.xd = i.vector(64, list(lanes))


# What else there is: the store of one element, whose offset field is not known, and the major opcode of which XVSELI.D
# is the only public encoding. Taking all of that opcode for LASX is an inference.
not_modelled("xvsd code", "111110 code:20 010100", unit="lasx")
not_modelled("lasx code", "111011 code:26", unit="lasx")
