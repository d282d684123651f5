"""One device without a machine, under the plain face that replays use."""

from __future__ import annotations

from dataclasses import dataclass

from devices import device_class
from devices.errors import DeviceError, UnknownDevice
from devices.fake import FakeOutside


@dataclass(frozen=True)
class Kind:
    """How a device appears: its inputs and outputs as numbered pins."""

    device: str
    inputs: str | None
    outputs: tuple[str, ...]


KINDS = {
    "liointc": Kind("liointc", "input", tuple(f"pin[{n}]" for n in range(16))),
    "ipi": Kind("ipi", None, tuple(f"pin[{n}]" for n in range(4))),
    "uart": Kind("uart", None, ("irq",)),
}
LATER = ("pchpic", "eiointc", "iocsr_ipi")


class AloneDevice:
    """A device in reset state, settled after every call. Offsets and pins are those of the kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._pins = KINDS[kind]
        self.device = device_class(self._pins.device)()
        self.outside = FakeOutside(self.device)
        self.device.reset()

    def read(self, offset: int, size: int) -> int:
        """Read `size` bytes, 1, 2, 4 or 8."""
        return self.device.read(offset, _checked(size))

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the low `size` bytes of `value`; `size` is 1, 2, 4 or 8."""
        self.device.write(offset, _checked(size), value & (1 << 8 * size) - 1)

    def set_line(self, pin: int, level: int) -> None:
        """Drive input `pin` to 0 or 1. Raises DeviceError when there is no such input."""
        if self._pins.inputs is None:
            raise DeviceError(f"{self.kind} has no input pins; pin {pin} cannot be driven")
        self.device.line_in(f"{self._pins.inputs}[{pin}]", 1 if level else 0)

    def lines(self) -> int:
        """Output pins, bit n = pin n asserted."""
        return sum(self.outside.levels[port] << n for n, port in enumerate(self._pins.outputs))


def _checked(size: int) -> int:
    if size not in (1, 2, 4, 8):
        raise DeviceError(f"access size {size}: a bus access has 1, 2, 4 or 8 bytes")
    return size


def make_device(kind: str) -> AloneDevice:
    """A device alone, by the contract's kind. Raises UnknownDevice for a kind that is unknown or not built yet."""
    if kind not in KINDS:
        what = "is not built yet in this version" if kind in LATER else "is not a device kind"
        raise UnknownDevice(f"{kind!r} {what}; available: {', '.join(KINDS)}")
    return AloneDevice(kind)
