"""The VMM's image of a guest, and what is read from its console. Its guests run in tests/boot/test_debian_kvm.py."""

from __future__ import annotations

import struct
from collections import Counter

import pytest

from scenarios import debian_kvm, vmm
from soc.errors import ConfigurationError
from soc.firmware.boot import BootImage
from soc.ram import HIGH_BASE, LOW_BYTES, ROM_BASE

MIB = 1 << 20
HEAD = struct.Struct("<8s2Q32QQ9QQ")
CONSOLE = """kvm halt_wait_ns 64859816
kvm wait_exits 22
kvm tlbmiss_st_exits 19200
status 0
"""


def image(*segments: tuple[int, bytes], ram: int = 512 * MIB, cpus: int = 1) -> bytes:
    return vmm.image(BootImage(pc=0xFFFF_FFFF_8020_0000, registers={"a2": 7}, segments=[*segments]), ram, cpus)


def test_an_image_has_registers_memory_and_segments():
    data = image((0x100, b"low"), (HIGH_BASE + LOW_BYTES, b"high"), (ROM_BASE + 8, b"rom"), cpus=3)
    magic, cpus, pc, *rest = HEAD.unpack_from(data)
    gpr, memory, slots, count = rest[:32], rest[32], rest[33:42], rest[42]
    assert (magic, cpus, pc, gpr[6], sum(gpr)) == (vmm.MAGIC, 3, 0xFFFF_FFFF_8020_0000, 7, 7)
    assert memory == 512 * MIB + vmm.ROM_BYTES
    assert slots == [0, LOW_BYTES, 0, HIGH_BASE, 512 * MIB, 0, ROM_BASE, vmm.ROM_BYTES, 512 * MIB]
    table = struct.unpack_from(f"<{2 * count}Q", data, HEAD.size)
    assert table == (0x100, 3, LOW_BYTES, 4, 512 * MIB + 8, 3)
    assert data[HEAD.size + 8 * len(table) :] == b"lowhighrom"


def test_little_ram_is_all_of_the_low_part():
    assert HEAD.unpack_from(image(ram=16 * MIB))[36:39] == (0, 16 * MIB, 0)


@pytest.mark.parametrize("address", [LOW_BYTES - 1, HIGH_BASE + 512 * MIB, ROM_BASE + vmm.ROM_BYTES - 1])
def test_bytes_where_the_guest_has_no_memory_are_refused(address):
    with pytest.raises(ConfigurationError, match=f"2 bytes at {address:#x}: the VMM's guest has no memory there"):
        image((address, b"ab"))


@pytest.mark.parametrize("cpus", [0, 17])
def test_more_vcpus_than_a_vm_has_are_refused(cpus):
    with pytest.raises(ConfigurationError, match=f"vcpus = {cpus}; allowed: 1 to 16"):
        image(cpus=cpus)


def test_counters_of_kvm_have_the_names_of_the_model():
    counted = debian_kvm.counters(CONSOLE)
    assert counted == {"halt_wait_ns": 64859816, "wait": 22, "tlbmiss_st": 19200}
    assert debian_kvm.exits(counted, Counter(tlbmod=2)).splitlines() == [
        "exits       Debian's KVM  the model",
        "tlbmiss_st         19200          0",
        "tlbmod                 0          2",
    ]
