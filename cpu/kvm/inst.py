"""Fields of the instructions that KVM emulates, and the CP0 registers that they name, as (number, select).

Source: Linux 6.1: arch/mips/include/uapi/asm/inst.h.
"""

from __future__ import annotations

from cpu.kvm import onereg

COP0, SPECIAL3, LWC2, RDHWR = 0x10, 0x1F, 0x32, 0x3B
MFC0, DMFC0, MTC0, DMTC0, MFMC0, WRPGPR = 0, 1, 4, 5, 11, 14
TLBR, TLBWI, TLBWR, TLBP, ERET, WAIT, HYPCALL = 0x01, 0x02, 0x06, 0x08, 0x18, 0x20, 0x28


def _register(name: str) -> tuple[int, int]:
    return divmod(onereg.number(name), 8)


INDEX, PAGEGRAIN, HWRENA, COUNT, ENTRYHI, COMPARE = map(
    _register, ("index", "pagegrain", "hwrena", "count", "entryhi", "compare")
)
STATUS, INTCTL, SRSCTL, CAUSE, PRID, EBASE = map(_register, ("status", "intctl", "srsctl", "cause", "prid", "ebase"))
CONFIG, CONFIG5, CONFIG6, CONFIG7 = map(_register, ("config", "config5", "config6", "config7"))
LLADDR, MAAR, MAARI, DIAG, ERRCTL = map(_register, ("lladdr", "maar", "maari", "diag", "errctl"))
