"""The LS7A interrupt controller as a guest of Loongson's KVM meets it."""

from devices.ls7a_irq import PINS, Ls7aIrq
from devices.ports import VectorOut
from devices.registers import Internal, Register, RegisterArray
from soc.bits import bits

DWORD = (8,)
BYTE = (1,)


class Ls7aIrqKvm(Ls7aIrq):
    """Differs from the hardware: bit registers take 8-byte accesses only, routes and vectors bytes only; the id says 32
    pins though 64 work; nothing is masked at reset; edge pins are deaf; polarity, route and mode have no effect; every
    pin is forwarded as a vector, and withdrawn (`withdrawn`) when its service ends; INTISR reads without masked pins
    and can be overwritten; INTCLR does not issue again; a MASK write that unmasks anything masks nothing at once.

    Source: Loongson 4.19 KVM: arch/mips/kvm/ls7a_irq.c.
    """

    int_id = Register(0x000, width=8, access="ro", reset=0x001F_0001_0700_0000, accepts=DWORD, doc="32 pins.")
    int_mask = Register(0x020, width=8, accepts=DWORD, doc="1 masked.")
    htmsi_en = Register(0x040, width=8, accepts=DWORD, doc="Stored; a bit that is set issues what requests.")
    intedge = Register(0x060, width=8, accepts=DWORD, doc="1: the pin is deaf.")
    intisr = Register(0x3A0, width=8, accepts=DWORD, doc="Pins in service; reads hide masked ones.")
    intclr = Register(0x080, width=8, access="w1c", of=intisr, accepts=DWORD, doc="Ends service.")
    auto_ctrl0 = Register(0x0C0, width=8, access="ro", accepts=DWORD, doc="Reads 0.")
    auto_ctrl1 = Register(0x0E0, width=8, access="ro", accepts=DWORD, doc="Reads 0.")
    route_entry = RegisterArray(0x100, count=PINS, width=1, accepts=BYTE, doc="Stored.")
    htmsi_vector = RegisterArray(0x200, count=PINS, width=1, accepts=BYTE, doc="Vector of pin i.")
    int_polarity = Register(0x3E0, width=8, accepts=DWORD, doc="Stored.")
    intisr_chip0 = Internal(0)
    intisr_chip1 = Internal(0)
    intirr = Internal(0)

    withdrawn = VectorOut("The vector of a pin whose service ended.")

    def on_reset(self) -> None:
        """The id register says 32 pins whatever there is."""

    def on_line_input(self, pin: int, level: int) -> None:
        if self.intedge >> pin & 1:
            return
        if level:
            self.intirr |= 1 << pin
            self._raise(1 << pin)
        else:
            self.intirr &= ~(1 << pin)
            self._lower(1 << pin)

    def on_read_intisr(self) -> int:
        return self.intisr & ~self.int_mask

    def on_write_int_mask(self, value: int, old: int) -> None:
        unmasked = old & ~value
        if unmasked:
            self._raise(unmasked)
        else:
            self._lower(value & ~old)

    def on_write_htmsi_en(self, value: int, old: int) -> None:
        self._raise(value & ~old)

    def on_write_htmsi_vector(self, pin: int, value: int, old: int) -> None:
        self._raise(self.htmsi_en & 1 << pin)

    def on_write_intclr(self, value: int, old: int) -> None:
        self.intisr = old
        self._lower(value)
        super().on_write_intclr(value, old)

    def _raise(self, pins: int) -> None:
        for pin in bits(pins & self.intirr & ~self.int_mask & ~self.intisr):
            self.intisr |= 1 << pin
            self._sent_for = 1 << pin
            self.lo.send(self.htmsi_vector[pin])

    def _lower(self, pins: int) -> None:
        for pin in bits(pins & self.intisr):
            self.intisr &= ~(1 << pin)
            self._sent_for = 1 << pin
            self.withdrawn.send(self.htmsi_vector[pin])

    def settle(self) -> None:
        """All is done where it happens."""
