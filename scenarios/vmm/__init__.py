"""A VMM for Linux's KVM on MIPS: the program, built from the C files here, and the images of its guests.

It runs in the user space of a Linux on cores with VZ (`Machine(vz=True)`), as QEMU would, and shows its guest the
platform virt.
"""

from __future__ import annotations

import struct
from pathlib import Path

from scenarios.guests import build
from soc.errors import ConfigurationError
from soc.firmware.boot import BootImage
from soc.nodes import MAX_CPUS
from soc.ram import HIGH_BASE, LOW_BYTES, ROM_BASE

FOLDER = Path(__file__).parent
OPTIONS = (
    "-target mips64el-linux-muslabi64 -mcpu=mips64r2 -static -s -O2 "
    f"-Wall -Wextra -Werror -Wno-option-ignored -DMAX_CPUS={MAX_CPUS}"
).split()
MAGIC = b"vmm-img1"
ROM_BYTES = 0x1_0000
"""So much of the boot ROM its guests have: the code and the LEFI tables."""


def program() -> bytes:
    """The VMM, a static executable for Linux. Raises ConfigurationError when there is no compiler or it fails."""
    return build.compiled("vmm", sorted(FOLDER.glob("*.c")), sorted(FOLDER.glob("*.h")), OPTIONS)


def image(boot: BootImage, ram_bytes: int, cpus: int = 1) -> bytes:
    """The file from which the VMM starts `boot` (soc.firmware.boot.prepare for platform virt, as much RAM and as many
    `cpus`, 1 to 16). Raises ConfigurationError."""
    if not 1 <= cpus <= MAX_CPUS:
        raise ConfigurationError(f"vcpus = {cpus}; allowed: 1 to {MAX_CPUS}")
    slots = ((0, min(ram_bytes, LOW_BYTES), 0), (HIGH_BASE, ram_bytes, 0), (ROM_BASE, ROM_BYTES, ram_bytes))
    state = boot.state()
    placed = [(_offset(slots, address, len(data)), data) for address, data in boot.segments]
    return b"".join((
        struct.pack("<8s2Q", MAGIC, cpus, state["pc"]),
        struct.pack("<32Q", *state["gpr"]),
        struct.pack("<Q", ram_bytes + ROM_BYTES),
        *(struct.pack("<3Q", *slot) for slot in slots),
        struct.pack("<Q", len(placed)),
        *(struct.pack("<2Q", offset, len(data)) for offset, data in placed),
        *(data for _, data in placed),
    ))  # fmt: skip


def _offset(slots: tuple[tuple[int, int, int], ...], address: int, size: int) -> int:
    """Where in the VMM's memory of the guest the `size` bytes at physical `address` are."""
    for base, slot_bytes, offset in slots:
        if base <= address and address + size <= base + slot_bytes:
            return offset + address - base
    raise ConfigurationError(f"{size} bytes at {address:#x}: the VMM's guest has no memory there")
