"""The hardware timer lent to the guest: soft to hard before it runs, hard to soft when it must not.

Source: Linux 6.1: arch/mips/kvm/vz.c, kvm_vz_{acquire,save,lose,restore}_*timer. Hard: GuestCtl0.GT = 1 and GTOffset
makes Guest.Count the guest's. Soft: GT = 0, Count and Compare trap, and Guest.Count is parked just behind Compare, so
that the comparison, which never stops, finds nothing for a whole wrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.cp0.fields import CAUSE_TI
from cpu.cp0.registers import C0_GUESTCTL0
from cpu.vz.guestctl import GT
from cpu.vz.soft_count import MIN_DRIFT

if TYPE_CHECKING:
    from cpu.core import Core
    from cpu.kvm.vcpu import Vcpu


class HardTimer:
    """The timer half of the VZ back-end."""

    def restore_timer(self, vcpu: Vcpu) -> None:
        """At load: Compare and Cause into the core, in soft mode."""
        self._restore_soft(vcpu.core, vcpu.soft("compare"), vcpu.soft("cause"))

    @staticmethod
    def _restore_soft(core: Core, compare: int, cause: int) -> None:
        core.vz.park_guest_timer(compare, cause)

    def acquire_timer(self, vcpu: Vcpu) -> None:
        """Before the guest runs: lend it the hardware timer, if its Count has the same rate and is not stopped."""
        core, timer = vcpu.core, vcpu.timer
        ctl0 = core.words[C0_GUESTCTL0]
        if ctl0 & GT or timer.hz != vcpu.vm.host.count_hz or timer.disabled:
            return
        core.words[C0_GUESTCTL0] = ctl0 | GT
        # A match that lies behind is queued here; no time passes before the hardware goes on from this Count.
        core.vz.set_guest_count(timer.freeze()[1])

    @staticmethod
    def _take_back(vcpu: Vcpu) -> tuple[int, int]:
        """Compare and Cause of a running hard timer; the soft one goes on from its Count."""
        compare = vcpu.compare
        cause, count = vcpu.core.vz.guest_cause_and_count()
        vcpu.timer.restore(vcpu.now, count, MIN_DRIFT)
        return compare, cause

    @staticmethod
    def _gives_up(core: Core) -> bool:
        """Clears GuestCtl0.GT; whether it was set."""
        ctl0 = core.words[C0_GUESTCTL0]
        core.words[C0_GUESTCTL0] = ctl0 & ~GT
        return bool(ctl0 & GT)

    def save_timer(self, vcpu: Vcpu) -> None:
        """At put: Compare and Cause into the image, the timer soft."""
        core = vcpu.core
        if self._gives_up(core):
            compare, cause = self._take_back(vcpu)
        else:
            compare, cause = vcpu.compare, core.vz.gc0("cause")
        vcpu.set_soft("compare", compare)
        vcpu.set_soft("cause", cause)

    def lose_timer(self, vcpu: Vcpu) -> None:
        """The guest stops, or writes Count: the timer becomes soft while the vCPU stays loaded."""
        core = vcpu.core
        if self._gives_up(core):
            self._restore_soft(core, *self._take_back(vcpu))

    def move_compare(self, vcpu: Vcpu, compare: int, ack: bool, forward: bool) -> None:
        """A write of Compare in soft mode: GTOffset moves first where Compare goes forward, else last."""
        core = vcpu.core
        if core is None:
            vcpu.set_soft("compare", compare)
            if ack:
                vcpu.set_soft("cause", vcpu.soft("cause") & ~CAUSE_TI)
            return
        if forward:
            core.vz.set_guest_count(compare)
        cause = core.vz.gc0("cause")
        core.vz.set_gc0("compare", compare)
        if not ack and cause & CAUSE_TI:
            core.vz.set_gc0("cause", cause)
        if not forward:
            core.vz.set_guest_count(compare)
