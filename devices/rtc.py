"""The Goldfish real-time clock of the virtual Loongson-3 platform."""

from typing import Any

from devices.device import Device
from devices.errors import DeviceError
from devices.lines import LineOut
from devices.registers import Internal, Register

WORD = 0xFFFF_FFFF
CLOCK = (1 << 64) - 1
PS_PER_NS = 1000
FAR_PS = 1 << 60
"""Longest single timer (13 days): an alarm may be centuries away, and a deadline must fit 64 bits of picoseconds."""


class GoldfishRtc(Device):
    """A 64-bit count of nanoseconds with one alarm. It starts at a configured epoch, never at the host's clock.

    epoch_ns   the clock's value at model time 0, nanoseconds since 1970, 0 <= epoch_ns < 2**64

    The line is high while an interrupt is pending and enabled. An alarm that is not in the future fires as it is armed.
    A guest that moves the clock moves the alarm's expiry with it.

    Source: google,goldfish-rtc as the Linux driver drivers/rtc/rtc-goldfish.c and QEMU's model use it.
    """

    size = 0x1000

    time_low = Register(0x00, doc="Nanoseconds, low word; a read latches the high word. A write sets the low word.")
    time_high = Register(0x04, doc="The latched high word. A write sets the clock's high word.")
    alarm_low = Register(0x08, doc="Low word of the alarm; a write arms it.")
    alarm_high = Register(0x0C, doc="High word of the alarm.")
    irq_enabled = Register(0x10, mask=1, doc="1: a pending interrupt drives the line.")
    clear_alarm = Register(0x14, access="wo", doc="Any write disarms the alarm.")
    alarm_status = Register(0x18, access="ro", doc="1 while the alarm is armed.")
    clear_interrupt = Register(0x1C, access="wo", doc="Any write takes the interrupt back.")

    offset_ns = Internal(0)
    alarm_ns = Internal(0)
    pending = Internal(0)

    irq = LineOut("Alarm interrupt.")

    def __init__(self, *, epoch_ns: int = 0, **options: Any) -> None:
        if not 0 <= epoch_ns < 1 << 64:
            raise DeviceError(f"epoch_ns {epoch_ns}: nanoseconds since 1970, 0 to 2**64 - 1")
        self.epoch_ns = epoch_ns
        super().__init__(**options)

    @property
    def clock_ns(self) -> int:
        """What the clock shows now."""
        return (self.epoch_ns + self.offset_ns + self.outside.now // PS_PER_NS) & CLOCK

    def on_read_time_low(self) -> int:
        clock = self.clock_ns
        self.time_high = clock >> 32
        return clock & WORD

    def on_write_time_low(self, value: int, old: int) -> None:
        self._move_clock(self.clock_ns & ~WORD | value)

    def on_write_time_high(self, value: int, old: int) -> None:
        self.time_high = old
        self._move_clock(value << 32 | self.clock_ns & WORD)

    def _move_clock(self, clock: int) -> None:
        self.offset_ns = (self.offset_ns + clock - self.clock_ns) & CLOCK
        if self.alarm_status:
            self._arm()

    def on_write_alarm_low(self, value: int, old: int) -> None:
        # The low word latches both, so a high word written later waits for the next low one (as in QEMU).
        self.alarm_ns = self.alarm_high << 32 | value
        self._arm()

    def _arm(self) -> None:
        self.alarm_status = 1
        ahead = self.alarm_ns - self.clock_ns
        if ahead <= 0:
            self.cancel("alarm")
            self.alarm_status = 0
            self.pending = 1
        else:
            # The clock shows whole nanoseconds; picoseconds of the current one are already over.
            self.after(min(ahead * PS_PER_NS - self.outside.now % PS_PER_NS, FAR_PS), "alarm")

    def on_timer_alarm(self) -> None:
        self._arm()

    def on_write_clear_alarm(self, value: int, old: int) -> None:
        self.alarm_status = 0
        self.cancel("alarm")

    def on_write_clear_interrupt(self, value: int, old: int) -> None:
        self.pending = 0

    def settle(self) -> None:
        self.irq.level = self.pending and self.irq_enabled
