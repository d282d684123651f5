"""Several devices wired together without a simulator and without latencies, for tests and experiments."""

from __future__ import annotations

from collections import deque
from typing import Any

from devices import device_class
from devices.device import Device
from devices.errors import DeviceError
from devices.fake import FakeOutside
from devices.ports import CsrOut, EventIn, EventOut, VectorIn, VectorOut

KINDS = {"line": "line_in", "vector": "vector_in", "event": "event_in"}


class Board:
    """Devices by name, and wires "pic.lo" -> "htvec.message". What leaves a device arrives when the call that caused it
    is over, in the order in which it left.

    A CsrOut is wired to the name of a device: it gets the writes as configuration-register accesses.
    """

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self._wires: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._due: deque[tuple[str, str, str, Any]] = deque()

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
        kinds = {"vector": (VectorOut, VectorIn), "event": (EventOut, EventIn)}
        sends, takes = self.devices[name], self.devices[into]
        fits = any(
            port in [p for made in sends.declarations(out).values() for p in made.ports]
            and entry in [p for made in takes.declarations(kind).values() for p in made.ports]
            for out, kind in kinds.values()
        )
        fits = fits or (port in sends.output_lines() and entry in takes.input_lines())
        if not fits and not (port in sends.declarations(CsrOut) and not entry):
            raise DeviceError(f"{source} cannot be wired to {target}: no such ports, or of different kinds")
        self._wires.setdefault((name, port), []).append((into, entry))
        if port in sends.output_lines():
            levels = sends.outside.levels
            if levels[port]:
                self._send(name, "line", port, 1)
                self.settle()

    def read(self, name: str, offset: int, size: int, **options: Any) -> int:
        """A bus read, and all that follows from it."""
        value = self.devices[name].read(offset, size, **options)
        self.settle()
        return value

    def write(self, name: str, offset: int, size: int, value: int, **options: Any) -> None:
        """A bus write, and all that follows from it."""
        self.devices[name].write(offset, size, value, **options)
        self.settle()

    def line(self, target: str, level: int) -> None:
        """Drive an input line."""
        name, _, port = target.partition(".")
        self.devices[name].line_in(port, level)
        self.settle()

    def vector(self, target: str, vector: int) -> None:
        """Send a vector."""
        name, _, port = target.partition(".")
        self.devices[name].vector_in(port, vector)
        self.settle()

    def event(self, target: str, descriptor: int, count: int = 1) -> None:
        """Signal an event descriptor."""
        name, _, port = target.partition(".")
        self.devices[name].event_in(port, descriptor, count)
        self.settle()

    def advance(self, delay_ps: int) -> None:
        """Let time pass at every device in turn. Only for devices that do not wait for each other's timers."""
        for device in self.devices.values():
            device.outside.advance(delay_ps)
            self.settle()

    def level(self, source: str) -> int:
        """The level of an output line."""
        name, _, port = source.partition(".")
        return self.devices[name].outside.levels[port]

    def settle(self) -> None:
        """Deliver what is under way, until nothing is."""
        while self._due:
            name, kind, port, value = self._due.popleft()
            device = self.devices[name]
            if kind == "csr":
                core, offset, size, data = value
                device.write(offset, size, data, core, "csr")
            elif kind == "event":
                device.event_in(port, *value)
            else:
                getattr(device, KINDS[kind])(port, value)

    def _send(self, name: str, kind: str, port: str, value: Any) -> None:
        for into, entry in self._wires.get((name, port), ()):
            self._due.append((into, kind, entry, value))


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
        self._board._send(self._name, "event", port, (descriptor, count))

    def csr_write(self, port: str, core: int, offset: int, size: int, value: int) -> None:
        super().csr_write(port, core, offset, size, value)
        self._board._send(self._name, "csr", port, (core, offset, size, value))
