"""`check_device` on devices that break what they declare, each in one way; and on those that do not."""

import itertools
import re

import pytest

from devices import CLASSES
from devices.device import Device
from devices.dma import DmaDevice, Read
from devices.lines import LineIn, LineOut
from devices.registers import Internal, Register, RegisterArray
from devices.virtio.console import VirtioConsole
from devices.virtio.net import VirtioNet
from devices.virtio.rng import VirtioRng
from soc.errors import ConfigurationError
from soc.kit import check_device
from tests.devices.revive import EXAMPLES


@pytest.mark.parametrize("model", [*CLASSES, VirtioRng, VirtioNet, VirtioConsole], ids=str)
def test_every_device_keeps_what_it_declares(model):
    check_device(model, examples=EXAMPLES)


class Sound(Device):
    """One of each kind, kept."""

    plain = Register(0x00, reset=0x1234, accepts=(1, 2, 4, 8))
    masked = Register(0x04, mask=0x00FF_00FF, reset=0xAA00_0000, accepts=(1, 2, 4, 8))
    status = Register(0x08, access="w1c", mask=0xF)
    force = Register(0x0C, access="w1s", mask=0xF, of=status)
    words = RegisterArray(0x20, count=6, width=2, accepts=(1, 2, 4), resets=(1, 2, 3, 4, 5, 6))
    hidden = Register(0x30, access="wo")
    version = Register(0x34, access="ro", reset=7)
    count = Internal(0)
    hold = LineIn()
    irq = LineOut()

    def on_write_hidden(self, value, old):
        self.after(1000, "tick")

    def on_timer_tick(self):
        self.count += 1
        if not self.hold.level:
            self.status |= 1

    def settle(self):
        self.irq.level = self.status != 0


def test_a_sound_device_passes():
    check_device(Sound)


class NoReset(Sound):
    """Its reset does more than the declaration says."""

    def on_reset(self):
        self.plain = 1


class Sticky(Sound):
    """A bit of a w1c register that cannot be cleared."""

    latched = Internal(0)

    def settle(self):
        self.status |= self.latched
        self.latched |= self.status & 1
        super().settle()


class Altered(Sound):
    """An rw register that does not read back."""

    def settle(self):
        self.plain &= 0x7FFF_FFFF
        super().settle()


class NotReadOnly(Sound):
    """A write of one register changes one that is ro."""

    def settle(self):
        self.version = self.plain & 0xFF


class Moved(Sound):
    """A write to a read-only register has an effect."""

    writes = 0

    def write(self, offset, size, value, core=0, space="memory"):
        super().write(offset, size, value, core, space)
        if offset == 0x34:
            self.status = 1


class Wide(Sound):
    """Counts past the width of a register."""

    small = Register(0x40, width=1)

    def on_write_small(self, value, old):
        self.small = value + 1


class Raises(Sound):
    """A guest can make the host fail."""

    divisor = Register(0x40, reset=1)
    quotient = Register(0x44, access="ro")

    def on_read_quotient(self):
        return self.plain // self.divisor


class Forgetful(Sound):
    """State that is not declared."""

    def __init__(self, **options):
        self.edges = 0
        super().__init__(**options)

    def on_line_hold(self, index, level):
        self.edges += 1
        if self.edges == 3:
            self.status |= 8

    def on_reset(self):
        self.edges = 0


class Leftover(Sound):
    """A reset leaves state behind: what was read in once is counted for ever."""

    total = Internal(0, kept=True)
    shown = Register(0x40, access="ro")

    def on_write_hidden(self, value, old):
        self.total += 1

    def on_reset(self):
        self.shown = self.total


class Restless(Sound):
    """settle() depends on how often it runs."""

    def settle(self):
        self.count = 1 - self.count


class Random(Sound):
    """Two devices in the same state differ."""

    shared = itertools.count()

    def on_read_hidden2(self):
        return next(self.shared) & 0xFF

    hidden2 = Register(0x40, access="ro")


class Unfit(DmaDevice):
    """A guest's address that is no memory ends in an error of the host."""

    start = Register(0, width=8)

    def on_write_start(self, value, old):
        self.spawn("fetch", value)

    def fetch(self, address):
        yield Read(address, 4)


@pytest.mark.parametrize(
    ("cls", "only", "says"),
    [
        (NoReset, "accesses", r"NoReset.plain after reset, 1 bytes at \+0 read 0x1, declared is 0x34"),
        (Sticky, "accesses", r"Sticky.status held 0x.*; after a write of 0x.* \(w1c\) it holds 0x.*, declared is"),
        (Altered, "accesses", r"Altered.plain held 0x1234; after a write of 0xffffffff \(rw\) it holds 0x7fffffff"),
        (NotReadOnly, "accesses", r"NotReadOnly.version.*declared is 0x7"),
        (Moved, "accesses", "Moved.version is ro, but a write of 4 bytes changed the device's state"),
        (Wide, "guest", "small holds 256, declared are 1 bytes"),
        (Raises, "guest", "ZeroDivisionError: integer division or modulo by zero"),
        (Unfit, "guest", "DmaFault: the transfer met nothing that answers"),
        (Forgetful, "restore", "the restored device differs in register status"),
        (Random, "restore", "the restored device answers 0x.*, the other 0x"),
        (Leftover, "reset", "a reset after use and a reset alone differ in register shown"),
        (Restless, "reset", r"settle\(\) changed the state when it ran a second time"),
    ],
)
def test_what_a_device_breaks_is_found(cls, only, says):
    with pytest.raises(AssertionError, match=says):
        check_device(cls, only=(only,))


def test_a_counterexample_is_short_and_told_step_by_step():
    with pytest.raises(AssertionError) as found:
        check_device(Raises)
    head, write, read = str(found.value).splitlines()[1:]
    assert head == "after a reset, when"
    assert re.fullmatch(r"  core \d writes 0x0 to divisor \(4 bytes at memory 0x40\)", write)
    assert re.fullmatch(r"  core \d reads quotient \(. bytes at memory 0x44\)", read)
    assert type(found.value.__cause__) is ZeroDivisionError


def test_a_derived_register_can_be_left_out():
    check_device(Altered, skip={"plain"}, only=("accesses",))
    check_device(NoReset, only=("guest", "restore", "reset"))


def test_names_there_are_not():
    with pytest.raises(ConfigurationError, match="unknown register 'plan'; allowed: plain"):
        check_device(Sound, skip={"plan"})
    with pytest.raises(ConfigurationError, match="examples = 0; a number from 1 is needed"):
        check_device(Sound, examples=0)
    with pytest.raises(ConfigurationError, match="unknown property 'speed'"):
        check_device(Sound, only=("speed",))
