"""The back-end "trap and emulate": a guest without VZ, whose kernel runs in root's user mode.

Its privileged instructions come as exceptions (cpu/kvm/privileged.py), its exceptions and interrupts go into the image
of its CP0 (cpu/kvm/exceptions.py), its addresses are user addresses (cpu/kvm/shadow.py). Source: Linux 5.10:
arch/mips/kvm/{trap_emul,interrupt}.c, the last long-term version that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cpu.cp0.fields import (
    CAUSE_EXCCODE,
    CAUSE_IV,
    CAUSE_TI,
    CONFIG1_FP,
    CONFIG1_TLBS_SHIFT,
    CONFIG1_TLBS_SIZE,
    CONFIG3_MSA,
    CONFIG3_ULRI,
    CONFIG4_KSCREXIST_SHIFT,
    CONFIG5_MSAEN,
    CONFIG_AR,
    CONFIG_M,
    CONFIG_MT_TLB,
    ENTRYLO_D,
    ENTRYLO_V,
    EXCCODE_ADEL,
    EXCCODE_ADES,
    EXCCODE_BP,
    EXCCODE_FPE,
    EXCCODE_INT,
    EXCCODE_MOD,
    EXCCODE_MSADIS,
    EXCCODE_MSAFPE,
    EXCCODE_RI,
    EXCCODE_SYS,
    EXCCODE_TLBL,
    EXCCODE_TLBS,
    EXCCODE_TR,
    IP7,
    ST_BEV,
    ST_CU1,
    ST_ERL,
    ST_EXL,
    ST_FR,
    ST_IE,
)
from cpu.kvm import commpage, exceptions, fpu, interrupt, msa, onereg, privileged
from cpu.kvm.backend import Backend
from cpu.kvm.callback import Resume
from cpu.kvm.count import SoftTimer
from cpu.kvm.errors import KvmError
from cpu.kvm.mmu import NoSlotError
from cpu.kvm.shadow import (
    GUEST_TLB_SIZE,
    KSEG0,
    PHYSICAL,
    HostAsids,
    Shadow,
    in_kernel_mode,
    is_mapped,
    segment,
)
from cpu.kvm.tlb import flush_roottlb_own
from cpu.kvm.uapi import VM_TYPE_TE, Cap

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpu.core import Core
    from cpu.kvm.vcpu import Vcpu

HZ = 100_000_000
"""Of Count, when a vCPU is made."""
CKSEG0, CKSEG1 = 0x80000000, 0xA0000000
CAUSE_TIMER = CAUSE_TI | IP7
NONCOHERENT = 3
CONFIG1_OPTIONAL, MMU_SIZE = 0x7F, CONFIG1_TLBS_SIZE << CONFIG1_TLBS_SHIFT
KSCRATCH_1_TO_6 = 0xFC << CONFIG4_KSCREXIST_SHIFT
CONFIG7 = 1 << 31 | 1 << 10
"""WII, and AR."""
EBASE_BY_ID = 0x1FFFF3FF
_EBASE, _INTCTL = onereg.cp0("ebase"), onereg.cp0("intctl")


class TrapEmul(Backend):
    """The callback table `te`."""

    name = "te"
    vm_type = VM_TYPE_TE
    host_pages = 1
    interrupts = interrupt.LINUX
    checks_privilege = True
    fixed_names = (
        "index", "entrylo0", "entrylo1", "context", "userlocal", "pagemask", "wired", "hwrena", "badvaddr", "count",
        "entryhi", "compare", "status", "intctl", "cause", "epc", "prid", "ebase", "config", "config1", "config2",
        "config3", "config4", "config5", "config7", "errorepc", "kscratch1", "kscratch2", "kscratch3", "kscratch4",
        "kscratch5", "kscratch6",
    )  # fmt: skip
    shown = tuple(name for name in fixed_names if name != "count")
    saved = fixed_names
    """What of the image belongs to the state of a vCPU."""
    dyntrans = True
    """Instructions that trap are replaced (CONFIG_KVM_MIPS_DYN_TRANS)."""

    def __init__(self) -> None:
        super().__init__()
        self._asids = HostAsids()
        own = {
            EXCCODE_ADEL: self.handle_addr_err_ld, EXCCODE_ADES: self.handle_addr_err_st,
            EXCCODE_RI: privileged.read_hardware,
        }  # fmt: skip
        passed_on = (EXCCODE_SYS, EXCCODE_BP, EXCCODE_TR, EXCCODE_MSAFPE, EXCCODE_FPE)
        for code, handler in {**own, **{code: _pass_on(code) for code in passed_on}}.items():
            self.more_handlers[code] = _checked(handler)

    # Snapshots.

    def save(self) -> dict[str, Any]:
        """The ASIDs given on each core."""
        return {"asids": dict(self._asids.last), "dyntrans": self.dyntrans}

    def restore(self, saved: dict[str, Any], vcpus: list[Vcpu]) -> None:
        """What `save` gave."""
        self._asids.last, self.dyntrans = dict(saved["asids"]), saved["dyntrans"]

    # Hardware.

    def hardware_enable(self, core: Core) -> None:
        """Root's user mode is the guest's. The source has nothing to enable."""
        core.vz.keep_user_mode()

    def check_extension(self, number: int) -> int:
        return int(number in (Cap.MIPS_TE, Cap.IOEVENTFD))

    # A vCPU's life.

    def vcpu_init(self, vcpu: Vcpu) -> None:
        """Two address spaces, and a page for the image of CP0."""
        page = vcpu.vm.kvm.take_page()
        vcpu.image = commpage.image(vcpu.vm.host.cores[0].memory, page)
        vcpu.shadow = Shadow(vcpu, page)

    def vcpu_setup(self, vcpu: Vcpu) -> None:
        """The state after reset: a 24Kc with 64 TLB entries."""
        host = vcpu.vm.host.cores[0].vz
        config1 = host.c0("config1") & ~(CONFIG1_OPTIONAL | MMU_SIZE)
        reset = {
            "prid": 0x00019300,
            "config": CONFIG_M | host.c0("config") & CONFIG_AR | CONFIG_MT_TLB | NONCOHERENT,
            "config1": config1 | (GUEST_TLB_SIZE - 1) << CONFIG1_TLBS_SHIFT,
            "config2": CONFIG_M,
            "config3": CONFIG_M | CONFIG3_ULRI,
            "config4": CONFIG_M,
            "config5": 0,
            "config7": CONFIG7,
            "status": ST_BEV | ST_ERL,
            "intctl": 0xFC000000,
            "ebase": KSEG0 | vcpu.number,
        }
        for name, value in reset.items():
            vcpu.set_soft(name, value)
        vcpu.pc = KSEG0 | 0x1FC00000
        vcpu.timer = SoftTimer(vcpu, HZ)

    def vcpu_load(self, vcpu: Vcpu, core: Core) -> None:
        """Nothing of the guest is in a core but registers and the FPU; the ASID is checked before it runs."""
        vcpu.stats["migration"] += vcpu.last_sched_core not in (-1, core.number)
        vcpu.last_sched_core = core.number
        vcpu.written.clear()
        vcpu.vm.host.timer_changed(vcpu)

    def vcpu_put(self, vcpu: Vcpu, core: Core) -> None:
        fpu.lose_fpu(vcpu)

    def vcpu_run(self, vcpu: Vcpu) -> None:
        """What comes before the first entry of a KVM_RUN."""
        interrupt.deliver(vcpu)
        self.vcpu_reenter(vcpu)
        vcpu.running_guest = True

    def vcpu_reenter(self, vcpu: Vcpu) -> None:
        """What comes before every entry: root's ASID for the mode of the guest."""
        if vcpu.flush_requested:
            vcpu.flush_requested = False
            vcpu.shadow.forget()
            vcpu.shadow.drop_asids()
        vcpu.shadow.follow_asid()
        vcpu.last_exec_core = vcpu.core.number
        vcpu.core.vz.set_c0("entryhi", self._asids.check(vcpu.core, vcpu.shadow.space))

    def vcpu_leave(self, vcpu: Vcpu) -> None:
        """KVM_RUN ends."""
        vcpu.running_guest = False

    def flush_now(self, vcpu: Vcpu) -> None:
        """The vCPU, which is in guest mode, finds no translation any more. It keeps its ASID until it comes out."""
        vcpu.shadow.forget()
        flush_roottlb_own(vcpu.core)

    # The timer is soft at all times.

    def acquire_timer(self, vcpu: Vcpu) -> None:
        """There is none to lend."""

    def move_compare(self, vcpu: Vcpu, compare: int, ack: bool, forward: bool) -> None:
        vcpu.set_soft("compare", compare)

    # Interrupts.

    def queue_timer_int(self, vcpu: Vcpu) -> None:
        vcpu.set_soft("cause", vcpu.soft("cause") | CAUSE_TIMER)
        super().queue_timer_int(vcpu)

    def dequeue_timer_int(self, vcpu: Vcpu) -> None:
        vcpu.set_soft("cause", vcpu.soft("cause") & ~CAUSE_TIMER)
        super().dequeue_timer_int(vcpu)

    def queue_io_int(self, vcpu: Vcpu, irq: int) -> None:
        vcpu.set_soft("cause", vcpu.soft("cause") | 1 << 8 + irq)
        super().queue_io_int(vcpu, irq)

    def dequeue_io_int(self, vcpu: Vcpu, irq: int) -> None:
        vcpu.set_soft("cause", vcpu.soft("cause") & ~(1 << 8 + irq))
        super().dequeue_io_int(vcpu, irq)

    def irq_deliver(self, vcpu: Vcpu, priority: int) -> None:
        """The guest takes the interrupt, where it may; so it takes no further one at this entry. Cause.BD is that of
        the exit, which the source does not look at again where the pc has moved since."""
        status, line = vcpu.soft("status"), self.interrupts.lines[priority]
        if status & (ST_IE | ST_EXL | ST_ERL) != ST_IE or not status >> 8 + line & 1:
            return
        vcpu.injected[line] = vcpu.core.cycles
        vectored = vcpu.soft("cause") & CAUSE_IV
        exceptions.enter_handler(
            vcpu, EXCCODE_INT, exceptions.INTERRUPT if vectored else exceptions.GENERAL, CAUSE_EXCCODE
        )
        vcpu.pending.set &= ~(1 << priority)

    def irq_clear(self, vcpu: Vcpu, priority: int) -> None:
        """All of it was done when the interrupt was dequeued."""
        vcpu.pending.clear &= ~(1 << priority)

    # Exits.

    def handle_cop_unusable(self, vcpu: Vcpu) -> Resume:
        is_fpu = vcpu.exit.unit == 1
        if is_fpu and vcpu.has_fpu and vcpu.soft("status") & ST_CU1:
            vcpu.charge("kvm_handle_aux")
            fpu.own_fpu(vcpu)
            return Resume.GUEST
        vcpu.charge("kvm_handle_gpsi")
        return _done(vcpu, exceptions.inject_fpu_unusable if is_fpu else privileged.instruction)

    def handle_msa_disabled(self, vcpu: Vcpu) -> Resume:
        status = vcpu.soft("status")
        if not vcpu.has_msa or status & (ST_CU1 | ST_FR) == ST_CU1:
            return _done(vcpu, _pass_on(EXCCODE_RI))
        if not vcpu.soft("config5") & CONFIG5_MSAEN:
            return _done(vcpu, _pass_on(EXCCODE_MSADIS))
        msa.own_msa(vcpu)
        return Resume.GUEST

    def handle_guest_exit(self, vcpu: Vcpu) -> Resume:
        return vcpu.internal_error("a guest exit, which there is with VZ only")

    def handle_tlb_ld_miss(self, vcpu: Vcpu) -> Resume:
        return _done(vcpu, lambda vcpu: self._tlb_miss(vcpu, False))

    def handle_tlb_st_miss(self, vcpu: Vcpu) -> Resume:
        return _done(vcpu, lambda vcpu: self._tlb_miss(vcpu, True))

    def handle_tlb_mod(self, vcpu: Vcpu) -> Resume:
        return _done(vcpu, self._tlb_mod)

    def _tlb_miss(self, vcpu: Vcpu, store: bool) -> Resume:
        bad = vcpu.exit.badvaddr
        shadow = vcpu.shadow
        if commpage.is_in(bad) and in_kernel_mode(vcpu):
            shadow.fill_commpage()
        elif is_mapped(bad):
            self._mapped_miss(vcpu, store)
        else:
            try:
                shadow.fill_kseg0(bad, store)
            except NoSlotError:
                return _device(vcpu, store)
        return Resume.GUEST

    @staticmethod
    def _mapped_miss(vcpu: Vcpu, store: bool) -> None:
        """kvm_mips_handle_tlbmiss: the guest's own miss, or one of the shadow only."""
        bad, shadow = vcpu.exit.badvaddr, vcpu.shadow
        code = EXCCODE_TLBS if store else EXCCODE_TLBL
        index = shadow.lookup(bad)
        if index < 0:
            exceptions.inject_tlb(vcpu, code, exceptions.REFILL)
        elif not shadow.entry_lo(shadow.guest_tlb[index], bad) & ENTRYLO_V:
            exceptions.inject_tlb(vcpu, code)
        else:
            shadow.fill_mapped(shadow.guest_tlb[index], bad, store)

    @staticmethod
    def _tlb_mod(vcpu: Vcpu) -> Resume:
        bad, shadow = vcpu.exit.badvaddr, vcpu.shadow
        try:
            if not is_mapped(bad):
                shadow.fill_kseg0(bad, True)
                return Resume.GUEST
            index = shadow.lookup(bad)
            lo = 0 if index < 0 else shadow.entry_lo(shadow.guest_tlb[index], bad)
            if not lo & ENTRYLO_V:
                return vcpu.internal_error(f"a store to {bad:#x}, which the guest's TLB does not map")
            if lo & ENTRYLO_D:
                shadow.fill_mapped(shadow.guest_tlb[index], bad, True)
            else:
                exceptions.inject_tlb(vcpu, EXCCODE_MOD)
        except NoSlotError:
            return _device(vcpu, True)
        return Resume.GUEST

    def handle_addr_err_ld(self, vcpu: Vcpu) -> Resume:
        return self._address_error(vcpu, False)

    def handle_addr_err_st(self, vcpu: Vcpu) -> Resume:
        return self._address_error(vcpu, True)

    @staticmethod
    def _address_error(vcpu: Vcpu, store: bool) -> Resume:
        """The guest's kernel reaches for devices in the real kseg0 and kseg1."""
        if in_kernel_mode(vcpu) and segment(vcpu.exit.badvaddr) in (CKSEG0, CKSEG1):
            return _device(vcpu, store)
        kind = "store" if store else "load or fetch"
        return vcpu.internal_error(f"address error of a {kind} at {vcpu.exit.badvaddr:#x}")

    # Registers by id.

    def user_mask(self, vcpu: Vcpu, name: str) -> int:
        return {
            "config1": CONFIG1_FP if vcpu.fpu_enabled else 0,
            "config3": CONFIG_M | CONFIG3_ULRI | (CONFIG3_MSA if vcpu.msa_enabled else 0),
            "config4": CONFIG_M | KSCRATCH_1_TO_6,
            "config5": CONFIG5_MSAEN if vcpu.has_msa else 0,
        }.get(name, 0)

    def set_one_reg(self, vcpu: Vcpu, number: int, value: int) -> None:
        if number == _EBASE:
            privileged.write_ebase(vcpu, value, EBASE_BY_ID)
        elif number != _INTCTL:
            super().set_one_reg(vcpu, number, value)


