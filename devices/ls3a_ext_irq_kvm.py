"""The extended I/O interrupt controller as a guest of Loongson's KVM meets it."""

from typing import Any

from devices.ls3a_ext_irq import HALF, Ls3aExtIrq
from devices.node import checked_online
from devices.ports import index
from devices.registers import Internal, RegisterArray
from soc.bits import lowest
from soc.nodes import CORES

PINS = 4
QUAD = (1 << 64) - 1


class Ls3aExtIrqKvm(Ls3aExtIrq):
    """Differs from the hardware: EXT_INT_en, NODE_TYPE and BOUNCE have no effect; a vector goes to the lowest core of
    its COREMAP byte, also while it is disabled; a write of EN looks again at core 0 only, one of IPMAP or COREMAP at
    none; the last byte of COREMAP and of NODE_TYPE takes no byte write.

    online   number of cores, 1 to 4: a vector for another core goes to core 0

    Source: Loongson 4.19 KVM: arch/mips/kvm/ls3a_ext_irq.c, ls3acomp-vz.c. Guests reach it as configuration registers
    only. Where an IPMAP byte names no pin the host's behaviour is undefined; here the vector reaches no pin.
    """

    node_type = RegisterArray(0x14A0, count=16, width=2, accepts=(1, 4, 8), doc="Stored.")
    isr = RegisterArray(0x1700, count=4, width=8, access="ro", accepts=(4, 8), doc="Pending vectors.")

    ip_mask = Internal([0] * CORES * PINS)
    """Per core and pin: bit quad+1 while a vector of that group of 64 holds the pin."""

    def __init__(self, *, online: int = CORES, **options: Any) -> None:
        self.online = checked_online(online)
        super().__init__(**options)

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        if space == "csr" and size == 1 and offset in (0x14BF, 0x1CFF):
            return
        super().write(offset, size, value, core, space)

    def on_vector_message(self, vector: int) -> None:
        cores = self.coremap[vector] & 0xF
        core = lowest(cores) if cores else 0
        core = core if core < self.online else 0
        quad, bit = vector // 64, 1 << vector % 64
        self.isr[quad] |= bit
        self.core_isr[4 * core + quad] |= bit
        self._update(core, quad)

    def on_write_en(self, quad: int, value: int, old: int) -> None:
        self._update(0, quad)

    def on_write_core_isr(self, index: int, value: int, old: int) -> None:
        self.isr[index % 4] &= ~value
        if old & value:
            self._update(*divmod(index, 4))

    def _update(self, core: int, quad: int) -> None:
        active = self.core_isr[4 * core + quad] & self.en[quad]
        named = active_pins = 0
        for group, half in ((2 * quad, active & HALF), (2 * quad + 1, active >> 32)):
            chosen = self._pin(group)
            named |= chosen
            active_pins |= chosen if half else 0
        for pin in range(PINS):
            place = PINS * core + pin
            if active_pins >> pin & 1:
                self.ip_mask[place] |= 2 << quad
            elif named >> pin & 1:
                self.ip_mask[place] &= ~(2 << quad)

    def behind(self, port: str) -> int:
        held = self.ip_mask[index(port)]
        return super().behind(port) & sum(QUAD << 64 * quad for quad in range(4) if held & 2 << quad)

    def settle(self) -> None:
        self.pin.levels = sum(1 << place for place, held in enumerate(self.ip_mask) if held)
