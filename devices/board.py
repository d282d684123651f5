"""Several devices wired together without a simulator and without latencies, for tests and experiments."""

from __future__ import annotations

from collections import deque
from typing import Any

from devices import device_class
from devices.device import Device
from devices.errors import DeviceError
from devices.fake import FakeOutside
from devices.lines import LineIn, LineOut
from devices.ports import CsrOut, EventIn, EventOut, VectorIn, VectorOut

INPUTS = {"line": "line_in", "vector": "vector_in", "event": "event_in"}
"""What a device is called with, by the kind of what arrives."""
FITS = ((LineOut, LineIn), (VectorOut, VectorIn), (EventOut, EventIn))
"""Outputs, and the inputs that they can be wired to."""


class Board:
    """Devices by name, and wires "pic.lo" -> "htvec.message". What leaves a device arrives when the call that caused it
    is over, in the order in which it left.

    A CsrOut is wired to the name of a device: it gets the writes as configuration-register accesses. A name that is not
    on the board is a DeviceError.
    """

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self._wires: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._due: deque[tuple[str, str, str, tuple[int, ...]]] = deque()

    def add(self, name: str, kind: str | type[Device], /, **options: Any) -> Device:
        """Put a device on the board, in reset state."""
        device = (device_class(kind) if isinstance(kind, str) else kind)(**options)
        self.devices[name] = device
        _Outside(self, name, device)
        device.reset()
        return device

    def wire(self, source: str, target: str) -> None:
        """Connect an output port with an input port of the same kind. DeviceError when they do not fit."""
        name, _, port = source.partition(".")
        into, _, entry = target.partition(".")
        sends, takes = self._device(name), self._device(into)
        fits = any(port in sends.port_names(out) and entry in takes.port_names(kind) for out, kind in FITS)
        if not fits and (entry or port not in sends.port_names(CsrOut)):
            raise DeviceError(f"{source} cannot be wired to {target}: no such ports, or of different kinds")
        self._wires.setdefault((name, port), []).append((into, entry))
        if sends.outside.levels.get(port):
            self._send(name, "line", port, 1)
            self.settle()

    def read(self, name: str, offset: int, size: int, **options: Any) -> int:
        """A bus read, and all that follows from it."""
        value = self._device(name).read(offset, size, **options)
        self.settle()
        return value

    def write(self, name: str, offset: int, size: int, value: int, **options: Any) -> None:
        """A bus write, and all that follows from it."""
        self._device(name).write(offset, size, value, **options)
        self.settle()

    def line(self, target: str, level: int) -> None:
        """Drive an input line."""
        name, _, port = target.partition(".")
        self._device(name).line_in(port, level)
        self.settle()

    def vector(self, target: str, vector: int) -> None:
        """Send a vector."""
        name, _, port = target.partition(".")
        self._device(name).vector_in(port, vector)
        self.settle()

    def event(self, target: str, descriptor: int, count: int = 1) -> None:
        """Signal an event descriptor."""
        name, _, port = target.partition(".")
        self._device(name).event_in(port, descriptor, count)
        self.settle()

    def advance(self, delay_ps: int) -> None:
        """Let time pass at every device in turn. Only for devices that do not wait for each other's timers."""
        for device in self.devices.values():
            device.outside.advance(delay_ps)
            self.settle()

    def level(self, source: str) -> int:
        """The level of an output line."""
        name, _, port = source.partition(".")
        levels = self._device(name).outside.levels
        if port not in levels:
            raise DeviceError(f"{name} has no output line {port!r}; it has {', '.join(levels) or 'none'}")
        return levels[port]

    def settle(self) -> None:
        """Deliver what is under way, until nothing is."""
        while self._due:
            name, kind, port, values = self._due.popleft()
            device = self.devices[name]
            if kind == "csr":
                core, offset, size, data = values
                device.write(offset, size, data, core, "csr")
            else:
                getattr(device, INPUTS[kind])(port, *values)

    def _device(self, name: str) -> Device:
        if name not in self.devices:
            raise DeviceError(f"no device {name!r} is on the board; there are {', '.join(self.devices) or 'none'}")
        return self.devices[name]

    def _send(self, name: str, kind: str, port: str, *values: int) -> None:
        for into, entry in self._wires.get((name, port), ()):
            self._due.append((into, kind, entry, values))


class _Outside(FakeOutside):
    def __init__(self, board: Board, name: str, device: Device) -> None:
        self._board = board
        self._name = name
        super().__init__(device)

    def line(self, port: str, level: int) -> None:
        super().line(port, level)
        self._board._send(self._name, "line", port, level)

    def vector(self, port: str, vector: int) -> None:
        super().vector(port, vector)
        self._board._send(self._name, "vector", port, vector)

    def event(self, port: str, descriptor: int, count: int) -> None:
        super().event(port, descriptor, count)
        self._board._send(self._name, "event", port, descriptor, count)

    def csr_write(self, port: str, core: int, offset: int, size: int, value: int) -> None:
        super().csr_write(port, core, offset, size, value)
        self._board._send(self._name, "csr", port, core, offset, size, value)
