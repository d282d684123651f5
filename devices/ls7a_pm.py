"""Power management of the LS7A bridge: the registers through which software switches the machine off or restarts it."""

from devices.device import Device
from devices.registers import Register

SLEEP_ENABLE = 1 << 13
SOFT_OFF = 7
RESET = 1 << 0


class Ls7aPm(Device):
    """Sleep control and reset control; status, enables and the watchdog only store what is written.

    Source: LS7A1000 manual, power management.
    """

    size = 0x100

    pm1_sts = Register(0x0C, access="w1c", mask=0xCD01, doc="Events; none are modelled.")
    pm1_en = Register(0x10, mask=0x4501)
    pm1_cnt = Register(0x14, mask=0x1C01, fields={"int_en": 0, "slp_typ": (12, 10), "slp_en": 13})
    gpe0_sts = Register(0x28, access="w1c")
    gpe0_en = Register(0x2C)
    rst_cnt = Register(0x30, mask=0x2, fields={"reset": 0, "wd_en": 1})
    wd_set = Register(0x34, access="wo", doc="The watchdog does not run.")
    wd_timer = Register(0x38)

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        super().write(offset, size, value, core, space)
        # Neither SLP_EN nor RESET is stored: they act.
        if (offset, size) == (0x14, 4) and value & SLEEP_ENABLE and value >> 10 & 7 == SOFT_OFF:
            self.outside.stop("poweroff")
        elif (offset, size) == (0x30, 4) and value & RESET:
            self.outside.stop("reset")
