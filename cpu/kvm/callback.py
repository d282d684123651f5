"""The table of callbacks: what a back-end (vz, ls3acomp_vz, trap_emul) answers to the common part.

Source: Linux: arch/mips/include/asm/kvm_host.h, struct kvm_mips_callbacks. `vcpu_leave`, `flush_now`, `acquire_timer`,
`move_compare` and what belongs to checkpoints are the model's own: a kernel has one back-end, whose functions it calls
by their names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cpu.core import Core
    from cpu.kvm.vcpu import Vcpu


class Resume(IntEnum):
    """What a handler asks for; the first two are the source's RESUME_GUEST and RESUME_HOST."""

    GUEST = auto()
    HOST = auto()
    ACCESS = auto()
    """An access to a device within the kernel is under way; then the guest."""
    BLOCK = auto()
    """The guest waits: sleep until an interrupt is pending, then the guest."""


class Callbacks(ABC):
    """A back-end of KVM/MIPS. A handler of an exit says with its Resume what comes next."""

    # The hardware.

    @abstractmethod
    def hardware_enable(self, core: Core) -> None:
        """Make a core ready for guests."""

    @abstractmethod
    def check_extension(self, number: int) -> int:
        """KVM_CHECK_EXTENSION, of what depends on the back-end: 0 for what is not there."""

    # A vCPU's life.

    @abstractmethod
    def vcpu_init(self, vcpu: Vcpu) -> None:
        """What the back-end keeps for a vCPU."""

    @abstractmethod
    def vcpu_setup(self, vcpu: Vcpu) -> None:
        """The guest's state after reset."""

    @abstractmethod
    def vcpu_load(self, vcpu: Vcpu, core: Core) -> None:
        """The vCPU's thread runs on `core` from now on."""

    @abstractmethod
    def vcpu_put(self, vcpu: Vcpu, core: Core) -> None:
        """It leaves the core: what is the guest's there goes into the vCPU."""

    @abstractmethod
    def vcpu_run(self, vcpu: Vcpu) -> None:
        """What comes before the first entry of a KVM_RUN."""

    @abstractmethod
    def vcpu_reenter(self, vcpu: Vcpu) -> None:
        """What comes before every further one."""

    @abstractmethod
    def vcpu_leave(self, vcpu: Vcpu) -> None:
        """KVM_RUN ends."""

    @abstractmethod
    def flush_now(self, vcpu: Vcpu) -> None:
        """The vCPU, which is in guest mode, finds no translation any more."""

    # Exits.

    @abstractmethod
    def handle_cop_unusable(self, vcpu: Vcpu) -> Resume:
        """A coprocessor that root has disabled."""

    @abstractmethod
    def handle_tlb_mod(self, vcpu: Vcpu) -> Resume:
        """A store to a page that is not writable in root's TLB."""

    @abstractmethod
    def handle_tlb_ld_miss(self, vcpu: Vcpu) -> Resume:
        """A load or fetch that root's TLB does not translate."""

    @abstractmethod
    def handle_tlb_st_miss(self, vcpu: Vcpu) -> Resume:
        """A store that root's TLB does not translate."""

    @abstractmethod
    def handle_msa_disabled(self, vcpu: Vcpu) -> Resume:
        """MSA, which root has disabled."""

    @abstractmethod
    def handle_guest_exit(self, vcpu: Vcpu) -> Resume:
        """A guest exit of VZ, by its GExcCode."""

    # Timer and interrupts.

    @abstractmethod
    def acquire_timer(self, vcpu: Vcpu) -> None:
        """Before the guest runs: lend it the hardware's timer, where there is one to lend."""

    @abstractmethod
    def move_compare(self, vcpu: Vcpu, compare: int, ack: bool, forward: bool) -> None:
        """Write Guest.Compare while the timer is soft. `ack`: by the guest; `forward`: to a later Count."""

    @abstractmethod
    def queue_timer_int(self, vcpu: Vcpu) -> None:
        """The timer's interrupt becomes pending."""

    @abstractmethod
    def dequeue_timer_int(self, vcpu: Vcpu) -> None:
        """The guest has acknowledged it."""

    @abstractmethod
    def queue_io_int(self, vcpu: Vcpu, irq: int) -> None:
        """KVM_INTERRUPT raises line `irq`, a positive number."""

    @abstractmethod
    def dequeue_io_int(self, vcpu: Vcpu, irq: int) -> None:
        """KVM_INTERRUPT lowers it."""

    @abstractmethod
    def irq_deliver(self, vcpu: Vcpu, priority: int) -> None:
        """Before an entry: a pending interrupt into the guest's CP0."""

    @abstractmethod
    def irq_clear(self, vcpu: Vcpu, priority: int) -> None:
        """Before an entry: an interrupt that was lowered out of it."""

    # Registers by id.

    @abstractmethod
    def num_regs(self, vcpu: Vcpu) -> int:
        """How many ids `copy_reg_indices` gives."""

    @abstractmethod
    def copy_reg_indices(self, vcpu: Vcpu) -> list[int]:
        """The ids of CP0 and of the timer."""

    @abstractmethod
    def get_one_reg(self, vcpu: Vcpu, number: int) -> int:
        """Such a register, unsigned. EINVAL for another id."""

    @abstractmethod
    def set_one_reg(self, vcpu: Vcpu, number: int, value: int) -> None:
        """Write it. EINVAL for another id."""

    # Checkpoints.

    @abstractmethod
    def save(self) -> dict[str, Any]:
        """What the back-end keeps of the cores, for a host with one VM, as msgpack types."""

    @abstractmethod
    def restore(self, saved: dict[str, Any], vcpus: list[Vcpu]) -> None:
        """What `save` gave; `vcpus` are the VM's."""
