"""Host bridges: where configuration and memory accesses go, and what absent functions read."""

import pytest

from devices.fake import FakeOutside
from devices.pci.host import EcamHost, Ls7aHost

FUNCTIONS = {0x08: ("function[1]", {0: 0x8000}), 0x40: ("function[8]", {0: 0x1000, 2: 0x100})}


def host(kind):
    device = kind(functions=FUNCTIONS)
    FakeOutside(device)
    device.reset()
    return device


def ecam(bus, devfn, register=0):
    return 0x1A00_0000 | bus << 20 | devfn << 12 | register


def window0(bus, devfn, register=0):
    return 0x1A00_0000 + ((1 << 24 if bus else 0) | bus << 16 | devfn << 8 | register)


def window1(bus, devfn, register=0):
    place = (1 << 28 if bus else 0) | bus << 16 | devfn << 8 | register & 0xFF | (register & 0xF00) << 16
    return 0xEFE_0000_0000 + place


PLACES = [(EcamHost, ecam), (Ls7aHost, window0), (Ls7aHost, window1)]


@pytest.mark.parametrize(("kind", "at"), PLACES)
def test_a_configuration_access_goes_to_its_function(kind, at):
    device = host(kind)
    assert device.route(at(0, 0x08, 0x3C), 1, None) == ("function[1]", "config", 0x3C)
    assert device.route(at(0, 0x40), 4, None) == ("function[8]", "config", 0)


@pytest.mark.parametrize(("kind", "at"), PLACES)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_what_is_absent_reads_all_ones(kind, at, size):
    device = host(kind)
    for bus, devfn in ((0, 0x09), (0, 0x10), (0, 0xFF), (1, 0x00), (1, 0x08), (31, 0xFF)):
        assert device.route(at(bus, devfn), size, None) is None
        assert device.read(at(bus, devfn), size) == (1 << 8 * size) - 1
        device.write(at(bus, devfn), size, 0)
    assert device.read(at(0, 0x08), 8) == (1 << 64) - 1, "there is no 8-byte configuration access"
    assert device.route(at(0, 0x08), 8, None) is None


def test_the_bridges_say_which_they_are():
    assert host(EcamHost).read(ecam(0, 0), 4) == 0x0008_1B36
    for at in (window0, window1):
        assert host(Ls7aHost).read(at(0, 0), 4) == 0x7A00_0014
        assert host(Ls7aHost).read(at(0, 0, 8), 4) >> 16 == 0x0600
    assert host(Ls7aHost).read(0x1A01_0000, 4) == 0xFFFF_FFFF, "bus bits without the type 1 bit"


@pytest.mark.parametrize(("kind", "at"), PLACES)
def test_memory_follows_the_bars_that_were_written(kind, at):
    device = host(kind)
    assert device.route(0x4000_0000, 4, None) is None and device.read(0x4000_0000, 4) == 0xFFFF_FFFF
    device.route(at(0, 0x40, 0x10), 4, 0x4001_0000)
    device.route(at(0, 0x40, 0x18), 2, 0x2200)
    device.route(at(0, 0x40, 0x1A), 1, 0x02)
    device.route(at(0, 0x40, 0x1B), 1, 0x40)
    assert device.route(0x4001_0004, 4, None) is None, "memory is not enabled"
    device.route(at(0, 0x40, 0x04), 2, 0x0002)
    assert device.route(0x4001_0004, 4, None) == ("function[8]", "bar0", 4)
    assert device.route(0x4001_0FFC, 8, None) is None, "it must lie in the BAR whole"
    assert device.route(0x4002_22F0, 2, 7) == ("function[8]", "bar2", 0xF0)
    assert device.route(0x4001_1000, 4, None) is None
    saved = device.save()
    other = host(kind)
    other.restore(saved)
    assert other.route(0x4001_0004, 4, None) == ("function[8]", "bar0", 4)
    device.reset()
    assert device.route(0x4001_0004, 4, None) is None
