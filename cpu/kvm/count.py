"""The soft timer of a vCPU: Count and Compare while the hardware's are not lent to the guest.

Count is a bias plus host time at count_hz; a host timer stands for the match. Source: Linux 6.1:
arch/mips/kvm/emulate.c, kvm_mips_*count*. Host time is in whole nanoseconds, as ktime is.
"""

from __future__ import annotations

from errno import EINVAL
from typing import TYPE_CHECKING

from cpu.kvm.errors import KvmError

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

NS = 1_000_000_000
M32 = 0xFFFFFFFF
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
        self._vcpu = vcpu
        self.bias = 0
        self.ctl = 0
        self.resume = 0
        """COUNT_RESUME: host time, ns, at which Count was stopped by `ctl`."""
        self._stopped_count = 0
        self.hz = hz
        self.period = (NS << 32) // hz
        self.write(0)

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
        return now % self.period * self.hz // NS

    def _now(self) -> int:
        return self.resume if self.ctl & CTL_DC else self._vcpu.now

    def _running(self, now: int) -> int:
        count = (self.bias + self._ticks(now)) & M32
        if _before(count, self._vcpu.compare):
            return count
        # The match lies behind: queue it now if the host timer for it is about to come.
        expires = self._vcpu.timer_expires
        if expires < now + self.period // 4:
            self._vcpu.queue_timer_int()
            if self._vcpu.timer_active:
                self._vcpu.start_timer(expires + self.period)
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
        ticks = ((self._vcpu.compare - count - 1) & M32) + 1
        self._vcpu.start_timer(now + ticks * NS // self.hz)

    def restore(self, before: int, count: int, min_drift: int) -> None:
        """Take over from the hardware, whose Count was `count` at some time since `before` (kvm_mips_restore_hrtimer).

        Count may jump forward a little; a drift back below `min_drift` moves the bias.
        """
        drift = _signed(count - (self.bias + self._ticks(before)))
        now = before
        if drift < min_drift:
            self.bias = (self.bias + drift) & M32
        else:
            now = self._vcpu.now
            now_count = (self.bias + self._ticks(now)) & M32
            drift = _signed(count - now_count)
            if drift > 0:
                self.bias = (self.bias + drift) & M32
            else:
                now -= ((now_count - count) & M32) * NS // self.hz
        self.resume_timer(now, count)

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
        forward = not _before(compare, old)
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
                expires = self.resume + ((vcpu.compare - self._stopped_count - 1 & M32) + 1) * NS // self.hz
                if expires <= vcpu.now:
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


def _signed(value: int) -> int:
    value &= M32
    return value - (1 << 32) if value >> 31 else value


def _before(a: int, b: int) -> bool:
    return _signed(a - b) < 0
