"""The HyperTransport interrupt vectors as a guest of the older Loongson KVM meets them."""

from devices.ls3a_ht_irq import Ls3aHtIrq
from devices.ports import VectorIn
from devices.registers import SIZES, RegisterArray


class Ls3aHtIrqKvm(Ls3aHtIrq):
    """Differs from the hardware: a vector is taken back (`withdrawn`) when its pin's service ends; VECTOR and ENABLE
    take writes of 4 and 8 bytes only; the rest of the block is plain memory.

    Source: kernel_2k1000 KVM: arch/mips/kvm/ls3a_ht_irq.c. Loongson's 4.19 tree has no such model.
    """

    size = 0x100

    plain_low = RegisterArray(0x00, count=0x80, width=1, accepts=SIZES, doc="Memory.")
    vector = RegisterArray(0x80, count=8, access="w1c", accepts=SIZES, writes=(4, 8), doc="Pending vectors.")
    enable = RegisterArray(0xA0, count=8, accepts=SIZES, writes=(4, 8), doc="Enabled vectors.")
    plain_high = RegisterArray(0xC0, count=0x40, width=1, accepts=SIZES, doc="Memory.")

    withdrawn = VectorIn("Vectors that are taken back.")

    def on_vector_withdrawn(self, vector: int) -> None:
        self.vector[vector // 32] &= ~(1 << vector % 32)
