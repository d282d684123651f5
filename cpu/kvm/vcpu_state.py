"""What the Loongson tree moves with a vCPU beside its registers by id, and its other ioctls of a vCPU.

Source: Loongson 4.19 tree: arch/mips/kvm/mips.c, kvm_arch_vcpu_ioctl.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL
from typing import TYPE_CHECKING, Any

from cpu.kvm.errors import KvmError
from cpu.kvm.uapi import CPUCFG_WORDS, GUESTDBG_ENABLE, GUESTDBG_SINGLESTEP, Ioctl, IrqchipId, VcpuState
from cpu.kvm.vz import host_cpucfg
from soc.nodes import CORES

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

FREQ = 1
"""The interrupt that tells a guest of another frequency."""
QUADS = 4


def ioctls(vcpu: Vcpu) -> dict[int, Callable[[Any], Any]]:
    """The vCPU ioctls of this module."""
    return {
        Ioctl.GET_VCPU_STATE: lambda _: get_vcpu_state(vcpu),
        Ioctl.SET_VCPU_STATE: lambda state: set_vcpu_state(vcpu, state),
        # The source's case for a vCPU runs on into the next one, whose answer is what user space gets.
        Ioctl.CHECK_EXTENSION: lambda _: get_vcpu_state(vcpu),
        Ioctl.GET_CPUCFG: lambda _: get_cpucfg(vcpu),
        Ioctl.SET_GUEST_DEBUG: lambda control: set_guest_debug(vcpu, control),
    }


def get_vcpu_state(vcpu: Vcpu) -> VcpuState:
    """KVM_MIPS_GET_VCPU_STATE: `is_migrate` is always 1."""
    return VcpuState(
        online_vcpus=vcpu.vm.arch.online_vcpus,
        is_migrate=1,
        cpu_freq=vcpu.timer.hz,
        count_ctl=getattr(vcpu.timer, _count_ctl(vcpu)),
        pending_exceptions=vcpu.pending.set,
        pending_exceptions_clr=vcpu.pending.clear,
        core_ext_ioisr=tuple(_core_isr(vcpu)),
    )


def set_vcpu_state(vcpu: Vcpu, state: VcpuState) -> int:
    """KVM_MIPS_SET_VCPU_STATE: nothing is checked. Another frequency than this host's queues FREQ on vCPU 0."""
    arch = vcpu.vm.arch
    arch.online_vcpus, arch.is_migrate = state.online_vcpus, state.is_migrate
    vcpu.pending.set, vcpu.pending.clear = state.pending_exceptions, state.pending_exceptions_clr
    setattr(vcpu.timer, _count_ctl(vcpu), state.count_ctl)
    _set_core_isr(vcpu, list(state.core_ext_ioisr))
    if state.cpu_freq != vcpu.timer.hz and vcpu.number == 0:
        vcpu.vm.callbacks.queue_io_int(vcpu, FREQ)
    return 0


def get_cpucfg(vcpu: Vcpu) -> tuple[int, ...]:
    """KVM_MIPS_GET_CPUCFG: the host's words."""
    core = vcpu.vm.host.cores[0]
    return tuple(host_cpucfg(core, word) & 0xFFFFFFFF for word in range(CPUCFG_WORDS))


def set_guest_debug(vcpu: Vcpu, control: int) -> int:
    """KVM_SET_GUEST_DEBUG: nothing follows from it; HYPCALL 5 is a breakpoint in any case. EINVAL for other flags."""
    if control & ~(GUESTDBG_ENABLE | GUESTDBG_SINGLESTEP):
        raise KvmError(EINVAL, f"control {control:#x}; ENABLE (1) and SINGLESTEP (2) there are")
    vcpu.guest_debug = control if control & GUESTDBG_ENABLE else 0
    return 0


def _count_ctl(vcpu: Vcpu) -> str:
    """Where COUNT_CTL of the mode with Count and Compare is: what is written there stops or starts nothing."""
    return "count_ctl" if vcpu.vm.arch.use_stable_timer else "ctl"


def _core_isr(vcpu: Vcpu) -> list[int]:
    """The vectors pending at the vCPU in the EIOINTC: the device's, where the VM has one for it."""
    if not _has_device(vcpu):
        return vcpu.core_ext_ioisr
    registers = vcpu.vm.irqchip.state(IrqchipId.LS3A_EXTIRQ)[0]["core_isr"]
    return registers[QUADS * vcpu.number : QUADS * (vcpu.number + 1)]


def _set_core_isr(vcpu: Vcpu, quads: list[int]) -> None:
    vcpu.core_ext_ioisr = quads
    if _has_device(vcpu):
        registers = list(vcpu.vm.irqchip.state(IrqchipId.LS3A_EXTIRQ)[0]["core_isr"])
        registers[QUADS * vcpu.number : QUADS * (vcpu.number + 1)] = quads
        vcpu.vm.irqchip.load(IrqchipId.LS3A_EXTIRQ, [{"core_isr": registers}])


def _has_device(vcpu: Vcpu) -> bool:
    return vcpu.vm.irqchip is not None and vcpu.number < CORES
