"""One device without a machine, under the plain face that replays use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devices import device_class
from devices.errors import DeviceError, UnknownDevice
from devices.fake import FakeOutside
from devices.ls3a_ext_irq import EXT_INT_EN
from devices.registers import access_size
from soc.bits import bits
from soc.ports import is_level

EXT_INT_EN_AT = 0x420
"""Register that holds the enable of extended interrupts."""


@dataclass(frozen=True)
class Kind:
    """How a device appears: its inputs and outputs as numbered pins, its registers in an address space."""

    device: str
    inputs: int
    outputs: tuple[str, ...]
    space: str = "memory"
    options: Mapping[str, Any] = field(default_factory=dict)


KINDS = {
    "liointc": Kind("liointc", 32, tuple(f"pin[{n}]" for n in range(16))),
    "ipi": Kind("ipi", 0, tuple(f"pin[{n}]" for n in range(4))),
    "uart": Kind("uart", 0, ("irq",)),
    "pchpic": Kind("pchpic", 32, (), options={"pins": 32}),
    "eiointc": Kind("eiointc", 256, tuple(f"pin[{n}]" for n in range(16)), space="csr"),
    "iocsr_ipi": Kind("ipi", 0, tuple(f"pin[{n}]" for n in range(4)), space="csr"),
}


class AloneDevice:
    """A device in reset state, settled after every call. Offsets and pins are those of the kind; core 0 asks."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._pins = KINDS[kind]
        self.device = device_class(self._pins.device)(**self._pins.options)
        self.outside = FakeOutside(self.device)
        self.device.reset()

    def read(self, offset: int, size: int) -> int:
        """Read `size` bytes, 1, 2, 4 or 8. Raises DeviceError for another size, as `write` does."""
        return self.device.read(offset, access_size(size), 0, self._pins.space)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the low `size` bytes of `value`; `size` is 1, 2, 4 or 8."""
        self.device.write(offset, access_size(size), value & (1 << 8 * size) - 1, 0, self._pins.space)

    def set_line(self, pin: int, level: int) -> None:
        """Drive input `pin` to 0 or 1. Raises DeviceError when there is no such input or level."""
        if type(pin) is not int or not 0 <= pin < self._pins.inputs:
            there = f"pins 0 to {self._pins.inputs - 1}" if self._pins.inputs else "no input pins"
            raise DeviceError(f"{self.kind} has {there}; pin {pin!r} cannot be driven")
        if not is_level(level):
            raise DeviceError(f"{self.kind}: pin {pin} to level {level!r}; allowed: 0, 1")
        self._drive(pin, level)

    def _drive(self, pin: int, level: int) -> None:
        self.device.line_in(f"input[{pin}]", level)

    def lines(self) -> int:
        """Output pins, bit n = pin n asserted."""
        return sum(self.outside.levels[port] << n for n, port in enumerate(self._pins.outputs))


class _PchPic(AloneDevice):
    """Outputs are vectors: asserted while a pin that has this vector is in service."""

    def lines(self) -> int:
        pins = bits(self.device.intisr)
        return sum(1 << vector for vector in {self.device.htmsi_vector[pin] for pin in pins})


class _Eiointc(AloneDevice):
    """Inputs are vectors: a pin that rises sends its message. Outputs have eight places per core, four in use."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.device.write(EXT_INT_EN_AT, 8, EXT_INT_EN)
        self._levels = 0

    def _drive(self, pin: int, level: int) -> None:
        bit = 1 << pin
        if level and not self._levels & bit:
            self.device.vector_in("message", pin)
        self._levels = self._levels | bit if level else self._levels & ~bit

    def lines(self) -> int:
        pins = super().lines()
        return sum((pins >> 4 * core & 0xF) << 8 * core for core in range(4))


ADAPTERS: dict[str, type[AloneDevice]] = {"pchpic": _PchPic, "eiointc": _Eiointc}


def make_device(kind: str) -> AloneDevice:
    """A device alone, by its kind (KINDS). Raises UnknownDevice for a kind there is not."""
    if kind not in KINDS:
        raise UnknownDevice(f"{kind!r} is not a device kind; available: {', '.join(KINDS)}")
    return ADAPTERS.get(kind, AloneDevice)(kind)
