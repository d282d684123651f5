"""A PCI function: its configuration header, its BARs, its INTx line and MSI-X.

Registers are declared in the spaces "config" (offset in configuration space) and "bar0" to "bar5" (offset in the BAR);
the bridge decodes addresses. Source: PCI Local Bus Specification 3.0, chapter 6.
"""

from __future__ import annotations

from typing import Any, ClassVar

from devices.dma import DmaDevice
from devices.lines import LineOut
from devices.registers import Register, RegisterArray

MEMORY_ENABLE, BUS_MASTER, INTX_DISABLE = 1 << 1, 1 << 2, 1 << 10
INTERRUPT_STATUS, CAPABILITIES = 1 << 3, 1 << 4
MSIX_AT = 0x40
CAPABILITIES_AT = 0x50
MSIX_TABLE_AT, MSIX_PENDING_AT = 0x4000, 0x5000
"""Where MSI-X is in BAR 0."""
MSIX_ENABLE, MSIX_MASK_ALL = 1 << 15, 1 << 14
VECTORS = 4
VENDOR_SPECIFIC, MSIX = 0x09, 0x11
ANY = (1, 2, 4)


def config_register(offset: int, width: int, access: str = "ro", **options: Any) -> Register:
    """A register at `offset` of configuration space; `options` are those of `Register`."""
    return Register(offset, width=width, access=access, accepts=ANY, space="config", **options)


class PciFunction(DmaDevice):
    """Base of the functions: a type 0 header, MSI-X with its table and pending bits in BAR 0, INTA#.

    A subclass says what it is by `identity`, `bars` and `capabilities`, and calls `interrupt(vector)` for a message or
    has `intx` show a level.
    """

    bars: ClassVar[dict[int, int]] = {0: 0x8000}
    """BAR number to size in bytes, a power of two from 16; all are 32-bit memory, not prefetchable."""
    identity: ClassVar[tuple[int, int, int]] = (0xFFFF, 0xFFFF, 0xFF0000)
    """Vendor, device, class code (24 bits)."""
    subsystem: ClassVar[tuple[int, int]] = (0, 0)
    revision_number: ClassVar[int] = 0

    vendor_id = config_register(0x00, 2)
    device_id = config_register(0x02, 2)
    command = config_register(0x04, 2, "rw", mask=MEMORY_ENABLE | BUS_MASTER | INTX_DISABLE)
    status = config_register(0x06, 2)
    revision = config_register(0x08, 1)
    programming_interface = config_register(0x09, 1)
    class_code = config_register(0x0A, 2)
    cache_line_size = config_register(0x0C, 1, "rw")
    latency_timer = config_register(0x0D, 1)
    header_type = config_register(0x0E, 1)
    bar = RegisterArray(0x10, count=6, width=4, access="rw", accepts=ANY, space="config")
    subsystem_vendor_id = config_register(0x2C, 2)
    subsystem_id = config_register(0x2E, 2)
    capability_pointer = config_register(0x34, 1, reset=MSIX_AT)
    interrupt_line = config_register(0x3C, 1, "rw")
    interrupt_pin = config_register(0x3D, 1, reset=1, doc="INTA#.")

    msix_id = config_register(MSIX_AT, 1, reset=MSIX)
    msix_next = config_register(MSIX_AT + 1, 1, reset=CAPABILITIES_AT)
    msix_control = config_register(MSIX_AT + 2, 2, "rw", reset=VECTORS - 1, mask=MSIX_ENABLE | MSIX_MASK_ALL)
    msix_table = config_register(MSIX_AT + 4, 4, reset=MSIX_TABLE_AT, doc="BAR 0, offset 0x4000.")
    msix_pending = config_register(MSIX_AT + 8, 4, reset=MSIX_PENDING_AT, doc="BAR 0, offset 0x5000.")
    capability = RegisterArray(CAPABILITIES_AT, count=18, width=4, access="ro", accepts=ANY, space="config")

    _table = {"count": VECTORS, "stride": 16, "width": 4, "accepts": (4, 8), "space": "bar0"}
    message_address = RegisterArray(MSIX_TABLE_AT, mask=0xFFFF_FFFC, **_table)
    message_address_high = RegisterArray(MSIX_TABLE_AT + 4, **_table)
    message_data = RegisterArray(MSIX_TABLE_AT + 8, **_table)
    message_control = RegisterArray(MSIX_TABLE_AT + 12, reset=1, mask=1, doc="Bit 0: masked.", **_table)
    pending = Register(MSIX_PENDING_AT, width=8, access="ro", accepts=(4, 8), space="bar0")

    irq = LineOut("INTA#")

    def capabilities(self) -> bytes:
        """The capabilities that follow MSI-X, from offset 0x50 on, each with its `next`; at most 72 bytes."""
        return b""

    def intx(self) -> bool:
        """True while the function asks for service by its line."""
        return False

    @property
    def msix(self) -> bool:
        """True while messages replace the line."""
        return bool(self.msix_control & MSIX_ENABLE)

    def interrupt(self, vector: int) -> None:
        """Send MSI-X message `vector`, now or when it is unmasked. A vector the function does not have is none."""
        if vector < VECTORS and self.msix:
            self.pending |= 1 << vector
            self._send_pending()

    def on_read_vendor_id(self) -> int:
        return self.identity[0]

    def on_read_device_id(self) -> int:
        return self.identity[1]

    def on_read_revision(self) -> int:
        return self.revision_number

    def on_read_programming_interface(self) -> int:
        return self.identity[2] & 0xFF

    def on_read_class_code(self) -> int:
        return self.identity[2] >> 8

    def on_read_subsystem_vendor_id(self) -> int:
        return self.subsystem[0]

    def on_read_subsystem_id(self) -> int:
        return self.subsystem[1]

    def on_read_status(self) -> int:
        return CAPABILITIES | (INTERRUPT_STATUS if self._asks() else 0)

    def on_write_bar(self, index: int, value: int, old: int) -> None:
        # Sizing: the bits below the size read 0; an absent BAR is 0.
        self.bar[index] = value & -self.bars[index] & 0xFFFF_FFFF if index in self.bars else 0

    def on_read_capability(self, index: int) -> int:
        return int.from_bytes(self.capabilities()[4 * index : 4 * index + 4], "little")

    def settle(self) -> None:
        self._send_pending()
        self.irq.level = self._asks() and not self.command & INTX_DISABLE

    def _asks(self) -> bool:
        return not self.msix and self.intx()

    def _send_pending(self) -> None:
        open_to_send = self.msix and not self.msix_control & MSIX_MASK_ALL and self.command & BUS_MASTER
        if not self.pending or not open_to_send:
            return
        for vector in range(VECTORS):
            if self.pending >> vector & 1 and not self.message_control[vector] & 1:
                self.pending &= ~(1 << vector)
                address = self.message_address_high[vector] << 32 | self.message_address[vector]
                self.outside.dma_write(address, self.message_data[vector].to_bytes(4, "little"), "msix")

    def on_dma(self, token: str, data: bytes | None) -> None:
        # Nobody waits for a message; where it met nothing, memory has counted it.
        if token != "msix":
            super().on_dma(token, data)

    def _undecoded(self, kind: str, space: str, offset: int, size: int) -> None:
        # Reserved configuration registers read 0; every kernel looks at some.
        if space != "config":
            super()._undecoded(kind, space, offset, size)
