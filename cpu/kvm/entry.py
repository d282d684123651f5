"""The world switch: what the generated entry and exit code does to a core's registers.

Source: Linux 6.1: arch/mips/kvm/entry.c; the order of its steps is in docs/kvm.md. Root mode executes nothing here, so
only what the guest or a later handler can see is moved; what the code costs is charged by the host (soc/timing.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu import state
from cpu.cp0.fields import IP6, IP7, ST_CU1, ST_EXL, ST_FR, ST_IE, ST_KX, ST_USER
from cpu.cp0.registers import (
    C0_BADINSTR,
    C0_BADINSTRP,
    C0_BADVADDR,
    C0_CAUSE,
    C0_EPC,
    C0_GSCAUSE,
    C0_GUESTCTL0,
    C0_GUESTCTL1,
    C0_STATUS,
)
from cpu.kvm import fpu
from cpu.vz.guestctl import GM, ID, RID_SHIFT
from cpu.words import M32, M64, signed

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

RID = ID << RID_SHIFT
GUEST_STATUS = ST_EXL | ST_USER | ST_IE | ST_KX | IP6 | IP7
HOST_STATUS = ST_IE | ST_KX | IP6 | IP7
_AUX = ST_CU1 | ST_FR


def enter(vcpu: Vcpu) -> None:
    """vcpu_run and enter_guest: the guest's registers into the core, ERET."""
    core = vcpu.core
    words = core.words
    core.S[state.GPR : state.GPR + 32] = vcpu.gprs
    words[state.HI], words[state.LO] = vcpu.hi, vcpu.lo
    if vcpu.context.in_use:
        fpu.restore_control(vcpu)
    words[C0_EPC] = signed(vcpu.pc)
    words[C0_STATUS] = words[C0_STATUS] & _AUX | GUEST_STATUS
    if vcpu.shadow is None:
        words[C0_GUESTCTL0] |= GM
        ctl1 = words[C0_GUESTCTL1]
        words[C0_GUESTCTL1] = ctl1 & ~RID | (ctl1 & ID) << RID_SHIFT
    set_table(vcpu)
    words[state.PORT], words[state.ACCOUNT] = vcpu.number, vcpu.account_address
    core.vz.enter_guest()


def set_table(vcpu: Vcpu) -> None:
    """What the refill entry walks for the vCPU: the VM's GPA table, or a GVA table by the mode of the guest."""
    table = vcpu.vm.gpa if vcpu.shadow is None else vcpu.shadow.space.table
    vcpu.core.vz.set_table(table.address)


def leave(vcpu: Vcpu) -> None:
    """The exit code: registers into the vCPU; GM goes before EXL does, RID is the root's before anything else."""
    words = vcpu.core.words
    vcpu.gprs[:] = vcpu.core.S[state.GPR : state.GPR + 32]
    vcpu.hi, vcpu.lo, vcpu.pc = words[state.HI], words[state.LO], words[C0_EPC] & M64
    record = vcpu.exit
    record.cause, record.badvaddr = words[C0_CAUSE] & M32, words[C0_BADVADDR] & M64
    record.badinstr, record.badinstrp = words[C0_BADINSTR] & M32, words[C0_BADINSTRP] & M32
    record.gscause, record.guestctl0 = words[C0_GSCAUSE], words[C0_GUESTCTL0] & M32
    if vcpu.context.in_use:
        fpu.save_control(vcpu)
    words[C0_GUESTCTL0] &= ~GM
    words[C0_GUESTCTL1] &= ~RID
    words[C0_STATUS] = words[C0_STATUS] & _AUX | HOST_STATUS
