"""Loading ELF programs: what is accepted, and what each bad file is told."""

import shutil
import subprocess

import pytest

from soc.firmware.elf import read_elf
from soc.firmware.errors import LoadError
from soc.firmware.memory_map import MIB
from tests.firmware.images import KSEG0_BASE, NOP, elf, words

RAM = 512 * MIB
AS = shutil.which("mips64el-linux-gnuabi64-as")
LD = shutil.which("mips64el-linux-gnuabi64-ld")


def test_segments_land_at_physical_addresses_with_a_zero_tail():
    image = read_elf(elf([(KSEG0_BASE, b"code", 4), (KSEG0_BASE + 0x1000, b"data", 16)]), "a.elf", RAM)
    assert image.entry == KSEG0_BASE
    assert [(s.address, s.data) for s in image.segments] == [(0x10_0000, b"code"), (0x10_1000, b"data" + bytes(12))]
    assert image.end == 0x10_1010


@pytest.mark.parametrize(
    ("virtual", "physical"),
    [
        (0xFFFF_FFFF_8010_0000, 0x0010_0000),
        (0xFFFF_FFFF_A010_0000, 0x0010_0000),
        (0xFFFF_FFFF_BFC0_0000, 0x1FC0_0000),
        (0x9800_0000_9010_0000, 0x9010_0000),
        (0x9000_0000_0010_0000, 0x0010_0000),
        (0x8010_0000, 0x0010_0000),
    ],
)
def test_every_unmapped_kernel_segment_can_hold_a_program(virtual, physical):
    image = read_elf(elf([(virtual, words(NOP), 4)], entry=virtual), "a.elf", RAM)
    assert image.segments[0].address == physical


def test_a_zero_extended_entry_is_sign_extended():
    assert read_elf(elf([(0x8010_0000, words(NOP), 4)], entry=0x8010_0000), "a", RAM).entry == KSEG0_BASE


BZIMAGE = bytes(0x202) + b"HdrS" + bytes(64)
GOOD = elf([(KSEG0_BASE, bytes(256), 256)])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "an empty file"),
        (b"hello, world\n", "a text file"),
        (b"#!/bin/sh\n", "a script"),
        (BZIMAGE, r"an x86 Linux image \(bzImage\)"),
        (b"\x1f\x8b\x08" + bytes(40), "a file compressed with gzip"),
        (b"MZ" + bytes(80), "an EFI or Windows program"),
        (bytes(56) + b"ARM\x64", "an AArch64 Linux image"),
        (b"!<arch>\ndebian-binary   ", "a Debian package"),
        (elf(machine=62), "a 64-bit little-endian x86-64 ELF file"),
        (elf(machine=258), "a 64-bit little-endian LoongArch ELF file"),
        (elf(bits=1), "a 32-bit little-endian MIPS ELF file"),
        (elf(order=2), "a 64-bit big-endian MIPS ELF file"),
        (GOOD[:10], "an ELF file cut off inside its header"),
        (GOOD[:40], "truncated: its ELF header ends at byte 64, the file has 40"),
        (GOOD[:80], "truncated: its program header table ends at byte 120, the file has 80"),
        (GOOD[:200], "truncated: its segment for 0xffffffff80100000 ends at byte 376, the file has 200"),
        (elf(flags=0xA000_0000), "built for MIPS64 release 6"),
        (elf(kind=1), "never linked"),
        (elf([]), "no PT_LOAD segment"),
        (elf([(KSEG0_BASE, bytes(8), 4)]), "has 8 bytes in 4 bytes of memory"),
        (elf([(0x1_2000_0000, bytes(8), 8)]), "looks like a user program"),
        (elf([(0xFFFF_FFFF_C000_0000, bytes(8), 8)]), "not at a kseg0, kseg1 or xkphys address"),
        (elf([(0xFFFF_FFFF_9000_0000, bytes(8), 8)]), "0x10000000..0x10000007 .* outside the memory"),
        (elf(entry=KSEG0_BASE + 2), "is not an aligned address inside its segments"),
        (elf(entry=KSEG0_BASE + 0x100), "is not an aligned address inside its segments"),
    ],
)
def test_each_bad_file_is_named_for_what_it_is(data, why):
    with pytest.raises(LoadError, match=why) as caught:
        read_elf(data, "bad.elf", RAM)
    fact, advice = str(caught.value).splitlines()
    assert fact.startswith("cannot load bad.elf: ")
    assert advice


def test_the_notes_gnu_ld_leaves_at_the_user_base_are_no_part_of_the_program():
    notes = (0x1_2000_0000, b"headers", 7)
    program = elf([notes, (KSEG0_BASE, words(NOP), 4)], flags_of={0x1_2000_0000: 4}, offset_of={0x1_2000_0000: 0})
    assert [segment.address for segment in read_elf(program, "a.elf", RAM).segments] == [0x10_0000]


@pytest.mark.binutils
@pytest.mark.skipif(not AS, reason="GNU binutils for mips64el are not installed")
def test_a_program_linked_by_gnu_ld_with_text_address_alone(tmp_path):
    (tmp_path / "a.S").write_text(".globl __start\n__start: nop\n.data\n.word 7\n")
    subprocess.run([AS, "-march=mips64r2", "-mabi=64", "a.S", "-o", "a.o"], cwd=tmp_path, check=True)
    command = [LD, "-Ttext=0xffffffff80100000", "-Tdata=0xffffffff80200000", "a.o", "-o", "a.elf"]
    subprocess.run(command, cwd=tmp_path, check=True)
    image = read_elf((tmp_path / "a.elf").read_bytes(), "a.elf", RAM)
    assert image.entry == KSEG0_BASE
    assert [segment.address for segment in image.segments] == [0x10_0000, 0x20_0000]


def test_too_little_memory_says_how_much_is_needed():
    program = elf([(KSEG0_BASE, b"", 40 * MIB)], entry=KSEG0_BASE)
    with pytest.raises(LoadError, match="too little memory: `--ram-mb 41`"):
        read_elf(program, "big.elf", 32 * MIB)
    assert read_elf(program, "big.elf", 41 * MIB).end == 41 * MIB


@pytest.mark.parametrize("length", range(0, len(GOOD), 7))
def test_no_truncation_escapes_as_another_error(length):
    with pytest.raises(LoadError):
        read_elf(GOOD[:length], "cut.elf", RAM)
