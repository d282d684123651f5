"""The VZ back-end of Linux 6.1: the hardware of a core, vCPUs loaded and put, TLB ownership, faults, registers by id.

Source: Linux 6.1: arch/mips/kvm/vz.c as built for Loongson64. Guest exits are in vz_exits.py, the timer in vz_timer.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cpu import state
from cpu.cp0.fields import (
    CAUSE_TI,
    CONFIG1_FP,
    CONFIG1_TLBS_SHIFT,
    CONFIG1_TLBS_SIZE,
    CONFIG3_CTXTC,
    CONFIG3_ISA_ON_EXC,
    CONFIG3_LPA,
    CONFIG3_MSA,
    CONFIG3_ULRI,
    CONFIG4_FTLBPAGESIZE,
    CONFIG5_MRP,
    CONFIG5_MSAEN,
    CONFIG6_EXTIMER,
    CONFIG6_FTLBDIS,
    CONFIG6_INNTIMER,
    CONFIG6_SFBEN,
    CONFIG_K0,
    CONFIG_M,
    ST_CU1,
    ST_FR,
)
from cpu.cp0.registers import C0_GUESTCTL0, C0_GUESTCTL1, C0_GUESTCTL2, register
from cpu.engine.helpers import CPUCFG
from cpu.kvm import fpu, interrupt, msa, onereg, tlb
from cpu.kvm.backend import Backend
from cpu.kvm.callback import Resume
from cpu.kvm.count import NS, SoftTimer
from cpu.kvm.errors import KvmError
from cpu.kvm.mmu import NoSlotError
from cpu.kvm.uapi import PAGE_SHIFT, VM_TYPE_VZ, Cap
from cpu.kvm.vz_exits import GuestExits
from cpu.vz import guestctl

if TYPE_CHECKING:
    from cpu.core import Core
    from cpu.kvm.vcpu import Vcpu

CTL0_RUN = guestctl.CP0 | guestctl.AT_GUEST | guestctl.CG | guestctl.CF
CTL0_WRITABLE_OFF = CTL0_RUN | guestctl.MC | guestctl.GT | guestctl.GM
PRID = register("prid").reset
RESET_PC = 0xFFFFFFFFBFC00000
SHARED = "index entrylo0 entrylo1 context xcontext pagemask pagegrain hwrena badvaddr entryhi status intctl epc ebase \
userlocal errorepc kscratch1 kscratch2 kscratch3 kscratch4 kscratch5 kscratch6 badinstr badinstrp \
pwbase pwfield pwsize pwctl".split()
CONFIGS = ["config", "config1", "config2", "config3", "config4", "config5"]
# Masks of the Config registers: what the guest may change by GSFC, and what user space may change beyond that.
CONFIG5_FIXED, CONFIG5_FPU = 1 << 30 | 1 << 29 | 1 << 6, 0x3 << 8 | 1 << 2
CONFIG6_USER = CONFIG6_INNTIMER | CONFIG6_EXTIMER | CONFIG6_SFBEN | CONFIG6_FTLBDIS
CONFIG3_CLEARED = (
    CONFIG3_ISA_ON_EXC | CONFIG3_MSA | 1 << 30 | CONFIG3_ULRI | 3 << 10 | CONFIG3_CTXTC | 1 << 8 | CONFIG3_LPA | 0x7F
)
CONFIG5_CLEARED = CONFIG5_FIXED | CONFIG5_MSAEN | CONFIG5_FPU | CONFIG5_MRP
CONFIG1_CLEARED = 0x7F & ~(1 << 1)
CPUCFG_MASKS = {1: 1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 29, 2: 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3, 3: 0xFFFFFFFF}
_CTL2 = onereg.number("guestctl2")
CPUCFG_ADDED = {1: state.CPUCFG1, 2: state.CPUCFG2}
"""What the machine adds to words of CPUCFG."""


def host_cpucfg(core: Core, word: int) -> int:
    """A word of CPUCFG as the core itself has it, 0 beyond the last."""
    if not 0 <= word < len(CPUCFG):
        return 0
    return int(CPUCFG[word]) | (int(core.S[CPUCFG_ADDED[word]]) if word in CPUCFG_ADDED else 0)


class Vz(GuestExits, Backend):
    """The callback table `vz`. One object serves all VMs of a host: it keeps the GuestID allocation of each core."""

    name = "vz"
    vm_type = VM_TYPE_VZ
    interrupts = interrupt.LINUX
    saved = (*CONFIGS, *SHARED)
    """Registers that load and put move between a core and the image, Config first."""
    cause_unkept = guestctl.VIP  # IP7 to IP2 follow from it and from the timer
    fixed_names = onereg.fixed_names("config6")
    optional_names = onereg.OPTIONAL_NAMES
    cgi = 0
    """GuestCtl0Ext.CGI: whether the guest may use CACHE by index."""
    root_reserve = 2
    """Entries of the TLB that the guest's has less than root's, beside root's wired ones."""

    def __init__(self) -> None:
        super().__init__()
        self.in_hardware = frozenset((*self.saved, "wired", "compare", "cause"))
        self.shown = (*self.in_hardware, "prid", "config6")
        self._indices = np.array([onereg.number(name) for name in self.saved])
        self._slots = state.GCP0 + self._indices
        self.saved_table = np.concatenate(([len(self._indices)], self._indices))
        self._wired_index = onereg.number("wired")
        self._versions: dict[int, int] = {}
        """guestid_cache of each core: version and the id given last."""
        self._masks: dict[int, int] = {}
        self.last_vcpu: dict[int, Vcpu | None] = {}

    # Snapshots.

    def save(self) -> dict[str, Any]:
        """GuestIDs given and the vCPU that each core had last, for a checkpoint of a host with one VM."""
        last = {number: None if vcpu is None else vcpu.number for number, vcpu in self.last_vcpu.items()}
        return {"versions": dict(self._versions), "masks": dict(self._masks), "last": last}

    def restore(self, saved: dict[str, Any], vcpus: list[Vcpu]) -> None:
        """What `save` gave; `vcpus` are the VM's."""
        by_number = {vcpu.number: vcpu for vcpu in vcpus}
        self._versions, self._masks = dict(saved["versions"]), dict(saved["masks"])
        self.last_vcpu = {number: by_number.get(last) for number, last in saved["last"].items()}

    # Hardware.

    def hardware_enable(self, core: Core) -> None:
        """Make a core ready for guests."""
        full = tlb.vtlb_size(core)
        self._resize_guest_tlb(core, full)
        tlb.flush_guesttlb_all(core)
        self._resize_guest_tlb(core, full - core.vz.c0("wired") - self.root_reserve)
        core.vz.set_c0("guestctl0", core.vz.c0("guestctl0") & ~CTL0_WRITABLE_OFF | CTL0_RUN)
        core.vz.set_c0("guestctl0ext", core.vz.c0("guestctl0ext") & ~guestctl.CGI | self.cgi)
        core.vz.set_c0("guestctl1", guestctl.ID)
        mask = self._masks[core.number] = core.vz.c0("guestctl1") & guestctl.ID
        core.vz.set_c0("guestctl1", 0)
        tlb.flush_roottlb_all_guests(core)
        self._versions[core.number] = mask + 1
        core.vz.set_c0("guestctl2", core.vz.c0("guestctl2") & ~guestctl.VIP)
        self.last_vcpu[core.number] = None

    @staticmethod
    def _resize_guest_tlb(core: Core, size: int) -> None:
        config1 = core.vz.gc0("config1") & ~(CONFIG1_TLBS_SIZE << CONFIG1_TLBS_SHIFT)
        core.vz.set_gc0("config1", config1 | (size - 1) << CONFIG1_TLBS_SHIFT)

    def check_extension(self, number: int) -> int:
        return {Cap.MIPS_VZ: 1, Cap.MIPS_64BIT: 2, Cap.IOEVENTFD: 1}.get(number, 0)

    def cpucfg(self, core: Core, word: int) -> int:
        """What the guest's CPUCFG reads: the host's word through a mask."""
        if word == 0:
            return PRID
        return host_cpucfg(core, word) & CPUCFG_MASKS.get(word, 0)

    # A vCPU's life.

    def vcpu_init(self, vcpu: Vcpu) -> None:
        vcpu.guestids = {}

    def vcpu_setup(self, vcpu: Vcpu) -> None:
        """The state after reset (kvm_vz_vcpu_setup)."""
        host = vcpu.vm.host
        hz = host.count_hz if host.count_hz <= NS else 100_000_000
        vcpu.set_soft("status", 0x00400004)
        vcpu.set_soft("ebase", (0xFFFFFFFF80000000) | vcpu.number)
        vcpu.set_soft("prid", PRID)
        vcpu.pc = RESET_PC
        for name, value in host.guest_reset.items():
            vcpu.set_soft(name, value)
        vcpu.set_soft("config1", vcpu.soft("config1") & ~CONFIG1_CLEARED | CONFIG_M)
        vcpu.set_soft("config3", vcpu.soft("config3") & ~CONFIG3_CLEARED | CONFIG_M)
        vcpu.set_soft("config5", vcpu.soft("config5") & ~CONFIG5_CLEARED)
        vcpu.set_soft("pwfield", 0x0C30C302)
        vcpu.timer = SoftTimer(vcpu, hz)
        vcpu.written.update(self.saved)

    # Loading and putting.

    def vcpu_load(self, vcpu: Vcpu, core: Core) -> None:
        """kvm_vz_vcpu_load"""
        number = core.number
        migrated = vcpu.last_sched_core != number
        everything = migrated or self.last_vcpu.get(number) is not vcpu
        vcpu.stats["migration"] += migrated and vcpu.last_sched_core >= 0
        vcpu.last_sched_core = number
        self.last_vcpu[number] = vcpu
        vcpu.vm.host.timer_changed(vcpu)
        core.words[state.GCP0 + self._wired_index] = int(vcpu.image[self._wired_index])
        if vcpu.running_guest:
            self.load_tlb(vcpu)
            self._load_wired(vcpu)
        self.restore_timer(vcpu)
        core.words[state.GUEST + state.TIMER_CAME] = vcpu.timer_came_at
        wanted = guestctl.MC if "kvm_guest_mode_change" in vcpu.vm.tracer.wanted else 0
        core.words[C0_GUESTCTL0] = core.words[C0_GUESTCTL0] & ~guestctl.MC | wanted
        if everything or vcpu.written:
            self._restore(vcpu, core)

    def _restore(self, vcpu: Vcpu, core: Core) -> None:
        vcpu.stats["restore_all"] += 1
        vcpu.charge("kvm_restore")
        core.S[self._slots] = vcpu.image[self._indices]
        if vcpu.written:
            for name in self.saved:
                if name in vcpu.written:
                    core.vz.set_gc0(name, vcpu.soft(name))
            vcpu.written.clear()
        core.words[C0_GUESTCTL2] = int(vcpu.image[_CTL2])
        if len(vcpu.vm.vcpus) > 1:
            core.vz.set_gc0("lladdr", 0)

    def vcpu_put(self, vcpu: Vcpu, core: Core) -> None:
        """kvm_vz_vcpu_put"""
        if vcpu.running_guest:
            self._save_wired(vcpu)
        fpu.lose_fpu(vcpu)
        vcpu.image[self._indices] = core.S[self._slots]
        vcpu.image[self._wired_index] = core.words[state.GCP0 + self._wired_index]
        core.words[state.GCP0 + self._wired_index] = 0
        self.save_timer(vcpu)
        vcpu.timer_came_at = core.words[state.GUEST + state.TIMER_CAME]
        vcpu.image[_CTL2] = core.words[C0_GUESTCTL2]

    def vcpu_run(self, vcpu: Vcpu) -> None:
        """What comes before the first entry of a KVM_RUN."""
        self.acquire_timer(vcpu)
        interrupt.deliver(vcpu)
        self._check_requests(vcpu)
        self.load_tlb(vcpu)
        self._load_wired(vcpu)
        vcpu.running_guest = True

    def vcpu_reenter(self, vcpu: Vcpu) -> None:
        """What comes before every further one."""
        if vcpu.flush_requested:
            self._save_wired(vcpu)
            self._check_requests(vcpu)
            self.load_tlb(vcpu)
            self._load_wired(vcpu)
        else:
            self.load_tlb(vcpu)

    def vcpu_leave(self, vcpu: Vcpu) -> None:
        """KVM_RUN ends."""
        vcpu.running_guest = False
        self._save_wired(vcpu)

    # TLB ownership.

    @staticmethod
    def _check_requests(vcpu: Vcpu) -> None:
        """A flush renames: on every core the next GuestID is a new one, and old entries are out of reach."""
        if vcpu.flush_requested:
            vcpu.flush_requested = False
            vcpu.guestids.clear()

    def load_tlb(self, vcpu: Vcpu) -> None:
        """GuestCtl1.ID of this vCPU on this core, a new one where entries under the old cannot be trusted."""
        core = vcpu.core
        number = core.number
        migrated = vcpu.last_exec_core != number
        vcpu.last_exec_core = number
        version = ~self._masks[number]
        cached = vcpu.guestids.get(number, 0)
        if migrated or (cached ^ self._versions[number]) & version:
            cached = vcpu.guestids[number] = self._new_guestid(vcpu, core)
        core.words[C0_GUESTCTL1] = core.words[C0_GUESTCTL1] & ~guestctl.ID | cached & self._masks[number]

    def _new_guestid(self, vcpu: Vcpu, core: Core) -> int:
        mask = self._masks[core.number]
        new = self._versions[core.number] + 1
        if not new & mask:
            # The ids of this version are used up: nothing under any of them may stay.
            new += 1
            tlb.flush_roottlb_all_guests(core)
            tlb.flush_guesttlb_all(core)
        self._versions[core.number] = new
        vcpu.stats["guestid_change"] += 1
        vcpu.emit("kvm_guestid_change", new & mask)
        return new

    def _save_wired(self, vcpu: Vcpu) -> None:
        count = vcpu.core.words[state.GCP0 + self._wired_index]
        vcpu.wired = tlb.save_guesttlb(vcpu.core, count) if count else []

    def _load_wired(self, vcpu: Vcpu) -> None:
        if vcpu.wired:
            tlb.load_guesttlb(vcpu.core, vcpu.wired)

    def flush_now(self, vcpu: Vcpu) -> None:
        """The vCPU, which is in guest mode, finds no translation any more."""
        tlb.flush_roottlb_all_guests(vcpu.core)

    # Interrupts.

    def irq_deliver(self, vcpu: Vcpu, priority: int) -> None:
        """The timer sets Guest.Cause.TI, a line its bit of GuestCtl2.VIP."""
        core, line = vcpu.core, self.interrupts.lines[priority]
        vcpu.injected[line] = core.cycles
        if priority == interrupt.TIMER:
            core.words[state.GUEST + state.TIMER_CAME] = vcpu.timer_came_at
            core.vz.set_gc0("cause", core.vz.gc0("cause") | CAUSE_TI)
        elif line < 2:
            core.vz.set_gc0("cause", core.vz.gc0("cause") | 1 << 8 + line)
        else:
            core.vz.set_c0("guestctl2", core.vz.c0("guestctl2") | 1 << 8 + line)
        vcpu.pending.set &= ~(1 << priority)

    def irq_clear(self, vcpu: Vcpu, priority: int) -> None:
        """The bit of VIP goes, unless the hardware clears it itself (HC); TI is the guest's to acknowledge."""
        core, line = vcpu.core, self.interrupts.lines[priority]
        if line < 2:
            core.vz.set_gc0("cause", core.vz.gc0("cause") & ~(1 << 8 + line))
        else:
            ctl2 = core.vz.c0("guestctl2")
            if not ctl2 >> (8 + line + guestctl.HC_SHIFT) & 1:
                core.vz.set_c0("guestctl2", ctl2 & ~(1 << 8 + line))
        vcpu.pending.clear &= ~(1 << priority)

    # Exits other than guest exits.

    def handle_cop_unusable(self, vcpu: Vcpu) -> Resume:
        vcpu.charge("kvm_handle_aux")
        unit = vcpu.exit.unit
        if unit == 1 and vcpu.has_fpu and not vcpu.context.in_use & fpu.FPU:
            fpu.own_fpu(vcpu)
            return Resume.GUEST
        return vcpu.internal_error(f"coprocessor {unit} unusable in the root context")

    def handle_msa_disabled(self, vcpu: Vcpu) -> Resume:
        status = vcpu.gc0("status")
        entitled = vcpu.has_msa and status & (ST_CU1 | ST_FR) != ST_CU1
        if entitled and vcpu.gc0("config5") & CONFIG5_MSAEN and not vcpu.context.in_use & fpu.MSA:
            msa.own_msa(vcpu)
            return Resume.GUEST
        return vcpu.internal_error("MSA disabled in the root context for a guest that may not use it")

    def handle_tlb_ld_miss(self, vcpu: Vcpu) -> Resume:
        if self._root_fault(vcpu, vcpu.exit.badvaddr, False):
            return Resume.GUEST
        if vcpu.is_fetch_fault:
            bad = vcpu.exit.badvaddr
            return vcpu.internal_error(f"instruction fetch from guest physical {bad:#x}, which no memory slot has")
        return vcpu.load_mmio()

    def handle_tlb_st_miss(self, vcpu: Vcpu) -> Resume:
        bad = vcpu.exit.badvaddr
        if vcpu.exit.gexccode == guestctl.GVA:
            try:
                bad = tlb.guest_tlb_lookup(vcpu.core, bad)
            except KvmError:
                return Resume.GUEST
            vcpu.exit.badvaddr = bad
        if self._root_fault(vcpu, bad, True):
            return Resume.GUEST
        return vcpu.store_mmio()

    handle_tlb_mod = handle_tlb_st_miss

    def _root_fault(self, vcpu: Vcpu, gpa: int, write: bool) -> bool:
        """kvm_mips_handle_vz_root_tlb_fault: whether the page is there now."""
        if vcpu.vm.find_slot(gpa >> PAGE_SHIFT) is None:
            return False
        try:
            fast = vcpu.vm.gpa.map_page(gpa, write)
        except NoSlotError:
            return False
        vcpu.stats["map_fast" if fast else "map_slow"] += 1
        vcpu.core.vz.invalidate_gpa(gpa)
        return True

    # Registers by id.

    def user_mask(self, vcpu: Vcpu, name: str) -> int:
        """Bits of a Config register that user space may change."""
        more = {
            "config": CONFIG_M,
            "config1": CONFIG_M | (CONFIG1_FP if vcpu.fpu_enabled else 0),
            "config2": CONFIG_M,
            "config3": CONFIG_M | CONFIG3_ULRI | CONFIG3_CTXTC | (CONFIG3_MSA if vcpu.msa_enabled else 0),
            "config4": CONFIG_M,
            "config5": CONFIG5_MRP,
            "config6": CONFIG6_USER,
        }
        return self.guest_mask(vcpu, name) | more.get(name, 0)

    def guest_mask(self, vcpu: Vcpu, name: str) -> int:
        """Bits of a Config register that the guest may change."""
        if name == "config5":
            return CONFIG5_FIXED | (CONFIG5_MSAEN if vcpu.has_msa else 0) | (CONFIG5_FPU if vcpu.has_fpu else 0)
        return {"config": CONFIG_K0, "config3": CONFIG3_ISA_ON_EXC, "config4": CONFIG4_FTLBPAGESIZE}.get(name, 0)
