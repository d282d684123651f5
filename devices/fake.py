"""A device's outside without a simulator: a clock that moves when told, and a record of all that leaves the device."""

from __future__ import annotations

from collections import defaultdict

from devices.device import Device
from devices.errors import DeviceError
from devices.lines import LineOut


class FakeOutside:
    """Implements soc.ports.Outside for one device used alone.

    now       model time in picoseconds
    events    everything that left the device, in order: (time, kind, port, value)
    outputs   bytes per byte port
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.now = 0
        self.events: list[tuple[int, str, str, object]] = []
        self.outputs: defaultdict[str, bytes] = defaultdict(bytes)
        self.levels = {port: 0 for port in device.output_lines()}
        self.timers: dict[str, tuple[int, int]] = {}
        self._started = 0
        device.attach(self)
        for name, line in device.line_declarations().items():
            if isinstance(line, LineOut):
                for index, port in enumerate(line.ports):
                    self.levels[port] = getattr(device, name).levels >> index & 1

    def line(self, port: str, level: int) -> None:
        if port not in self.levels or level not in (0, 1) or self.levels[port] == level:
            raise DeviceError(f"output {port!r} to {level!r}: an output of the device must really change, to 0 or 1")
        self.levels[port] = level
        self.events.append((self.now, "line", port, level))

    def vector(self, port: str, vector: int) -> None:
        self.events.append((self.now, "vector", port, vector))

    def event(self, port: str, descriptor: int, count: int) -> None:
        self.events.append((self.now, "event", port, (descriptor, count)))

    def csr_write(self, port: str, core: int, offset: int, size: int, value: int) -> None:
        self.events.append((self.now, "csr", port, (core, offset, size, value)))

    def mailbox(self, port: str, box: int, value: int) -> None:
        self.events.append((self.now, "mailbox", port, (box, value)))

    def output(self, port: str, data: bytes) -> None:
        self.outputs[port] += data
        self.events.append((self.now, "output", port, data))

    def after(self, delay_ps: int, token: str) -> None:
        self._started += 1
        self.timers[token] = (self.now + delay_ps, self._started)

    def cancel(self, token: str) -> None:
        self.timers.pop(token, None)

    def stop(self, reason: str) -> None:
        self.events.append((self.now, "stop", "", reason))

    @property
    def stops(self) -> list[object]:
        """Reasons of all stop requests so far."""
        return [value for _, kind, _, value in self.events if kind == "stop"]

    def advance(self, delay_ps: int) -> None:
        """Let `delay_ps` picoseconds pass; timers that are due by then expire at their time, earliest first."""
        end = self.now + delay_ps
        while self.timers:
            token, (deadline, _) = min(self.timers.items(), key=lambda item: item[1])
            if deadline > end:
                break
            del self.timers[token]
            self.now = deadline
            self.device.on_timer(token)
        self.now = end
