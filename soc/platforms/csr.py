"""The way from one core's block to configuration registers of another: IPI_SEND, MAIL_SEND and ANY_SEND.

An inter-processor block sends what is not its own to the network of the machine, which leads to the core's node and
there to the device that has the register. The devices are those of `devices`, with an input for such writes.
"""

from __future__ import annotations

from typing import Any

from devices.device import Device
from devices.ls3a_ext_irq import Ls3aExtIrq as _Ls3aExtIrq
from devices.ls3a_ipi import Ls3aIpi as _Ls3aIpi
from devices.stable_timer import StableTimer as _StableTimer


class _Reached:
    """A device that configuration-register writes of other cores reach, at its input `csr`."""

    @classmethod
    def input_ports(cls) -> list[str]:
        return [*super().input_ports(), "csr"]


class Ls3aIpi(_Reached, _Ls3aIpi):
    """The inter-processor block with the input `csr`."""


class Ls3aExtIrq(_Reached, _Ls3aExtIrq):
    """The extended interrupt controller with the input `csr`."""


class StableTimer(_Reached, _StableTimer):
    """The stable timers with the input `csr`."""


REACHED: dict[str, type[Device]] = {"ipi": Ls3aIpi, "ext": Ls3aExtIrq, "timer": StableTimer}
"""What the network reaches on every node, by the name of its outputs."""
MOST_CORES = 1 << 10
"""The sending registers have ten bits for a core."""


class CsrNetwork(_Reached, Device):
    """Passes each write on at ``ipi[core]``, ``ext[core]`` or ``timer[core]``: as the register says.

    A write for a core the machine does not have is dropped, and counted by the component. One for a register that no
    device has is dropped too, and counted as undecoded.
    """

    size = 0x2000

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._way = {
            offset + byte: way
            for way, model in REACHED.items()
            for offset, length in model.ranges("csr")
            for byte in range(length)
        }

    @classmethod
    def output_ports(cls) -> list[str]:
        return [f"{way}[{core}]" for way in REACHED for core in range(MOST_CORES)]

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        """A configuration-register write on its way to `core`."""
        way = self._way.get(offset) if space == "csr" else None
        if way is None:
            self._undecoded("write", space, offset, size)
        else:
            self.outside.csr_write(f"{way}[{core}]", core, offset, size, value)
