"""Where memory lies in the physical address space: RAM, its low part seen twice, and the boot ROM.

Source: Linux 6.1 arch/mips/boot/dts/loongson/loongson64v_4core_virtio.dts; QEMU hw/mips/loongson3_virt.c.
"""

LOW_BYTES = 0x1000_0000
"""So much of the RAM, from its beginning, is also seen at 0."""
HIGH_BASE = 0x8000_0000
"""All of the RAM is seen from here on."""
ROM_BASE = 0x1FC0_0000
ROM_BYTES = 0x20_0000
