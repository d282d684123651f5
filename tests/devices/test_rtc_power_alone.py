"""The Goldfish clock, the power byte, and the plain face over devices alone."""

import pytest

from devices.alone import make_device
from devices.errors import DeviceError, UnknownDevice
from devices.rtc import GoldfishRtc

EPOCH = 1_700_000_000_000_000_000
NS = 1000


@pytest.fixture
def rtc(rig):
    return rig.device("rtc", epoch_ns=EPOCH)


def clock(rtc):
    low = rtc.time_low
    return rtc.time_high << 32 | low


def test_the_clock_starts_at_the_configured_epoch_and_counts_model_time(rtc, rig):
    assert clock(rtc) == EPOCH
    rig.advance(5_000_000 * NS + 999)
    assert clock(rtc) == EPOCH + 5_000_000


def test_reading_the_low_word_latches_the_high_word(rig):
    rtc = rig.device("rtc", epoch_ns=(7 << 32) - 1)
    assert (rtc.time_low, rtc.time_high) == (0xFFFFFFFF, 6)
    rig.advance(1 * NS)
    assert rtc.time_high == 6
    assert (rtc.time_low, rtc.time_high) == (0, 7)


def test_setting_the_clock_word_by_word(rtc, rig):
    rtc.time_high = 0x12345678
    rtc.time_low = 0x9ABCDEF0
    assert clock(rtc) == 0x123456789ABCDEF0
    rig.advance(10 * NS)
    assert clock(rtc) == 0x123456789ABCDEF0 + 10


def test_setting_the_high_word_leaves_the_latch(rtc):
    assert rtc.time_low == EPOCH & 0xFFFFFFFF
    rtc.time_high = 0x55
    assert rtc.time_high == EPOCH >> 32
    assert clock(rtc) >> 32 == 0x55


def arm(rtc, alarm):
    rtc.alarm_high = alarm >> 32
    rtc.alarm_low = alarm & 0xFFFFFFFF


def test_an_alarm_fires_at_its_nanosecond(rtc, rig):
    rtc.irq_enabled = 0xFF
    rig.advance(500)
    arm(rtc, EPOCH + 3)
    assert (rtc.alarm_status, rtc.irq_enabled) == (1, 1)
    rig.advance(10 * NS)
    assert rig.irq.edges == [(3 * NS, 1)]
    assert rtc.alarm_status == 0
    rtc.clear_interrupt = 0
    assert rig.irq.level == 0


def test_an_alarm_that_is_not_in_the_future_fires_at_once(rtc, rig):
    rtc.irq_enabled = 1
    arm(rtc, EPOCH)
    assert (rig.irq.level, rtc.alarm_status) == (1, 0)


def test_the_enable_gates_a_pending_interrupt(rtc, rig):
    arm(rtc, EPOCH)
    assert rig.irq.level == 0
    rtc.irq_enabled = 1
    assert rig.irq.level == 1
    rtc.irq_enabled = 0
    assert rig.irq.level == 0


def test_disarming_leaves_a_pending_interrupt(rtc, rig):
    rtc.irq_enabled = 1
    arm(rtc, EPOCH + 5)
    rtc.clear_alarm = 1
    rig.advance(100 * NS)
    assert rig.irq.edges == []
    arm(rtc, EPOCH)
    rtc.clear_alarm = 1
    assert rig.irq.level == 1


def test_moving_the_clock_moves_the_alarm(rtc, rig):
    rtc.irq_enabled = 1
    arm(rtc, EPOCH + 1000)
    rtc.time_low = (EPOCH + 900) & 0xFFFFFFFF
    rig.advance(200 * NS)
    assert rig.irq.edges == [(100 * NS, 1)]


def test_a_far_alarm_is_exact_and_saved_in_64_bits(rtc, rig):
    rtc.irq_enabled = 1
    ahead = 60 * 86400 * 10**9
    arm(rtc, EPOCH + ahead)
    assert max(rig.model.save()["timers"].values()) < 1 << 63
    rig.advance((ahead + 1) * NS)
    assert rig.irq.edges == [(ahead * NS, 1)]


def test_beyond_the_registers_the_clock_reads_0(rtc):
    """The device tree gives it 0x1000 bytes; QEMU decodes 0x24."""
    assert rtc.read(0x20, 4) == 0
    assert rtc.read(0xFFC, 4) == 0


def test_an_epoch_outside_64_bits_is_refused():
    with pytest.raises(DeviceError, match="epoch_ns -1"):
        GoldfishRtc(epoch_ns=-1)


