"""The extended I/O interrupt controller of a Loongson-3A node (EIOINTC): 256 vectors, routed one by one to cores."""

import logging
from typing import Any

from devices.device import Device
from devices.lines import LineOut, LineOuts
from devices.node import NODES, checked_node
from devices.ports import VECTORS, VectorIn, VectorOuts, index
from devices.registers import SIZES, Internal, Register, RegisterArray
from soc.bits import bits, lowest
from soc.nodes import CORES

EXT_INT_EN = 1 << 48
HALF = 0xFFFF_FFFF
NONE_YET = -1

log = logging.getLogger(__name__)


class Ls3aExtIrq(Device):
    """LS3A extended I/O interrupts, one node. A vector stays pending from its message until a core clears it.

    node   number of this node, 0 to 15

    A pending, enabled vector goes to the core its COREMAP byte names: a core of one of the nodes in NODE_TYPE[bits 7:4]
    (none: this node). With BOUNCE it takes turns over these nodes and cores, node by node. ``pin[4 * core + k]`` is
    what this controller adds to IP(k+2) of `core`: high while a vector that is enabled and pending there belongs to a
    group of 32 whose IPMAP byte names k. Offsets are relative to 0x1fe00000. As configuration registers, CORE_ISR at
    0x1800 is that of the core that asks; all else has the same number.

    A vector for another node leaves at ``to_node[n]`` as core << 8 | vector and arrives there at `from_node`. Its state
    is then that node's alone.

    Source: 3A5000 manual, extended I/O interrupts. Not in the manual and chosen here: a disabled vector stays pending
    and is delivered when it is enabled; clearing CORE_ISR clears ISR; of several bits the lowest counts; no core bit
    means core 0; an IPMAP byte of 0 reaches no pin and is logged; a pending vector stays where it is when COREMAP
    changes. While EXT_INT_en is 0, messages belong to the HT controller and are not taken here.
    """

    size = 0x1D00

    other_func = Register(0x420, width=8, accepts=SIZES, fields={"ext_int_en": 48}, doc="Other functions; stored.")
    ext_ioi_send = Register(0x1140, access="wo", fields={"vector": (7, 0)}, doc="Makes a vector pending.")
    node_type = RegisterArray(0x14A0, count=16, width=2, accepts=SIZES, doc="Bitmap of nodes, chosen by COREMAP.")
    ipmap = RegisterArray(
        0x14C0, count=8, width=1, accepts=SIZES, fields={"int": (3, 0)}, doc="Pin of vectors 32i to 32i+31."
    )
    en = RegisterArray(0x1600, count=4, width=8, accepts=SIZES, doc="Enabled vectors.")
    bounce = RegisterArray(0x1680, count=4, width=8, accepts=SIZES, doc="Vectors that take turns.")
    isr = RegisterArray(0x1700, count=4, width=8, access="ro", accepts=SIZES, doc="Pending vectors.")
    core_isr = RegisterArray(
        0x1800,
        count=(CORES, 4),
        stride=(0x100, 8),
        width=8,
        access="w1c",
        accepts=SIZES,
        doc="Vectors pending at core i; write 1 to clear.",
    )
    coremap = RegisterArray(
        0x1C00,
        count=VECTORS,
        width=1,
        accepts=SIZES,
        fields={"core": (3, 0), "node_type": (7, 4)},
        doc="Target of vector i.",
    )

    last = Internal([NONE_YET] * VECTORS)
    """Per vector, 4 * node + core of its last delivery while it took turns."""

    message = VectorIn("HT interrupt messages.")
    from_node = VectorIn("Vectors another node chose a core of this one for.", vectors=CORES << 8)
    to_node = VectorOuts(NODES, "Vectors for cores of other nodes.")
    ext_int_en = LineOut("EXT_INT_en, for the HT controller.")
    pin = LineOuts(4 * CORES, "IP2..IP5 of the four cores.")

    def __init__(self, *, node: int = 0, **options: Any) -> None:
        self.node = checked_node(node)
        self._warned = 0
        # The vector that is being sent on to another node, as its bit.
        self._passing = 0
        super().__init__(**options)

    @staticmethod
    def csr_view(offset: int, core: int) -> int | None:
        if 0x1800 <= offset < 0x1900:
            return offset + 0x100 * (core % CORES)
        return offset

    def on_vector_message(self, vector: int) -> None:
        if self.other_func & EXT_INT_EN:
            self.isr[vector // 64] |= 1 << vector % 64

    def on_write_ext_ioi_send(self, value: int, old: int) -> None:
        self.on_vector_message(value & 0xFF)

    def on_vector_from_node(self, value: int) -> None:
        quad, bit = (value & 0xFF) // 64, 1 << value % 64
        self.isr[quad] |= bit
        if self.en[quad] & bit and not self._held(quad) & bit:
            self.core_isr[4 * (value >> 8) + quad] |= bit

    def on_write_core_isr(self, index: int, value: int, old: int) -> None:
        self.isr[index % 4] &= ~value

    def latched(self) -> int:
        return sum(pending << 64 * quad for quad, pending in enumerate(self.isr))

    def behind(self, port: str) -> int:
        name, number = port.partition("[")[0], index(port)
        if name != "pin":
            return self._passing
        core, pin = divmod(number, 4)
        found = 0
        for group in range(8):
            if self._pin(group) >> pin & 1:
                quad, half = divmod(group, 2)
                found |= (self.core_isr[4 * core + quad] & self.en[quad] & HALF << 32 * half) << 64 * quad
        return found

    def settle(self) -> None:
        """Deliver what is pending, enabled and held by no core; then the pins."""
        for quad in range(4):
            waiting = self.isr[quad] & self.en[quad] and self.isr[quad] & self.en[quad] & ~self._held(quad)
            for place in bits(waiting):
                self._deliver(64 * quad + place)
        pins = 0
        for core in range(CORES):
            for quad in range(4):
                active = self.core_isr[4 * core + quad] & self.en[quad]
                if active & HALF:
                    pins |= self._pin(2 * quad) << 4 * core
                if active >> 32:
                    pins |= self._pin(2 * quad + 1) << 4 * core
        self.ext_int_en.level = self.other_func & EXT_INT_EN != 0
        self.pin.levels = pins

    def _held(self, quad: int) -> int:
        held = 0
        for core in range(CORES):
            held |= self.core_isr[4 * core + quad]
        return held

    def _deliver(self, vector: int) -> None:
        node, core = self._target(vector)
        quad, bit = vector // 64, 1 << vector % 64
        if node == self.node:
            self.core_isr[4 * core + quad] |= bit
        else:
            self._passing = 1 << vector
            self.to_node[node].send(core << 8 | vector)
            self.isr[quad] &= ~bit

    def _target(self, vector: int) -> tuple[int, int]:
        entry = self.coremap[vector]
        nodes = self.node_type[entry >> 4] or 1 << self.node
        cores = entry & 0xF or 1
        if not self.bounce[vector // 64] >> vector % 64 & 1:
            return lowest(nodes), lowest(cores)
        places = [CORES * node + core for node in bits(nodes) for core in bits(cores)]
        place = next((place for place in places if place > self.last[vector]), places[0])
        self.last[vector] = place
        return divmod(place, CORES)

    def _pin(self, group: int) -> int:
        chosen = self.ipmap[group] & 0xF
        if not chosen and not self._warned >> group & 1:
            self._warned |= 1 << group
            log.warning("%s: IPMAP[%d] is 0: pending vectors of that group reach no pin", self.name, group)
        return chosen & -chosen
