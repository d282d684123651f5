"""What the back-ends of KVM have in common: pending interrupts, and the registers of CP0 and of the timer by id.

Source: Linux 6.1: arch/mips/kvm/{interrupt,vz}.c; Linux 5.10: arch/mips/kvm/trap_emul.c, which has the same once more.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL
from typing import TYPE_CHECKING, Any

import numpy as np

from cpu.cp0.fields import CAUSE_DC
from cpu.kvm import interrupt, onereg
from cpu.kvm.callback import Callbacks, Resume
from cpu.kvm.errors import KvmError
from cpu.words import M32

if TYPE_CHECKING:
    from cpu.kvm.mips import Vm
    from cpu.kvm.vcpu import Vcpu


class Backend(Callbacks):
    """Base of the back-ends: all of the callback table that does not depend on the hardware."""

    name: str
    vm_type: int
    """What KVM_CREATE_VM calls it."""
    host_pages = 0
    """How many pages of the host kernel's own a vCPU takes that the guest's core must reach."""
    interrupts: interrupt.Scheme
    in_hardware: frozenset[str] = frozenset()
    """Guest registers that are in the core while the vCPU is loaded."""
    shown: tuple[str, ...]
    """Guest registers that `Vcpu.get_state` gives."""
    cause_unkept = 0
    """Bits of Guest.Cause that are not stored there."""
    checks_privilege = False
    """The guest's user mode is told from its kernel mode by the hypervisor (cpu/kvm/exceptions.py)."""
    fixed_names: tuple[str, ...]
    optional_names: tuple[str, ...] = ()
    counters: tuple[int, ...] = ()
    """Ids of further counters that move with a vCPU."""
    saved_table = np.zeros(1, np.int64)
    """How many guest registers a put saves, and the number of each."""

    def __init__(self) -> None:
        self.more_handlers: dict[int, Callable[[Vcpu], Resume]] = {}
        """Handlers of ExcCodes that are not in every back-end's table."""

    # A VM.

    def init_vm(self, vm: Vm) -> None:
        """What kvm_arch_init_vm asks of the host's hardware."""

    def vm_ioctls(self, vm: Vm) -> dict[int, Callable[[Any], Any]]:
        """ioctls of a VM that only this back-end has."""
        return {}

    def vcpu_ioctls(self, vcpu: Vcpu) -> dict[int, Callable[[Any], Any]]:
        """ioctls of a vCPU that only this back-end has."""
        return {}

    # Interrupts.

    def queue_timer_int(self, vcpu: Vcpu) -> None:
        vcpu.pending.queue(interrupt.TIMER)

    def dequeue_timer_int(self, vcpu: Vcpu) -> None:
        vcpu.pending.dequeue(interrupt.TIMER)

    def queue_io_int(self, vcpu: Vcpu, irq: int) -> None:
        if irq in self.interrupts.priorities:
            vcpu.pending.queue(self.interrupts.priorities[irq])

    def dequeue_io_int(self, vcpu: Vcpu, irq: int) -> None:
        if irq in self.interrupts.priorities:
            vcpu.pending.dequeue(self.interrupts.priorities[irq])

    # Registers by id.

    def has_lasx(self, vcpu: Vcpu) -> bool:
        """Whether the guest can have 256-bit vectors."""
        return False

    def user_mask(self, vcpu: Vcpu, name: str) -> int:
        """Bits of a Config register that user space may change."""
        return 0

    def num_regs(self, vcpu: Vcpu) -> int:
        return len(self.fixed_names) + 3 + len(self.optional_names)

    def copy_reg_indices(self, vcpu: Vcpu) -> list[int]:
        ids = [onereg.cp0(name) for name in self.fixed_names]
        ids += [onereg.COUNT_CTL, onereg.COUNT_RESUME, onereg.COUNT_HZ]
        return ids + [onereg.cp0(name) for name in self.optional_names]

    def vector_ids(self, vcpu: Vcpu) -> list[int]:
        """The vector registers of the list."""
        return [onereg.vec_128(n) for n in range(32)]

    def _name(self, number: int) -> str:
        for name in (*self.fixed_names, *self.optional_names):
            if onereg.cp0(name) == number:
                return name
        raise KvmError(EINVAL, f"no register {number:#x}")

    def get_one_reg(self, vcpu: Vcpu, number: int) -> int:
        timer = vcpu.timer
        special = {onereg.COUNT_CTL: timer.ctl, onereg.COUNT_RESUME: timer.resume, onereg.COUNT_HZ: timer.hz}
        if number in special:
            return special[number]
        name = self._name(number)
        if name == "count":
            return timer.read()
        return vcpu.gc0(name)

    def set_one_reg(self, vcpu: Vcpu, number: int, value: int) -> None:
        timer = vcpu.timer
        special = {
            onereg.COUNT_CTL: timer.set_ctl, onereg.COUNT_RESUME: timer.set_resume, onereg.COUNT_HZ: timer.set_hz,
        }  # fmt: skip
        if number in special:
            special[number](value)
            return
        name = self._name(number)
        if name == "count":
            timer.write(value & M32)
        elif name == "compare":
            timer.write_compare(value & M32, False)
        elif name == "cause":
            self._set_cause(vcpu, value)
        elif name.startswith("config"):
            old = vcpu.gc0(name)
            vcpu.set_gc0(name, old ^ (old ^ value) & self.user_mask(vcpu, name))
        elif name != "random":
            vcpu.set_gc0(name, value)

    @staticmethod
    def _set_cause(vcpu: Vcpu, value: int) -> None:
        """DC stops or starts the soft timer with the same stroke."""
        old = vcpu.gc0("cause")
        if (old ^ value) & CAUSE_DC:
            if value & CAUSE_DC:
                vcpu.timer.disable_cause()
                vcpu.set_gc0("cause", value)
            else:
                vcpu.set_gc0("cause", value)
                vcpu.timer.enable_cause()
        else:
            vcpu.set_gc0("cause", value)
