"""Interrupts of a guest: numbers of the ioctl, priorities, the pending words, delivery before each entry.

Source: Linux 6.1: arch/mips/kvm/interrupt.[ch], vz.c; the Loongson 4.19 tree's for its priorities. An ioctl may run
anywhere, so it only sets bits; what they mean for the guest's CP0 is done on the vCPU's own core before it enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from errno import EINVAL
from types import MappingProxyType
from typing import TYPE_CHECKING

from cpu.kvm.errors import KvmError
from soc.bits import bits

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

TIMER = 7
"""Priority of the timer, in both trees."""
SW1 = 1


@dataclass(frozen=True)
class Scheme:
    """The priorities of one tree. `accepted`: what the ioctl takes; `priorities`: number to priority, the rest is lost;
    `lines`: priority to Cause.IP bit."""

    accepted: frozenset[int]
    priorities: Mapping[int, int]
    lines: Mapping[int, int]


LINUX = Scheme(
    frozenset({2, 3, 4, 6}),
    MappingProxyType({2: 8, 3: 9, 6: 11}),
    MappingProxyType({TIMER: 7, 8: 2, 9: 3, 11: 6}),
)
"""Linux 6.1 on Loongson64: IO_1, IO_2, IPI_1."""
LOONGSON = Scheme(
    frozenset({1, 2, 3, 4, 6}),
    MappingProxyType({1: 13, 2: 8, 3: 11, 6: 14}),
    MappingProxyType({TIMER: 7, 8: 2, 11: 3, 13: SW1, 14: 6}),
)
"""The Loongson tree: IO, HT, FREQ and IPI."""


@dataclass
class Pending:
    """pending_exceptions and pending_exceptions_clr: a bit a priority."""

    set: int = 0
    clear: int = 0

    def queue(self, priority: int) -> None:
        self.set |= 1 << priority
        self.clear &= ~(1 << priority)

    def dequeue(self, priority: int) -> None:
        self.set &= ~(1 << priority)
        self.clear |= 1 << priority


def interrupt(vcpu: Vcpu, irq: int) -> None:
    """KVM_INTERRUPT: a positive number raises a line, a negative one lowers it. EINVAL for what the tree does not take.

    Number 4 is accepted and lost: the ioctl has it, the priorities do not.
    """
    scheme = vcpu.vm.callbacks.interrupts
    if abs(irq) not in scheme.accepted:
        raise KvmError(EINVAL, f"interrupt {irq}; accepted: {', '.join(f'±{n}' for n in sorted(scheme.accepted))}")
    if irq > 0:
        vcpu.vm.callbacks.queue_io_int(vcpu, irq)
    else:
        vcpu.vm.callbacks.dequeue_io_int(vcpu, -irq)
    vcpu.wake()


def deliver(vcpu: Vcpu) -> None:
    """Before the guest runs: all clears, then all deliveries, in ascending priority (kvm_mips_deliver_interrupts)."""
    pending = vcpu.pending
    if pending.clear:
        for priority in bits(pending.clear):
            vcpu.vm.callbacks.irq_clear(vcpu, priority)
    if pending.set:
        for priority in bits(pending.set):
            vcpu.vm.callbacks.irq_deliver(vcpu, priority)
