"""Reading kernels: the XZ payload, the entry in the stub's code, and what is refused."""

import pytest

from soc.firmware.elf import read_elf
from soc.firmware.errors import LoadError
from soc.firmware.kernel import read_kernel, stub_target
from soc.firmware.memory_map import MIB
from tests.firmware.images import BANNER, KERNEL_BASE, KSEG0_BASE, STUB_BASE, elf, vmlinuz, words

RAM = 512 * MIB


def test_the_payload_is_decoded_and_placed_where_the_platform_loads_it():
    kernel = read_kernel(vmlinuz(), "vmlinuz", RAM)
    assert [(s.address, len(s.data)) for s in kernel.segments] == [(0x0020_0000, 4096)]
    assert kernel.entry == KERNEL_BASE + 0x28
    assert kernel.banner == "Linux version 6.1.0-99-loongson-3 (a test) #1 SMP"


def test_the_stub_can_be_left_to_run():
    kernel = read_kernel(vmlinuz(), "vmlinuz", RAM, run_stub=True)
    assert (kernel.entry, kernel.segments[0].address, kernel.banner) == (STUB_BASE, 0x0149_0000, "")


def test_the_last_jump_before_the_closing_loop_is_the_kernel():
    assert stub_target(read_elf(vmlinuz(entry=0xFFFF_FFFF_80D0_4C28), "v", RAM)) == 0xFFFF_FFFF_80D0_4C28


def test_a_plain_vmlinux_needs_no_stub():
    data = BANNER.rjust(256, b"\0")
    kernel = read_kernel(elf([(KERNEL_BASE, data, 256)], entry=KERNEL_BASE), "vmlinux", RAM)
    assert (kernel.entry, kernel.banner[:13]) == (KERNEL_BASE, "Linux version")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (vmlinuz(size=1), "XZ payload that does not decode"),
        (vmlinuz().replace(b"YZ", b"yz"), "XZ payload that does not decode"),
        (vmlinuz(entry=0xFFFF_FFFF_8000_0000), "jumps to 0xffffffff80000000, outside the image"),
        (elf([(KSEG0_BASE, words(0) * 64, 256)]), "no Linux kernel: no XZ payload"),
        (elf(bits=1), "32-bit little-endian MIPS"),
        (elf(order=2), "64-bit big-endian MIPS"),
    ],
)
def test_what_is_no_usable_kernel_is_refused(data, why):
    with pytest.raises(LoadError, match=why) as caught:
        read_kernel(data, "bad", RAM)
    assert str(caught.value).startswith("cannot load kernel bad: ")


def test_a_stub_without_a_jump_is_refused():
    data = vmlinuz().replace(words(0x0320_F809), words(0))
    with pytest.raises(LoadError, match="no `lui t9; ori t9; jalr t9`"):
        read_kernel(data, "bad", RAM)
