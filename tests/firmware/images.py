"""Small files for the tests of loading: ELF executables, a vmlinuz with an XZ payload."""

import lzma
import struct
from collections.abc import Mapping

KSEG0_BASE = 0xFFFF_FFFF_8010_0000
STUB_BASE = 0xFFFF_FFFF_8149_0000
KERNEL_BASE = 0xFFFF_FFFF_8020_0000
BANNER = b"Linux version 6.1.0-99-loongson-3 (a test) #1 SMP\n\0"

MOVE_S0_A0 = 0x0080_8025
JALR_T9 = 0x0320_F809
NOP = 0
BRANCH_TO_SELF = 0x1000_FFFF


def elf(
    segments: list[tuple[int, bytes, int]] | None = None,
    entry: int = KSEG0_BASE,
    bits: int = 2,
    order: int = 1,
    machine: int = 8,
    kind: int = 2,
    flags: int = 0x80A2_0001,
    flags_of: Mapping[int, int] | None = None,
    offset_of: Mapping[int, int] | None = None,
) -> bytes:
    """An ELF64 file. Each segment is (virtual address, contents, bytes in memory).

    `flags_of` and `offset_of` replace p_flags and p_offset of the segment at an address.
    """
    if segments is None:
        segments = [(KSEG0_BASE, words(NOP, NOP), 8)]
    end = "<" if order == 1 else ">"
    at = 64 + 56 * len(segments)
    headers, body = b"", b""
    for address, data, memory in segments:
        permissions = (flags_of or {}).get(address, 7)
        offset = (offset_of or {}).get(address, at + len(body))
        headers += struct.pack(end + "IIQQQQQQ", 1, permissions, offset, address, address, len(data), memory, 16)
        body += data
    head = b"\x7fELF" + bytes((bits, order, 1)) + bytes(9)
    head += struct.pack(end + "HHIQQQIHHHHHH", kind, machine, 1, entry, 64, 0, flags, 64, 56, len(segments), 64, 0, 0)
    return head + headers + body


def words(*values: int) -> bytes:
    """Instruction words as they lie in memory."""
    return b"".join(value.to_bytes(4, "little") for value in values)


def load_t9(address: int, add: bool = False) -> tuple[int, int]:
    """lui and ori (or daddiu) that build the kseg0 `address` in t9."""
    low = address & 0xFFFF
    high = (address >> 16) & 0xFFFF
    if add:
        high = (high + (low >> 15)) & 0xFFFF
    return 0x3C19_0000 | high, (0x6739_0000 if add else 0x3739_0000) | low


def vmlinuz(entry: int = KERNEL_BASE + 0x28, image: bytes | None = None, size: int = 0) -> bytes:
    """A kernel in its decompressor: start code, an XZ stream, the size word; `size` overrides that word."""
    image = BANNER.rjust(4096, b"\0") if image is None else image
    code = words(
        MOVE_S0_A0,
        *load_t9(STUB_BASE + 0x80, add=True),
        JALR_T9,
        NOP,
        *load_t9(entry),
        JALR_T9,
        NOP,
        BRANCH_TO_SELF,
        NOP,
    ).ljust(0x80, b"\0")
    # The magic alone also occurs in a real stub, as a constant of its decoder.
    data = b"\xfd7zXZ\x00 a constant".ljust(64, b"\0")
    data += lzma.compress(image, lzma.FORMAT_XZ, lzma.CHECK_CRC32) + (size or len(image)).to_bytes(4, "little")
    return elf([(STUB_BASE, code + data, len(code + data) + 4096)], entry=STUB_BASE)
