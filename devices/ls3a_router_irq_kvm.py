"""The local I/O interrupt controller as a guest of the older Loongson KVM meets it."""

from typing import Any

from devices.ls3a_router_irq import Ls3aRouterIrq
from devices.node import checked_online
from devices.ports import index
from devices.registers import SIZES, Internal, Register, RegisterArray
from soc.bits import bits, lowest
from soc.nodes import CORES


class Ls3aRouterIrqKvm(Ls3aRouterIrq):
    """Differs from the hardware: a change of a disabled source is lost; a source goes to the lowest core and pin of its
    ENTRY, at the time of the change; the pin of a core falls with the last source of that core; INTENCLR takes back
    the edge sources that it does not name; edge sources are chosen at 0x38.

    online   number of cores, 1 to 4: a source for another core goes to core 0

    Source: kernel_2k1000 KVM: arch/mips/kvm/ls3a_router_irq.c. In Loongson's 4.19 tree nothing feeds it. Where an ENTRY
    names no core or no pin the host's behaviour is undefined; here the source reaches no pin.
    """

    size = 0x100

    pol = Internal(0)
    auto = Internal(0)
    bounce = Internal(0)
    intedge = Register(0x38, doc="1: taken back by an INTENCLR that does not name it.")
    entry = RegisterArray(0x00, count=32, width=1, accepts=SIZES, doc="Routing of source i.")
    inten = Register(0x24, access="ro", doc="Enabled sources.")
    intenset = Register(0x28, access="w1s", of=inten, accepts=(4, 8), doc="Enables sources.")
    intenclr = Register(0x2C, access="w1c", of=inten, accepts=(4, 8), doc="Disables sources.")

    held = Internal(0)
    """One bit per output pin that a source holds."""

    def __init__(self, *, online: int = CORES, **options: Any) -> None:
        self.online = checked_online(online)
        super().__init__(**options)

    def on_line_input(self, source: int, level: int) -> None:
        bit = 1 << source
        if not self.inten & bit:
            return
        core, pin = self._target(source)
        if level:
            self.intisr |= bit
            self.core_intisr[core] |= bit
            self.held |= pin
        else:
            self.intisr &= ~bit
            self.core_intisr[core] &= ~bit
            if not self.core_intisr[core]:
                self.held &= ~pin

    def on_write_intenclr(self, value: int, old: int) -> None:
        self.intisr &= ~(self.intedge & ~value)

    def _target(self, source: int) -> tuple[int, int]:
        """The core of `source`, and its output pin as a bit of `held`, 0 for none."""
        cores, pins = self.entry[source] & 0xF, self.entry[source] >> 4
        core = lowest(cores) if cores else 0
        core = core if core < self.online else 0
        return core, 1 << 4 * core + lowest(pins) if cores and pins else 0

    def latched(self) -> int:
        return self.intisr

    def behind(self, port: str) -> int:
        pin = 1 << index(port)
        return sum(1 << source for source in bits(self.intisr) if self._target(source)[1] == pin)

    def settle(self) -> None:
        self.pin.levels = self.held
