"""Where a program may be loaded: RAM and ROM as the virtual platform decodes them.

The low 256 MiB of RAM are seen at 0 and again at 0x80000000. Source: QEMU 10.0: hw/mips/loongson3_virt.c,
loongson3_bootp.c.
"""

from dataclasses import dataclass

from soc.firmware.errors import LoadError
from soc.ram import HIGH_BASE, LOW_BYTES, ROM_BASE, ROM_BYTES

MIB = 1 << 20
LOW_RAM = LOW_BYTES
LOW_RAM_REPORTED = 240 * MIB  # the rest of the low RAM belongs to the firmware
FIRMWARE_RAM = 0x0F00_0000
HIGH_RAM = HIGH_BASE + LOW_BYTES

KSEG0 = 0xFFFF_FFFF_8000_0000
USER_KSEG0 = 0x4000_0000
"""kseg0 of a guest under trap and emulate (docs/kvm.md), which is part of useg."""
KSEG1 = 0xFFFF_FFFF_A000_0000
XKPHYS_CACHED = 0x9800_0000_0000_0000
PHYSICAL_BITS = 48


@dataclass(frozen=True)
class Window:
    """A loadable range of physical addresses, `end` excluded."""

    name: str
    start: int
    end: int


def loadable(ram_bytes: int) -> tuple[Window, ...]:
    """The windows a segment may lie in, for a machine with `ram_bytes` of RAM."""
    return (
        Window("low RAM", 0, min(ram_bytes, LOW_RAM)),
        Window("RAM", HIGH_BASE, HIGH_BASE + ram_bytes),
        Window("boot ROM", ROM_BASE, ROM_BASE + ROM_BYTES),
    )


def is_loadable(address: int, size: int, ram_bytes: int) -> bool:
    """True when the physical bytes [address, address + size) lie inside one window."""
    return any(w.start <= address and address + size <= w.end for w in loadable(ram_bytes))


def physical(address: int, user_kernel: bool = False) -> int | None:
    """The physical address behind a kseg0, kseg1 or xkphys address (64-bit, unsigned); None for any other segment. With
    `user_kernel` that behind the kseg0 of a guest under trap and emulate.

    A 32-bit compatibility address that some linkers leave zero-extended (0x80000000 to 0xbfffffff) counts as kseg0/1.
    """
    if user_kernel:
        return address - USER_KSEG0 if USER_KSEG0 <= address < USER_KSEG0 + 0x2000_0000 else None
    if KSEG0 <= address < KSEG0 + 0x4000_0000 or 0x8000_0000 <= address < 0xC000_0000:
        return address & 0x1FFF_FFFF
    if address >> 62 == 2:
        low = address & ((1 << 59) - 1)
        return low if low < 1 << PHYSICAL_BITS else None
    return None


def canonical(address: int) -> int:
    """`address` with a zero-extended kseg0/kseg1 address sign-extended to 64 bits."""
    return address | 0xFFFF_FFFF_0000_0000 if 0x8000_0000 <= address < 0xC000_0000 else address


def check_segment(what: str, address: int, size: int, ram_bytes: int) -> None:
    """Raises LoadError unless physical [address, address + size) can be loaded; `what` names the file."""
    if is_loadable(address, size, ram_bytes):
        return
    windows = ", ".join(f"{w.name} {w.start:#x}..{w.end - 1:#x}" for w in loadable(ram_bytes))
    why = (
        f"its segment at physical {address:#x}..{address + size - 1:#x} ({size} bytes) lies outside the memory "
        f"of a machine with {ram_bytes // MIB} MiB: {windows}"
    )
    low_end = min(ram_bytes, LOW_RAM)
    if address < low_end and ram_bytes < LOW_RAM:
        needed = -(-(address + size) // MIB)
        advice = f"There is too little memory: `--ram-mb {max(needed, ram_bytes // MIB + 1)}` or more holds it."
    else:
        advice = "Link it to kseg0 addresses inside RAM, for example 0xffffffff80100000."
    raise LoadError(what, why, advice)
