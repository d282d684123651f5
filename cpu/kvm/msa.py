"""The MSA context of a vCPU. Source: Linux 6.1: arch/mips/kvm/mips.c (kvm_own_msa), msa.S."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.cp0.fields import CONFIG5_MSAEN
from cpu.kvm import trace
from cpu.kvm.fpu import FPU, MSA, follow_guest

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu


def own_msa(vcpu: Vcpu) -> None:
    """Give the guest the MSA: all 128 bits, or only the upper halves where the FPU's registers are live."""
    core, context = vcpu.core, vcpu.context
    follow_guest(vcpu)
    core.vz.set_c0("config5", core.vz.c0("config5") | CONFIG5_MSAEN)
    live = context.in_use & (FPU | MSA)
    if live == FPU:
        context.move_in(core.S, slice(1, 2))
        context.in_use |= MSA
        vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_RESTORE, trace.AUX_MSA)
    elif not live:
        context.move_in(core.S, slice(0, 2))
        context.in_use |= FPU | MSA
        vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_RESTORE, trace.AUX_FPU_MSA)
    else:
        vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_ENABLE, trace.AUX_MSA)
