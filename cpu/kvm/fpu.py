"""The FPU context of a vCPU, loaded into the core when the guest first uses it.

Source: Linux 6.1: arch/mips/kvm/mips.c (kvm_own_fpu and kin), fpu.S. The registers exist once: FPR, MSA and LASX are
views of one file (cpu/state.py), and a level names how much of it is live in the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpu import state
from cpu.cp0.fields import CONFIG5_MSAEN, CONFIG_LASXEN, ST_CU1, ST_FR
from cpu.kvm import trace

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

FPU, MSA, LASX = 1, 2, 4
"""Bits of aux_inuse: whose state is live in the core."""
LANES = state.FPR_STRIDE
REGISTERS = 32


class Context:
    """The save area: 32 registers of four 64-bit lanes, FCSR, MSACSR; `in_use` is aux_inuse."""

    def __init__(self) -> None:
        self.registers = np.zeros((REGISTERS, LANES), np.int64)
        self.fcr31 = 0
        self.msacsr = 0
        self.in_use = 0

    def move_in(self, S: np.ndarray, lanes: slice) -> None:
        """Lanes of every register from the save area into a core."""
        _file(S)[:, lanes] = self.registers[:, lanes]

    def move_out(self, S: np.ndarray, lanes: slice) -> None:
        """Lanes of every register from a core into the save area."""
        self.registers[:, lanes] = _file(S)[:, lanes]


def _file(S: np.ndarray) -> np.ndarray:
    return S[state.FPR : state.FPR + REGISTERS * LANES].reshape(REGISTERS, LANES)


def own_fpu(vcpu: Vcpu) -> None:
    """Give the guest the FPU: root CU1 and FR as the guest has them; its registers, unless they are live already."""
    core, context = vcpu.core, vcpu.context
    guest_status = vcpu.gc0("status")
    if context.in_use & (MSA | LASX) and guest_status & ST_CU1 and not guest_status & ST_FR:
        # Vectors need FR=1; their upper parts must survive the 32-bit mode.
        lose_fpu(vcpu)
    follow_guest(vcpu)
    if context.in_use & (FPU | MSA):
        vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_ENABLE, trace.AUX_FPU)
        if not context.in_use & FPU:
            context.in_use |= FPU
    else:
        context.move_in(core.S, slice(0, 1))
        context.in_use |= FPU
        vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_RESTORE, trace.AUX_FPU)


def follow_guest(vcpu: Vcpu) -> None:
    """Root's CU1 and FR as the guest has them."""
    vz = vcpu.core.vz
    vz.set_c0("status", vz.c0("status") & ~(ST_CU1 | ST_FR) | vcpu.gc0("status") & (ST_CU1 | ST_FR))


def lose_fpu(vcpu: Vcpu) -> None:
    """Save what is live and take the units away (kvm_lose_fpu)."""
    core, context = vcpu.core, vcpu.context
    if not context.in_use:
        return
    live = context.in_use
    lanes = LANES if live & LASX else 2 if live & MSA else 1
    context.move_out(core.S, slice(0, lanes))
    vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_SAVE, live & (trace.AUX_ALL if live & LASX else trace.AUX_FPU_MSA))
    disable(vcpu)


def drop_fpu(vcpu: Vcpu) -> None:
    """Forget what is live: the guest has changed FR, which leaves its registers undefined (kvm_drop_fpu)."""
    live = vcpu.context.in_use
    for unit in (LASX, MSA, FPU):
        if live & unit:
            vcpu.emit("kvm_aux", vcpu.pc, trace.AUX_DISCARD, unit)
    if live:
        disable(vcpu)


def disable(vcpu: Vcpu) -> None:
    """Root CU1, FR, MSAEn and LASXEN off, nothing live."""
    core, context = vcpu.core, vcpu.context
    core.vz.set_c0("status", core.vz.c0("status") & ~(ST_CU1 | ST_FR))
    if context.in_use & (MSA | LASX):
        core.vz.set_c0("config5", core.vz.c0("config5") & ~CONFIG5_MSAEN)
    if context.in_use & LASX:
        core.vz.set_c0("config", core.vz.c0("config") & ~CONFIG_LASXEN)
    context.in_use = 0


def save_control(vcpu: Vcpu) -> None:
    """On exit: FCSR and MSACSR of live units are saved and cleared."""
    S, context = vcpu.core.S, vcpu.context
    context.fcr31, S[state.FCSR] = int(S[state.FCSR]), 0
    if context.in_use & MSA:
        context.msacsr, S[state.MSACSR] = int(S[state.MSACSR]), 0


def restore_control(vcpu: Vcpu) -> None:
    """Before entry: they come back. A cause bit that is pending in them raises its exception in the guest."""
    S, context = vcpu.core.S, vcpu.context
    S[state.FCSR] = context.fcr31
    if context.in_use & MSA:
        S[state.MSACSR] = context.msacsr
