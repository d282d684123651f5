"""The VZ back-end of the Loongson 4.19 tree for the 3A4000 ("compatible"): what differs from vz.

Source: Loongson 4.19 tree: arch/mips/kvm/ls3acomp-vz.c, mips.c. Not modelled: huge root pages, and configuration
registers other than FEATURES and the node counter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cpu.cp0.fields import (
    CONFIG3_LPA,
    CONFIG6_EXTIMER,
    CONFIG6_LASXMODE,
    CONFIG_LASXEN,
    EXCCODE_GSEXC,
    EXCCODE_TLBRI,
    EXCCODE_TLBXI,
    ST_CU2,
)
from cpu.cp0.registers import CPUCFG1_LASX
from cpu.kvm import hypcall, interrupt, irqchip, lasx, onereg, vcpu_state
from cpu.kvm.callback import Resume
from cpu.kvm.inst import CONFIG, PAGEGRAIN
from cpu.kvm.stable_timer import StableTimer
from cpu.kvm.uapi import Cap, ExitReason
from cpu.kvm.vz import Vz, host_cpucfg
from cpu.vz.guestctl import CGI
from cpu.words import M64, signed

if TYPE_CHECKING:
    from cpu.core import Core
    from cpu.kvm.mips import Vm
    from cpu.kvm.vcpu import Vcpu

LASX_DISABLED = 7
RDCSR, WRCSR, DRDCSR, DWRCSR, CPUCFG, DRDTIME = 0, 1, 2, 3, 8, 9
CSR_FEATURES, CSR_NODECNT = 0x8, 0x408
FEATURES_VM = 1 << 11
DEBUG_HYPCALL = 5
LBT1 = 1 << 4


class Ls3acompVz(Vz):
    """The callback table `ls3acomp`."""

    name = "ls3acomp"
    interrupts = interrupt.LOONGSON
    cgi = CGI
    root_reserve = 0
    saved = (*Vz.saved, "gscause")
    counters = (onereg.COUNTER,)
    fixed_names = ("random", *onereg.fixed_names("config6", "config7"), "gscause")
    optional_names = tuple(name for name in onereg.OPTIONAL_NAMES if not name.startswith("pw"))

    def __init__(self) -> None:
        super().__init__()
        self.more_handlers = {
            EXCCODE_GSEXC: self.handle_gsexc,
            EXCCODE_TLBRI: self.handle_tlb_ld_miss,
            EXCCODE_TLBXI: self.handle_tlb_ld_miss,
        }

    def hardware_enable(self, core: Core) -> None:
        super().hardware_enable(core)
        # What the host's cpu_probe does: Config6 has the bit where CPUCFG says so.
        core.vz.set_c0("config6", core.vz.c0("config6") | CONFIG6_LASXMODE)

    def init_vm(self, vm: Vm) -> None:
        for core in vm.host.cores[:1]:
            vm.arch.use_stable_timer = bool(core.vz.c0("config6") & CONFIG6_EXTIMER)
            vm.arch.cpucfg_lasx = bool(host_cpucfg(core, 1) & CPUCFG1_LASX)

    def check_extension(self, number: int) -> int:
        return 1 if number in (Cap.IRQCHIP, Cap.SIGNAL_MSI) else super().check_extension(number)

    def handle_cop_unusable(self, vcpu: Vcpu) -> Resume:
        if vcpu.exit.unit == 2:
            vcpu.charge("kvm_handle_aux")
            vcpu.core.vz.set_c0("status", vcpu.core.vz.c0("status") | ST_CU2)
            return Resume.GUEST
        return super().handle_cop_unusable(vcpu)

    def handle_gsexc(self, vcpu: Vcpu) -> Resume:
        """LASX disabled in the root context; any other code is logged and the guest resumed."""
        code = vcpu.exit.gsexccode
        if code != LASX_DISABLED:
            vcpu.vm.log(f"vCPU {vcpu.number}: GSExc with code {code}")
            return Resume.GUEST
        vcpu.charge("kvm_handle_aux")
        if not lasx.may_use(vcpu):
            return vcpu.internal_error("LASX disabled in the root context for a guest that may not use it")
        lasx.own_lasx(vcpu)
        return Resume.GUEST

    def handle_msa_disabled(self, vcpu: Vcpu) -> Resume:
        """A guest that has LASX enabled gets its upper lanes with the others."""
        resume = super().handle_msa_disabled(vcpu)
        if resume is Resume.GUEST and vcpu.gc0("config") & CONFIG_LASXEN:
            lasx.own_upper(vcpu)
        return resume

    def has_lasx(self, vcpu: Vcpu) -> bool:
        return vcpu.msa_enabled and vcpu.vm.arch.cpucfg_lasx

    def handle_tlb_ld_miss(self, vcpu: Vcpu) -> Resume:
        """No slot means a device, without a look at who fetches."""
        if self._root_fault(vcpu, vcpu.exit.badvaddr, False):
            return Resume.GUEST
        return vcpu.load_mmio()

    # A vCPU's life, and its timer.

    def vcpu_setup(self, vcpu: Vcpu) -> None:
        super().vcpu_setup(vcpu)
        if vcpu.vm.arch.use_stable_timer:
            vcpu.cancel_timer()
            vcpu.timer = StableTimer(vcpu, vcpu.vm.host.stable_hz)

    def _restore(self, vcpu: Vcpu, core: Core) -> None:
        super()._restore(vcpu, core)
        core.vz.set_guest_counter_offset(vcpu.vm.arch.stablecounter_gftoffset)

    def restore_timer(self, vcpu: Vcpu) -> None:
        if vcpu.vm.arch.use_stable_timer:
            vcpu.timer.restore()
        else:
            super().restore_timer(vcpu)

    def acquire_timer(self, vcpu: Vcpu) -> None:
        if vcpu.vm.arch.use_stable_timer:
            vcpu.timer.acquire()
        else:
            super().acquire_timer(vcpu)

    def save_timer(self, vcpu: Vcpu) -> None:
        if vcpu.vm.arch.use_stable_timer:
            vcpu.timer.give_up()
            vcpu.set_soft("cause", vcpu.core.vz.gc0("cause"))
        else:
            super().save_timer(vcpu)

    def lose_timer(self, vcpu: Vcpu) -> None:
        if vcpu.vm.arch.use_stable_timer:
            vcpu.timer.give_up()
        else:
            super().lose_timer(vcpu)

    @staticmethod
    def _node_counter(vcpu: Vcpu) -> int:
        """The guest's node counter; that of the host counts with the stable clock."""
        return vcpu.vm.host.stable_counter(vcpu.core) + vcpu.vm.arch.nodecounter_offset & M64

    def _count(self, vcpu: Vcpu) -> int:
        return vcpu.core.vz.gc0("count") if vcpu.vm.arch.use_stable_timer else super()._count(vcpu)

    def _write_count(self, vcpu: Vcpu, value: int) -> None:
        """The stable timer's mode gives up the hardware's timer and forgets the value."""
        if vcpu.vm.arch.use_stable_timer:
            self.lose_timer(vcpu)
        else:
            super()._write_count(vcpu, value)

    # Guest exits.

    def _hypcall(self, vcpu: Vcpu) -> Resume:
        code = vcpu.exit.badinstr >> 11 & 0x3FF
        if code == DEBUG_HYPCALL:
            vcpu.kvm_run.exit_reason = ExitReason.DEBUG
            return Resume.HOST
        if code == 0:
            vcpu.advance()
            return hypcall.to_user(vcpu)
        return super()._hypcall(vcpu)

    def _gpsi_lwc2(self, vcpu: Vcpu, word: int) -> Resume:
        """CPUCFG, and of the configuration registers FEATURES and the node counter; the source logs others that it does
        not know and leaves rd as it is."""
        group, rd, address = word >> 16 & 31, word >> 11 & 31, int(vcpu.gprs[word >> 21 & 31]) & 0xFFFFFFFF
        if group == CPUCFG:
            vcpu.stats["lsvz_cpucfg"] += 1
            vcpu.advance()
            self._set(vcpu, rd, signed(self.cpucfg(vcpu.core, address), 32))
            return Resume.GUEST
        names = {RDCSR: "lsvz_rdcsr", WRCSR: "lsvz_wrcsr", DRDCSR: "lsvz_drdcsr", DWRCSR: "lsvz_dwrcsr"}
        if group in names:
            vcpu.stats[names[group]] += 1
            vcpu.advance()
            if group in (RDCSR, DRDCSR) and address == CSR_FEATURES:
                vcpu.stats["lsvz_rdcsr_cpu_feature"] += 1
                self._set(vcpu, rd, FEATURES_VM)
            elif group == DRDCSR and address == CSR_NODECNT:
                vcpu.stats["lsvz_rdcsr_node_counter"] += 1
                self._set(vcpu, rd, signed(self._node_counter(vcpu)))
            else:
                vcpu.vm.log(f"vCPU {vcpu.number}: configuration register {address:#x} is not emulated")
            return Resume.GUEST
        if group == DRDTIME:
            vcpu.stats["lsvz_stable_counter"] += 1
            vcpu.advance()
            self._set(vcpu, rd, signed(vcpu.vm.host.stable_counter(vcpu.core)))
            return Resume.GUEST
        return super()._gpsi_lwc2(vcpu, word)

    def cpucfg(self, core: Core, word: int) -> int:
        """The host's word as it is; word 2 loses LBT1, where the source means to hide VZ."""
        return host_cpucfg(core, word) & (~LBT1 if word == 2 else -1)

    def _change_other(self, vcpu: Vcpu, register: tuple[int, int], value: int) -> None:
        if register == PAGEGRAIN:
            vcpu.set_gc0("pagegrain", value)
        elif register == CONFIG:
            old = vcpu.gc0("config")
            vcpu.set_gc0("config", old ^ (old ^ value) & self.guest_mask(vcpu, "config"))
        else:
            super()._change_other(vcpu, register, value)

    # Registers by id.

    def vector_ids(self, vcpu: Vcpu) -> list[int]:
        if not vcpu.has_lasx:
            return super().vector_ids(vcpu)
        return [onereg.vec_256(n) for n in range(32)]

    def guest_mask(self, vcpu: Vcpu, name: str) -> int:
        return super().guest_mask(vcpu, name) | (CONFIG_LASXEN if name == "config" else 0)

    def user_mask(self, vcpu: Vcpu, name: str) -> int:
        more = {"config3": CONFIG3_LPA, "config6": 0xFFFFFFFF, "config7": 7}
        return super().user_mask(vcpu, name) | more.get(name, 0)

    def get_one_reg(self, vcpu: Vcpu, number: int) -> int:
        if number != onereg.COUNTER:
            return super().get_one_reg(vcpu, number)
        if not vcpu.vm.arch.use_stable_timer:
            return self._node_counter(vcpu)
        return vcpu.vm.host.stable_counter(vcpu.core) + vcpu.vm.arch.stablecounter_gftoffset & M64

    def set_one_reg(self, vcpu: Vcpu, number: int, value: int) -> None:
        """COUNTER is the board's: the vCPU 0 sets it for all."""
        if number != onereg.COUNTER:
            super().set_one_reg(vcpu, number, value)
        elif vcpu.number == 0:
            offset = value - vcpu.vm.host.stable_counter(vcpu.core) & M64
            if vcpu.vm.arch.use_stable_timer:
                vcpu.vm.arch.stablecounter_gftoffset = offset
            else:
                vcpu.vm.arch.nodecounter_offset = offset

    def vcpu_ioctls(self, vcpu: Vcpu) -> dict[int, Callable[[Any], Any]]:
        return vcpu_state.ioctls(vcpu)

    def vm_ioctls(self, vm: Vm) -> dict[int, Callable[[Any], Any]]:
        return irqchip.ioctls(vm)
