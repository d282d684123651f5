"""Reads a 64-bit little-endian MIPS ELF executable into physical segments."""

import io
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.construct.lib import Container
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import Segment as ElfSegment

from soc.firmware.errors import LoadError
from soc.firmware.identify import describe, machine_name
from soc.firmware.memory_map import canonical, check_segment, physical

EM_MIPS = 8
ELF64_HEADER_BYTES = 64
# e_flags bits 31:28 of the MIPS ABI; 0xA is MIPS64 release 6, which recodes instructions this machine needs.
ARCH_RELEASE_6 = {0x9: "MIPS32 release 6", 0xA: "MIPS64 release 6"}

# Sections that describe a program and are no part of it.
NOTE_SECTIONS = ("SHT_NOTE", "SHT_MIPS_ABIFLAGS", "SHT_MIPS_OPTIONS", "SHT_MIPS_REGINFO")
WRITE_OR_EXECUTE = 3

GET_KERNEL = "`soc fetch debian` gets a kernel that boots; `--kernel FILE` takes another."
BUILD_ELF = "Give a 64-bit little-endian MIPS executable linked to kseg0 addresses."


@dataclass(frozen=True)
class Segment:
    """`data` goes to physical `address`; the zero tail of the ELF segment is part of it."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        """First physical address after it."""
        return self.address + len(self.data)


@dataclass(frozen=True)
class ElfImage:
    """An executable: 64-bit virtual entry address and where that is, physical segments, first bytes of the entry
    code."""

    name: str
    entry: int
    start: int
    segments: tuple[Segment, ...]

    @property
    def end(self) -> int:
        """First physical address after the highest segment."""
        return max(segment.end for segment in self.segments)

    def words_at_entry(self, count: int) -> list[int]:
        """Up to `count` instruction words from the entry on."""
        for segment in self.segments:
            if segment.address <= self.start < segment.end:
                code = segment.data[self.start - segment.address :][: 4 * count]
                return [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code) - 3, 4)]
        return []


def read_elf(data: bytes, name: str, ram_bytes: int, advice: str = BUILD_ELF, user_kernel: bool = False) -> ElfImage:
    """The executable in `data`, checked against a machine with `ram_bytes` of RAM.

    `name` is what errors call the file; `advice` is their second line; `user_kernel`: it must be linked to the kseg0
    of a guest under trap and emulate. Raises LoadError for every file this machine cannot run: foreign, damaged,
    wrongly linked, or too large.
    """
    _check_identity(data, name, advice)
    try:
        elf = ELFFile(io.BytesIO(data))
        header = elf.header
        headers = [segment.header for segment in elf.iter_segments() if not _is_notes(elf, segment)]
    except (ELFError, ConstructError, ValueError, KeyError) as cause:
        raise LoadError(name, f"its ELF headers are damaged ({cause})", advice) from cause
    _check_kind(header, name, advice)
    segments = tuple(_segment(data, h, name, ram_bytes, advice, user_kernel) for h in headers if _loads(h))
    if not segments:
        raise LoadError(name, "it has no PT_LOAD segment, so there is nothing to load", advice)
    entry = canonical(header.e_entry)
    start = physical(entry, user_kernel)
    if start is None or entry % 4 or not any(s.address <= start and start + 4 <= s.end for s in segments):
        raise LoadError(name, f"its entry {entry:#x} is not an aligned address inside its segments", advice)
    return ElfImage(name, entry, start, segments)


def _loads(header: Container) -> bool:
    return header.p_type == "PT_LOAD" and header.p_memsz > 0


def _is_notes(elf: ELFFile, segment: ElfSegment) -> bool:
    """True for a segment outside the kernel's addresses that holds nothing but the linker's notes.

    GNU ld, told only where the text goes, leaves headers and ABI flags in a read-only segment at the user program base.
    """
    header = segment.header
    if header.p_type != "PT_LOAD" or physical(header.p_vaddr) is not None or header.p_flags & WRITE_OR_EXECUTE:
        return False
    if not elf.num_sections():
        return header.p_offset == 0
    inside = [s for s in elf.iter_sections() if s["sh_type"] != "SHT_NULL" and segment.section_in_segment(s)]
    return all(section["sh_type"] in NOTE_SECTIONS for section in inside)


def _check_identity(data: bytes, what: str, advice: str) -> None:
    if not data.startswith(b"\x7fELF") or len(data) < 20:
        raise LoadError(what, f"it is {describe(data)}, this machine runs 64-bit little-endian MIPS ELF", advice)
    e_machine = int.from_bytes(data[18:20], "big" if data[5] == 2 else "little")
    if (data[4], data[5], e_machine) != (2, 1, EM_MIPS):
        raise LoadError(what, f"it is {describe(data)}, this machine runs 64-bit little-endian MIPS ELF", advice)
    if len(data) < ELF64_HEADER_BYTES:
        _truncated(what, "its ELF header", ELF64_HEADER_BYTES, len(data))
    for table, offset_at, size_at in (("program", 32, 54), ("section", 40, 58)):
        offset = int.from_bytes(data[offset_at : offset_at + 8], "little")
        entry_size = int.from_bytes(data[size_at : size_at + 2], "little")
        count = int.from_bytes(data[size_at + 2 : size_at + 4], "little")
        if count and offset + entry_size * count > len(data):
            _truncated(what, f"its {table} header table", offset + entry_size * count, len(data))


def _truncated(what: str, part: str, end: int, size: int) -> None:
    advice = "Get the file again; a copy or download was cut off."
    raise LoadError(what, f"it is truncated: {part} ends at byte {end}, the file has {size}", advice)


def _check_kind(header: Container, what: str, advice: str) -> None:
    if header.e_machine != "EM_MIPS":
        raise LoadError(what, f"it is for {machine_name(header.e_machine)}", advice)
    if header.e_type == "ET_REL":
        raise LoadError(what, "it is an object file that was never linked", advice)
    release_6 = ARCH_RELEASE_6.get(header.e_flags >> 28)
    if release_6:
        raise LoadError(what, f"it is built for {release_6}, this machine runs release 2", advice)


def _segment(data: bytes, header: Container, what: str, ram_bytes: int, advice: str, user_kernel: bool) -> Segment:
    end = header.p_offset + header.p_filesz
    if end > len(data):
        _truncated(what, f"its segment for {header.p_vaddr:#x}", end, len(data))
    if header.p_filesz > header.p_memsz:
        why = f"its segment for {header.p_vaddr:#x} has {header.p_filesz} bytes in {header.p_memsz} bytes of memory"
        raise LoadError(what, why, advice)
    address = physical(header.p_vaddr, user_kernel)
    if address is None and user_kernel:
        why = f"its segment at {header.p_vaddr:#x} is not at an address from 0x40000000 to 0x5fffffff"
        raise LoadError(what, why, "Link it to those: under trap and emulate they are the guest's kseg0.")
    if address is None:
        why = f"its segment at {header.p_vaddr:#x} is not at a kseg0, kseg1 or xkphys address"
        if header.p_vaddr < 1 << 47:
            why += "; it looks like a user program, and nothing here runs those without a kernel"
        raise LoadError(what, why, advice)
    check_segment(what, address, header.p_memsz, ram_bytes)
    return Segment(address, data[header.p_offset : end].ljust(header.p_memsz, b"\0"))
