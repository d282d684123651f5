"""Goldfish RTC and power byte against QEMU's models: the same random accesses, the same answers, line and requests.

Known differences are kept out of what is generated, each with its reason. DEVICE_FUZZ sets the number of sequences.
"""

import random

import pytest

from devices.rig import Rig
from tests.devices.qemu_machine import INTEN_SET, INTISR, SEQUENCES, STEPS

pytestmark = pytest.mark.qemu

POWER, RTC = 0x1008_0000, 0x1008_1000
RTC_SOURCE = 1
TIME_LOW, TIME_HIGH, ALARM_LOW, ALARM_HIGH = 0x00, 0x04, 0x08, 0x0C
IRQ_ENABLED, CLEAR_ALARM, ALARM_STATUS, CLEAR_INTERRUPT = 0x10, 0x14, 0x18, 0x1C
WORD = 0xFFFF_FFFF
MS, SECOND = 10**6, 10**9
"""Nanoseconds, as the clock counts."""


class BothClocks:
    """QEMU's clock and ours, in the same state and showing the same time."""

    def __init__(self, qemu):
        self.qemu = qemu
        qemu.reset()
        # QEMU's reset forgets the interrupt but leaves its line as it was.
        qemu.write(RTC + CLEAR_INTERRUPT, 4, 1)
        qemu.write(INTEN_SET, 4, 1 << RTC_SOURCE)
        self.rig = Rig()
        self.ours = self.rig.device("rtc", epoch_ns=self.theirs())
        self.trace = []
        self.read(TIME_LOW)

    def theirs(self) -> int:
        """QEMU's time."""
        low = self.qemu.read(RTC + TIME_LOW, 4)
        return self.qemu.read(RTC + TIME_HIGH, 4) << 32 | low

    @property
    def armed(self) -> bool:
        return bool(self.qemu.read(RTC + ALARM_STATUS, 4))

    @property
    def alarm(self) -> int:
        return self.ours.model.alarm_high << 32 | self.ours.model.alarm_low

    def story(self) -> str:
        return f"{self.qemu.name}: " + "; ".join(self.trace)

    def read(self, offset):
        self.trace.append(f"R {offset:x}")
        assert self.ours.read(offset, 4) == self.qemu.read(RTC + offset, 4), self.story()

    def write(self, offset, value):
        self.trace.append(f"W {offset:x}={value:x}")
        self.qemu.write(RTC + offset, 4, value)
        self.ours.write(offset, 4, value)

    def set_alarm(self, alarm):
        self.write(ALARM_HIGH, alarm >> 32)
        self.write(ALARM_LOW, alarm & WORD)

    def pass_time(self, seconds):
        """Both clocks go on, ours by what QEMU's went, and no less than lets QEMU notice an alarm that is over."""
        for _ in range(100):
            self.qemu.run_for(seconds)
            now = self.theirs()
            if not (self.armed and self.alarm <= now):
                break
        elapsed = now - self.ours.model.clock_ns
        self.trace.append(f"+{elapsed}ns")
        self.rig.advance(elapsed * 1000)
        self.read(TIME_LOW)

    def check_line(self):
        assert self.rig.irq.level << RTC_SOURCE == self.qemu.read(INTISR, 4) & 1 << RTC_SOURCE, self.story()


def random_rtc_step(both, rng):
    """Kept out, because QEMU goes another way:

    - the clock is set only while no alarm is armed: in QEMU an armed one keeps its distance instead of its time;
    - the high word of an armed alarm is not changed alone: QEMU still rings at the time it was armed for, ours looks at
      both words when that time has come;
    - registers beyond 0x20, which QEMU does not decode, and other widths than 4 bytes, which it refuses.
    """
    kind = rng.randrange(20)
    if kind < 8:
        both.read(4 * rng.randrange(9))
    elif kind < 11:
        both.set_alarm(both.ours.model.clock_ns + rng.choice((-10 * MS, 0, 1, MS, 2 * MS, 5 * MS, 100 * SECOND)))
    elif kind < 12:
        if not both.armed:
            both.write(ALARM_HIGH, rng.getrandbits(30))
        both.write(ALARM_LOW, rng.getrandbits(32))
    elif kind < 13 and not both.armed:
        both.write(TIME_LOW, rng.getrandbits(32))
    elif kind < 14 and not both.armed:
        both.write(TIME_HIGH, rng.getrandbits(30))
    elif kind < 15:
        both.write(rng.choice((CLEAR_ALARM, CLEAR_INTERRUPT, ALARM_STATUS, 0x20)), rng.getrandbits(32))
    elif kind < 17:
        both.write(IRQ_ENABLED, rng.getrandbits(32) if rng.getrandbits(1) else 1)
    else:
        both.pass_time(rng.choice((0, 0.001, 0.003)))


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_rtc(qemu, seed):
    rng = random.Random(3000 + seed)
    both = BothClocks(qemu)
    for _ in range(STEPS):
        random_rtc_step(both, rng)
        both.check_line()


def test_an_alarm_rings_in_both(qemu):
    both = BothClocks(qemu)
    both.write(IRQ_ENABLED, 1)
    both.set_alarm(both.ours.model.clock_ns + MS)
    both.check_line()
    assert both.armed and both.rig.irq.level == 0
    both.pass_time(0.002)
    both.check_line()
    assert not both.armed and both.rig.irq.level == 1


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_power_byte_that_does_nothing(qemu, seed):
    """Reads of the whole block in every width, and bytes that ask for nothing."""
    rng = random.Random(4000 + seed)
    rig = Rig()
    ours = rig.device("power")
    qemu.qmp("query-status")
    qemu.events.clear()
    for _ in range(STEPS):
        if rng.getrandbits(1):
            size = rng.choice((1, 2, 4, 8))
            offset = rng.randrange(0, ours.model.size, size)
            assert ours.read(offset, size) == qemu.read(POWER + offset, size), f"{qemu.name}: R{size} {offset:x}"
        else:
            offset = rng.choice((0x10, rng.randrange(ours.model.size)))
            value = rng.randrange(2, 0xFF) if offset == 0x10 else rng.getrandbits(8)
            qemu.write(POWER + offset, 1, value)
            ours.write(offset, 1, value)
    qemu.qmp("query-status")
    assert qemu.events == [] and rig.stops == []


@pytest.mark.parametrize(
    ("value", "event", "stop"),
    [(0x00, "RESET", "reset"), (0xFF, "SHUTDOWN", "poweroff")],
    ids=["reset", "poweroff"],
)
def test_power_byte_that_acts(qemu, value, event, stop):
    """Not 0x01, suspend: this machine has none, and a stopped QEMU does not do it."""
    rig = Rig()
    power = rig.device("power")
    qemu.events.clear()
    qemu.write(POWER + 0x10, 1, value)
    qemu.wait_for(event)
    power.write(0x10, 1, value)
    assert rig.stops == [stop]
    qemu.reset()
