"""Names of registers as assembly writes them: general (n64 ABI), FPU, MSA, CP0 and hardware registers.

CP0 registers are those of `cpu/cp0/registers.py`. Sources of the others: n64 ABI; MIPS Architecture For Programmers,
volume II (MD00087), RDHWR; MIPS SIMD Architecture (MD00868), control registers.
"""

from __future__ import annotations

from cpu.cp0 import registers

GPR_NAMES = (
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3",
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "s8", "ra",
)  # fmt: skip

GPR_NUMBERS = {name: number for number, name in enumerate(GPR_NAMES)} | {"fp": 30}

CP0_REGISTERS = {name: (row.number, row.select) for name, row in registers.REGISTERS.items()}

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
