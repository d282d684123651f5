"""The interrupt controller of the LS7A bridge (PCH-PIC): 64 pins, delivered as HT messages or on two lines."""

from typing import Any

from devices.device import Device
from devices.errors import DeviceError
from devices.lines import LineIns, LineOut
from devices.ports import VectorOut
from devices.registers import SIZES, Internal, Register, RegisterArray
from soc.bits import bits

PINS = 64
EVERY_PIN = (1 << PINS) - 1
LO, HI = 1, 2
"""Bits of a route: the two outputs."""
RESET_VECTORS = tuple(pin if pin < 32 else pin + 32 for pin in range(PINS))


class Ls7aIrq(Device):
    """LS7A interrupt controller. A pin that requests, is not masked and not in service is issued, once: it goes in
    service and sends its vector (HTMSI_EN = 1) or holds output line INTn0 or INTn1 (HTMSI_EN = 0).

    pins   number of pins the id register reports, and of input lines, 1 to 64

    A level pin requests while its line is active; when the line falls, its service ends. An edge pin requests from the
    active edge until it is cleared. INTCLR ends the service, and a level pin that is still active is issued again.
    Masking ends the service too, so that unmasking issues again what still requests.

    Source: 7A1000 manual, interrupt controller; Linux 6.1: drivers/irqchip/irq-loongson-pch-pic.c. Not in the manual:
    that masking ends the service (KVM does it) and that INTCLR issues again; Linux cannot tell. With AUTO_CTRL, the
    outputs of a route take turns pin by pin (rotate), or the one with the fewest (idle) or the most (busy) pins in
    service is taken, the lower one of equals. A fixed route that names both outputs is a software error: the lower one.
    """

    size = 0x1000

    int_id = Register(
        0x000,
        width=8,
        access="ro",
        reset=0x003F_0001_0700_0000,
        accepts=SIZES,
        fields={"id": (31, 24), "version": (39, 32), "last_pin": (55, 48)},
        doc="Identification.",
    )
    int_mask = Register(0x020, width=8, reset=EVERY_PIN, accepts=SIZES, doc="1 masked.")
    htmsi_en = Register(0x040, width=8, accepts=SIZES, doc="1 HT message, 0 output line.")
    intedge = Register(0x060, width=8, accepts=SIZES, doc="0 level, 1 edge.")
    intisr = Register(0x3A0, width=8, access="ro", accepts=SIZES, doc="Pins in service.")
    intclr = Register(
        0x080, width=8, access="w1c", of=intisr, accepts=SIZES, doc="Ends service, forgets edge requests."
    )
    auto_ctrl0 = Register(0x0C0, width=8, accepts=SIZES, doc="Low bit of the distribution mode.")
    auto_ctrl1 = Register(0x0E0, width=8, accepts=SIZES, doc="High bit: 00 fixed, 01 rotate, 10 idle, 11 busy.")
    route_entry = RegisterArray(
        0x100, count=PINS, width=1, reset=LO, accepts=SIZES, fields={"lo": 0, "hi": 1}, doc="Outputs of pin i."
    )
    htmsi_vector = RegisterArray(
        0x200, count=PINS, width=1, resets=RESET_VECTORS, accepts=SIZES, doc="HT vector of pin i."
    )
    intisr_chip0 = Register(0x300, width=8, access="ro", accepts=SIZES, doc="In service at output 0.")
    intisr_chip1 = Register(0x320, width=8, access="ro", accepts=SIZES, doc="In service at output 1.")
    intirr = Register(0x380, width=8, access="ro", accepts=SIZES, doc="Requests: active level pins, latched edges.")
    int_polarity = Register(0x3E0, width=8, accepts=SIZES, doc="0 active high, 1 active low.")

    latch = Internal(0)
    last_hi = Internal(EVERY_PIN)
    """Pins whose last delivery in rotation went to output 1."""

    input = LineIns(PINS, "Interrupt pins.")
    intn0 = LineOut("INTn0, 1 is active; the package pin is low then.")
    intn1 = LineOut("INTn1.")
    lo = VectorOut("HT messages to the HT-lo controller.")
    hi = VectorOut("HT messages to the HT-hi controller.")
    cleared = VectorOut("The number of each pin whose INTCLR bit is written.")

    def __init__(self, *, pins: int = PINS, **options: Any) -> None:
        if not 1 <= pins <= PINS:
            raise DeviceError(f"pins {pins}: the controller has 1 to {PINS}")
        super().__init__(**options)
        self.pins = pins
        # The pin whose message is being sent, as its bit.
        self._sent_for = 0
        for port in self.input_lines()[pins:]:
            del self._inputs[port]

    def on_reset(self) -> None:
        self.int_id = (self.pins - 1) << 48 | self.int_id & ~(0xFF << 48)

    def on_line_input(self, pin: int, level: int) -> None:
        if level != self.int_polarity >> pin & 1:
            self.latch |= self.intedge & 1 << pin

    def on_write_intclr(self, value: int, old: int) -> None:
        self.latch &= ~value
        for pin in bits(value):
            self._sent_for = 1 << pin
            self.cleared.send(pin)

    def on_write_htmsi_en(self, value: int, old: int) -> None:
        self.intisr &= ~(value & ~old)

    def latched(self) -> int:
        return self.intirr

    def behind(self, port: str) -> int:
        in_service = {"intn0": self.intisr_chip0, "intn1": self.intisr_chip1}.get(port)
        return self._sent_for if in_service is None else in_service & ~self.htmsi_en

    def settle(self) -> None:
        """Derive requests, end the service of pins that lost theirs, issue the others, drive the lines."""
        self.latch &= self.intedge
        requests = self.latch | (self.input.levels ^ self.int_polarity) & ~self.intedge
        wanted = requests & ~self.int_mask
        issued = wanted & ~self.intisr
        self.intirr = requests
        self.intisr = (self.intisr | issued) & wanted
        self.intisr_chip0 &= self.intisr & ~issued
        self.intisr_chip1 &= self.intisr & ~issued
        for pin in bits(issued):
            output = self._output(pin)
            if output == LO:
                self.intisr_chip0 |= 1 << pin
            elif output == HI:
                self.intisr_chip1 |= 1 << pin
            self._sent_for = 1 << pin
            if output and self.htmsi_en >> pin & 1:
                (self.lo if output == LO else self.hi).send(self.htmsi_vector[pin])
        self.intn0.level = self.intisr_chip0 & ~self.htmsi_en != 0
        self.intn1.level = self.intisr_chip1 & ~self.htmsi_en != 0

    def _output(self, pin: int) -> int:
        route = self.route_entry[pin] & (LO | HI)
        mode = self.auto_ctrl0 >> pin & 1 | (self.auto_ctrl1 >> pin & 1) << 1
        if route != LO | HI:
            return route
        if mode == 0:
            return LO
        if mode == 1:
            self.last_hi ^= 1 << pin
            return HI if self.last_hi >> pin & 1 else LO
        more = self.intisr_chip1.bit_count() - self.intisr_chip0.bit_count()
        return HI if (more < 0 if mode == 2 else more > 0) else LO
