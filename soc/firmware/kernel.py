"""Reads a Linux kernel: a vmlinuz whose XZ payload is decoded on the host, or an ELF vmlinux.

The vmlinuz of a 64-bit MIPS kernel is an ELF file of a small decompressor with the payload in its data section.
Skipping that stub saves most of the instructions of a boot; the file stays as it is. Source: Linux 6.1:
arch/mips/boot/compressed.
"""

import lzma
from dataclasses import dataclass
from functools import partial

from soc.firmware.decoded import decoded
from soc.firmware.elf import GET_KERNEL, ElfImage, Segment, read_elf
from soc.firmware.errors import LoadError
from soc.firmware.memory_map import check_segment, physical

XZ_MAGIC = b"\xfd7zXZ\x00"
BANNER = b"Linux version "
# The load address is a property of the platform, not of the file (Linux 6.1, arch/mips/loongson64/Platform).
LOAD_ADDRESS = 0xFFFF_FFFF_8020_0000
STUB_SCAN_WORDS = 0x100

T9 = 25
LUI, ORI, ADDIU, DADDIU = 0x0F, 0x0D, 0x09, 0x19
JALR_T9 = 0x0320_F809
BRANCH_TO_SELF = 0x1000_FFFF


@dataclass(frozen=True)
class LinuxKernel:
    """A kernel ready to be placed: entry (64-bit virtual), segments, banner ('' when the stub is left to decode it)."""

    name: str
    entry: int
    segments: tuple[Segment, ...]
    banner: str

    @property
    def end(self) -> int:
        """First physical address after the image."""
        return max(segment.end for segment in self.segments)


def read_kernel(data: bytes, name: str, ram_bytes: int, run_stub: bool = False) -> LinuxKernel:
    """The kernel in `data`; with `run_stub` a vmlinuz is left compressed and starts at its own decompressor.

    Raises LoadError when the file is no kernel this machine can run.
    """
    elf = read_elf(data, f"kernel {name}", ram_bytes, advice=GET_KERNEL)
    if run_stub:
        return LinuxKernel(name, elf.entry, elf.segments, "")
    image = _payload(elf)
    if image is None:
        return _plain(elf, name)
    start = physical(LOAD_ADDRESS)
    check_segment(elf.name, start, len(image), ram_bytes)
    entry = stub_target(elf)
    if not start <= (physical(entry) or 0) < start + len(image):
        why = f"its decompressor jumps to {entry:#x}, outside the image at {LOAD_ADDRESS:#x} ({len(image)} bytes)"
        raise LoadError(elf.name, why, "`--run-stub` executes the decompressor as it is.")
    return LinuxKernel(name, entry, (Segment(start, image),), banner_of(image))


def looks_like_linux(elf: ElfImage) -> bool:
    """True for an ELF that carries an XZ payload or a Linux banner."""
    return any(XZ_MAGIC in segment.data or BANNER in segment.data for segment in elf.segments)


def banner_of(image: bytes) -> str:
    """The text 'Linux version ...' of an uncompressed kernel, '' when there is none."""
    start = image.find(BANNER)
    if start < 0:
        return ""
    end = min((at for at in (image.find(b"\n", start), image.find(b"\0", start)) if at > 0), default=start)
    return image[start:end].decode("ascii", "replace")


def stub_target(elf: ElfImage) -> int:
    """The virtual address the decompressor jumps to: the last t9 built by lui and ori/daddiu before its closing loop.

    Raises LoadError when the start code has no such jump.
    """
    words = elf.words_at_entry(STUB_SCAN_WORDS)
    target = None
    for high, low, jump in zip(words, words[1:], words[2:], strict=False):
        if high == BRANCH_TO_SELF:
            break
        if jump == JALR_T9:
            target = _pair(high, low) or target
    if target is None:
        advice = "`--run-stub` executes the decompressor as it is."
        raise LoadError(elf.name, "its decompressor has no `lui t9; ori t9; jalr t9` to a kernel entry", advice)
    return target


def _pair(high: int, low: int) -> int | None:
    if high >> 26 != LUI or (high >> 16) & 31 != T9 or (low >> 21) & 31 != T9 or (low >> 16) & 31 != T9:
        return None
    upper = (high & 0xFFFF) << 16
    upper -= (upper & 0x8000_0000) << 1
    immediate = low & 0xFFFF
    if low >> 26 in (ADDIU, DADDIU):
        immediate -= (immediate & 0x8000) << 1
    elif low >> 26 != ORI:
        return None
    return (upper + immediate) % (1 << 64)


def _payload(elf: ElfImage) -> bytes | None:
    """The decoded kernel, or None when no segment holds an XZ stream. The magic also occurs as a mere constant."""
    found = False
    for segment in elf.segments:
        at = segment.data.find(XZ_MAGIC)
        while at >= 0:
            found = True
            packed = memoryview(segment.data)[at:]
            image = decoded(packed, partial(_decode, packed))
            if image is not None:
                return image
            at = segment.data.find(XZ_MAGIC, at + 1)
    if found:
        raise LoadError(
            elf.name, "it contains an XZ payload that does not decode: the file is damaged", "Get the file again."
        )
    return None


def _decode(packed: memoryview) -> bytes | None:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    try:
        image = decoder.decompress(packed)
    except lzma.LZMAError:
        return None
    if not decoder.eof or int.from_bytes(decoder.unused_data[:4], "little") != len(image):
        return None
    return image


def _plain(elf: ElfImage, name: str) -> LinuxKernel:
    for segment in elf.segments:
        if banner := banner_of(segment.data):
            return LinuxKernel(name, elf.entry, elf.segments, banner)
    why = "it is a MIPS program but no Linux kernel: no XZ payload and no text 'Linux version'"
    raise LoadError(elf.name, why, "`soc run FILE` runs a bare-metal program; `--run-stub` boots the file as it is.")
