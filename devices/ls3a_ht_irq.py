"""The interrupt vectors of a Loongson-3A HyperTransport controller (HTVEC): 256 vectors in, up to eight lines out."""

from typing import Any

from devices.device import Device
from devices.errors import DeviceError
from devices.lines import LineIn, LineOuts
from devices.ports import VECTORS, VectorIn, VectorOut, index
from devices.registers import SIZES, Register, RegisterArray


def line_of(vector: int, lines: int, stripe: int) -> int:
    """The line that carries `vector`. Source: 3A5000 manual, HyperTransport controller, interrupt vectors."""
    group = {1: vector // 64, 2: vector // 128 * 2 + vector % 2, 4: vector % 4}[stripe]
    if lines == 4:
        return group
    # With eight lines each of the four groups is cut in a low and a high half of its vectors.
    place = {1: vector % 64, 2: vector % 128 // 2, 4: vector // 4}[stripe]
    return 2 * group + place // 32


class Ls3aHtIrq(Device):
    """LS3A HyperTransport interrupt vectors: a message sets its bit, software clears it by writing 1, and a line is
    high while an enabled vector of it is pending. Offsets are those of the HT configuration block.

    lines    4 or 8 output lines in use; firmware selects 8 for the tree loongson64g_4core_ls7a
    stripe   1, 2 or 4: how vectors are dealt out to the lines

    While input `ext_int` is high (EXT_INT_en of the extended controller), messages go on there and leave no trace here.

    Source: 3A5000 manual, HyperTransport controller; Linux 6.1: drivers/irqchip/irq-loongson-htvec.c. The manual calls
    VECTOR readable and writable; all software takes it as write-one-to-clear.
    """

    size = 0x278

    vector = RegisterArray(
        0x80, count=8, access="w1c", accepts=SIZES, doc="Pending vectors 32i to 32i+31; write 1 to clear."
    )
    enable = RegisterArray(0xA0, count=8, accepts=SIZES, doc="1: the vector drives its line.")
    int_trans_lo = Register(0x270, fields={"allow": 30, "enable": 31}, doc="Stored: EXT_INT_en alone decides.")
    int_trans_hi = Register(0x274, doc="Stored.")

    message = VectorIn("HT interrupt messages.")
    ext_int = LineIn("1: the extended controller takes the messages.")
    forward = VectorOut("Messages for the extended controller.")
    line = LineOuts(8, "To LIOINTC sources 24 to 31 (HT1) or 16 to 23 (HT0).")

    def __init__(self, *, lines: int = 8, stripe: int = 1, **options: Any) -> None:
        if lines not in (4, 8) or stripe not in (1, 2, 4):
            raise DeviceError(f"lines {lines}, stripe {stripe}: lines is 4 or 8, stripe is 1, 2 or 4")
        super().__init__(**options)
        self._members = [0] * 8
        for vector in range(VECTORS):
            self._members[line_of(vector, lines, stripe)] |= 1 << vector

    def on_vector_message(self, vector: int) -> None:
        if self.ext_int.level:
            self.forward.send(vector)
        else:
            self.vector[vector // 32] |= 1 << vector % 32

    def latched(self) -> int:
        return sum(pending << 32 * word for word, pending in enumerate(self.vector))

    def behind(self, port: str) -> int:
        return self._asking() & self._members[index(port)] if port.startswith("line") else 0

    def _asking(self) -> int:
        return sum((self.vector[word] & self.enable[word]) << 32 * word for word in range(8))

    def settle(self) -> None:
        pending = self._asking()
        self.line.levels = sum(1 << n for n, members in enumerate(self._members) if pending & members)
