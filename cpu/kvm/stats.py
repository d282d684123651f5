"""Counters of a vCPU, by the names of the source.

Source: Linux 6.1: arch/mips/kvm/mips.c, kvm_vcpu_stats_desc; the Loongson 4.19 tree's for what only it has.
"""

from __future__ import annotations

COMMON = (
    "wait", "cache", "signal", "int", "cop_unusable", "tlbmod", "tlbmiss_ld", "tlbmiss_st", "addrerr_st", "addrerr_ld",
    "syscall", "resvd_inst", "break_inst", "trap_inst", "msa_fpe", "fpe", "msa_disabled", "flush_dcache",
    "vz_gpsi", "vz_gsfc", "vz_hc", "vz_grr", "vz_gva", "vz_ghfc", "vz_gpa", "vz_resvd", "vz_cpucfg",
    "halt_successful_poll", "halt_attempted_poll", "halt_poll_invalid", "halt_wakeup",
)  # fmt: skip
LOONGSON = (
    "tlbri", "tlbxi", "lasx_disabled", "lsvz_mmio", "lsvz_general", "lsvz_ignore", "lsvz_nodecounter",
    "lsvz_gpsi_cop0", "lsvz_gpsi_cache", "lsvz_gpsi_spec3", "lsvz_gpsi_lwc2", "lsvz_rdcsr", "lsvz_drdcsr", "lsvz_wrcsr",
    "lsvz_dwrcsr", "lsvz_cpucfg", "lsvz_stable_counter", "lsvz_rdcsr_cpu_feature", "lsvz_rdcsr_cpu_temp",
    "lsvz_rdcsr_node_counter", "lsvz_rdcsr_other_func", "lsvz_rdcsr_ipi_access",
)  # fmt: skip
MODEL = (
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
"""What the model counts beside the source's: accesses to devices by way, loads and puts of the vCPU, GPA faults."""


def counters() -> dict[str, int]:
    """All counters at zero."""
    return dict.fromkeys((*COMMON, *LOONGSON, *MODEL), 0)
