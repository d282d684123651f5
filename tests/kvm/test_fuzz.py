"""A guest that does anything gets nowhere (tests/kvm/fuzz.py); the long run is `python -m tests.kvm.fuzz`."""

from __future__ import annotations

import pytest

from cpu import state
from cpu.kvm.stats import REASONS
from tests.kvm import fuzz
from tests.kvm.fuzz import FuzzError, Vmm, run_seed
from tests.kvm.te_fuzz import TeVmm


def test_a_slice_of_seeds():
    total = fuzz.fuzz(12, 1, "auto")
    assert total.seeds == 12 and total.instructions > 10_000
    assert set(total.exits) <= set(REASONS) and {"vz_gpsi", "vz_gsfc", "tlbmiss_ld"} <= set(total.exits)
    assert total.unmodelled, "real instructions that are not modelled came up, and raised RI"


@pytest.mark.parametrize("seed", (2, 8))
def test_a_seed_is_the_same_on_both_tiers(seed):
    fast, slow = (run_seed(seed, tier, shots=2, cycles=600) for tier in ("threaded", "reference"))
    assert (fast.digests, fast.exits, fast.exceptions) == (slow.digests, slow.exits, slow.exceptions)


@pytest.mark.slow
def test_a_thousand_seeds_with_a_million_instructions():
    total = fuzz.fuzz(1000, 1, "auto")
    assert total.seeds == 1000 and total.instructions >= 1_000_000


# Trap and emulate: an exit takes longer than an instruction, so the pieces are longer.


def test_a_slice_of_seeds_under_trap_and_emulate():
    reports = [run_seed(seed, "auto", cycles=60_000, vmm=TeVmm) for seed in range(1, 21)]
    assert sum(report.instructions for report in reports) > 10_000
    seen = {reason for report in reports for reason in report.exits}
    assert {"cop_unusable", "resvd_inst", "tlbmiss_ld", "tlbmiss_st", "addrerr_ld", "addrerr_st", "syscall"} <= seen


@pytest.mark.parametrize("seed", (5, 9))
def test_a_seed_under_trap_and_emulate_is_the_same_on_every_tier(seed):
    reports = [run_seed(seed, tier, shots=2, cycles=5_000, vmm=TeVmm) for tier in ("threaded", "stencil", "reference")]
    assert all((report.digests, report.exits) == (reports[0].digests, reports[0].exits) for report in reports)


@pytest.mark.slow
def test_a_thousand_seeds_under_trap_and_emulate():
    for seed in range(1, 1001):
        run_seed(seed, "auto", cycles=60_000, vmm=TeVmm)


# The checks see what they are there for.


def test_foreign_memory_that_changes_is_seen():
    vmm = Vmm(1, "auto", 1, 1000)
    vmm.memory.write(fuzz.VM_AT + fuzz.VM_SIZE, b"\0" * 16)
    with pytest.raises(FuzzError, match="seed 1: memory outside the writable slot"):
        vmm.check()


def test_a_root_register_that_changes_is_seen():
    vmm = Vmm(1, "auto", 1, 1000)
    vmm.cluster.cores[0].vz.set_c0("wired", 3)
    with pytest.raises(FuzzError, match="root registers changed: wired"):
        vmm.check()


def test_a_way_out_in_the_root_tlb_is_seen():
    vmm = Vmm(1, "auto", 1, 1000)
    S = vmm.cluster.cores[0].S
    S[state.TLB : state.TLB + state.TLB_FIELDS] = [0, 0x6000, 0, 1, 0x1E, 0, 1]
    with pytest.raises(FuzzError, match="root's TLB has 0x0 for the guest"):
        vmm.check()
