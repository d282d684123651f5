"""The stable timer of a vCPU of the Loongson tree, in a VM whose host has Config6.EXTIMER: soft and lent.

Source: Loongson 4.19 tree: arch/mips/kvm/stable_timer.c, ls3acomp-vz.c (kvm_ls3acomp_*timer). The hardware counts down;
KVM's soft value counts up from what was written last, as the source has it, and Count stands for it in the registers by
id. A timer that was put down is programmed anew as one-shot with what is left of it, at least one tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.cp0.fields import CAUSE_TI
from cpu.cp0.registers import C0_GUESTCTL0
from cpu.cp0.stable import ENABLE, TICKS
from cpu.kvm.count import CTL_DC, NS, changed_ctl, check_hz, checked_resume
from cpu.vz.guestctl import GT
from cpu.words import M32, M64

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu


class StableTimer:
    """Counts for one vCPU, in place of count.SoftTimer. `tick` and `saved` are what was left of the hardware's timer,
    in ticks, and when, in ns of host time."""

    def __init__(self, vcpu: Vcpu, hz: int) -> None:
        self._vcpu = vcpu
        self.hz, self.ctl, self.resume = hz, 0, 0
        self.count_ctl = 0
        """The COUNT_CTL of the other mode, which SET_VCPU_STATE writes."""
        self.tick = self.saved = 0
        self._bias = 0
        self.write(0)

    @property
    def period(self) -> int:
        """How far an expired soft timer is pushed on, ns."""
        return (NS << 32) // self.hz

    @property
    def disabled(self) -> bool:
        """The user's COUNT_CTL stops it; the guest's Cause.DC does not."""
        return bool(self.ctl & CTL_DC)

    def _elapsed(self, now: int) -> int:
        return now % self.period * self.hz // NS

    def _running(self, now: int) -> int:
        value = self._bias + self._elapsed(now) & TICKS
        expires = self._vcpu.timer_expires
        if value == TICKS and expires < now + self.period // 4:
            self._vcpu.queue_timer_int()
            if self._vcpu.timer_active:
                self._vcpu.start_timer(expires + self.period)
        return value

    def _rebase(self, value: int, now: int) -> None:
        self._bias = value - self._elapsed(now) & TICKS

    def read(self) -> int:
        """The soft value's low 32 bits."""
        return (self.tick if self.disabled else self._running(self._vcpu.now)) & M32

    def write(self, value: int) -> None:
        """kvm_loongson_write_stable_timer"""
        now = self.resume if self.disabled else self._vcpu.now
        self._rebase(value, now)
        if self.disabled:
            self.tick = value
        else:
            self._arm(now, value)

    def _arm(self, now: int, ticks: int) -> None:
        """The host timer for `ticks` from `now` on; the product is one of 64 bits, as the source's."""
        self._vcpu.start_timer(now + (ticks * NS & M64) // self.hz)

    def _freeze(self) -> tuple[int, int]:
        self._vcpu.cancel_timer()
        now = self._vcpu.now
        return now, self._running(now)

    def set_ctl(self, value: int) -> None:
        """COUNT_CTL: only its DC bit may change. EINVAL otherwise."""
        changed = changed_ctl(self.ctl, value)
        self.ctl = value
        if not changed:
            return
        if self._vcpu.count_stopped:
            if value & CTL_DC:
                self.resume = self._vcpu.now
        elif value & CTL_DC:
            self.resume, self.tick = self._freeze()
        else:
            now = self._vcpu.now
            if now >= self.resume + (self.tick * NS & M64) // self.hz:
                self._vcpu.queue_timer_int()
            self._arm(now, self._running(now))

    def set_resume(self, value: int) -> None:
        """COUNT_RESUME, in ns of host time: not in the future. EINVAL otherwise."""
        self.resume = checked_resume(value, self._vcpu.now)

    def set_hz(self, hz: int) -> None:
        """COUNT_HZ: 1 to 10^9. EINVAL otherwise. The value goes on from where it stands."""
        check_hz(hz)
        if hz == self.hz:
            return
        now, value = (self.resume, self.tick) if self.disabled else self._freeze()
        self.hz = hz
        self._rebase(value, now)
        if not self.disabled:
            self._arm(now, value)

    def write_compare(self, compare: int, ack: bool) -> None:
        """Compare does nothing here but acknowledge."""
        if ack:
            self._vcpu.dequeue_timer_int()
        self._vcpu.set_gc0("compare", compare)

    def disable_cause(self) -> None:
        """The guest has set Cause.DC, which stops Count and not this timer."""

    def enable_cause(self) -> None:
        """The guest has cleared it."""

    def expired(self) -> int:
        """The host timer went off: queues the interrupt; how long until the next time, ns."""
        self._vcpu.queue_timer_int()
        return self.period

    def save(self) -> list[int]:
        """Its registers, for a checkpoint."""
        return [self.hz, self.ctl, self.resume, self.count_ctl, self.tick, self.saved, self._bias]

    def load(self, saved: list[int]) -> None:
        """What `save` gave; the host timer is the vCPU's."""
        self.hz, self.ctl, self.resume, self.count_ctl, self.tick, self.saved, self._bias = saved

    # The hardware's timer.

    def _left(self) -> int:
        gone = (self._vcpu.now - self.saved) * self.hz // NS
        return max(1, self.tick - gone)

    def restore(self) -> None:
        """At load: what is left of the timer, as one-shot, and Cause."""
        vcpu = self._vcpu
        vcpu.core.vz.set_guest_timer(self._left() | ENABLE)
        vcpu.core.vz.set_gc0("cause", vcpu.soft("cause"))

    def acquire(self) -> None:
        """Before the guest runs: lend it the timer."""
        core = self._vcpu.core
        if core.S[C0_GUESTCTL0] & GT or self.disabled:
            return
        core.S[C0_GUESTCTL0] |= GT
        self._vcpu.cancel_timer()
        if core.vz.guest_timer[1] == TICKS:
            self._vcpu.queue_timer_int()

    def give_up(self) -> None:
        """The guest must not run now: the host timer goes on for the hardware's, if that was lent."""
        vcpu, core = self._vcpu, self._vcpu.core
        if not core.S[C0_GUESTCTL0] & GT:
            return
        core.S[C0_GUESTCTL0] &= ~GT
        self.tick, self.saved = core.vz.guest_timer[1], vcpu.now
        self._arm(self.saved, self.tick)
        if self.tick == TICKS and core.vz.gc0("cause") & CAUSE_TI:
            vcpu.queue_timer_int()
