"""Names of registers as assembly writes them: general (n64 ABI), FPU, MSA, CP0 and hardware registers.

Source: MIPS Architecture For Programmers, volume III (MD00091), table of CP0 registers; MIPS n64 ABI; Linux 6.1:
arch/mips/include/asm/mipsregs.h for the Loongson ones (diag, gscause, pgd).
"""

from __future__ import annotations

GPR_NAMES = (
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3",
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "s8", "ra",
)  # fmt: skip

GPR_NUMBERS = {name: number for number, name in enumerate(GPR_NAMES)} | {"fp": 30}

CP0_REGISTERS: dict[str, tuple[int, int]] = {
    "index": (0, 0),
    "random": (1, 0),
    "entrylo0": (2, 0),
    "entrylo1": (3, 0),
    "context": (4, 0),
    "userlocal": (4, 2),
    "pagemask": (5, 0),
    "pagegrain": (5, 1),
    "pwbase": (5, 5),
    "pwfield": (5, 6),
    "pwsize": (5, 7),
    "wired": (6, 0),
    "pwctl": (6, 6),
    "hwrena": (7, 0),
    "badvaddr": (8, 0),
    "badinstr": (8, 1),
    "badinstrp": (8, 2),
    "count": (9, 0),
    "pgd": (9, 7),
    "entryhi": (10, 0),
    "guestctl1": (10, 4),
    "guestctl2": (10, 5),
    "guestctl3": (10, 6),
    "compare": (11, 0),
    "guestctl0ext": (11, 4),
    "status": (12, 0),
    "intctl": (12, 1),
    "srsctl": (12, 2),
    "srsmap": (12, 3),
    "guestctl0": (12, 6),
    "gtoffset": (12, 7),
    "cause": (13, 0),
    "epc": (14, 0),
    "prid": (15, 0),
    "ebase": (15, 1),
    "config": (16, 0),
    "config1": (16, 1),
    "config2": (16, 2),
    "config3": (16, 3),
    "config4": (16, 4),
    "config5": (16, 5),
    "config6": (16, 6),
    "config7": (16, 7),
    "lladdr": (17, 0),
    "watchlo": (18, 0),
    "watchhi": (19, 0),
    "xcontext": (20, 0),
    "diag": (22, 0),
    "gscause": (22, 1),
    "debug": (23, 0),
    "depc": (24, 0),
    "perfctl0": (25, 0),
    "perfcnt0": (25, 1),
    "perfctl1": (25, 2),
    "perfcnt1": (25, 3),
    "errctl": (26, 0),
    "cacheerr": (27, 0),
    "taglo": (28, 0),
    "datalo": (28, 1),
    "taghi": (29, 0),
    "datahi": (29, 1),
    "errorepc": (30, 0),
    "desave": (31, 0),
    "kscratch1": (31, 2),
    "kscratch2": (31, 3),
    "kscratch3": (31, 4),
    "kscratch4": (31, 5),
    "kscratch5": (31, 6),
    "kscratch6": (31, 7),
}

CP0_NAMES = {place: name for name, place in CP0_REGISTERS.items()}

HARDWARE_REGISTERS = {"cpunum": 0, "synci_step": 1, "cc": 2, "ccres": 3, "ulr": 29}

MSA_CONTROL_REGISTERS = {
    "msa_ir": 0,
    "msa_csr": 1,
    "msa_access": 2,
    "msa_save": 3,
    "msa_modify": 4,
    "msa_request": 5,
    "msa_map": 6,
    "msa_unmap": 7,
}

FPU_CONTROL_REGISTERS = {"fir": 0, "fccr": 25, "fexr": 26, "fenr": 28, "fcsr": 31}
