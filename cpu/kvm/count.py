"""The soft timer of a vCPU: Count and Compare while the hardware's are not lent to the guest.

Count is a bias plus host time at count_hz; a host timer stands for the match. Source: Linux 6.1:
arch/mips/kvm/emulate.c, kvm_mips_*count*. Host time is in whole nanoseconds, as ktime is.
"""

from __future__ import annotations

from errno import EINVAL
from typing import TYPE_CHECKING

from cpu.kvm.errors import KvmError
from cpu.vz.account import BIAS, HZ, PERIOD
from cpu.vz.soft_count import NS, expiry, has_matched, is_before, taken_over, ticks
from cpu.words import M32

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

CTL_DC = 1
"""KVM_REG_MIPS_COUNT_CTL_DC."""


def changed_ctl(old: int, new: int) -> int:
    """The bits of COUNT_CTL that change. EINVAL for any but DC."""
    if (new ^ old) & ~CTL_DC:
        raise KvmError(EINVAL, f"COUNT_CTL = {new:#x}: only bit 0 (DC) may change")
    return new ^ old


def checked_resume(value: int, now: int) -> int:
    """A COUNT_RESUME, ns of host time. EINVAL in the future."""
    if not 0 <= value <= now:
        raise KvmError(EINVAL, f"COUNT_RESUME = {value}: 0 to now, which is {now} ns")
    return value


def check_hz(hz: int) -> None:
    """EINVAL for a COUNT_HZ outside 1 to 10^9."""
    if not 1 <= hz <= NS:
        raise KvmError(EINVAL, f"COUNT_HZ = {hz}: 1 to {NS}")


