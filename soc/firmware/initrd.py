"""Checks an initrd and finds its place in RAM."""

from soc.firmware.errors import LoadError
from soc.firmware.identify import compression_of, describe
from soc.firmware.memory_map import FIRMWARE_RAM, HIGH_RAM, KSEG0, LOW_RAM, MIB, XKPHYS_CACHED

# Below this address lies everything a kernel that relocates itself (KASLR, up to 16 MiB) can reach.
INITRD_BASE = 0x0400_0000
ALIGNMENT = 0x1_0000
CPIO_NEWC = (b"070701", b"070702")


def check_initrd(data: bytes, name: str) -> None:
    """Raises LoadError unless `data` starts like a cpio archive or a compression the kernel knows."""
    if data[:6] in CPIO_NEWC or compression_of(data):
        return
    why = f"it is {describe(data)}, the kernel unpacks a newc cpio archive, plain or compressed"
    raise LoadError(f"initrd {name}", why, "`soc fetch debian` builds one; `--initrd FILE` takes another.")


def place_initrd(size: int, kernel_end: int, ram_bytes: int, name: str = "initrd") -> int:
    """The physical address for an initrd of `size` bytes: above the kernel in low RAM, else in high RAM.

    Raises LoadError when neither has the room.
    """
    low = max(INITRD_BASE, -(-kernel_end // ALIGNMENT) * ALIGNMENT)
    if low + size <= FIRMWARE_RAM:
        return low
    if size <= ram_bytes - LOW_RAM:
        return HIGH_RAM
    room = max(FIRMWARE_RAM - low, ram_bytes - LOW_RAM)
    why = f"it has {size} bytes, a machine with {ram_bytes // MIB} MiB has room for {max(room, 0)}"
    advice = f"`--ram-mb {-(-(size + LOW_RAM) // MIB)}` or more holds it."
    raise LoadError(f"initrd {name}", why, advice)


def kernel_pointer(address: int) -> int:
    """The 64-bit virtual address by which the kernel is told of physical `address`: kseg0, or xkphys for high RAM."""
    return KSEG0 + address if address < LOW_RAM else XKPHYS_CACHED + address
