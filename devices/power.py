"""The power control byte of the virtual Loongson-3 platform."""

from devices.device import Device
from devices.registers import Register

POWER_OFF = 0xFF
RESET = 0x00


class Power(Device):
    """One write-only byte: 0xff powers the machine off, 0x00 resets it. Other values (0x01 is suspend) do nothing.

    Source: QEMU, Loongson-3 virtual platform, power management block at 0x10080000.
    """

    size = 0x100

    control = Register(0x10, width=1, access="wo", doc="0xff power off, 0x00 reset.")

    def on_write_control(self, value: int, old: int) -> None:
        if value == POWER_OFF:
            self.outside.stop("poweroff")
        elif value == RESET:
            self.outside.stop("reset")
