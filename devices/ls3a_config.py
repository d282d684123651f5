"""The configuration page of a Loongson-3A node: what the chip is and can do, and a few words software sets."""

from devices.device import Device
from devices.registers import SIZES, Register

NODE_COUNTER, MSI, EXT_IOI, IPI = 1 << 1, 1 << 2, 1 << 3, 1 << 4


def _text(text: str) -> int:
    return int.from_bytes(text.encode().ljust(8, b"\0"), "little")


class Ls3aConfig(Device):
    """Identification, features and chip words, at 0x1fe00000 and as configuration registers of the same number.

    There is no sensor: both temperature registers read 0, and the feature bit that announces one is clear.

    Source: Linux 6.1: arch/mips/include/asm/mach-loongson64/loongson_regs.h.
    """

    version = Register(0x00, width=8, access="ro", accepts=SIZES, doc="Reads 0.")
    features = Register(
        0x08,
        width=8,
        access="ro",
        reset=NODE_COUNTER | MSI | EXT_IOI | IPI,
        accepts=SIZES,
        fields={"temperature": 0, "node_counter": 1, "msi": 2, "ext_ioi": 3, "ipi": 4, "frequency": 5},
    )
    vendor = Register(0x10, width=8, access="ro", reset=_text("Loongson"), accepts=SIZES, doc="Text.")
    cpu_name = Register(0x20, width=8, access="ro", reset=_text("3A4000"), accepts=SIZES, doc="Text.")
    chip_config = Register(0x180, width=8, accepts=SIZES, doc="Stored.")
    temperature = Register(0x19C, width=4, access="ro", accepts=(1, 2, 4))
    frequency = Register(0x1D0, width=8, accepts=SIZES, doc="Stored.")
    temperature_word = Register(0x428, width=8, access="ro", accepts=SIZES)

    @staticmethod
    def csr_view(offset: int, core: int) -> int | None:
        return offset