class SoftTimer:
    """Counts for one vCPU. `compare` and the Cause of the guest are read through the vCPU, wherever they are."""

    def __init__(self, vcpu: Vcpu, hz: int) -> None:
        self._vcpu, self._words = vcpu, vcpu.words
        self.bias = 0
        self.ctl = 0
        self.resume = 0
        """COUNT_RESUME: host time, ns, at which Count was stopped by `ctl`."""
        self._stopped_count = 0
        self.hz = hz
        self.period = (NS << 32) // hz
        self.write(0)

    # What the core reckons with too, in the vCPU's account.

    @property
    def bias(self) -> int:
        """Count at host time 0, modulo 2^32."""
        return self._words[BIAS]

    @bias.setter
    def bias(self, value: int) -> None:
        self._words[BIAS] = value

    @property
    def hz(self) -> int:
        """COUNT_HZ."""
        return self._words[HZ]

    @hz.setter
    def hz(self, value: int) -> None:
        self._words[HZ] = value

    @property
    def period(self) -> int:
        """How long Count takes for a whole wrap, ns."""
        return self._words[PERIOD]

    @period.setter
    def period(self, value: int) -> None:
        self._words[PERIOD] = value

    def save(self) -> list[int]:
        """Its registers, for a checkpoint."""
        return [self.bias, self.ctl, self.resume, self._stopped_count, self.hz, self.period]

    def load(self, saved: list[int]) -> None:
        """What `save` gave; the host timer is the vCPU's."""
        self.bias, self.ctl, self.resume, self._stopped_count, self.hz, self.period = saved

    # Count.

    @property
    def disabled(self) -> bool:
        """Count stands still: by the user's COUNT_CTL or by the guest's Cause.DC."""
        return bool(self.ctl & CTL_DC or self._vcpu.count_stopped)

    def _ticks(self, now: int) -> int:
        return ticks.py_func(self.hz, self.period, now)

    def _now(self) -> int:
        return self.resume if self.ctl & CTL_DC else self._vcpu.now

    def _running(self, now: int) -> int:
        count = (self.bias + self._ticks(now)) & M32
        vcpu, expires = self._vcpu, self._vcpu.timer_expires
        if has_matched(count, vcpu.compare, now, expires, self.period):
            # Queue it now.
            vcpu.queue_timer_int()
            if vcpu.timer_active:
                vcpu.start_timer(expires + self.period)
        return count

    def read(self) -> int:
        """Count (kvm_mips_read_count)."""
        return self._stopped_count if self.disabled else self._running(self._vcpu.now)

    def write(self, count: int) -> None:
        """kvm_mips_write_count"""
        now = self._now()
        self.bias = (count - self._ticks(now)) & M32
        if self.disabled:
            self._stopped_count = count & M32
        else:
            self.resume_timer(now, count)

    def freeze(self) -> tuple[int, int]:
        """Stop the host timer: (host time, Count) at that moment."""
        self._vcpu.cancel_timer()
        now = self._now()
        return now, self._running(now)

    def resume_timer(self, now: int, count: int) -> None:
        """Have the host timer go off when Count, `count` at `now`, reaches Compare."""
        self._vcpu.start_timer(expiry.py_func(self.hz, self._vcpu.compare, count, now))

    def restore(self, before: int, count: int, min_drift: int) -> None:
        """Take over from the hardware, whose Count was `count` at some time since `before` (kvm_mips_restore_hrtimer).

        Count may jump forward a little; a drift back below `min_drift` moves the bias.
        """
        now = self._vcpu.now
        self.bias, since = taken_over(self.hz, self.period, self.bias, before, now, count, min_drift)
        self.resume_timer(since, count)

    # Compare.

    def write_compare(self, compare: int, ack: bool) -> None:
        """A write of Compare by the guest (acknowledging) or by user space, in soft mode (kvm_mips_write_compare)."""
        vcpu = self._vcpu
        old = vcpu.compare
        if old == compare:
            if ack:
                vcpu.dequeue_timer_int()
                vcpu.set_gc0("compare", compare)
            return
        forward = not is_before.py_func(compare, old)
        disabled = self.disabled
        now, count = (0, 0) if disabled else self.freeze()
        if ack:
            vcpu.dequeue_timer_int()
        vcpu.move_compare(compare, ack, forward)
        if not disabled:
            self.resume_timer(now, count)

    # Stopping.

    def disable_cause(self) -> None:
        """The guest has set Cause.DC."""
        if not self.ctl & CTL_DC:
            self._stopped_count = self.freeze()[1]

    def enable_cause(self) -> None:
        """The guest has cleared Cause.DC; it is clear already."""
        self.write(self._stopped_count)

    def set_ctl(self, value: int) -> None:
        """COUNT_CTL: only its DC bit may change. EINVAL otherwise."""
        changed = changed_ctl(self.ctl, value)
        vcpu = self._vcpu
        if changed and not vcpu.count_stopped:
            if value & CTL_DC:
                now, self._stopped_count = self.freeze()
                self.resume = now
            else:
                self.ctl = value
                if expiry.py_func(self.hz, vcpu.compare, self._stopped_count, self.resume) <= vcpu.now:
                    vcpu.queue_timer_int()
                self.resume_timer(self.resume, self._stopped_count)
        elif changed and value & CTL_DC:
            self.resume = vcpu.now
        self.ctl = value

    def set_resume(self, value: int) -> None:
        """COUNT_RESUME, in ns of host time: not in the future. EINVAL otherwise."""
        self.resume = checked_resume(value, self._vcpu.now)

    def set_hz(self, hz: int) -> None:
        """COUNT_HZ: 1 to 10^9. EINVAL otherwise."""
        check_hz(hz)
        if hz == self.hz:
            return
        disabled = self.disabled
        now, count = (self._now(), self._stopped_count) if disabled else self.freeze()
        self.hz, self.period = hz, (NS << 32) // hz
        self.bias = (count - self._ticks(now)) & M32
        if not disabled:
            self.resume_timer(now, count)

    # The host timer.

    def expired(self) -> int:
        """The host timer went off (kvm_mips_count_timeout): queues the interrupt; how long until the next time, ns."""
        self._vcpu.queue_timer_int()
        return self.period
