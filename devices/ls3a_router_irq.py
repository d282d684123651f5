"""The local I/O interrupt controller (LIOINTC, "router") of a Loongson-3A node: 32 sources, four pins of four cores."""

from devices.device import Device
from devices.lines import LineIns, LineOuts
from devices.ports import index
from devices.registers import SIZES, Internal, Register, RegisterArray
from soc.bits import bits
from soc.nodes import CORES

CSR_INTISR = 0x1010
PINS_OF_ENTRY = [
    sum(1 << 4 * core + pin for core in bits(entry & 0xF) for pin in bits(entry >> 4)) for entry in range(256)
]
"""The output pins one source drives, by its routing byte: a product per source, so that two sources never mix."""


class Ls3aRouterIrq(Device):
    """LS3A I/O interrupt router. A source is level or edge triggered, gated by INTEN, and routed by its ENTRY byte.

    Output ``pin[4 * core + k]`` is this router's contribution to IP(k+2) of `core`, k = 0..3.

    Source: 3A5000 manual, I/O interrupts; Linux 6.1: drivers/irqchip/irq-loongson-liointc.c. Polarity is stored and
    has no effect: Linux 6.1 writes 1 for level-high and later kernels 0, and both must work. As configuration register
    0x1010 a core reads the status of its own sources.
    """

    size = 0x64

    entry = RegisterArray(
        0x00,
        count=32,
        width=1,
        accepts=SIZES,
        fields={"core": (3, 0), "int": (7, 4)},
        doc="Routing of source i.",
    )
    intisr = Register(0x20, access="ro", doc="Sources that are pending and enabled.")
    inten = Register(0x24, access="ro", doc="Enabled sources.")
    intenset = Register(0x28, access="w1s", of=inten, doc="Enables sources.")
    intenclr = Register(0x2C, access="w1c", of=inten, doc="Disables sources and forgets their edges.")
    pol = Register(0x30, doc="Polarity; no effect.")
    intedge = Register(0x34, doc="0 level, 1 edge.")
    bounce = Register(0x38, doc="Stored; no effect on Loongson-3.")
    auto = Register(0x3C, doc="Stored; no effect on Loongson-3.")
    core_intisr = RegisterArray(0x40, count=CORES, stride=8, access="ro", doc="INTISR of the sources routed to core i.")

    latch = Internal(0)

    input = LineIns(32, "Interrupt sources.")
    pin = LineOuts(4 * CORES, "IP2..IP5 of the four cores.")

    @staticmethod
    def csr_view(offset: int, core: int) -> int | None:
        return 0x40 + 8 * (core % CORES) + offset - CSR_INTISR if CSR_INTISR <= offset < CSR_INTISR + 4 else None

    def on_line_input(self, source: int, level: int) -> None:
        if level:
            self.latch |= self.intedge & 1 << source

    def on_write_intenclr(self, value: int, old: int) -> None:
        self.latch &= ~value

    def latched(self) -> int:
        return self.intedge & self.latch | ~self.intedge & self.input.levels

    def behind(self, port: str) -> int:
        pin = 1 << index(port)
        return sum(1 << source for source in bits(self.intisr) if PINS_OF_ENTRY[self.entry[source]] & pin)

    def settle(self) -> None:
        """Gate, split by core, route. Everything follows within the access or line change that caused it."""
        pending = self.inten & self.latched()
        self.intisr = pending
        by_core = [0] * CORES
        pins = 0
        for source in bits(pending):
            entry = self.entry[source]
            pins |= PINS_OF_ENTRY[entry]
            for core in bits(entry & 0xF):
                by_core[core] |= 1 << source
        self.core_intisr = by_core
        self.pin.levels = pins
