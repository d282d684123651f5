"""Inter-processor interrupts and mailboxes of the four cores of one Loongson-3A node."""

from devices.device import Device
from devices.lines import LineOuts
from devices.registers import RegisterArray

CORES = 4
BLOCK = 0x100


class Ls3aIpi(Device):
    """LS3A inter-processor interrupts, one node: per core status, enable, set, clear and four mailboxes.

    ``pin[core]`` is IP6 of that core. A mailbox raises nothing; what is written to it also leaves at ``mail[core]``, so that
    a core held at reset need not poll.

    Source: 3A5000 manual, inter-processor interrupts; Linux 6.1: arch/mips/loongson64/smp.c. The manual marks some
    mailboxes of cores 1 to 3 as read-only or write-only; firmware and Linux read and write them all, so they can be.
    """

    size = 0x400

    status = RegisterArray(0x00, count=CORES, stride=BLOCK, access="ro", doc="Pending actions.")
    enable = RegisterArray(0x04, count=CORES, stride=BLOCK, doc="Actions that reach the pin.")
    set = RegisterArray(0x08, count=CORES, stride=BLOCK, access="w1s", of=status, doc="Adds actions.")
    clear = RegisterArray(0x0C, count=CORES, stride=BLOCK, access="w1c", of=status, doc="Removes actions.")
    mailbox = RegisterArray(
        0x20,
        count=(CORES, 4),
        stride=(BLOCK, 8),
        width=8,
        accepts=(1, 2, 4, 8),
        doc="Mailbox j of core i: PC, SP, GP, A1.",
    )

    pin = LineOuts(CORES, "IP6 of each core.")

    @classmethod
    def output_ports(cls) -> list[str]:
        """The pins, and the mail of each core."""
        return [*super().output_ports(), *(f"mail[{core}]" for core in range(CORES))]

    def on_write_mailbox(self, index: int, value: int, old: int) -> None:
        core, box = divmod(index, 4)
        self.outside.mailbox(f"mail[{core}]", box, value)

    def settle(self) -> None:
        pins = 0
        for core in range(CORES):
            if self.status[core] & self.enable[core]:
                pins |= 1 << core
        self.pin.levels = pins
