"""The configuration words of the LS7A bridge that kernels read."""

from devices.device import Device
from devices.registers import Register


class Ls7aConfig(Device):
    """One word: where the node number begins in the bridge's DMA addresses. Offsets are relative to 0x10010000.

    Source: Linux 6.1: arch/mips/loongson64/env.c takes ((word >> 8) & 0x1f) + 36 as the bit number.
    """

    size = 0x800

    ht_node = Register(0x41C, access="ro", reset=0x800, fields={"shift": (12, 8)}, doc="Node number at bit 44.")
