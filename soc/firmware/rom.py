"""The code in the boot ROM at physical 0x1fc00000: secondary cores wait here, the kernel leaves through it.

Source: QEMU 10.0: hw/mips/loongson3_virt.c (mailboxes, power byte). The places are those of the LEFI reset table.
"""

START = 0x00
RESET = 0x80
SHUTDOWN = 0xA8
SUSPEND = 0xD0
BOOT_VECTORS = (0x200, 0x280, 0x300, 0x380, 0x400, 0x480)
"""TLB refill, XTLB refill, cache error, everything else, interrupts with Cause.IV, debug; with Status.BEV set."""

POWER_BYTE = (
    0x3C08_9000,  # lui    t0, 0x9000
    0x0008_403C,  # dsll32 t0, t0, 0
    0x3C09_1008,  # lui    t1, 0x1008
    0x3529_0010,  # ori    t1, t1, 0x10
    0x0109_4025,  # or     t0, t0, t1         t0 = uncached 0x10080010
)

CODE = {
    START: (
        0x4008_6000,  # mfc0   t0, Status
        0x3508_0080,  # ori    t0, t0, KX         64-bit kernel addresses
        0x4088_6000,  # mtc0   t0, Status
        0x0000_00C0,  # ehb
        0x4008_7801,  # mfc0   t0, EBase
        0x3109_0003,  # andi   t1, t0, 3
        0x0009_4A38,  # dsll   t1, t1, 8          core in its node: 0x100 bytes each
        0x3108_000C,  # andi   t0, t0, 0xc
        0x0008_42BC,  # dsll32 t0, t0, 10         node: address bits 44 and up
        0x0128_4825,  # or     t1, t1, t0
        0x3C0A_9000,  # lui    t2, 0x9000
        0x000A_503C,  # dsll32 t2, t2, 0
        0x3C0B_3FF0,  # lui    t3, 0x3ff0
        0x356B_1000,  # ori    t3, t3, 0x1000
        0x014B_5025,  # or     t2, t2, t3
        0x012A_4825,  # or     t1, t1, t2         t1 = this core's inter-processor block
        0xDD2A_0020,  # ld     t2, 0x20(t1)       mailbox 0: where to go
        0x1140_FFFE,  # beqz   t2, .-4
        0x0000_0000,  # nop
        0xDD3D_0028,  # ld     sp, 0x28(t1)
        0xDD3C_0030,  # ld     gp, 0x30(t1)
        0xDD25_0038,  # ld     a1, 0x38(t1)
        0x0140_0008,  # jr     t2
        0x0000_0000,  # nop
    ),
    RESET: (
        *POWER_BYTE,
        0xA100_0000,  # sb     zero, 0(t0)
        0x1000_FFFF,  # b      .
        0x0000_0000,  # nop
    ),
    SHUTDOWN: (
        *POWER_BYTE,
        0x2409_00FF,  # li     t1, 0xff
        0xA109_0000,  # sb     t1, 0(t0)
        0x1000_FFFF,  # b      .
        0x0000_0000,  # nop
    ),
    # This platform has no sleep state: the core waits, and the machine reports that nothing can wake it.
    SUSPEND: (
        0x4200_0020,  # wait
        0x1000_FFFE,  # b      .-4
        0x0000_0000,  # nop
    ),
    # No firmware serves the exceptions of a program that leaves Status.BEV set: each raises the next, and the core
    # says so.
    **dict.fromkeys(BOOT_VECTORS, (0x7000_003F,)),  # sdbbp
}


PM_BLOCK = (
    0x3C08_9000,  # lui    t0, 0x9000
    0x0008_403C,  # dsll32 t0, t0, 0
    0x3C09_100D,  # lui    t1, 0x100d
    0x0109_4025,  # or     t0, t0, t1         t0 = uncached 0x100d0000
)

LS7A_CODE = {
    **CODE,
    RESET: (
        *PM_BLOCK,
        0x2409_0001,  # li     t1, 1
        0xAD09_0030,  # sw     t1, 0x30(t0)       RST_CNT
        0x1000_FFFF,  # b      .
        0x0000_0000,  # nop
    ),
    SHUTDOWN: (
        *PM_BLOCK,
        0x2409_3C00,  # li     t1, 0x3c00         SLP_EN, SLP_TYP 7: off
        0xAD09_0014,  # sw     t1, 0x14(t0)       PM1_CNT
        0x1000_FFFF,  # b      .
        0x0000_0000,  # nop
    ),
}
"""The same on a board with the LS7A, whose power management block switches off and restarts."""

PLATFORMS = {"virt": CODE, "ls7a": LS7A_CODE}


def rom_code(platform: str = "virt") -> bytes:
    """The ROM of a platform from its first byte to the end of its code."""
    code = PLATFORMS[platform]
    size = max(offset + 4 * len(words) for offset, words in code.items())
    data = bytearray(size)
    for offset, words in code.items():
        for index, word in enumerate(words):
            data[offset + 4 * index : offset + 4 * index + 4] = word.to_bytes(4, "little")
    return bytes(data)
