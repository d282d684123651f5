"""The MSI doorbell of the LS7A bridge: a write becomes an HT message."""

from devices.device import Device
from devices.ports import VectorOut
from devices.registers import Register


class Ls7aMsi(Device):
    """The low byte of what is written is the vector. Always to the HT-lo controller; the PCH-PIC takes no part.

    Source: Linux 6.1: drivers/irqchip/irq-loongson-pch-msi.c; device tree loongson64g_4core_ls7a.
    """

    size = 0x8

    doorbell = Register(0x0, access="wo", accepts=(1, 2, 4), fields={"vector": (7, 0)}, doc="Sends a vector.")

    lo = VectorOut("HT messages to the HT-lo controller.")

    def on_write_doorbell(self, value: int, old: int) -> None:
        self.lo.send(value & 0xFF)
