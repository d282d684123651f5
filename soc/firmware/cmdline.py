"""The command line: the words a boot needs, and the argument block the kernel reads.

The block holds 32-bit pointers that the kernel sign-extends; its first argument is skipped. Source: Linux 6.1:
arch/mips/fw/lib/cmdline.c; the layout is that of QEMU 10.0: hw/mips/loongson3_virt.c.
"""

from dataclasses import dataclass

from soc.firmware.errors import LoadError
from soc.firmware.memory_map import KSEG0

BLOCK = 0x0FF0_0000
COMMAND_LINE_BYTES = 4096  # COMMAND_LINE_SIZE of the kernel, the closing zero included
DEFAULT_WORDS = ("console=ttyS0,115200", "rdinit=/init")
FAST = "nokaslr cryptomgr.notests"
"""Words for a kernel that is to boot soon, and every time at the same addresses."""

NAME_AT = 0x10
TEXT_AT = 0x12


@dataclass(frozen=True)
class CommandLine:
    """The argument block: its bytes, where they go, and what a0 and a1 must hold."""

    text: str
    address: int
    data: bytes
    argc: int
    argv: int


def command_line(append: str = "", initrd: tuple[int, int] | None = None) -> str:
    """The kernel's command line: initrd place, default words, then `append`.

    `initrd` is (virtual address, bytes). A default word is left out when `append` sets the same parameter.
    """
    given = {word.partition("=")[0] for word in append.split()}
    words = [] if initrd is None else [f"rd_start={initrd[0]:#x}", f"rd_size={initrd[1]}"]
    words += [word for word in DEFAULT_WORDS if word.partition("=")[0] not in given]
    return " ".join([*words, *append.split("\n")]).strip()


def argument_block(text: str, address: int = BLOCK) -> CommandLine:
    """The block for `text` at physical `address` (in kseg0). Raises LoadError when the kernel would cut the text."""
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as cause:
        raise LoadError("command line", f"it is not valid text ({cause})", "Give --append in UTF-8.") from cause
    if b"\0" in encoded:
        raise LoadError("command line", "it contains a zero byte", "Remove it from --append.")
    if len(encoded) >= COMMAND_LINE_BYTES:
        why = f"it has {len(encoded)} bytes, the kernel keeps {COMMAND_LINE_BYTES - 1}"
        raise LoadError("command line", why, "Shorten --append.")
    base = (KSEG0 + address) & 0xFFFF_FFFF
    environment = base + -(-(TEXT_AT + len(encoded) + 1) // 16) * 16
    pointers = (base + NAME_AT, base + TEXT_AT, environment, 0)
    data = b"".join(pointer.to_bytes(4, "little") for pointer in pointers) + b"g\0" + encoded + b"\0"
    # The environment is an empty array: its first pointer is zero.
    data = data.ljust(environment - base + 8, b"\0")
    return CommandLine(text, address, data, argc=2, argv=KSEG0 + address)