def _done(vcpu: Vcpu, handler: Callable[[Vcpu], Resume | None]) -> Resume:
    """What a handler comes to. What it does not know how to emulate ends KVM_RUN."""
    try:
        return handler(vcpu) or Resume.GUEST
    except KvmError as error:
        return vcpu.internal_error(str(error))


def _checked(handler: Callable[[Vcpu], Resume | None]) -> Callable[[Vcpu], Resume]:
    """The handler of an ExcCode, with the time it takes."""

    def handle(vcpu: Vcpu) -> Resume:
        vcpu.charge("kvm_handle_gpsi")
        return _done(vcpu, handler)

    return handle


def _pass_on(code: int) -> Callable[[Vcpu], None]:
    """The handler that gives an exception to the guest."""
    return lambda vcpu: exceptions.inject(vcpu, code)


def _device(vcpu: Vcpu, store: bool) -> Resume:
    """A load or store of a device (kvm_mips_bad_{load,store}), at the guest physical address behind kseg0 or kseg1, be
    they the guest's or the real ones."""
    bad = vcpu.exit.badvaddr
    if not store and vcpu.is_fetch_fault:
        return vcpu.internal_error(f"instruction fetch from {bad:#x}, where no memory slot is")
    if segment(bad) not in (KSEG0, CKSEG0, CKSEG1):
        return vcpu.internal_error(f"a load or store of a device at {bad:#x}, for which there is no physical address")
    vcpu.exit.badvaddr = bad & PHYSICAL
    return vcpu.store_mmio() if store else vcpu.load_mmio()
