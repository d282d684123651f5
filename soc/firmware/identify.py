"""Names a foreign file by its first bytes, so that an error can say what the user gave."""

import struct

ELF_CLASS = {1: "32-bit", 2: "64-bit"}
ELF_DATA = {1: "little-endian", 2: "big-endian"}
# ELF e_machine numbers, from the registry in the System V ABI, of the machines people mix up with this one.
ELF_MACHINE = {
    2: "SPARC",
    3: "x86",
    8: "MIPS",
    20: "PowerPC",
    21: "64-bit PowerPC",
    22: "S/390",
    40: "Arm",
    43: "64-bit SPARC",
    50: "Itanium",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}
COMPRESSED = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x5d\x00\x00", "lzma"),
    (b"\x89LZO\x00", "lzo"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


def compression_of(data: bytes) -> str | None:
    """The compression `data` starts with (gzip, bzip2, xz, lzma, lzo, lz4, zstd), or None."""
    return next((name for magic, name in COMPRESSED if data.startswith(magic)), None)


def machine_name(e_machine: int) -> str:
    """The name of an ELF machine number; unknown numbers are given as such."""
    return ELF_MACHINE.get(e_machine, f"ELF machine {e_machine}")


def describe(data: bytes) -> str:
    """What `data` is, as a noun phrase: 'an x86 Linux image (bzImage)', 'a 32-bit big-endian MIPS ELF file'."""
    if not data:
        return "an empty file"
    if data.startswith(b"\x7fELF"):
        return _describe_elf(data)
    if data[0x202:0x206] == b"HdrS":
        return "an x86 Linux image (bzImage)"
    if data[56:60] == b"ARM\x64":
        return "an AArch64 Linux image"
    if data[56:60] == b"RSC\x05":
        return "a RISC-V Linux image"
    if data[:4] == b"\x27\x05\x19\x56":
        return "a U-Boot image (uImage)"
    if data[:4] == b"\xd0\x0d\xfe\xed":
        return "a flattened device tree or FIT image"
    if data[:2] == b"MZ":
        return "an EFI or Windows program"
    if data.startswith(b"!<arch>\n"):
        return "a Debian package" if data[8:21] == b"debian-binary" else "an ar archive"
    if data[:6] in (b"070701", b"070702"):
        return "a cpio archive"
    if name := compression_of(data):
        return f"a file compressed with {name}"
    if data[:2] == b"#!":
        return "a script"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in data[:256]):
        return "a text file"
    return "not an ELF file"


def _describe_elf(data: bytes) -> str:
    if len(data) < 20:
        return "an ELF file cut off inside its header"
    bits = ELF_CLASS.get(data[4], f"class-{data[4]}")
    order = ELF_DATA.get(data[5], f"byte-order-{data[5]}")
    (e_machine,) = struct.unpack_from(">H" if data[5] == 2 else "<H", data, 18)
    return f"a {bits} {order} {machine_name(e_machine)} ELF file"
