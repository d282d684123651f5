"""The world switch: what the generated entry and exit code does to a core's registers.

Source: Linux 6.1: arch/mips/kvm/entry.c; the order of its steps is in docs/kvm.md. Root mode executes nothing here, so
only what the guest or a later handler can see is moved; what the code costs is charged by the host (soc/timing.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpu import state
from cpu.cp0.registers import (
    C0_BADINSTR,
    C0_BADINSTRP,
    C0_BADVADDR,
    C0_CAUSE,
    C0_EPC,
    C0_GUESTCTL0,
    C0_GUESTCTL1,
    C0_STATUS,
    register,
)
from cpu.kvm import fpu

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

ST_IE, ST_EXL, ST_USER, ST_KX = 1 << 0, 1 << 1, 2 << 3, 1 << 7
ST_IM6, ST_IM7 = 1 << 14, 1 << 15
CTL0_GM = 1 << 31
RID = 0xFF << 16
M32, M64 = 0xFFFFFFFF, (1 << 64) - 1
_SEEN = np.array([
    state.HI, state.LO, C0_EPC, C0_CAUSE, C0_BADVADDR, C0_BADINSTR, C0_BADINSTRP, register("gscause").slot,
    C0_GUESTCTL0, C0_GUESTCTL1, C0_STATUS,
])  # fmt: skip
GUEST_STATUS = ST_EXL | ST_USER | ST_IE | ST_KX | ST_IM6 | ST_IM7
HOST_STATUS = ST_IE | ST_KX | ST_IM6 | ST_IM7
_AUX = fpu.ST_CU1 | fpu.ST_FR


def enter(vcpu: Vcpu) -> None:
    """vcpu_run and enter_guest: the guest's registers into the core, ERET."""
    core = vcpu.core
    S = core.S
    S[state.GPR : state.GPR + 32] = vcpu.gprs
    S[state.HI], S[state.LO] = vcpu.hi, vcpu.lo
    if vcpu.context.in_use:
        fpu.restore_control(vcpu)
    pc = vcpu.pc & M64
    S[C0_EPC] = pc - (1 << 64) if pc >> 63 else pc
    S[C0_STATUS] = int(S[C0_STATUS]) & _AUX | GUEST_STATUS
    S[C0_GUESTCTL0] |= CTL0_GM
    ctl1 = int(S[C0_GUESTCTL1])
    S[C0_GUESTCTL1] = ctl1 & ~RID | (ctl1 & 0xFF) << 16
    core.vz.set_table(vcpu.vm.gpa.address)
    core.vz.enter_guest()


def leave(vcpu: Vcpu) -> None:
    """The exit code: registers into the vCPU; GM goes before EXL does, RID is the root's before anything else."""
    S = vcpu.core.S
    vcpu.gprs[:] = S[state.GPR : state.GPR + 32]
    hi, lo, pc, cause, badvaddr, badinstr, badinstrp, gscause, ctl0, ctl1, status = S[_SEEN].tolist()
    vcpu.hi, vcpu.lo, vcpu.pc = hi, lo, pc & M64
    record = vcpu.exit
    record.cause, record.badvaddr = cause & M32, badvaddr & M64
    record.badinstr, record.badinstrp = badinstr & M32, badinstrp & M32
    record.gscause, record.guestctl0 = gscause, ctl0 & M32
    if vcpu.context.in_use:
        fpu.save_control(vcpu)
    S[C0_GUESTCTL0] = ctl0 & ~CTL0_GM
    S[C0_GUESTCTL1] = ctl1 & ~RID
    S[C0_STATUS] = status & _AUX | HOST_STATUS
