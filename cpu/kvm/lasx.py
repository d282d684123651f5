"""The 256-bit context of a vCPU, which only the Loongson tree has.

Source: Loongson 4.19 tree: arch/mips/kvm/mips.c (kvm_own_lasx), lasx.S.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.kvm import trace
from cpu.kvm.fpu import CONFIG5_MSAEN, FPU, LANES, LASX, MSA, ST_CU1, ST_FR

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

CONFIG_LASXEN = 1 << 19


def own_lasx(vcpu: Vcpu) -> None:
    """Give the guest all 256 bits: what is not live of lanes 0 (FPU), 1 (MSA) and 2 to 3 (LASX) is restored."""
    core, context = vcpu.core, vcpu.context
    core.vz.set_c0("status", core.vz.c0("status") | ST_CU1 | ST_FR)
    core.vz.set_c0("config5", core.vz.c0("config5") | CONFIG5_MSAEN)
    core.vz.set_c0("config", core.vz.c0("config") | CONFIG_LASXEN)
    first = 2 if context.in_use & MSA else 1 if context.in_use & FPU else 0
    if not context.in_use & LASX:
        context.move_in(core.S, slice(first, LANES))
        vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_RESTORE, trace.AUX_LASX if first else trace.AUX_ALL)
    context.in_use |= FPU | MSA | LASX
