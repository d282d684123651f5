"""The hand-off to a kernel or program: memory, registers, command line, initrd."""

import pytest

from soc.firmware.boot import prepare
from soc.firmware.cmdline import COMMAND_LINE_BYTES, argument_block, command_line
from soc.firmware.errors import LoadError
from soc.firmware.initrd import kernel_pointer, place_initrd
from soc.firmware.memory_map import MIB
from tests.firmware.images import KERNEL_BASE, KSEG0_BASE, elf, vmlinuz

RAM = 512 * MIB
CPIO = b"070701" + bytes(506)


def test_a_kernel_gets_the_registers_of_the_boot_protocol():
    image = prepare(vmlinuz(), ram=RAM, initrd=CPIO)
    assert image.kind == "linux"
    assert image.pc == KERNEL_BASE + 0x28
    assert image.registers == {"a0": 2, "a1": 0xFFFF_FFFF_8FF0_0000, "a2": 0xFFFF_FFFF_9FC0_1000, "a3": 0}
    state = image.state()
    assert (state["gpr"][4], state["gpr"][6], state["cp0"]) == (2, 0xFFFF_FFFF_9FC0_1000, {"status": 0})
    assert [address for address, _ in image.segments] == [0x20_0000, 0x400_0000, 0x1FC0_0000, 0x1FC0_1000, 0x0FF0_0000]


def test_the_command_line_names_the_initrd_then_the_defaults_then_the_users_words():
    image = prepare(vmlinuz(), ram=RAM, initrd=CPIO, append="nokaslr cryptomgr.notests")
    assert image.command_line == (
        "rd_start=0xffffffff84000000 rd_size=512 console=ttyS0,115200 rdinit=/init nokaslr cryptomgr.notests"
    )


def test_a_default_word_gives_way_to_the_users():
    assert command_line("rdinit=/bin/sh") == "console=ttyS0,115200 rdinit=/bin/sh"


def test_the_argument_block_is_the_one_the_kernel_parses():
    block = argument_block("quiet")
    pointers = [int.from_bytes(block.data[i : i + 4], "little") for i in range(0, 16, 4)]
    assert pointers == [0x8FF0_0010, 0x8FF0_0012, 0x8FF0_0020, 0]
    assert block.data[0x10:0x18] == b"g\0quiet\0"
    assert block.data[0x20:0x28] == bytes(8)


def test_a_long_command_line_is_kept_whole_and_a_longer_one_refused():
    longest = "x" * (COMMAND_LINE_BYTES - 1)
    assert longest.encode() + b"\0" in argument_block(longest).data
    with pytest.raises(LoadError, match="has 4096 bytes, the kernel keeps 4095"):
        argument_block(longest + "x")


@pytest.mark.parametrize(
    ("size", "kernel_end", "ram", "address"),
    [
        (MIB, 0x151_8670, RAM, 0x0400_0000),
        (MIB, 0x0512_3456, RAM, 0x0513_0000),
        (176 * MIB, 0x200_0000, RAM, 0x0400_0000),
        (177 * MIB, 0x200_0000, RAM, 0x9000_0000),
    ],
)
def test_an_initrd_goes_above_the_kernel_or_into_high_ram(size, kernel_end, ram, address):
    assert place_initrd(size, kernel_end, ram) == address


def test_the_kernel_is_told_of_high_ram_by_an_xkphys_address():
    assert kernel_pointer(0x0400_0000) == 0xFFFF_FFFF_8400_0000
    assert kernel_pointer(0x9000_0000) == 0x9800_0000_9000_0000


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"initrd": b"hello, world"}, "initrd initrd: it is a text file, the kernel unpacks a newc cpio"),
        ({"initrd": b""}, "it is an empty file"),
        ({"initrd": CPIO + bytes(300 * MIB)}, r"has room for 268435456.\n`--ram-mb 557` or more"),
        ({"ram": 255 * MIB}, "255 MiB is too little memory"),
        ({"append": "a\0b"}, "zero byte"),
        ({"kind": "windows"}, "kind 'windows' is unknown"),
        ({"platform": "malta"}, "platform 'malta' is unknown"),
        ({"initrd": "/nonexistent/initrd"}, "cannot load initrd /nonexistent/initrd: No such file"),
    ],
)
def test_bad_input_is_refused_with_its_reason(arguments, why):
    with pytest.raises(LoadError, match=why):
        prepare(vmlinuz(), **{"ram": RAM, **arguments})


def test_a_missing_file_is_named():
    with pytest.raises(LoadError, match="cannot load program /nonexistent: No such file"):
        prepare("/nonexistent", ram=RAM)


def test_a_bare_program_starts_at_its_entry_with_nothing_but_the_rom_beside_it():
    image = prepare(elf(), ram=64 * MIB)
    assert (image.kind, image.pc, image.registers) == ("bare", KSEG0_BASE, {})
    assert [address for address, _ in image.segments] == [0x1FC0_0000, 0x10_0000]
    assert image.state()["gpr"] == [0] * 32


@pytest.mark.parametrize("extra", [{"initrd": CPIO}, {"append": "quiet"}])
def test_a_bare_program_takes_neither_initrd_nor_command_line(extra):
    with pytest.raises(LoadError, match="no Linux kernel"):
        prepare(elf(), ram=RAM, **extra)


def test_the_same_input_gives_the_same_image():
    assert prepare(vmlinuz(), ram=RAM, initrd=CPIO) == prepare(vmlinuz(), ram=RAM, initrd=CPIO)
