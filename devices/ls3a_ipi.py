"""Inter-processor interrupts and mailboxes of the four cores of one Loongson-3A node."""

from typing import Any

from devices.device import Device
from devices.lines import LineOuts
from devices.node import checked_node
from devices.ports import CsrOut, MailOuts, index
from devices.registers import SIZES, Register, RegisterArray
from soc.nodes import CORES

BLOCK = 0x100
CSR_SET, CSR_MAILBOX = 0x1008, 0x1020
WORD = 0xFFFF_FFFF


class Ls3aIpi(Device):
    """LS3A inter-processor interrupts, one node: per core status, enable, set, clear and four mailboxes.

    node   number of this node, 0 to 15: its cores are 4 * node to 4 * node + 3

    ``pin[core]`` is IP6 of that core. A mailbox raises nothing; what is written to it also leaves at ``mail[core]``, so
    that a core held at reset need not poll. As configuration registers, a core meets its own block at 0x1000, and the
    registers that send at 0x1040, 0x1048 and 0x1158. What is sent is a write of a configuration register as the target
    core sees it: to this block it happens at once, all else leaves at `csr`. Completion need not be waited for: bit 31
    changes nothing.

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
        accepts=SIZES,
        doc="Mailbox j of core i: PC, SP, GP, A1.",
    )
    ipi_send = Register(
        0x40, access="wo", fields={"wait": 31, "core": (25, 16), "action": (4, 0)}, doc="Sets one action of a core."
    )
    mail_send = Register(
        0x48,
        width=8,
        access="wo",
        fields={"data": (63, 32), "wait": 31, "skip": (30, 27), "core": (25, 16), "half": (4, 2)},
        doc="Writes half a mailbox of a core, except the bytes in skip.",
    )
    any_send = Register(
        0x1158,
        width=8,
        access="wo",
        space="csr",
        fields={"data": (63, 32), "wait": 31, "skip": (30, 27), "core": (25, 16), "offset": (15, 0)},
        doc="Writes a configuration register of a core, except the bytes in skip.",
    )

    pin = LineOuts(CORES, "IP6 of each core.")
    mail = MailOuts(CORES, "What is written to the mailboxes of each core.")
    csr = CsrOut("Writes of configuration registers that are not in this block.")

    def __init__(self, *, node: int = 0, **options: Any) -> None:
        self.node = checked_node(node)
        super().__init__(**options)

    @staticmethod
    def csr_view(offset: int, core: int) -> int | None:
        place = offset - 0x1000
        if 0 <= place < 0x40:
            return BLOCK * (core % CORES) + place
        return place if 0x40 <= place < 0x50 else None

    def on_write_ipi_send(self, value: int, old: int) -> None:
        self._send(value >> 16 & 0x3FF, CSR_SET, 1 << (value & 0x1F))

    def on_write_mail_send(self, value: int, old: int) -> None:
        self._send(value >> 16 & 0x3FF, CSR_MAILBOX + (value & 0x1C), value >> 32, value >> 27 & 0xF)

    def on_write_any_send(self, value: int, old: int) -> None:
        self._send(value >> 16 & 0x3FF, value & 0xFFFF, value >> 32, value >> 27 & 0xF)

    def _send(self, core: int, offset: int, data: int, skip: int = 0) -> None:
        """Write the four bytes of `data`, except those in `skip`, at `offset` as `core` sees it."""
        if not skip:
            self._put(core, offset, 4, data & WORD)
            return
        for byte in range(4):
            if not skip >> byte & 1:
                self._put(core, offset + byte, 1, data >> 8 * byte & 0xFF)

    def _put(self, core: int, offset: int, size: int, value: int) -> None:
        put = self._elsewhere("csr", core, "writes")((offset, size)) if core // CORES == self.node else None
        if put is None:
            self.csr.send(core, offset, size, value)
        else:
            put(self, value)

    def on_write_mailbox(self, index: int, value: int, old: int) -> None:
        core, box = divmod(index, 4)
        self.mail[core].send(box, value)

    def latched(self) -> int:
        return sum(status << 32 * core for core, status in enumerate(self.status))

    def behind(self, port: str) -> int:
        core = index(port)
        return (self.status[core] & self.enable[core]) << 32 * core if port.startswith("pin") else 0

    def settle(self) -> None:
        pins = 0
        for core in range(CORES):
            if self.status[core] & self.enable[core]:
                pins |= 1 << core
        self.pin.levels = pins
