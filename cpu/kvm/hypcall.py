"""Hypercalls: HYPCALL 0 with the number in v0 and arguments in a0 to a3.

Source: Linux 6.1: arch/mips/kvm/hypcall.c; the Loongson 4.19 tree hands them to user space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.kvm.callback import Resume
from cpu.kvm.uapi import ExitReason, Hypercall
from cpu.words import M64

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

KVM_ENOSYS = 1000
V0, A0 = 2, 4


def refuse(vcpu: Vcpu) -> Resume:
    """Linux 6.1: there are no hypercalls; v0 says so."""
    vcpu.gprs[V0] = -KVM_ENOSYS
    return Resume.GUEST


def to_user(vcpu: Vcpu) -> Resume:
    """The Loongson tree: KVM_EXIT_HYPERCALL; `hypercall.ret` becomes v0 at the next KVM_RUN."""
    gprs = [int(v) & M64 for v in vcpu.gprs]
    vcpu.kvm_run.hypercall = Hypercall(gprs[V0], (*gprs[A0 : A0 + 4], gprs[V0], gprs[V0 + 1]))
    vcpu.kvm_run.exit_reason = ExitReason.HYPERCALL
    vcpu.is_hypcall = True
    return Resume.HOST
