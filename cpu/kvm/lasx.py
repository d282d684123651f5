"""The 256-bit context of a vCPU, which only the Loongson tree has.

Source: Loongson 4.19 tree: arch/mips/kvm/mips.c (kvm_own_lasx), lasx.S, ls3acomp-vz.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.cp0.fields import CONFIG5_MSAEN, CONFIG_LASXEN, ST_CU1, ST_FR
from cpu.kvm import trace
from cpu.kvm.fpu import FPU, LANES, LASX, MSA, follow_guest, lose_fpu

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu


def may_use(vcpu: Vcpu) -> bool:
    """Whether the guest has all of LASX enabled in its own context, and root has not."""
    status = vcpu.gc0("status")
    return (
        vcpu.has_lasx
        and status & (ST_CU1 | ST_FR) != ST_CU1
        and bool(vcpu.gc0("config5") & CONFIG5_MSAEN and vcpu.gc0("config") & CONFIG_LASXEN)
        and not vcpu.context.in_use & LASX
    )


def own_lasx(vcpu: Vcpu) -> None:
    """Give the guest all 256 bits: what is not live of lanes 0 (FPU), 1 (MSA) and 2 to 3 (LASX) is restored."""
    context = vcpu.context
    if not vcpu.gc0("status") & ST_FR and context.in_use in (FPU, MSA):
        # How the vectors go together with live 32-bit registers is undefined.
        lose_fpu(vcpu)
    follow_guest(vcpu)
    _enable(vcpu, "config5", CONFIG5_MSAEN)
    live = context.in_use
    if live & LASX:
        _enable(vcpu, "config", CONFIG_LASXEN)
        vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_ENABLE, trace.AUX_LASX)
        return
    own_upper(vcpu, 2 if live & MSA else 1 if live & FPU else 0)
    context.in_use |= MSA if live else FPU | MSA
    vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_RESTORE, trace.AUX_LASX if live else trace.AUX_ALL)


def own_upper(vcpu: Vcpu, first: int = 2) -> None:
    """LASX on in root, with the lanes from `first` on from the save area."""
    _enable(vcpu, "config", CONFIG_LASXEN)
    vcpu.context.move_in(vcpu.core.S, slice(first, LANES))
    vcpu.context.in_use |= LASX


def _enable(vcpu: Vcpu, name: str, bit: int) -> None:
    vz = vcpu.core.vz
    vz.set_c0(name, vz.c0(name) | bit)
