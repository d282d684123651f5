"""Counters of a vCPU, by the names of the source.

Source: Linux 6.1: arch/mips/kvm/mips.c, kvm_vcpu_stats_desc; the Loongson 4.19 tree's for what only it has.
"""

from __future__ import annotations

from cpu.isa.values import EXC_CODES

REASONS = (
    "int", "tlbmod", "tlbmiss_ld", "tlbmiss_st", "addrerr_ld", "addrerr_st", "syscall", "break_inst", "resvd_inst",
    "cop_unusable", "trap_inst", "msa_fpe", "fpe", "lasx_disabled", "tlbri", "tlbxi", "msa_disabled",
    "vz_gpsi", "vz_gsfc", "vz_hc", "vz_grr", "vz_gva", "vz_ghfc", "vz_gpa", "vz_resvd", "other",
)  # fmt: skip
"""Each exit counts in one of these: by ExcCode, a guest exit by GExcCode. `other` is the model's, for ExcCodes that the
source does not count."""
_EXITS = {
    "Int": "int", "Mod": "tlbmod", "TLBL": "tlbmiss_ld", "TLBS": "tlbmiss_st", "AdEL": "addrerr_ld",
    "AdES": "addrerr_st", "Sys": "syscall", "Bp": "break_inst", "RI": "resvd_inst", "CpU": "cop_unusable",
    "Tr": "trap_inst", "MSAFPE": "msa_fpe", "FPE": "fpe", "GSExc": "lasx_disabled", "TLBRI": "tlbri",
    "TLBXI": "tlbxi", "MSADis": "msa_disabled",
}  # fmt: skip
BY_EXCCODE = {EXC_CODES[name]: counter for name, counter in _EXITS.items()}
"""The counter of an exit other than a guest exit, by its ExcCode."""
COMMON = (
    "wait", "cache", "signal", "flush_dcache", "vz_cpucfg",
    "halt_successful_poll", "halt_attempted_poll", "halt_poll_invalid", "halt_wakeup",
)  # fmt: skip
LOONGSON = (
    "lsvz_mmio", "lsvz_general", "lsvz_ignore", "lsvz_nodecounter",
    "lsvz_gpsi_cop0", "lsvz_gpsi_cache", "lsvz_gpsi_spec3", "lsvz_gpsi_lwc2", "lsvz_rdcsr", "lsvz_drdcsr", "lsvz_wrcsr",
    "lsvz_dwrcsr", "lsvz_cpucfg", "lsvz_stable_counter", "lsvz_rdcsr_cpu_feature", "lsvz_rdcsr_cpu_temp",
    "lsvz_rdcsr_node_counter", "lsvz_rdcsr_other_func", "lsvz_rdcsr_ipi_access",
)  # fmt: skip
MODEL = (
    "exits",
    "mmio_kernel",
    "mmio_user",
    "load",
    "put",
    "restore_all",
    "migration",
    "guestid_change",
    "map_fast",
    "map_slow",
)
"""What the model counts beside the source's: returns from guest mode, accesses to devices by way, loads and puts of the
vCPU, GPA faults."""


def counters() -> dict[str, int]:
    """All counters at zero."""
    return dict.fromkeys((*REASONS, *COMMON, *LOONGSON, *MODEL), 0)