@pytest.mark.parametrize("value, stops", [(0xFF, ["poweroff"]), (0x00, ["reset"]), (0x01, []), (0x55, [])])
def test_the_power_byte(rig, value, stops):
    """Linux 6.1 calls firmware, which stores one byte; 0x01 is suspend and does nothing here."""
    power = rig.device("power")
    power.write(0x10, 1, value)
    assert rig.stops == stops
    assert power.read(0x10, 1) == 0


def test_the_power_block_takes_bytes_only_and_one_offset(rig):
    power = rig.device("power")
    power.write(0x10, 4, 0xFF)
    power.write(0x11, 1, 0xFF)
    assert rig.stops == []


def test_liointc_alone():
    d = make_device("liointc")
    assert d.lines() == 0
    d.write(0x00, 8, 0x2222222222222211)
    d.write(0x28, 4, 3)
    d.set_line(0, 1)
    assert d.lines() == 1
    d.set_line(1, 1)
    assert d.lines() == 1 << 0 | 1 << 5
    assert (d.read(0x20, 4), d.read(0x40, 4), d.read(0x48, 4), d.read(0x08, 1)) == (3, 1, 2, 0)


def test_ipi_alone_has_four_cores():
    d = make_device("ipi")
    for core in range(4):
        d.write(0x100 * core + 0x04, 4, 0xFFFFFFFF)
        d.write(0x100 * core + 0x08, 4, 1 << core)
        assert d.lines() == (2 << core) - 1
        assert d.read(0x100 * core, 4) == 1 << core
    d.write(0x10C, 4, 2)
    assert d.lines() == 0b1101


def test_uart_alone_shows_its_interrupt_as_bit_0():
    d = make_device("uart")
    d.write(1, 1, 2)
    assert d.lines() == 1
    assert (d.read(2, 1), d.lines()) == (2, 0)


def test_pchpic_alone_shows_the_vectors_of_pins_in_service():
    d = make_device("pchpic")
    assert (d.read(0, 8), d.read(4, 4)) == (0x001F000107000000, 0x001F0001)
    d.write(0x20, 4, ~(1 << 5 | 1 << 31))
    d.set_line(5, 1)
    d.set_line(6, 1)
    assert d.lines() == 1 << 5
    d.write(0x200 + 31, 1, 0xC8)
    d.set_line(31, 1)
    assert d.lines() == 1 << 5 | 1 << 0xC8
    d.set_line(5, 0)
    assert (d.lines(), d.read(0x3A0, 4)) == (1 << 0xC8, 1 << 31)


def test_eiointc_alone_takes_core_0s_view():
    d = make_device("eiointc")
    d.write(0x14C0, 1, 4)
    d.write(0x1600, 4, 0xFFFFFFFF)
    d.write(0x1C00, 4, 0x01010201)
    d.set_line(0, 1)
    assert (d.lines(), d.read(0x1800, 8)) == (1 << 2, 1)
    d.set_line(1, 1)
    assert (d.lines(), d.read(0x1800, 8), d.read(0x1900, 8)) == (1 << 2 | 1 << 10, 1, 2)
    d.set_line(0, 0)
    d.write(0x1800, 8, 1)
    d.set_line(0, 0)
    assert (d.lines(), d.read(0x1700, 4)) == (1 << 10, 2)
    d.set_line(0, 1)
    assert d.lines() == 1 << 2 | 1 << 10


def test_iocsr_ipi_alone_sends_to_every_core():
    d = make_device("iocsr_ipi")
    d.write(0x1004, 4, 0xFFFFFFFF)
    for core in range(4):
        d.write(0x1040, 4, core << 16 | 3)
    assert (d.lines(), d.read(0x1000, 4)) == (1, 8), "only core 0 enables its actions"
    d.write(0x1048, 8, 0x1234_5678_0000_0004)
    assert d.read(0x1020, 8) == 0x1234_5678_0000_0000
    d.write(0x100C, 4, 8)
    assert d.lines() == 0


def test_a_kind_there_is_not():
    with pytest.raises(UnknownDevice, match=r"toaster.*not a device kind.*available: liointc, ipi, uart, pchpic"):
        make_device("toaster")


def test_misuse_of_a_device_alone():
    with pytest.raises(DeviceError, match="access size 3"):
        make_device("uart").read(0, 3)
    with pytest.raises(DeviceError, match="no input pins"):
        make_device("ipi").set_line(0, 1)
    for level in (3, -1, 1.0, "1", None):
        with pytest.raises(DeviceError, match=r"eiointc: pin 1 to level .*; allowed: 0, 1"):
            make_device("eiointc").set_line(1, level)
    for kind, last in (("liointc", 31), ("pchpic", 31), ("eiointc", 255)):
        with pytest.raises(DeviceError, match=f"{kind} has pins 0 to {last}; pin {last + 1}"):
            make_device(kind).set_line(last + 1, 1)
