"""Ids of KVM_GET_ONE_REG and KVM_SET_ONE_REG: one formula, and the lists that make up a vCPU's register list.

Source: Linux 6.1: arch/mips/include/uapi/asm/kvm.h, arch/mips/kvm/{mips,vz}.c; the Loongson 4.19 tree's for LASX.
"""

from __future__ import annotations

from cpu.cp0 import registers

ARCH = 0x7000000000000000
U32, U64, U128, U256 = (code << 52 for code in (2, 3, 4, 5))
SIZE_MASK = 0xF << 52
GP, CP0, KVM, FPU = 0, 1, 2, 3
MAARS = 6


def _id(size: int, group: int, index: int) -> int:
    return ARCH | size | group << 16 | index


def gpr(n: int) -> int:
    """General register n."""
    return _id(U64, GP, n)


HI, LO, PC = gpr(32), gpr(33), gpr(34)
COUNT_CTL, COUNT_RESUME, COUNT_HZ, COUNTER = (_id(U64, KVM, n) for n in range(4))
FCR_IR, FCR_CSR = _id(U32, FPU, 0x100), _id(U32, FPU, 0x11F)
MSA_IR, MSA_CSR = _id(U32, FPU, 0x200), _id(U32, FPU, 0x201)


def fpr_32(n: int) -> int:
    return _id(U32, FPU, n)


def fpr_64(n: int) -> int:
    return _id(U64, FPU, n)


def vec_128(n: int) -> int:
    return _id(U128, FPU, n)


def vec_256(n: int) -> int:
    return _id(U256, FPU, n)


def maar(n: int) -> int:
    return _id(U64, CP0, 0x100 + n)


# Registers whose id says 64 bits; all others of CP0 say 32.
_WIDE = frozenset(
    "entrylo0 entrylo1 context userlocal xcontextconfig segctl0 segctl1 segctl2 pwbase pwfield pwsize badvaddr entryhi "
    "epc ebase config7 maari xcontext gscause errorepc kscratch1 kscratch2 kscratch3 kscratch4 kscratch5 "
    "kscratch6".split()
)
_ONLY_HERE = {
    "maari": (17, 2), "config7": (16, 7), "xcontextconfig": (4, 3), "kscratch4": (31, 5), "kscratch5": (31, 6),
    "kscratch6": (31, 7), "maar": (17, 1),
}  # fmt: skip
"""Registers of the interface that the core's own table may lack: (register, select)."""


def number(name: str) -> int:
    """8 * register + select of a CP0 register by the manual's lower-case name."""
    if name in _ONLY_HERE:
        rd, sel = _ONLY_HERE[name]
    else:
        found = registers.register(name)
        rd, sel = found.number, found.select
    return 8 * rd + sel


def cp0(name: str) -> int:
    """The id of a CP0 register by the manual's lower-case name."""
    return _id(U64 if name in _WIDE else U32, CP0, number(name))


BASE = (*(gpr(n) for n in range(32)), HI, LO, PC)
FPU_CONTROL = (FCR_IR, FCR_CSR)
MSA_CONTROL = (MSA_IR, MSA_CSR)

FIXED_NAMES = (
    "index", "entrylo0", "entrylo1", "context", "pagemask", "pagegrain", "wired", "hwrena", "badvaddr", "count",
    "entryhi", "compare", "status", "intctl", "cause", "epc", "prid", "ebase", "config", "config1", "config2",
    "config3", "config4", "config5", "xcontext", "errorepc",
)  # fmt: skip
"""CP0 registers that every VZ back-end lists."""
OPTIONAL_NAMES = (
    "userlocal", "badinstr", "badinstrp", "pwbase", "pwfield", "pwsize", "pwctl", "kscratch1", "kscratch2", "kscratch3",
    "kscratch4", "kscratch5", "kscratch6",
)  # fmt: skip
"""Those of the optional ones that a guest of this core has: Config3.ULRI, BI and BP, LDPTE, KScrExist = 0xfc."""


def fixed_names(*configs: str) -> tuple[str, ...]:
    """The list of a VZ back-end that has further Config registers behind Config5."""
    behind = FIXED_NAMES.index("config5") + 1
    return (*FIXED_NAMES[:behind], *configs, *FIXED_NAMES[behind:])


def size(one_reg: int) -> int:
    """Bytes of the value of an id."""
    return 1 << (one_reg >> 52 & 15)
