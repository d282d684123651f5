"""Inter-processor interrupts as a guest of Loongson's KVM meets them."""

from devices.ls3a_ipi import Ls3aIpi
from devices.ports import index
from devices.registers import Internal


class Ls3aIpiKvm(Ls3aIpi):
    """Differs from the hardware: ENABLE gates nothing; every SET raises the pin, even of nothing; a CLEAR lowers it
    when no action is left; ANY_SEND reaches the extended interrupt controller's registers only.

    Source: Loongson 4.19 KVM: arch/mips/kvm/ls3a_ipi.c, ls3acomp-vz.c.
    """

    raised = Internal(0)
    """One bit per core's pin."""

    def on_write_set(self, core: int, value: int, old: int) -> None:
        self.raised |= 1 << core

    def on_write_clear(self, core: int, value: int, old: int) -> None:
        if not self.status[core]:
            self.raised &= ~(1 << core)

    def on_write_any_send(self, value: int, old: int) -> None:
        offset = value & 0xFFFF
        if offset & 0xFF00 in (0x1600, 0x1C00) or 0x420 <= offset < 0x428 or 0x14A0 <= offset < 0x14C8:
            super().on_write_any_send(value, old)

    def behind(self, port: str) -> int:
        core = index(port)
        return self.status[core] << 32 * core if port.startswith("pin") else 0

    def settle(self) -> None:
        self.pin.levels = self.raised
